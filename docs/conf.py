"""Configuration of the documentation site: `make docs` builds it into site/.

Its source folder is the repository, so that a relative link leads to the same file on the site, in
a checkout and on a code host. Broken links are errors, and nothing is fetched from elsewhere,
neither when the site is built nor when it is read.
"""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "latentserve"
root_doc = "README"
include_patterns = ["*.md", "benchmarks/*.md", "docs/*.md", "examples/*.md"]
exclude_patterns = [".*", "site", "runs", "data"]
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sphinx = False

EXAMPLES = Path(__file__).parents[1] / "examples"
CONTENTS = {
    "Use": ["docs/http-api", "docs/anomaly-scores", "docs/errors", "examples/README"],
    "Run": ["docs/operations", "docs/settings"],
    "Train": ["docs/training", "docs/gates", "docs/bundle-format", "docs/results"],
    "Contribute": ["CONTRIBUTING", "docs/architecture", "docs/measurements", "benchmarks/RESULTS"],
    "Project": ["docs/stability", "SECURITY", "CHANGELOG"],
}


def add_directives(_: Sphinx, document: str, source: list[str]) -> None:
    """Append what a code host would show as text: the contents, and the examples in full."""
    if document == root_doc:
        for caption, documents in CONTENTS.items():
            lines = [f":caption: {caption}", ":hidden:", "", *documents]
            source[0] += "\n".join(["\n\n```{toctree}", *lines, "```\n"])
    if document == "examples/README":
        for script in sorted(EXAMPLES.glob("*.py")):
            lines = [f"## {script.name}", "", f"```{{literalinclude}} {script.name}", "```"]
            source[0] += "\n".join(["\n", *lines])


def copy_first_page(app: Sphinx, error: Exception | None) -> None:
    """Have the first page also where a web server looks for it."""
    if error is None:
        folder = Path(app.outdir)
        shutil.copyfile(folder / f"{root_doc}.html", folder / "index.html")


def setup(app: Sphinx) -> None:
    """Connect the functions above; Sphinx calls this."""
    app.connect("source-read", add_directives)
    app.connect("build-finished", copy_first_page)
