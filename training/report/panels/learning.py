"""Panels of learning: the objective by epoch, its terms, the gates."""

from collections.abc import Iterable
from html import escape

from training.evaluation.assessment import GateResult
from training.fitting.history import published_epoch
from training.report.panels.panel import Panel, readable_name
from training.report.panels.subject import Subject
from training.report.plots.curves import loss_curves, term_curves


def learning_panels(subject: Subject) -> Iterable[Panel]:
    """Show the course of training, and the gates."""
    history = subject.model.history
    kept = published_epoch(history, subject.model.recipe.training).epoch
    yield Panel(
        "Objective by epoch",
        "The objective over training rows and over validation rows.",
        loss_curves(history, kept),
    )
    if len(history[0].training) > 1:
        yield Panel(
            "Terms of the objective",
            "Weighted; the objective is their sum. Dashed: validation rows.",
            term_curves(history, kept),
        )
    if subject.assessment.gates:
        yield Panel(
            "Gates",
            "What a run must have learned before it is published, measured on normal test rows.",
            f'<ul class="gates">{"".join(map(_gate_item, subject.assessment.gates))}</ul>',
            wide=True,
        )


def _gate_item(gate: GateResult) -> str:
    waiver = f"<br>Waived: {escape(gate.waived)}" if gate.waived else ""
    bound = "" if gate.bound is None else f", expected {gate.side} {gate.bound:.4g}"
    return (
        f'<li class="{gate.state}"><b>{gate.state}</b>'
        f"<div><strong>{escape(gate.question)}</strong> {escape(gate.finding)}{waiver}"
        f"<small>{escape(readable_name(gate.name))}: {gate.measured:.4g}{bound}</small></div></li>"
    )
