"""New rows, decoded from codes that a prior draws."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from service.arrays import FloatArray
from service.bundle.manifest import DECODER, Manifest
from service.errors import FieldError, InvalidInput, NonFiniteResult
from service.inference.autoencoder import Autoencoder
from service.inference.sampling import Prior
from service.off_loop import is_on_event_loop, run_on_thread
from service.operations.operation import Work

MAX_SEED = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""
_MAX_INLINE_VALUES = 32_768  # drawn in 2 to 4 ms
_TOO_HOT = FieldError(
    "/temperature", "codes this far from the prior's means overflow inside the model"
)


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """What to draw.

    Attributes:
        count: How many rows.
        seed: Of the draw, 0 to ``MAX_SEED``; chosen at random when None.
        temperature: Scale of the deviations from the prior's means.
        prior: Name of the prior; the manifest's default when None.
    """

    count: int
    seed: int | None = None
    temperature: float = 1.0
    prior: str | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """New rows, the codes they were decoded from, and the seed that draws them again."""

    samples: FloatArray
    codes: FloatArray
    seed: int

    def fields(self) -> Mapping[str, Any]:
        """Name all three."""
        return {"samples": self.samples, "codes": self.codes, "seed": self.seed}


class Sample:
    """Draws codes from a prior and decodes them.

    The same seed gives the same bytes: rows never share a batch, because a matrix product may
    round differently with another number of rows.
    """

    name: Literal["sample"] = "sample"
    takes: None = None

    def is_supported_by(self, manifest: Manifest) -> bool:
        """Whether there are a decoder and priors."""
        return manifest.priors is not None and DECODER in manifest.graphs

    async def run(self, autoencoder: Autoencoder, work: Work[SampleOptions]) -> Samples:
        """Draw rows; see ``Operation.run``.

        Raises:
            InvalidInput: There is no such prior.
            NonFiniteResult: The temperature is too high for the model.
        """
        options = work.options
        seed = secrets.randbelow(MAX_SEED + 1) if options.seed is None else options.seed
        prior = _prior_named(autoencoder, options.prior)
        flat = await _draw(prior, options.count, np.random.default_rng(seed), options.temperature)
        codes = flat.reshape(options.count, *autoencoder.manifest.code.shape)
        try:
            (samples,) = await autoencoder.run(
                DECODER, codes, work.conditions, work.context, exclusive=True
            )
        except NonFiniteResult as error:
            raise NonFiniteResult(str(error), [_TOO_HOT]) from error
        return Samples(samples, codes, seed)


async def _draw(
    prior: Prior, count: int, generator: np.random.Generator, temperature: float
) -> FloatArray:
    size = count * prior.dimensions
    if size > _MAX_INLINE_VALUES and is_on_event_loop():
        return await run_on_thread(size, prior.draw, count, generator, temperature)
    return prior.draw(count, generator, temperature)


def _prior_named(autoencoder: Autoencoder, name: str | None) -> Prior:
    priors, spec = autoencoder.priors, autoencoder.manifest.priors
    assert spec  # noqa: S101  # the operation is supported
    name = name or spec.default
    if name not in priors:
        raise InvalidInput.at(
            "/prior", f"model {autoencoder.manifest.name} has the priors {', '.join(priors)}"
        )
    return priors[name]
