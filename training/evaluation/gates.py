"""Gates: what a network must have learned before it is published.

A loss that decreased does not show that a network learned: it can give every row the same score,
ignore its code, return the mean of the training rows, be no better than PCA, or memorize the
training rows. Each gate measures one of these on normal test rows, through the exported graphs.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import ENCODER
from training.arrays import FloatArray, Scores
from training.data.splitting import Part
from training.evaluation.active_units import (
    MIN_DIVERGENCE_NATS,
    MIN_RELATIVE_DEVIATION,
    divergence_by_dimension,
    varying_units,
)
from training.evaluation.assessment import GateResult, HeldOutResults
from training.evaluation.linear_baseline import fit_linear_baseline
from training.evaluation.metrics import mean_squared_error
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.recipe.layers import LayerSpec
from training.recipe.recipe import Recipe
from training.tensors import to_numpy

Errors = NDArray[np.float64]

MAX_TRAINING_ROWS = 10_000
# The relative deviation of errors of pure noise is sqrt(2 / values): 0.001 for two million values.
MIN_SCORE_VARIATION = 1e-3
# With half of the units or fewer, a code half as long would do.
MIN_ACTIVE_SHARE = 0.5
# More than chance gives a network that learned the mean only, even on a few hundred rows.
MIN_EXPLAINED_VARIANCE = 0.05
# A linear network converges to PCA; its optimizer may stop this short of it.
LINEAR_TOLERANCE = 1.05
# The bound is larger where rows are few; see ``generalization_gap``.
MAX_ERROR_RATIO = 2.0
ONE_IN_A_THOUSAND = 3.09  # standard deviations of a normal distribution, one-sided
# In place of a ratio to an error of 0: numbers of a manifest are finite.
MAX_RATIO = 1e9
LINEAR_LAYERS = {"dense", "tied-dense", "flatten", "reshape"}
FAMILY_TERMS = {"reconstruction", "divergence"}


def evaluate_gates(
    model: TrainedModel, exported: ExportedModel, results: HeldOutResults
) -> tuple[GateResult, ...]:
    """Evaluate every gate that applies.

    Args:
        model: The trained model and its data.
        exported: Its graphs.
        results: Outputs of the graphs for the test rows.

    Returns:
        One result per gate, informative ones included.
    """
    normal = ~results.abnormal
    rows, conditions = _evenly_spaced(model.split.train)
    train, test = _scaled(model, rows), _scaled(model, model.split.test.rows[normal])
    train_errors = _squared_errors(train, _scaled(model, exported.reconstruct(rows, conditions)))
    test_errors = _squared_errors(test, _scaled(model, results.reconstructions[normal]))
    error = float(test_errors.mean())
    score = model.recipe.anomaly.scores[0]
    active = active_units(model, exported, results)
    gates = [
        score_variation(results.scores[score][normal]),
        active,
        explained_variance(error, mean_squared_error(test, train.mean(axis=0))),
        generalization_gap(train_errors, test_errors),
    ]
    inputs = test
    if results.corrupted is not None and results.denoised is not None:
        inputs = _scaled(model, results.corrupted[normal])
        error = mean_squared_error(test, _scaled(model, results.denoised[normal]))
        gates.append(denoising(error, mean_squared_error(test, inputs)))
    components = max(1, round(active.measured * results.codes[0].size))
    baseline = fit_linear_baseline(train, components)
    linear_error = mean_squared_error(test, baseline.reconstruct(inputs))
    return (*gates, linear_comparison(model, error, linear_error, components))


def waive_gates(gates: Sequence[GateResult], reason: str) -> tuple[GateResult, ...]:
    """Return the gates with failed ones waived for a reason."""
    return tuple(replace(gate, waived=reason) if gate.state == "failed" else gate for gate in gates)


def score_variation(scores: Scores) -> GateResult:
    """Measure whether the default score differs between rows.

    Args:
        scores: Of normal test rows, (rows,).
    """
    mean = float(np.abs(scores).mean())
    variation = float(scores.std()) / mean if mean > 0 else 0.0
    return GateResult(
        name="score-variation",
        question="Do scores differ from row to row?",
        measured=variation,
        bound=MIN_SCORE_VARIATION,
        side="above",
        finding=(
            f"scores of {len(scores)} normal rows deviate by {variation:.2g} of their mean"
            f" (expected: over {MIN_SCORE_VARIATION:g})"
        ),
    )


def active_units(
    model: TrainedModel, exported: ExportedModel, results: HeldOutResults
) -> GateResult:
    """Measure the share of active units of the code.

    A variational dimension is active if its divergence from the prior is above
    ``MIN_DIVERGENCE_NATS``; a unit of any other code if it varies. For codes with positions, a unit
    is a channel.
    """
    normal = ~results.abnormal
    if model.autoencoder.variational:
        test = model.split.test
        conditions = None if test.conditions is None else test.conditions[normal]
        means, log_variances = exported.run(ENCODER, test.rows[normal], conditions)
        active = divergence_by_dimension(means, log_variances) > MIN_DIVERGENCE_NATS
        definition = f"diverge from the prior by over {MIN_DIVERGENCE_NATS:g} nats"
    else:
        active = varying_units(results.codes[normal])
        definition = f"vary by over {MIN_RELATIVE_DEVIATION:g} of the units' average deviation"
    share = float(active.mean())
    return GateResult(
        name="active-unit-share",
        question="Is the code used?",
        measured=share,
        bound=MIN_ACTIVE_SHARE,
        side="above",
        finding=(
            f"{int(active.sum())} of {len(active)} code units {definition} (expected: over"
            f" {MIN_ACTIVE_SHARE:.0%})"
        ),
    )


def explained_variance(error: float, error_of_mean: float) -> GateResult:
    """Measure whether reconstructions are better than the mean of the training rows.

    Args:
        error: Mean squared error of reconstructions.
        error_of_mean: Mean squared error of the training mean, for the same rows.
    """
    explained = 1.0 - error / error_of_mean if error_of_mean > 0 else 0.0
    return GateResult(
        name="explained-variance",
        question="Are reconstructions better than the training mean?",
        measured=explained,
        bound=MIN_EXPLAINED_VARIANCE,
        side="above",
        finding=(
            f"squared error {error:.3g}, of the training mean {error_of_mean:.3g}:"
            f" {explained:.1%} of the variance is explained (expected: over"
            f" {MIN_EXPLAINED_VARIANCE:.0%})"
        ),
    )


def generalization_gap(train_errors: Errors, test_errors: Errors) -> GateResult:
    """Measure the error on unseen rows relative to that on training rows.

    The bound is 2, or a larger ratio that chance exceeds once in a thousand times, as for few rows:
    exp(3.09 standard errors of the ratio's logarithm), by the delta method.

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
    bound = max(MAX_ERROR_RATIO, chance)
    return GateResult(
        name="generalization-gap",
        question="Are unseen rows reconstructed as well as training rows?",
        measured=ratio,
        bound=bound,
        side="below",
        finding=(
            f"squared error {test_error:.3g} on {len(test_errors)} unseen rows, {train_error:.3g}"
            f" on {len(train_errors)} training rows: {ratio:.3g} times"
            f" (expected: under {bound:.3g})"
        ),
    )


def denoising(error: float, noise: float) -> GateResult:
    """Measure whether denoised rows are nearer to the clean rows than the corrupted rows are.

    Args:
        error: Mean squared error of denoised rows.
        noise: Mean squared error of corrupted rows.
    """
    ratio = _ratio(error, noise)
    return GateResult(
        name="error-left-by-denoising",
        question="Are denoised rows nearer to clean rows than corrupted rows?",
        measured=ratio,
        bound=1.0,
        side="below",
        finding=(
            f"squared error {error:.3g}, of corrupted rows {noise:.3g}: {ratio:.3g} times"
            " (expected: under 1)"
        ),
    )


def linear_comparison(
    model: TrainedModel, error: float, linear_error: float, components: int
) -> GateResult:
    """Compare reconstructions with PCA of as many components as the code has active units.

    A network of linear layers may equal PCA. The gate is informative for

    - a code under a penalty, which trades reconstruction for a property of the code;
    - a code with positions: each of its values depends on a neighborhood, a principal component
      on the whole row.

    Args:
        model: The trained model.
        error: Mean squared error of reconstructions; with noise, of denoised rows.
        linear_error: Mean squared error of PCA's reconstructions of the same rows.
        components: Number of principal components.
    """
    ratio = _ratio(error, linear_error)
    bound = LINEAR_TOLERANCE if is_linear(model.recipe) else 1.0
    expected = f"expected{' of a linear network' if bound > 1 else ''}: under {bound:g}"
    penalties = sorted(model.history[-1].training.keys() - FAMILY_TERMS)
    unbound = ""
    if penalties:
        unbound = f"not required of a code under a penalty ({', '.join(penalties)})"
    elif len(model.autoencoder.code_shape) > 1:
        unbound = "not required of a code with positions"
    return GateResult(
        name="error-over-pca",
        question="Are reconstructions better than those of PCA?",
        measured=ratio,
        bound=None if unbound else bound,
        side="below",
        finding=(
            f"squared error {error:.3g}, of PCA with {components} components {linear_error:.3g}:"
            f" {ratio:.3g} times ({unbound or expected})"
        ),
    )


def is_linear(recipe: Recipe) -> bool:
    """Return whether a recipe's network is a linear map, whose optimum is PCA."""
    specs: tuple[LayerSpec, ...] = (*recipe.model.encoder, *recipe.model.decoder)
    return recipe.model.family == "plain" and all(
        spec.layer in LINEAR_LAYERS and getattr(spec, "activation", "linear") == "linear"
        for spec in specs
    )


def _ratio(error: float, reference: float) -> float:
    if error <= 0:
        return 0.0 if reference > 0 else 1.0
    return min(error / reference, MAX_RATIO) if reference > 0 else MAX_RATIO


def _squared_errors(targets: FloatArray, outputs: FloatArray) -> Errors:
    return np.square(targets - outputs, dtype=np.float64).mean(axis=1)


def _evenly_spaced(part: Part) -> tuple[FloatArray, FloatArray | None]:
    """Return rows at even distances, so that all classes are among them, and their conditions."""
    chosen = np.linspace(0, len(part) - 1, min(len(part), MAX_TRAINING_ROWS)).astype(int)
    return part.rows[chosen], None if part.conditions is None else part.conditions[chosen]


def _scaled(model: TrainedModel, rows: FloatArray) -> FloatArray:
    """Scale and flatten rows, so that errors of all columns weigh as in training."""
    return to_numpy(model.scaling.scale(rows)).reshape(len(rows), -1)
