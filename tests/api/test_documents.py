"""What docs/ says about errors and settings is what the code does."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from service.api.problems import PROBLEMS
from service.settings import PREFIX, Settings, read_settings

DOCS = Path(__file__).parents[2] / "docs"


def table_of(document: str) -> list[list[str]]:
    """Return the rows of the only table of a document, without its head."""
    lines = [line for line in (DOCS / document).read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def expected_errors() -> list[list[str]]:
    problems = sorted(
        PROBLEMS.values(),
        key=lambda problem: (problem.status, problem.slug),
    )
    return [
        [
            str(problem.status),
            f'<a id="{problem.slug}"></a>`{problem.slug}`',
            problem.title,
            problem.advice,
        ]
        for problem in problems
    ]


def expected_settings() -> list[list[str]]:
    return [
        [
            f"`{PREFIX}{name.upper()}`",
            flags_of(name, field),
            default_of(field),
            in_markdown(field.description),
        ]
        for name, field in Settings.model_fields.items()
        if field.description
    ]


def flags_of(name: str, field: FieldInfo) -> str:
    flag = name.replace("_", "-")
    return f"`--{flag}`, `--no-{flag}`" if field.annotation is bool else f"`--{flag}`"


def default_of(field: FieldInfo) -> str:
    default: Any = field.default
    if default in (None, {}, (), ""):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"


def as_lines(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_markdown(text: str) -> str:
    return text.replace("<", "&lt;")


def test_every_error_is_documented_and_no_other() -> None:
    assert as_lines(table_of("errors.md")) == as_lines(expected_errors())


def test_every_setting_is_documented_and_no_other() -> None:
    assert len(expected_settings()) == len(Settings.model_fields)  # each says what it is for
    assert as_lines(table_of("settings.md")) == as_lines(expected_settings())


def test_every_documented_flag_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(["--help"])

    assert stopped.value.code == 0
    shown = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert shown == {
        flag for row in table_of("settings.md") for flag in re.findall(r"--[a-z-]+", row[1])
    }
