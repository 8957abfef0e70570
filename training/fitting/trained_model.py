"""The result of fitting: a model with its final weights, and what they were fitted from."""

from dataclasses import dataclass, field

from service.bundle.manifest import Metric
from training.data.scaling import Scaling
from training.data.source import DataDescription
from training.data.splitting import Split
from training.fitting.history import EpochRecord
from training.networks.autoencoder import Autoencoder
from training.recipe.recipe import Recipe


@dataclass(frozen=True)
class TrainedModel:
    """A model with its final weights, and what they were fitted from.

    Attributes:
        recipe: The run's configuration.
        data: Description of the data.
        split: The four parts.
        scaling: Between raw units and the inputs of the network.
        autoencoder: With the weights of the published epoch.
        history: All epochs of the whole model.
        metrics: The objective on normal validation and test rows, computed in Keras.
        stages: Epochs of layer-wise stages before; empty without stages.
    """

    recipe: Recipe
    data: DataDescription
    split: Split
    scaling: Scaling
    autoencoder: Autoencoder
    history: list[EpochRecord]
    metrics: list[Metric]
    stages: list[EpochRecord] = field(default_factory=list[EpochRecord])

    @property
    def all_epochs(self) -> list[EpochRecord]:
        """All epochs, those of stages first."""
        return [*self.stages, *self.history]
