"""Scorers with their constants, ready to be exported."""

from dataclasses import dataclass

from service.bundle.manifest import Name
from service.inference.sampling import GaussianMixture
from training.export.scorer import Constants, FittingData, ScaledRows, Scorer
from training.export.scorer_registry import scorer_graph_name, scorer_named
from training.fitting.trained_model import TrainedModel
from training.networks.autoencoder import Autoencoder
from training.seeds import Stream, generator
from training.tensors import Tensor


@dataclass(frozen=True)
class FittedScorer:
    """A scorer and its constants.

    Attributes:
        name: Name of the score.
        scorer: How it is computed.
        constants: The result of ``scorer.fit``.
    """

    name: Name
    scorer: Scorer
    constants: Constants

    @property
    def graph_name(self) -> str:
        """Name of the graph that computes the score."""
        return scorer_graph_name(self.name)

    def score(
        self, autoencoder: Autoencoder, rows: Tensor, conditions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute scores with the fitted constants; see ``Scorer.score``."""
        return self.scorer.score(autoencoder, self.constants, rows, conditions)


def fit_scorers(model: TrainedModel, mixture: GaussianMixture) -> list[FittedScorer]:
    """Fit every score of the recipe to training and validation rows.

    Args:
        model: The trained model and its data.
        mixture: Density of the codes of training rows.

    Raises:
        RecipeError: The recipe names an unknown score.
    """
    train, validation = (
        ScaledRows(part, model.scaling) for part in (model.split.train, model.split.validation)
    )
    fitted: list[FittedScorer] = []
    for position, name in enumerate(model.recipe.anomaly.scores):
        scorer, random = scorer_named(name), generator(model.recipe.seed, Stream.SCORE, position)
        data = FittingData(model.autoencoder, train, validation, mixture, random)
        fitted.append(FittedScorer(name, scorer, scorer.fit(data)))
    return fitted
