"""What fitting hands on: a model whose weights are final, and all that they were made from."""

from dataclasses import dataclass, field

from service.bundle.manifest import Metric
from training.data.datasets import Dataset
from training.data.scaling import Scaling
from training.data.splitting import Split
from training.fitting.history import EpochRecord
from training.networks.autoencoder import Autoencoder
from training.recipe.recipe import Recipe


@dataclass(frozen=True)
class TrainedModel:
    """A model whose weights are final, and all that they were made from.

    Attributes:
        recipe: What was to be done.
        dataset: What it was done to.
        split: The four parts.
        scaling: Between raw units and what the network sees.
        autoencoder: With the weights of the best epoch.
        history: All epochs of the whole.
        metrics: The objective on normal validation and test rows, as training computes it.
        stages: The epochs before, in which layers were fitted one after another, if they were.
    """

    recipe: Recipe
    dataset: Dataset
    split: Split
    scaling: Scaling
    autoencoder: Autoencoder
    history: list[EpochRecord]
    metrics: list[Metric]
    stages: list[EpochRecord] = field(default_factory=list[EpochRecord])

    @property
    def all_epochs(self) -> list[EpochRecord]:
        """Every epoch that was run, those of stages first."""
        return [*self.stages, *self.history]
