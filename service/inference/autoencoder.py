"""The six calls over one loaded bundle: numpy in, numpy out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.arrays import BoolArray, FloatArray
from service.bundle.manifest import (
    DECODER,
    ENCODER,
    Capability,
)
from service.bundle.storage import Bundle
from service.errors import (
    CapabilityMissing,
    FieldError,
    InvalidInput,
    NonFiniteResult,
)
from service.inference.graphs import ROUND_TRIP, Graph, Onward, RequestContext
from service.inference.sampling import Prior, read_priors
from service.inference.scoring import (
    Scores,
    conformal_p_values,
    discovery_threshold,
    min_discoveries,
    p_value_floor,
    read_calibration,
    threshold_at,
)

_TOO_HOT = FieldError(
    "/temperature", "codes this far from the prior's means overflow inside the model"
)


@dataclass(frozen=True)
class Encoding:
    """Codes, shape (rows, *code shape); with ``log_variances`` they are posterior means."""

    codes: FloatArray
    log_variances: FloatArray | None


@dataclass(frozen=True)
class AnomalyDecision:
    """What the rows of one request score, and which of them are anomalies.

    Attributes:
        score: Name of the score.
        scores: Shape (rows,), higher is more anomalous.
        p_values: Conformal p-values, shape (rows,).
        anomalies: Shape (rows,).
        threshold: Rows strictly above it are anomalies; None when nothing can be flagged.
        calibration_rows: How many normal scores the p-values were taken against.
        p_value_floor: Smallest p-value that so many rows can give.
        warnings: Sentences about what the answer cannot promise.
    """

    score: str
    scores: FloatArray
    p_values: Scores
    anomalies: BoolArray
    threshold: float | None
    calibration_rows: int
    p_value_floor: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """New rows, the codes they were decoded from, and the seed that gives them again."""

    samples: FloatArray
    codes: FloatArray
    seed: int


class Autoencoder:
    """One version of one model, ready to answer.

    Attributes:
        manifest: What the bundle says about itself.
    """

    def __init__(self, bundle: Bundle, graphs: Mapping[str, Graph]) -> None:
        """Take a verified bundle and a way to run each of its graphs.

        Args:
            bundle: The bundle, for its manifest, calibration and priors.
            graphs: A runner for every graph the manifest names; and for ``ROUND_TRIP``, if rows
                should pass from encoder to decoder in one run.

        Raises:
            BundleError: Calibration or priors are not what the manifest says.
        """
        self.manifest = bundle.manifest
        self._graphs = graphs
        self._conditional = {
            name: any(len(self.manifest.graphs[each].inputs) > 1 for each in _parts(name))
            for name in graphs
        }
        self._to_decoder = Onward(graphs[DECODER]) if DECODER in graphs else None
        self._calibration = read_calibration(bundle)
        self._priors = read_priors(bundle)

    def require(self, capability: Capability) -> None:
        """Refuse a call that the bundle does not serve.

        Raises:
            CapabilityMissing: It is not among the manifest's capabilities.
        """
        if capability not in self.manifest.capabilities:
            raise CapabilityMissing(
                f"model {self.manifest.name} does not serve {capability}; it serves"
                f" {', '.join(self.manifest.capabilities)}"
            )

    async def encode(
        self, inputs: FloatArray, conditions: FloatArray | None = None, *, context: RequestContext
    ) -> Encoding:
        """Turn rows into codes.

        Args:
            inputs: Shape (rows, *input shape), finite, in the client's units.
            conditions: Shape (rows, conditions) for a conditional model, else None.
            context: Deadline and times of the request.

        Raises:
            CapabilityMissing: The bundle does not serve this call.
            NonFiniteResult: Rows overflow inside the model.
        """
        self.require("encode")
        codes, *log_variances = await self._run(ENCODER, inputs, conditions, context=context)
        return Encoding(codes, log_variances[0] if log_variances else None)

    async def decode(
        self, codes: FloatArray, conditions: FloatArray | None = None, *, context: RequestContext
    ) -> FloatArray:
        """Turn codes, shape (rows, *code shape), into rows; errors as ``encode``."""
        self.require("decode")
        (outputs,) = await self._run(DECODER, codes, conditions, context=context, field="codes")
        return outputs

    async def reconstruct(
        self, inputs: FloatArray, conditions: FloatArray | None = None, *, context: RequestContext
    ) -> FloatArray:
        """Send rows through encoder and decoder; arguments and errors as ``encode``."""
        self.require("reconstruct")
        return await self._encode_and_decode(inputs, conditions, context)

    async def denoise(
        self, inputs: FloatArray, conditions: FloatArray | None = None, *, context: RequestContext
    ) -> FloatArray:
        """Reconstruct rows with a model trained to undo noise; errors as ``encode``."""
        self.require("denoise")
        return await self._encode_and_decode(inputs, conditions, context)

    async def score(
        self,
        inputs: FloatArray,
        conditions: FloatArray | None = None,
        *,
        context: RequestContext,
        score: str | None = None,
        false_positive_rate: float | None = None,
        false_discovery_rate: float | None = None,
    ) -> AnomalyDecision:
        """Say how anomalous rows are, and which are anomalies at a stated error rate.

        Args:
            inputs: Shape (rows, *input shape).
            conditions: As ``encode``.
            context: As ``encode``.
            score: Name of the score; the manifest's default when None.
            false_positive_rate: In (0, 1); the manifest's default when both rates are None.
            false_discovery_rate: In (0, 1); replaces the false-positive rate.

        Raises:
            CapabilityMissing: The bundle does not serve this call, or has no calibration.
            InvalidInput: There is no such score, or a rate is not in (0, 1).
            NonFiniteResult: Rows overflow inside the model.
        """
        self.require("anomaly-score")
        name, graph, calibration = self._score_named(score)
        _refuse_rate("false_positive_rate", false_positive_rate)
        _refuse_rate("false_discovery_rate", false_discovery_rate)
        scores, *_ = await self._run(graph, inputs, conditions, context=context)
        exact = scores.astype(np.float64)
        p_values = conformal_p_values(exact, calibration)
        floor = p_value_floor(calibration)
        if false_discovery_rate is not None:
            rate, kind = false_discovery_rate, "false-discovery rate"
            threshold = discovery_threshold(p_values, rate, calibration)
            least = min_discoveries(len(scores), rate, calibration)
        else:
            kind = "false-positive rate"
            rate = self._default_rate() if false_positive_rate is None else false_positive_rate
            threshold = threshold_at(rate, calibration)
            least = 1 if floor <= rate else len(scores) + 1
        anomalies = exact > (np.inf if threshold is None else threshold)
        return AnomalyDecision(
            score=name,
            scores=scores,
            p_values=p_values,
            anomalies=anomalies,
            threshold=threshold,
            calibration_rows=len(calibration),
            p_value_floor=floor,
            warnings=_warnings(len(calibration), kind, least, len(scores))
            if threshold is None
            else (),
        )

    async def sample(
        self,
        count: int,
        *,
        seed: int,
        context: RequestContext,
        temperature: float = 1.0,
        prior: str | None = None,
        conditions: FloatArray | None = None,
    ) -> Samples:
        """Draw codes from a prior and decode them; the same seed gives the same bytes.

        Args:
            count: Number of rows.
            seed: Seed of the draw.
            context: As ``encode``.
            temperature: Scale of the deviations from the prior's means.
            prior: Name of the prior; the manifest's default when None.
            conditions: Shape (count, conditions) for a conditional model, else None.

        Raises:
            CapabilityMissing: The bundle does not serve this call.
            InvalidInput: There is no such prior.
        """
        self.require("sample")
        chosen = self._prior_named(prior)
        flat = chosen.draw(count, np.random.default_rng(seed), temperature)
        codes = flat.reshape(count, *self.manifest.code.shape)
        try:
            (samples,) = await self._run(
                DECODER, codes, conditions, context=context, exclusive=True
            )
        except NonFiniteResult as error:
            raise NonFiniteResult(str(error), [_TOO_HOT]) from error
        return Samples(samples, codes, seed)

    def thresholds(
        self, false_positive_rates: tuple[float, ...]
    ) -> dict[str, dict[str, float | None]]:
        """Tabulate, for every calibrated score, the threshold at each false-positive rate."""
        return {
            name: {f"{rate:g}": threshold_at(rate, calibration) for rate in false_positive_rates}
            for name, calibration in self._calibration.items()
            if calibration.size
        }

    async def _encode_and_decode(
        self, inputs: FloatArray, conditions: FloatArray | None, context: RequestContext
    ) -> FloatArray:
        if ROUND_TRIP in self._graphs:
            outputs = await self._run(ROUND_TRIP, inputs, conditions, context=context)
        else:
            onward = self._to_decoder
            if self._conditional[DECODER]:
                onward = Onward(self._graphs[DECODER], _given(self.manifest.name, conditions))
            outputs = await self._run(ENCODER, inputs, conditions, context=context, onward=onward)
        return outputs[0]

    async def _run(
        self,
        graph: str,
        rows: FloatArray,
        conditions: FloatArray | None,
        *,
        context: RequestContext,
        field: str = "inputs",
        exclusive: bool = False,
        onward: Onward | None = None,
    ) -> tuple[FloatArray, ...]:
        others = _given(self.manifest.name, conditions) if self._conditional[graph] else ()
        outputs = await self._graphs[graph].run(
            rows, *others, context=context, exclusive=exclusive, onward=onward
        )
        if not context.finite:
            for output in outputs:
                _refuse_non_finite(output, field)
        return outputs

    def _default_rate(self) -> float:
        assert self.manifest.anomaly  # noqa: S101  # the capability has been checked
        return self.manifest.anomaly.default_false_positive_rate

    def _score_named(self, name: str | None) -> tuple[str, str, Scores]:
        assert self.manifest.anomaly  # noqa: S101  # the capability has been checked
        scores = self.manifest.anomaly.scores
        name = name or self.manifest.anomaly.default_score
        if name not in scores:
            raise InvalidInput.at(
                "/score", f"model {self.manifest.name} has the scores {', '.join(scores)}"
            )
        return name, scores[name].graph, self._calibration.get(name, np.empty(0))

    def _prior_named(self, name: str | None) -> Prior:
        assert self.manifest.priors  # noqa: S101  # the capability has been checked
        name = name or self.manifest.priors.default
        if name not in self._priors:
            raise InvalidInput.at(
                "/prior", f"model {self.manifest.name} has the priors {', '.join(self._priors)}"
            )
        return self._priors[name]


def _parts(graph: str) -> tuple[str, ...]:
    return (ENCODER, DECODER) if graph == ROUND_TRIP else (graph,)


def _given(model: str, conditions: FloatArray | None) -> tuple[FloatArray]:
    if conditions is None:
        raise InvalidInput.at("/conditions", f"model {model} answers under conditions only")
    return (conditions,)


def _warnings(calibration_rows: int, kind: str, min_discoveries: int, rows: int) -> tuple[str, ...]:
    too_few = f"{calibration_rows} calibration rows are too few for a {kind} this small"
    if min_discoveries > rows:
        return (f"{too_few}: no row can be flagged",)
    if min_discoveries > 1:
        return (f"{too_few} to flag fewer than {min_discoveries} of the {rows} rows",)
    return ()


def _refuse_rate(name: str, rate: float | None) -> None:
    if rate is not None and not 0 < rate < 1:
        raise InvalidInput.at(f"/{name}", f"{name} is not between 0 and 1")


def _refuse_non_finite(output: FloatArray, field: str) -> None:
    finite = np.isfinite(output)
    if finite.all():
        return
    rows = np.flatnonzero(~finite.reshape(len(output), -1).all(axis=1))
    detail = "is finite but overflows inside the model: far outside what it was trained on"
    raise NonFiniteResult(
        f"{len(rows)} of {len(output)} rows overflow inside the model",
        [FieldError(f"/{field}/{row}", f"row {row} {detail}") for row in rows[:10]],
    )
