"""Curves: objective by epoch, size of the mixture, anomaly detection."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.fitting.history import EpochRecord
from training.report.plots.style import (
    BLUE,
    CLASS_COLORS,
    GREEN,
    HALF_WIDTH,
    INK,
    ORANGE,
    RED,
    new_axes,
    styled,
    to_svg,
)

_HEIGHT = 2.7
_LOGARITHMIC_FROM_RATIO = 5.0

Curve = tuple[NDArray[np.floating], NDArray[np.floating]]


def loss_curves(history: Sequence[EpochRecord], kept_epoch: int) -> str:
    """Draw the objective by epoch, and mark the published epoch.

    Args:
        history: All epochs.
        kept_epoch: The published epoch, from 1.

    Returns:
        An ``<svg>`` element.
    """
    epochs = [record.epoch for record in history]
    with styled():
        figure, axes = new_axes(HALF_WIDTH, _HEIGHT)
        marker = "o" if len(epochs) == 1 else None
        training = [record.training_loss for record in history]
        validation = [record.validation_loss for record in history]
        axes.plot(epochs, training, color=BLUE, marker=marker, label="training")
        axes.plot(epochs, validation, color=ORANGE, marker=marker, label="validation")
        _mark_kept(axes, kept_epoch, len(epochs))
        _finish_epochs(axes, [*training, *validation], "objective")
        figure.legend(loc="outside upper right", ncols=2)
        return to_svg(figure, "objective by epoch")


def term_curves(history: Sequence[EpochRecord], kept_epoch: int) -> str:
    """Draw each term of an objective by epoch.

    Args:
        history: All epochs, with the same terms.
        kept_epoch: The published epoch, from 1.

    Returns:
        An ``<svg>`` element; solid lines are training, dashed ones validation.
    """
    epochs = [record.epoch for record in history]
    with styled():
        figure, axes = new_axes(HALF_WIDTH, _HEIGHT)
        values: list[float] = []
        for name, color in zip(history[0].training, CLASS_COLORS[2:], strict=False):
            training = [record.training[name] for record in history]
            validation = [record.validation.get(name, np.nan) for record in history]
            axes.plot(epochs, training, color=color, label=name)
            axes.plot(epochs, validation, color=color, linestyle="--")
            values += training
        _mark_kept(axes, kept_epoch, len(epochs))
        _finish_epochs(axes, values, "weighted term")
        figure.legend(loc="outside upper right", ncols=len(history[0].training))
        return to_svg(figure, "terms of the objective by epoch")


def criterion_curve(criteria: Mapping[int, float], chosen: int) -> str:
    """Draw the Bayesian information criterion of mixtures by their number of components.

    Args:
        criteria: By number of components; lower is better.
        chosen: The number that was chosen.

    Returns:
        An ``<svg>`` element.
    """
    sizes = sorted(criteria)
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 4.4)
        axes.plot(sizes, [criteria[size] for size in sizes], color=BLUE, marker="o", markersize=4)
        axes.plot([chosen], [criteria[chosen]], "o", color=ORANGE, markersize=8, label="chosen")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="components", ylabel="criterion on validation codes")
        figure.legend(loc="outside upper right")
        return to_svg(figure, "mixture size by the Bayesian information criterion")


def roc_curve(curve: Curve, operating_points: Mapping[str, tuple[float, float]]) -> str:
    """Draw the receiver operating characteristic of a score.

    Args:
        curve: False-positive rates and true-positive rates, each (points,), ascending.
        operating_points: False-positive and true-positive rate of a threshold, by its name.

    Returns:
        An ``<svg>`` element.
    """
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 3.4)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        axes.plot(*curve, color=BLUE)
        for (name, point), color in zip(
            operating_points.items(), (ORANGE, GREEN, RED), strict=False
        ):
            axes.plot(*point, "o", color=color, markersize=6, label=name, clip_on=False)
        axes.set(
            xlabel="false-positive rate",
            ylabel="true-positive rate",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
        )
        axes.legend(loc="lower right", title="threshold for a rate of")
        return to_svg(figure, "receiver operating characteristic")


def calibration_curve(requested: NDArray[np.floating], measured: Curve, expected: Curve) -> str:
    """Draw measured false-positive rates over requested ones, with the range of chance.

    Args:
        requested: Rates, (points,), above 0.
        measured: The same rates, and the share of normal test rows that are flagged.
        expected: Lower and upper bound of that share by chance, each (points,).

    Returns:
        An ``<svg>`` element.
    """
    with styled():
        figure, axes = new_axes(HALF_WIDTH, 3.4)
        axes.fill_between(
            requested, *expected, color=INK, alpha=0.1, linewidth=0, label="99 % range"
        )
        axes.plot(requested, requested, color=INK, linewidth=0.8, linestyle=":")
        floor = requested[0] / 2
        axes.plot(measured[0], np.maximum(measured[1], floor), color=BLUE, label="measured")
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="requested false-positive rate",
            ylabel="share of normal test rows",
            ylim=(floor, 1),
        )
        axes.legend(loc="upper left")
        return to_svg(figure, "measured over requested false-positive rate")


def _mark_kept(axes: Axes, kept_epoch: int, epochs: int) -> None:
    axes.axvline(kept_epoch, color=INK, linewidth=0.8, linestyle=":")
    late = kept_epoch > epochs / 2
    axes.annotate(
        f"epoch {kept_epoch}",
        (kept_epoch, 0.94),
        xytext=(-4 if late else 4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        horizontalalignment="right" if late else "left",
    )


def _finish_epochs(axes: Axes, values: Sequence[float], label: str) -> None:
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if min(values) > 0 and max(values) > _LOGARITHMIC_FROM_RATIO * min(values):
        axes.set_yscale("log")
