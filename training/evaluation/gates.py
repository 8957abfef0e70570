"""Did it really learn? What a network must show before it is published.

A loss that fell proves little: a network can score every row alike, leave its code unused, return
the mean of its training rows, do no better than a linear map, or know its training rows by heart.
Each gate measures one of these on normal test rows, through the graphs that will be served.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import ENCODER
from training.arrays import FloatArray, Scores
from training.data.splitting import Part
from training.evaluation.assessment import GateResult, HeldOutAnswers
from training.evaluation.linear_baseline import fit_linear_baseline
from training.evaluation.metrics import mean_squared_error
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.recipe.layers import LayerSpec
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

Errors = NDArray[np.float64]

MAX_TRAINING_ROWS = 10_000
# Errors of pure noise still vary by sqrt(2 / values): that is this much for two million values.
LEAST_SCORE_VARIATION = 1e-3
# With half of its units or fewer, a code half as long would do: the recipe asks for too many, or
# the others died.
LEAST_LIVE_SHARE = 0.5
LEAST_RELATIVE_DEVIATION = 0.01
# About what Burda et al. call an active unit: a variance of posterior means above 0.01.
LEAST_DIVERGENCE_NATS = 0.01
# Beyond what chance gives a network that learned the mean alone, even on a few hundred rows.
LEAST_EXPLAINED_VARIANCE = 0.05
# A linear network is PCA where its optimizer converges; it may stop this short of it.
LINEAR_TOLERANCE = 1.05
# Twice the error on rows never seen; few rows need more to prove anything, see ``memorisation``.
MOST_ERROR_RATIO = 2.0
ONE_IN_A_THOUSAND = 3.09  # standard deviations of a normal distribution, one-sided
# Stands for a ratio to an error of 0: manifests hold finite numbers.
GREATEST_RATIO = 1e9
LINEAR_LAYERS = {"dense", "tied-dense", "flatten", "reshape"}
FAMILY_TERMS = {"reconstruction", "divergence"}


def judge(
    model: TrainedModel, exported: ExportedModel, answers: HeldOutAnswers
) -> tuple[GateResult, ...]:
    """Measure every gate that applies.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        answers: What they make of the test rows.

    Returns:
        One result per gate, those that do not bind included.
    """
    normal = ~answers.abnormal
    rows, conditions = _spread(model.split.train)
    train, test = _scaled(model, rows), _scaled(model, model.split.test.rows[normal])
    train_errors = _squared_errors(train, _scaled(model, exported.reconstruct(rows, conditions)))
    test_errors = _squared_errors(test, _scaled(model, answers.outputs[normal]))
    error = float(test_errors.mean())
    score = model.recipe.anomaly.scores[0]
    live = live_units(model, exported, answers)
    results = [
        score_variation(answers.scores[score][normal]),
        live,
        explained_variance(error, mean_squared_error(test, train.mean(axis=0))),
        memorisation(train_errors, test_errors),
    ]
    seen = test
    if answers.corrupted is not None and answers.denoised is not None:
        seen = _scaled(model, answers.corrupted[normal])
        error = mean_squared_error(test, _scaled(model, answers.denoised[normal]))
        results.append(denoising(error, mean_squared_error(test, seen)))
    components = max(1, round(live.measured * answers.codes[0].size))
    baseline = fit_linear_baseline(train, components)
    linear_error = mean_squared_error(test, baseline.reconstruct(seen))
    return (*results, linear_comparison(model, error, linear_error, components))


def waive(gates: Sequence[GateResult], reason: str) -> tuple[GateResult, ...]:
    """Write a reason beside every gate that refuses."""
    return tuple(
        replace(gate, waived=reason) if gate.state == "refused" else gate for gate in gates
    )


def score_variation(scores: Scores) -> GateResult:
    """Ask whether the default score tells rows apart at all.

    Args:
        scores: Of normal test rows, (rows,).
    """
    mean = float(np.abs(scores).mean())
    variation = float(scores.std()) / mean if mean > 0 else 0.0
    return GateResult(
        name="score-variation",
        question="Do scores differ from row to row?",
        measured=variation,
        bound=LEAST_SCORE_VARIATION,
        side="above",
        finding=(
            f"scores of {len(scores)} normal rows deviate by {variation:.2g} of their mean"
            f" (needed: over {LEAST_SCORE_VARIATION:g})"
        ),
    )


def live_units(model: TrainedModel, exported: ExportedModel, answers: HeldOutAnswers) -> GateResult:
    """Ask whether most of the code is used.

    A variational dimension lives while its divergence from the prior carries information; a unit
    of any other code while it varies. Where codes have positions, a unit is a channel.

    Source: Burda, Grosse and Salakhutdinov, Importance weighted autoencoders, ICLR 2016 (active
        units).
    """
    normal = ~answers.abnormal
    if model.autoencoder.variational:
        test = model.split.test
        conditions = None if test.conditions is None else test.conditions[normal]
        means, log_variances = exported.run(ENCODER, test.rows[normal], conditions)
        live = divergence_by_dimension(means, log_variances) > LEAST_DIVERGENCE_NATS
        need = f"diverge from the prior by over {LEAST_DIVERGENCE_NATS:g} nats"
    else:
        live = varying_units(answers.codes[normal])
        need = f"vary by over {LEAST_RELATIVE_DEVIATION:g} of what units vary on average"
    share = float(live.mean())
    return GateResult(
        name="live-code-share",
        question="Is the code used?",
        measured=share,
        bound=LEAST_LIVE_SHARE,
        side="above",
        finding=(
            f"{int(live.sum())} of {len(live)} code units {need} (needed: over"
            f" {LEAST_LIVE_SHARE:.0%})"
        ),
    )


def divergence_by_dimension(means: FloatArray, log_variances: FloatArray) -> np.ndarray:
    """Average KL(N(mean, variance) || N(0, 1)) of each dimension over rows.

    Args:
        means: Posterior means, (rows, dimensions).
        log_variances: The same shape.

    Returns:
        Nats, (dimensions,).
    """
    exact, logs = means.astype(np.float64), log_variances.astype(np.float64)
    return 0.5 * (np.square(exact) + np.exp(logs) - 1.0 - logs).mean(axis=0)


def varying_units(codes: FloatArray) -> np.ndarray:
    """Tell which units vary with the row.

    Args:
        codes: Shape (rows, *code shape).

    Returns:
        One truth per unit: (units,), or (channels,) where codes have positions.
    """
    units = codes.reshape(-1, codes.shape[-1]).astype(np.float64)
    deviations = units.std(axis=0)
    typical = float(np.sqrt(np.square(deviations).mean()))
    # Below single precision's resolution everything is constant.
    resolution = 1e-6 * max(1e-6, float(np.abs(units).max()))
    return deviations > max(LEAST_RELATIVE_DEVIATION * typical, resolution)


def explained_variance(error: float, error_of_mean: float) -> GateResult:
    """Ask whether reconstructions are better than the mean of the training rows.

    Args:
        error: Mean squared error of reconstructions.
        error_of_mean: Of the mean, for the same rows.
    """
    explained = 1.0 - error / error_of_mean if error_of_mean > 0 else 0.0
    return GateResult(
        name="explained-variance",
        question="Are reconstructions better than the training mean?",
        measured=explained,
        bound=LEAST_EXPLAINED_VARIANCE,
        side="above",
        finding=(
            f"squared error {error:.3g} against the training mean's {error_of_mean:.3g}:"
            f" {explained:.1%} of the variance is explained (needed: over"
            f" {LEAST_EXPLAINED_VARIANCE:.0%})"
        ),
    )


def memorisation(train_errors: Errors, test_errors: Errors) -> GateResult:
    """Ask whether rows never seen come back about as well as those learnt from.

    The bound is 2, or what chance alone makes of the ratio once in a thousand times where so few
    rows differ so much: 3.09 standard errors of its logarithm, by the delta method.

    Args:
        train_errors: Squared error of each training row, (rows,).
        test_errors: Squared error of each normal test row, (rows,).
    """
    train_error, test_error = float(train_errors.mean()), float(test_errors.mean())
    ratio = _ratio(test_error, train_error)
    relative_variance = sum(
        float(errors.var()) / (len(errors) * float(errors.mean()) ** 2)
        for errors in (train_errors, test_errors)
        if errors.mean() > 0
    )
    chance = float(np.exp(ONE_IN_A_THOUSAND * np.sqrt(relative_variance)))
    bound = max(MOST_ERROR_RATIO, chance)
    return GateResult(
        name="held-out-over-training-error",
        question="Are unseen rows reconstructed as well as training rows?",
        measured=ratio,
        bound=bound,
        side="below",
        finding=(
            f"squared error {test_error:.3g} on {len(test_errors)} unseen rows, {train_error:.3g}"
            f" on {len(train_errors)} training rows: {ratio:.3g} times (needed: under {bound:.3g})"
        ),
    )


def denoising(error: float, noise: float) -> GateResult:
    """Ask whether denoised rows are nearer to the clean ones than the corrupted rows are.

    Args:
        error: Mean squared error of what the network makes of corrupted rows.
        noise: Of the corrupted rows themselves.
    """
    ratio = _ratio(error, noise)
    return GateResult(
        name="error-left-by-denoising",
        question="Are denoised rows nearer to clean ones than corrupted rows?",
        measured=ratio,
        bound=1.0,
        side="below",
        finding=(
            f"squared error {error:.3g} against the corruption's {noise:.3g}: {ratio:.3g} times"
            " (needed: under 1)"
        ),
    )


def linear_comparison(
    model: TrainedModel, error: float, linear_error: float, components: int
) -> GateResult:
    """Ask whether the network beats principal components in as many dimensions as its code uses.

    A network of linear layers may equal them. Two kinds are measured without being bound: a
    penalty gives up reconstruction for a property of the code, and each value of a code with
    positions sees a neighbourhood, while a principal component sees the whole row.

    Args:
        model: The trained model.
        error: Mean squared error of reconstructions; of corrupted rows where there is noise.
        linear_error: Of principal components, given the same rows.
        components: How many there are.
    """
    ratio = _ratio(error, linear_error)
    linear = is_linear(model.recipe)
    bound, need = (LINEAR_TOLERANCE, "a linear network needs") if linear else (1.0, "needed:")
    need = f"{need} under {bound:g}"
    penalties = sorted(model.history[-1].training.keys() - FAMILY_TERMS)
    unbound = ""
    if penalties:
        unbound = f"not asked of a code under a penalty ({', '.join(penalties)})"
    elif len(model.autoencoder.code_shape) > 1:
        unbound = "not asked of a code with positions"
    return GateResult(
        name="error-over-pca",
        question="Are reconstructions better than those of PCA?",
        measured=ratio,
        bound=None if unbound else bound,
        side="below",
        finding=(
            f"squared error {error:.3g} against {linear_error:.3g} of PCA with {components}"
            f" components: {ratio:.3g} times ({unbound or need})"
        ),
    )


def is_linear(recipe: Recipe) -> bool:
    """Tell whether a recipe's network is a linear map, so that PCA is the best it can be."""
    specs: tuple[LayerSpec, ...] = (*recipe.model.encoder, *recipe.model.decoder)
    return recipe.model.family == "plain" and all(
        spec.layer in LINEAR_LAYERS and getattr(spec, "activation", "linear") == "linear"
        for spec in specs
    )


def _ratio(error: float, reference: float) -> float:
    if error <= 0:
        return 0.0 if reference > 0 else 1.0
    return min(error / reference, GREATEST_RATIO) if reference > 0 else GREATEST_RATIO


def _squared_errors(targets: FloatArray, outputs: FloatArray) -> Errors:
    return np.square(targets - outputs, dtype=np.float64).mean(axis=1)


def _spread(part: Part) -> tuple[FloatArray, FloatArray | None]:
    """Take rows at even distances, so that every class is among them, and their conditions."""
    chosen = np.linspace(0, len(part) - 1, min(len(part), MAX_TRAINING_ROWS)).astype(int)
    return part.rows[chosen], None if part.conditions is None else part.conditions[chosen]


def _scaled(model: TrainedModel, rows: FloatArray) -> FloatArray:
    """Flat rows as the network sees them, so that every column counts as it was trained to."""
    return to_numpy(model.scaling.scale(rows)).reshape(len(rows), -1)
