"""The published systems that results are listed for, with or without a bundle."""

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from service.bundle.manifest import Name

INDEX = Path(__file__).with_name("systems.toml")
Sentence = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class PublishedSystem(_Entry):
    """One autoencoder that others describe, with the figures that they report.

    Attributes:
        id: Also the name of the recipe and of the bundle.
        section: The kind of autoencoder.
        system: Short description.
        published: The figures that others report, as text.
        epochs: Number of their epochs, if stated.
        figures: Metrics on test rows that are shown beside those that the recipe compares.
        comparison_note: Why figures cannot be compared, if they cannot.
    """

    id: Name
    section: Sentence
    system: Sentence
    published: Sentence
    epochs: PositiveInt | None = None
    figures: tuple[Name, ...] = ()
    comparison_note: Sentence | None = None


class PublishedUse(_Entry):
    """One use of an autoencoder, without training of its own.

    Attributes:
        id: Short name.
        use: Short description.
        where: The call, program or document that has it.
    """

    id: Name
    use: Sentence
    where: Sentence


@dataclass(frozen=True)
class SystemIndex:
    """Every row of the results, in order."""

    systems: tuple[PublishedSystem, ...]
    uses: tuple[PublishedUse, ...]


@cache
def system_index() -> SystemIndex:
    """Read the index."""
    fields = tomllib.loads(INDEX.read_text(encoding="utf-8"))
    return SystemIndex(
        systems=tuple(
            PublishedSystem.model_validate_json(json.dumps(entry)) for entry in fields["system"]
        ),
        uses=tuple(PublishedUse.model_validate_json(json.dumps(entry)) for entry in fields["use"]),
    )
