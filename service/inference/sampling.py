"""Priors over codes: where ``/sample`` draws new rows from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.arrays import Float64Array, FloatArray
from service.bundle.manifest import PRIORS_FILE
from service.bundle.storage import Bundle
from service.errors import InvalidManifest


class Prior(Protocol):
    """A density over codes that can be drawn from."""

    @property
    def dimensions(self) -> int:
        """Dimensions of the codes it draws."""
        ...

    def draw(
        self, count: int, generator: np.random.Generator, temperature: float = 1.0
    ) -> FloatArray:
        """Draw flat codes, shape (count, dimensions); deviations scale with ``temperature``."""
        ...


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I): what a variational autoencoder is trained to match."""

    dimensions: int

    def draw(
        self, count: int, generator: np.random.Generator, temperature: float = 1.0
    ) -> FloatArray:
        """Draw codes.

        Args:
            count: How many.
            generator: Source of randomness; the same state gives the same codes.
            temperature: Standard deviation.

        Returns:
            Codes, shape (count, dimensions).
        """
        noise = generator.standard_normal((count, self.dimensions))
        noise *= temperature
        return noise.astype(np.float32)


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture fitted to the codes of training rows after training.

    The codes of an autoencoder that was trained without a prior do not fill N(0, I): samples of it
    may lie where no codes are, samples of a density that was fitted to the codes do not.

    Attributes:
        weights: Probability of each component, shape (k,).
        means: Shape (k, d).
        cholesky: Lower Cholesky factors of the covariances, shape (k, d, d).
        projection_mean: Mean of the codes before projection, shape (dimensions,), or None.
        projection_components: Principal axes, shape (d, dimensions), or None when the mixture
            lies in the code space itself.

    Source: Ghosh et al., From variational to deterministic autoencoders, ICLR 2020 (ex-post
        density estimation).
    """

    weights: Float64Array
    means: Float64Array
    cholesky: Float64Array
    projection_mean: Float64Array | None = None
    projection_components: Float64Array | None = None

    def __post_init__(self) -> None:
        """Check that the parameters fit together.

        Raises:
            InvalidManifest: Shapes disagree, weights are not probabilities, factors are not lower
                triangular, or a value is not finite.
        """
        components, latent = self.means.shape if self.means.ndim == 2 else (0, 0)
        if (
            not components
            or self.weights.shape != (components,)
            or self.cholesky.shape != (components, latent, latent)
            or not np.isclose(self.weights.sum(), 1.0)
            or self.weights.min() < 0
            or not np.array_equal(self.cholesky, np.tril(self.cholesky))
        ):
            raise InvalidManifest("the arrays of the Gaussian mixture do not fit together")
        if (self.projection_mean is None) != (self.projection_components is None):
            raise InvalidManifest("a projection needs both its mean and its components")
        if self.projection_components is not None and self.projection_components.shape != (
            latent,
            self.dimensions,
        ):
            raise InvalidManifest("the projection does not fit the Gaussian mixture")
        if not all(np.isfinite(array).all() for array in self.to_arrays().values()):
            raise InvalidManifest("the Gaussian mixture has values that are not finite")

    @property
    def dimensions(self) -> int:
        """Dimensions of the codes it draws."""
        mean = self.means[0] if self.projection_mean is None else self.projection_mean
        return len(mean)

    def draw(
        self, count: int, generator: np.random.Generator, temperature: float = 1.0
    ) -> FloatArray:
        """Draw codes.

        Args:
            count: How many.
            generator: Source of randomness; the same state gives the same codes.
            temperature: Factor on the deviation from the drawn component's mean.

        Returns:
            Codes, shape (count, dimensions).
        """
        chosen = np.searchsorted(np.cumsum(self.weights), generator.random(count), side="right")
        chosen = np.minimum(chosen, len(self.weights) - 1)  # rounding of the cumulative sum
        noise = generator.standard_normal((count, self.means.shape[1]))
        deviations = np.empty_like(noise)
        for component in np.unique(chosen):
            rows = chosen == component
            deviations[rows] = noise[rows] @ self.cholesky[component].T
        codes = self.means[chosen] + temperature * deviations
        if self.projection_components is not None and self.projection_mean is not None:
            codes = self.projection_mean + codes @ self.projection_components
        return codes.astype(np.float32)

    def to_arrays(self) -> dict[str, Float64Array]:
        """Return the arrays that ``priors.npz`` holds."""
        arrays = {"weights": self.weights, "means": self.means, "cholesky": self.cholesky}
        if self.projection_mean is not None and self.projection_components is not None:
            arrays["projection_mean"] = self.projection_mean
            arrays["projection_components"] = self.projection_components
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.floating]]) -> "GaussianMixture":
        """Make the mixture from the arrays of ``priors.npz``.

        Raises:
            InvalidManifest: Arrays are missing or do not fit together.
        """
        try:
            parameters = {name: arrays[name] for name in ("weights", "means", "cholesky")}
        except KeyError as error:
            raise InvalidManifest(f"priors.npz has no array {error}") from error
        projection = ("projection_mean", "projection_components")
        parameters |= {name: arrays[name] for name in projection if name in arrays}
        return cls(**{name: array.astype(np.float64) for name, array in parameters.items()})


def read_priors(bundle: Bundle) -> dict[str, Prior]:
    """Return the priors of a bundle, by name.

    Raises:
        InvalidManifest: A mixture does not draw codes of this bundle, or is not the one described.
        BundleFileCorrupted: The file cannot be read.
    """
    dimensions = int(np.prod(bundle.manifest.code.shape))
    available = bundle.manifest.priors.available if bundle.manifest.priors else {}
    priors: dict[str, Prior] = {}
    for name, spec in available.items():
        if spec.kind == "standard-normal":
            priors[name] = StandardNormal(dimensions)
            continue
        mixture = GaussianMixture.from_arrays(bundle.arrays(PRIORS_FILE))
        if mixture.dimensions != dimensions:
            raise InvalidManifest(
                f"{PRIORS_FILE} draws {mixture.dimensions} values, a code has {dimensions}"
            )
        if len(mixture.weights) != spec.components:
            raise InvalidManifest(
                f"{PRIORS_FILE} has {len(mixture.weights)} components, the prior {name}"
                f" {spec.components}"
            )
        priors[name] = mixture
    return priors
