"""The documentation site has every document, checks links and loads nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
]
LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=[\"']?(\w+:)?//"
    r"|<link(?![^>]*rel=[\"']?canonical)[^>]*\shref=[\"']?(\w+:)?//"
    r"|@import|url\([\"']?(\w+:)?//"
)


def build(source: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    options = ["--fail-on-warning", "--keep-going", "--quiet", "-c", "docs"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", folder / "doctrees", ".", folder / "site"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    built = build(ROOT, folder)
    assert (built.returncode, built.stderr) == (0, "")
    return folder / "site"


def test_every_document_is_on_the_site_and_in_its_contents(site: Path) -> None:
    first = (site / "index.html").read_text()

    assert len(DOCUMENTS) > 10
    for document in DOCUMENTS:
        page = document.with_suffix(".html")
        assert (site / page).is_file()
        assert document.name == "README.md" or f'href="{page.as_posix()}"' in first


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]

    assert [path.name for path in pages if LOADED.search(path.read_text())] == []
    assert LOADED.search('<script async src="https://example.com/a.js">')
    assert LOADED.search('<link rel="stylesheet" href="//example.com/a.css">')


def test_examples_are_printed_in_full(site: Path) -> None:
    text = unescape(re.sub(r"<[^>]*>", "", (site / "examples/README.html").read_text()))

    for script in (ROOT / "examples").glob("*.py"):
        assert script.read_text() in text


@pytest.mark.parametrize(
    "link", ["docs/nothing.md", "docs/errors.md#nothing", "#nothing", "nothing.txt"]
)
def test_a_broken_link_is_an_error(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/conf.py", tmp_path / "docs")
    (tmp_path / "docs/errors.md").write_text("# Errors\n\n## Kinds\n")
    (tmp_path / "README.md").write_text(
        f"# Read\n\n[kinds](docs/errors.md#kinds), [more]({link})\n"
    )

    built = build(tmp_path, tmp_path)

    assert built.returncode != 0
    targets = re.findall(r"target not found: '(.*)'|not found in doc '.*': '(.*)'", built.stderr)
    assert ["".join(target) for target in targets] == [
        link.removeprefix("docs/errors.md#").lstrip("#")
    ]
