"""A Gaussian mixture over the codes of a trained autoencoder, to sample any family from."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as MixtureFit
from threadpoolctl import threadpool_limits

from service.inference.sampling import GaussianMixture
from training.arrays import FloatArray
from training.data.splitting import Part
from training.export.scorer import ScaledRows
from training.fitting.trained_model import TrainedModel
from training.recipe.recipe import CodeDensityPart
from training.seeds import Stream, derived_seed, generator
from training.tensors import to_numpy

MAX_DIMENSIONS = 64
# Relative to the mean variance; keeps covariances of nearly constant units positive definite.
RELATIVE_REGULARIZATION = 1e-6
MAX_ITERATIONS = 100


@dataclass(frozen=True)
class CodeDensity:
    """A mixture, and the criterion that its size was chosen by.

    Attributes:
        mixture: The mixture that the service draws from.
        criteria: Bayesian information criterion on validation codes, by number of components;
            lower is better.
        explained_variance: Share of the codes' variance in the mixture's subspace.
    """

    mixture: GaussianMixture
    criteria: dict[int, float]
    explained_variance: float

    @property
    def components(self) -> int:
        """Number of normal distributions in the mixture."""
        return len(self.mixture.weights)


def code_density(model: TrainedModel) -> CodeDensity:
    """Fit the density of a trained model's codes as its recipe states."""
    split, recipe = model.split, model.recipe
    return fit_code_density(
        _codes(model, split.train),
        _codes(model, split.validation),
        recipe.code_density,
        recipe.seed,
    )


def fit_code_density(
    train: FloatArray, validation: FloatArray, settings: CodeDensityPart, seed: int
) -> CodeDensity:
    """Fit Gaussian mixtures to training codes, and choose the size on validation codes.

    Args:
        train: Codes of training rows, (rows, *code shape).
        validation: Codes of validation rows, (rows, *code shape).
        settings: Numbers of components to try.
        seed: The recipe's seed.

    Returns:
        The density; above 64 dimensions it lies in the codes' principal subspace.

    Source: Ghosh et al., From variational to deterministic autoencoders, ICLR 2020.
    """
    random = generator(seed, Stream.CODE_DENSITY)
    if len(train) > settings.fit_rows:
        train = train[random.choice(len(train), settings.fit_rows, replace=False)]
    train, validation = _flat(train), _flat(validation)
    projection: Any = None
    if train.shape[1] > MAX_DIMENSIONS:
        projection = PCA(MAX_DIMENSIONS, random_state=derived_seed(seed, Stream.CODE_DENSITY))
        train, validation = projection.fit_transform(train), projection.transform(validation)
    best: Any
    # The matrices are small: with several threads, synchronization takes most of the time.
    with threadpool_limits(1):
        best, criteria = _choose_mixture(train, validation, settings.components, seed)
    return CodeDensity(
        mixture=GaussianMixture(
            weights=best.weights_ / best.weights_.sum(),
            means=best.means_,
            cholesky=np.linalg.cholesky(best.covariances_),
            projection_mean=None if projection is None else projection.mean_.astype(np.float64),
            projection_components=(
                None if projection is None else projection.components_.astype(np.float64)
            ),
        ),
        criteria=criteria,
        explained_variance=(
            1.0 if projection is None else float(projection.explained_variance_ratio_.sum())
        ),
    )


def _codes(model: TrainedModel, part: Part) -> FloatArray:
    encodings = [
        to_numpy(model.autoencoder.encode(rows, conditions)[0])
        for rows, conditions in ScaledRows(part, model.scaling).batches()
    ]
    return np.concatenate(encodings)


def _flat(codes: FloatArray) -> np.ndarray:
    return codes.reshape(len(codes), -1).astype(np.float64)


def _choose_mixture(
    train: np.ndarray, validation: np.ndarray, sizes: Sequence[int], seed: int
) -> tuple[MixtureFit, dict[int, float]]:
    """Try sizes in ascending order until the criterion rises."""
    best, criteria = _fit_mixture(train, 1, seed), dict[int, float]()
    criteria[1] = float(best.bic(validation))
    for size in sorted(size for size in set(sizes) if 1 < size <= len(train)):
        fit = _fit_mixture(train, size, seed)
        criteria[size] = float(fit.bic(validation))
        if criteria[size] > min(criteria.values()):
            break
        best = fit
    return best, criteria


def _fit_mixture(codes: np.ndarray, components: int, seed: int) -> MixtureFit:
    mixture = MixtureFit(
        components,
        reg_covar=RELATIVE_REGULARIZATION * max(float(codes.var(axis=0).mean()), 1e-12),
        max_iter=MAX_ITERATIONS,
        random_state=derived_seed(seed, Stream.CODE_DENSITY, components),
    )
    with warnings.catch_warnings():
        # A fit near its optimum is good enough to be compared by the criterion.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(codes)
