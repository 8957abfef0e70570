"""Atypicality: what its graph computes, and which rows it sees that the error does not."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from scipy.stats import betabinom

from service.inference.scoring import conformal_p_values
from tests.training.recipes import NoProgress, digits_recipe
from training.arrays import FloatArray
from training.export.exported_model import ExportedModel
from training.fitting.trained_model import TrainedModel
from training.pipeline import export_model, train_model

NAME = "atypicality"
RANDOM = np.random.default_rng(4)
PLANE: dict[str, Any] = {
    "data": {
        "dataset": "plane",
        "validation_rows": 500,
        "calibration_rows": 500,
        "test_rows": 1000,
        "train_rows": 200,
    },
    "model": {
        "family": "plain",
        "encoder": [{"layer": "dense", "units": 2}],
        "decoder": [{"layer": "dense", "units": 3}],
    },
    "corruption": None,
    "objective": {"reconstruction": "mean-squared-error"},
    "training": {
        "epochs": 40,
        "batch_rows": 20,
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    },
    "published": [],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, ExportedModel]:
    """A linear model of points near a plane, which is a table."""
    runs = tmp_path_factory.mktemp("runs")
    model = train_model(digits_recipe(**PLANE), runs, nullcontext(NoProgress()))
    return model, export_model(model)


def p_values(model: TrainedModel, exported: ExportedModel, rows: FloatArray) -> np.ndarray:
    calibration = exported.score(NAME, model.split.calibration.rows)
    return conformal_p_values(exported.score(NAME, rows), np.sort(calibration))


def measures(
    exported: ExportedModel, model: TrainedModel, rows: FloatArray
) -> dict[str, np.ndarray]:
    """Measure rows with NumPy, from what encoder and decoder give."""
    residuals = (rows - exported.reconstruct(rows)).astype(np.float64)
    validation = model.split.validation.rows
    errors = np.square(validation - exported.reconstruct(validation), dtype=np.float64)
    scale = np.sqrt(errors.mean(axis=0))
    scale = np.maximum(scale, 0.1 * np.sqrt(errors.mean()) + 1e-4)
    return {
        "error": np.square(residuals).mean(axis=(1, 2, 3)),
        "deviations": np.abs(residuals) / scale,
    }


def test_feature_scores_are_deviations_relative_to_those_of_validation_rows(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    rows = trained.split.test.rows[:40]

    _, deviations = exported.run(f"scorer-{NAME}", rows, None)

    expected = measures(exported, trained, rows)["deviations"]
    np.testing.assert_allclose(deviations, expected, rtol=1e-3, atol=1e-3)


def test_the_score_is_the_weighted_harmonic_mean_of_tail_probabilities(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    """Its four views are computed again, with NumPy and from validation rows."""
    validation, rows = trained.split.validation.rows, trained.split.test.rows

    def views(values: FloatArray) -> np.ndarray:
        measured = measures(exported, trained, values)
        mixture = exported.density.mixture
        whitened = [
            np.linalg.solve(factor, (exported.encode(values) - mean).T)
            for mean, factor in zip(mixture.means, mixture.cholesky, strict=True)
        ]
        code = np.min(
            [
                0.5 * np.square(part).sum(axis=0) + np.log(np.diag(factor)).sum() - np.log(weight)
                for part, factor, weight in zip(
                    whitened, mixture.cholesky, mixture.weights, strict=True
                )
            ],
            axis=0,
        )
        statistics = [
            measured["error"],
            values.var(axis=(1, 2, 3)),
            sum(np.square(np.diff(values, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2)),
        ]
        return np.stack(
            [
                measured["error"],
                measured["deviations"].max(axis=(1, 2, 3)),
                code,
                values.mean(axis=(1, 2, 3)),
                *statistics,
            ],
            axis=1,
        )

    fitted, found = views(validation), views(rows)
    logarithms = [
        np.column_stack([part[:, 3], *np.log(part[:, [0, 5, 6]].T + 0.1 * medians)])
        for medians in [np.median(fitted[:, [0, 5, 6]], axis=0)[:, np.newaxis]]
        for part in (fitted, found)
    ]
    inverse = np.linalg.inv(np.cov(logarithms[0].T, bias=True))
    for part, statistics in zip((fitted, found), logarithms, strict=True):
        centered = statistics - logarithms[0].mean(axis=0)
        part[:, 3] = np.einsum("ij,jk,ik->i", centered, inverse, centered)
    shares = (fitted[np.newaxis, :, :4] >= found[:, np.newaxis, :4]).mean(axis=1)
    weights = [1 / 2, 1 / 6, 1 / 6, 1 / 6]
    expected = np.log(np.average(1 / np.maximum(shares, 1e-9), axis=1, weights=weights))

    scores = exported.score(NAME, rows)

    inside = shares.min(axis=1) > 0.12  # the largest tenth is a power law
    assert inside.sum() > 100
    np.testing.assert_allclose(scores[inside], expected[inside], atol=0.08)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_normal_rows_are_flagged_at_no_more_than_the_rate(
    plane: tuple[TrainedModel, ExportedModel], rate: float
) -> None:
    model, exported = plane
    rows = model.split.test.rows

    flagged = int((p_values(model, exported, rows) <= rate).sum())

    # The number is beta-binomial for exchangeable rows.
    k = int(rate * 501)
    low, high = betabinom.ppf([0.001, 0.999], len(rows), k, 501 - k)
    assert low <= flagged <= high


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_black_grey_and_white_pictures_are_as_atypical_as_can_be(
    trained: TrainedModel, exported: ExportedModel, value: float
) -> None:
    picture = np.full((1, 8, 8, 1), value, np.float32)

    assert p_values(trained, exported, picture)[0] == 1 / 301


def test_a_row_too_easy_for_the_error_is_seen(
    plane: tuple[TrainedModel, ExportedModel],
) -> None:
    """Along the plane there is no error at all, however far a point is."""
    model, exported = plane
    codes = exported.encode(model.split.test.rows)
    far = exported.decode(codes.mean(axis=0) + 10 * (codes - codes.mean(axis=0)))
    error = exported.score("reconstruction-error", far)
    normal = np.sort(exported.score("reconstruction-error", model.split.calibration.rows))

    assert np.median(conformal_p_values(error, normal)) > 0.5
    assert (p_values(model, exported, far) <= 0.05).mean() > 0.85


def test_one_wrong_value_is_seen_and_its_place_is_told(
    trained: TrainedModel, exported: ExportedModel
) -> None:
    rows = trained.split.test.rows[:200].copy()
    rows[:, 3, 0] = 1 - rows[:, 3, 0]  # the edge, which is black

    _, deviations = exported.run(f"scorer-{NAME}", rows, None)

    assert (p_values(trained, exported, rows) <= 0.05).mean() > 0.95
    assert (deviations.reshape(200, -1).argmax(axis=1) == 3 * 8).mean() > 0.95


@pytest.mark.parametrize("kind", ["table", "image"])
def test_rows_keep_their_order_and_finite_scores_a_million_times_as_far(
    kind: str,
    plane: tuple[TrainedModel, ExportedModel],
    trained: TrainedModel,
    exported: ExportedModel,
) -> None:
    model, graphs = plane if kind == "table" else (trained, exported)
    for row in model.split.test.rows[:5]:
        direction = row - model.split.train.rows.mean(axis=0)
        distances = np.logspace(1.5, 6, 40).reshape(-1, *[1] * row.ndim)
        far = (row + direction * distances).astype(np.float32)

        scores, deviations = graphs.run(f"scorer-{NAME}", far, None)

        assert np.isfinite(scores).all()
        assert np.isfinite(deviations).all()
        assert (np.diff(scores) > 0).all()
        assert scores.min() > np.quantile(graphs.score(NAME, model.split.test.rows), 0.95)


def test_scores_do_not_depend_on_neighbors(trained: TrainedModel, exported: ExportedModel) -> None:
    rows = trained.split.test.rows[:9]
    far = np.concatenate([rows, rows * np.float32(1e6)])

    together = exported.score(NAME, far)[:9]

    alone = [exported.score(NAME, row[np.newaxis])[0] for row in rows]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_the_graph_is_of_plain_operators(exported: ExportedModel) -> None:
    _, content = exported.graphs[f"scorer-{NAME}"]
    operators = {node.op_type for node in onnx.load_from_string(content).graph.node}

    assert not operators & {"Loop", "Scan", "If", "NonZero", "IsNaN", "Where", "TopK"}


def test_equal_rows_are_fitted_too(trained: TrainedModel) -> None:
    """Every spread is 0: of residuals, of statistics and of codes."""
    validation = trained.split.validation
    same = np.repeat(validation.rows[:1], len(validation), axis=0)
    part = replace(validation, rows=same)
    constant = replace(trained, split=replace(trained.split, validation=part, train=part))
    exported = export_model(constant)

    scores, deviations = exported.run(f"scorer-{NAME}", trained.split.test.rows, None)

    assert np.isfinite(scores).all()
    assert np.isfinite(deviations).all()
    assert scores.mean() > exported.score(NAME, same[:1])[0]
