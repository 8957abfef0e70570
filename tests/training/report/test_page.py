"""The page of a run: panels of each kind of model, figures, no references to other files."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.training.tiny_recipes import NoProgress
from training.evaluation.assessing import assess
from training.fitting.progress import Progress
from training.pipeline import export_model, train_model
from training.recipe.files import load_recipe
from training.report.page import CHAPTERS, render_report
from training.report.panels.learning import learning_panels
from training.report.panels.subject import Subject

# Keras's variables do not know NumPy 2's copy keyword yet.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

MAX_BYTES = 1_500_000
VOID = {"meta", "img", "br", "link", "input", "hr"}
TINY = ["training.epochs=2", "code_density.components=[1,2]"]
NOISE = 'corruption={kind="gaussian",standard_deviation=0.5,clip=[0.0,1.0]}'
# Recipe and overrides, then titles of panels that apply, then of some that do not.
KINDS: dict[str, tuple[list[str], set[str], set[str]]] = {
    "plain": (
        ["digits-stacked", *TINY],
        {
            *("Objective by epoch", "Gates", "Reconstructions", "Hardest rows"),
            *("First two codes", "Principal components of codes", "Neighborhoods of codes"),
            *("Code histograms", "Joint distributions of units", "Activations by layer"),
            *("Samples: gaussian mixture", "Size of the mixture", "Paths between rows"),
            *("Anomaly score: reconstruction error", "False-positive rates"),
            *("Figures", "Data", "Network", "Recipe"),
        },
        {
            "Denoising",
            "Samples: standard normal",
            "Divergence by unit",
            "Receiver operating characteristic",
        },
    ),
    "denoiser of chosen classes": (
        ["digits-stacked", *TINY, NOISE, 'data.normal_classes=["0","1","2","3","4","5"]'],
        {"Denoising", "Reconstructions", "Receiver operating characteristic", "Thresholds"},
        {"Terms of the objective", "The code plane, decoded"},
    ),
    "variational": (
        ["digits-vae", *TINY],
        {
            *("Terms of the objective", "Codes by class", "Codes with rows"),
            *("The code plane, decoded", "Samples: standard normal", "Samples: gaussian mixture"),
        },
        {"Principal components of codes", "Neighborhoods of codes", "First two codes"},
    ),
    "table": (
        ["sine-deep", *TINY],
        {"Reconstructions: x and y", "The code line, decoded", "Samples: gaussian mixture"},
        {"Reconstructions", "Paths between rows", "Codes by class", "The code plane, decoded"},
    ),
}


def no_progress() -> AbstractContextManager[Progress]:
    return nullcontext(NoProgress())


@pytest.fixture(scope="module")
def subject_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    runs_dir, made = tmp_path_factory.mktemp("runs"), dict[str, Subject]()

    def make(kind: str) -> Subject:
        if kind not in made:
            name, *overrides = KINDS[kind][0]
            model = train_model(load_recipe(name, overrides), runs_dir, no_progress())
            exported = export_model(model)
            made[kind] = Subject(model, exported, assess(model, exported))
        return made[kind]

    return make


@pytest.fixture(scope="module")
def page_of(subject_of: Callable[[str], Subject]) -> Callable[[str], str]:
    made = dict[str, str]()

    def make(kind: str) -> str:
        if kind not in made:
            made[kind] = page(subject_of(kind))
        return made[kind]

    return make


def page(subject: Subject) -> str:
    return render_report(subject.model, subject.exported, subject.assessment)


def titles(html: str) -> list[str]:
    return [unescape(title) for title in re.findall(r"<h3>(.*?)</h3>", html)]


class Elements(HTMLParser):
    """Keeps every start tag, and fails where tags do not close what is open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_shows_what_applies_to_its_model(kind: str, page_of: Callable[[str], str]) -> None:
    _, applies, does_not = KINDS[kind]
    shown = titles(page_of(kind))

    assert applies <= set(shown)
    assert not does_not & set(shown)
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_small_and_refers_to_no_other_file(
    kind: str, page_of: Callable[[str], str]
) -> None:
    html = page_of(kind)
    elements = Elements(html).found

    assert len(html.encode()) < MAX_BYTES
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in elements}
    anchors = {attributes["id"] for _, attributes in elements if "id" in attributes}
    for _, attributes in elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name)
            if target is not None:
                assert target.startswith("data:image/png;base64,") or target[1:] in anchors
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_a_page_has_its_chapters_in_order_and_links_to_each(page_of: Callable[[str], str]) -> None:
    html = page_of("plain")

    expected = [*(chapter.anchor for chapter in CHAPTERS), "figures"]
    assert re.findall(r'<section id="(\w+)">', html) == expected
    assert re.findall(r'<a href="#(\w+)">', html) == expected


def test_the_same_run_gives_the_same_page(
    subject_of: Callable[[str], Subject], page_of: Callable[[str], str]
) -> None:
    assert page(subject_of("plain")) == page_of("plain")


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_in_the_table(
    kind: str, subject_of: Callable[[str], Subject], page_of: Callable[[str], str]
) -> None:
    cells = re.findall(r'<td class="number">(.*?)</td>', page_of(kind))

    for metric in subject_of(kind).assessment.metrics:
        assert f"{metric.value:.5g}" in cells


def test_the_area_under_the_curve_is_that_of_the_test_rows(
    subject_of: Callable[[str], Subject], page_of: Callable[[str], str]
) -> None:
    results = subject_of("denoiser of chosen classes").assessment.results
    area = roc_auc_score(results.abnormal, results.scores["atypicality"])

    assert f"the area under the curve is {area:.4f}" in page_of("denoiser of chosen classes")


def test_every_gate_is_shown_with_its_state_and_a_waiver_with_its_reason(
    subject_of: Callable[[str], Subject],
) -> None:
    subject = subject_of("plain")
    gates = subject.assessment.gates
    assert gates
    failed = replace(gates[0], measured=-1.0, bound=0.0, side="above", waived=None)
    waived = replace(failed, waived="to show <what> happens")
    changed = replace(subject.assessment, gates=(failed, waived, *gates[1:]))

    panels = learning_panels(replace(subject, assessment=changed))

    html = "".join(panel.to_html() for panel in panels)
    assert '<li class="failed"><b>failed</b>' in html
    assert '<li class="waived"><b>waived</b>' in html
    assert "Waived: to show &lt;what&gt; happens" in html
    for gate in gates[1:]:
        assert unescape(html).count(gate.finding) == 1


def test_text_of_a_recipe_is_escaped(subject_of: Callable[[str], Subject]) -> None:
    subject = subject_of("table")
    hostile = subject.model.recipe.model_copy(update={"description": "<script>alert(1)</script>"})
    changed: Any = replace(subject.model, recipe=hostile)

    html = render_report(changed, subject.exported, subject.assessment)

    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_test_rows_are_chosen_class_by_class(subject_of: Callable[[str], Subject]) -> None:
    subject = subject_of("plain")

    chosen = subject.test_rows_class_by_class(20)

    assert subject.test_labels[chosen].tolist() == [*range(10), *range(10)]
    assert len(set(chosen)) == 20


def test_thinned_rows_are_spread_over_all_and_never_repeated(
    subject_of: Callable[[str], Subject],
) -> None:
    subject = subject_of("plain")
    total = len(subject.test_rows)

    few, all_of_them = subject.thinned_test_rows(7), subject.thinned_test_rows(10 * total)

    assert (few[0], few[-1], len(set(few.tolist()))) == (0, total - 1, 7)
    np.testing.assert_array_equal(all_of_them, np.arange(total))
