"""Panels, which a report consists of: a title, a note, and a picture or table."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

_ABBREVIATIONS = {"psnr db": "PSNR in dB", "ssim": "SSIM", "auroc": "AUROC", "pca": "PCA"}


@dataclass(frozen=True)
class Panel:
    """One part of a page.

    Attributes:
        title: Heading.
        note: Explanation.
        content: HTML of a picture or table.
        wide: The panel has the whole width of the page.
        lone: The panel has the whole width since there is no other narrow one; its picture keeps
            its size.
    """

    title: str
    note: str
    content: str
    wide: bool = False
    lone: bool = False

    def to_html(self) -> str:
        """Return the panel as an element of a page."""
        kind = ' class="wide lone"' if self.lone else ' class="wide"' if self.wide else ""
        return (
            f"<article{kind}><h3>{escape(self.title)}</h3>\n<p>{escape(self.note)}</p>\n"
            f"{self.content}</article>"
        )


def arranged(panels: Iterable[Panel]) -> list[Panel]:
    """Reorder panels so that narrow ones are in pairs; a last one without a pair is ``lone``."""
    waiting = deque(panels)
    placed: list[Panel] = []
    while waiting:
        panel = waiting.popleft()
        if panel.wide:
            placed.append(panel)
            continue
        neighbor = next((other for other in waiting if not other.wide), None)
        if neighbor is None:
            placed.append(replace(panel, lone=True))
            continue
        waiting.remove(neighbor)
        placed += [panel, neighbor]
    return placed


def image_element(url: str, description: str, kind: str) -> str:
    """Return an ``<img>``.

    Args:
        url: A ``data:`` URL.
        description: Alternative text.
        kind: CSS class: ``mosaic`` or ``square``.
    """
    return f'<img class="{kind}" alt="{escape(description)}" src="{url}">'


def table_element(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Return a ``<table>`` with numbers aligned to the right.

    Args:
        head: One heading per column.
        rows: Cells.
    """
    numeric = [bool(rows) and not isinstance(cell, str) for cell in (rows[0] if rows else head)]
    kinds = [' class="number"' if number else "" for number in numeric]
    cells = "".join(
        f"<th{kind}>{escape(name)}</th>" for name, kind in zip(head, kinds, strict=True)
    )
    lines = [f"<tr>{cells}</tr>"]
    for row in rows:
        texts = [_text(cell) for cell in row]
        cells = "".join(
            f"<td{kind}>{escape(text)}</td>" for text, kind in zip(texts, kinds, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _text(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.5g}"


def readable_name(name: str) -> str:
    """Return the name of a figure, score or prior with spaces and the usual abbreviations."""
    text = name.replace("-", " ")
    for short, long in _ABBREVIATIONS.items():
        text = text.replace(short, long)
    return text
