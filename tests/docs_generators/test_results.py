"""The table of results says what manifests say, and what has not been run yet."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from docs_generators.published import read_published
from docs_generators.results import PAGE, main, reached, render_results
from docs_generators.systems import system_index
from service.bundle.manifest import Manifest, Metric
from service.errors import BundleFileCorrupted
from tests.bundles import PLANE, publish_tiny, tiny_manifest
from training.recipe.files import load_recipe, shipped_recipe_names

RECIPES_WITHOUT_A_ROW = {"digits-stacked", "digits-vae"}


def publish(models_dir: Path, name: str, *metrics: Metric, **provenance: Any) -> None:
    """Publish a tiny bundle under a system's name, with figures and a provenance of our choice."""
    stated = {"recipe": load_recipe("mnist-stacked").to_json(), "epochs": 7} | provenance
    manifest: Manifest = tiny_manifest(PLANE)
    publish_tiny(
        models_dir,
        replace(PLANE, name=name),
        metrics=metrics,
        provenance=manifest.provenance.model_copy(update=stated),
    )


def metric(name: str, value: float, published: float | None = None, **fields: Any) -> Metric:
    return Metric(
        name=name,
        value=value,
        published=published,
        split=fields.pop("split", "test"),
        rows=10,
        **fields,
    )


def row(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_system_and_every_use_has_one_row() -> None:
    index = system_index()
    ids = [system.id for system in index.systems] + [use.id for use in index.uses]
    assert len(index.systems) == 28
    assert len(index.uses) == 8
    assert len(set(ids)) == len(ids)
    page = render_results(index, {})
    assert all(row(page, name) for name in ids)
    assert "0 of 28 systems have a bundle" in page


def test_every_shipped_recipe_of_a_published_system_has_a_row() -> None:
    ids = {system.id for system in system_index().systems}
    assert set(shipped_recipe_names()) - RECIPES_WITHOUT_A_ROW <= ids


def test_a_system_without_a_bundle_is_said_not_to_have_been_run() -> None:
    cells = row(render_results(system_index(), {}), "mnist-stacked")
    assert cells[3].startswith("not run yet")
    assert cells[5] == "20, -"
    assert cells[6:] == [""] * 5


def test_a_bundle_fills_its_row_from_its_manifest(tmp_path: Path) -> None:
    publish(
        tmp_path,
        "mnist-stacked",
        metric("binary-cross-entropy", 0.08497, 0.0944, split="validation", note="SGD at 1.5"),
        metric("rounded-accuracy", 0.9, 0.9698, split="validation"),
        metric("binary-cross-entropy", 0.083),
        training_seconds=31.6,
        parity_error=1.2e-6,
        library_versions={"platform": "Linux x86_64, 2 processors"},
    )
    published = read_published([tmp_path])
    page = render_results(system_index(), published)
    cells = row(page, "mnist-stacked")
    assert cells[3] == "valid BCE 0.08497 (published 0.0944); valid acc 0.9 (published 0.9698)"
    assert cells[4] == "yes, no"
    assert cells[5:7] == ["20, 7", "32"]
    megabytes = sum(path.stat().st_size for path in (tmp_path / "mnist-stacked/1").iterdir()) / 1e6
    assert cells[7] == f"{megabytes:.2f}"
    assert cells[8:] == ["1e-06", "2026-01-01", "Linux x86_64, 2 processors"]
    assert "- `mnist-stacked`: published BCE: SGD at 1.5." in page
    assert "other settings" not in page
    assert "1 of 28 systems have a bundle" in page


def test_figures_that_nothing_is_published_for_are_shown_where_the_index_names_them(
    tmp_path: Path,
) -> None:
    publish(
        tmp_path,
        "sine-linear",
        metric("principal-angle-degrees", 0.123),
        metric("principal-angle-degrees", 9.0, split="validation"),
        metric("objective", 1.0),
    )
    cells = row(render_results(system_index(), read_published([tmp_path])), "sine-linear")
    assert cells[3] == "principal angle in degrees 0.123"
    assert cells[4] == ""


def test_a_row_that_cannot_be_compared_says_why() -> None:
    page = render_results(system_index(), {})
    assert "- `mnist-deep-code16`: published as a plot without a figure" in page


def test_waived_gates_and_other_settings_are_told(tmp_path: Path) -> None:
    recipe = load_recipe("mnist-stacked", ["training.epochs=2"]).to_json()
    waived = {"generalization-gap": "shows memorization"}
    publish(tmp_path, "mnist-stacked", recipe=recipe, gates_waived=waived)
    page = render_results(system_index(), read_published([tmp_path]))
    assert "other settings than the shipped recipe's" in page
    assert "the gate generalization-gap failed: shows memorization" in page


def test_the_bundle_that_was_made_last_is_shown_whatever_folder_it_is_in(tmp_path: Path) -> None:
    late, early = datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    publish(tmp_path / "a", "mnist-stacked", created_at=late, epochs=1)
    publish(tmp_path / "b", "mnist-stacked", created_at=early, epochs=2)
    published = read_published([tmp_path / "a", tmp_path / "b"])
    assert published["mnist-stacked"].manifest.provenance.epochs == 1


def test_a_manifest_that_was_changed_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "mnist-stacked")
    path = tmp_path / "mnist-stacked" / "1" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"A tiny", b"A huge"))
    with pytest.raises(BundleFileCorrupted):
        read_published([tmp_path])


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "expected"),
    [
        ("binary-cross-entropy", 0.2824, 0.282, True),
        ("binary-cross-entropy", 0.2826, 0.282, False),
        ("rounded-accuracy", 0.96976, 0.9698, True),
        ("rounded-accuracy", 0.96974, 0.9698, False),
        ("auroc", 0.9, 0.95, False),
        ("denoised-psnr-db", 20.0, 19.0, True),
    ],
)
def test_a_figure_is_compared_at_the_precision_that_was_published(
    name: str, ours: float, theirs: float, expected: bool
) -> None:
    assert reached(metric(name, ours, theirs)) is expected


def test_the_program_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path / "models", "mnist-stacked")
    page = tmp_path / "docs" / "results.md"
    main(["--models", str(tmp_path / "models"), "--output", str(page)])
    assert page.read_text(encoding="utf-8").startswith("# Results\n")
    assert capsys.readouterr().out == f"{page}: 1 bundles read\n"


def test_the_page_in_the_documents_has_the_rows_of_the_index() -> None:
    page = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    index = system_index()
    for name in [system.id for system in index.systems] + [use.id for use in index.uses]:
        assert row(page, name), name
