"""Recipes on disk: found by name or path, changed by ``--set``, checked field by field.

Example:
    >>> load_recipe("mnist-stacked", ["training.epochs=3"]).training.epochs
    3
"""

import codecs
import json
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from training.errors import RecipeError, RecipeNotFound
from training.recipe.part import RecipePart
from training.recipe.recipe import Recipe

Part = TypeVar("Part", bound=RecipePart)

SHIPPED_RECIPES = Path(__file__).parents[1] / "recipes"
MAX_RECIPE_BYTES = 1_000_000
_MESSAGES = {
    "extra_forbidden": "unknown field",
    "missing": "missing field",
}


def shipped_recipe_names() -> list[str]:
    """List the names of the recipes that come with this package, in ascending order."""
    return sorted(path.stem for path in SHIPPED_RECIPES.glob("*.toml"))


def load_recipe(reference: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check every field.

    Args:
        reference: The name of a shipped recipe, or the path of a TOML file.
        overrides: ``key=value`` pairs with dotted keys (``training.epochs=3``,
            ``model.encoder.1.units=17``), applied before checking. A value is parsed as TOML, and
            taken as a string where it is not TOML.

    Raises:
        RecipeNotFound: There is neither such a recipe nor such a file.
        RecipeError: The file cannot be read or is not TOML, a field is wrong, or an override names
            an unknown field.
    """
    fields = _parse_toml(_read_text(reference), reference)
    for override in overrides:
        _apply_override(fields, override)
    return parse_recipe(fields, reference)


def parse_recipe(fields: Mapping[str, Any], reference: str) -> Recipe:
    """Check the fields of a recipe.

    Args:
        fields: Content of the TOML file.
        reference: Name of the recipe in error messages.

    Raises:
        RecipeError: A field is missing, unknown, of the wrong type, or contradicts another.
    """
    return parse_part(Recipe, fields, f"recipe {reference}")


def parse_part(part: type[Part], fields: Mapping[str, Any], reference: str) -> Part:
    """Check the fields of a part of a recipe.

    Args:
        part: The class of the part.
        fields: Its fields.
        reference: Name of the part in error messages.

    Raises:
        RecipeError: A field is missing, unknown, of the wrong type, or contradicts another.
    """
    try:
        # Strict validation of JSON accepts arrays as tuples. TOML's dates raise TypeError.
        return part.model_validate_json(json.dumps(fields))
    except (ValidationError, TypeError, RecursionError) as error:
        raise RecipeError(f"{reference}: {_first_error(error, fields)}") from error


def _read_text(reference: str) -> str:
    """Read a recipe as UTF-8, with or without a byte order mark."""
    path = _recipe_path(reference)
    try:
        with path.open("rb") as file:  # a pipe too: sizes are not known beforehand
            raw = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"recipe {reference} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_RECIPE_BYTES:
        raise RecipeError(f"recipe {reference} has more than {MAX_RECIPE_BYTES} bytes")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in raw:
        raise RecipeError(
            f"recipe {reference} is UTF-16, UTF-32 or no text: save it as UTF-8, which TOML is"
            " written in"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"recipe {reference} is not UTF-8: byte 0x{raw[error.start]:02x} in line {line}; save"
            " it as UTF-8, which TOML is written in"
        ) from error


def _recipe_path(reference: str) -> Path:
    shipped = SHIPPED_RECIPES / f"{reference}.toml"
    if reference in shipped_recipe_names():
        return shipped
    path = Path(reference)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_found(path) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise RecipeNotFound(f"recipe {reference!r} cannot be read: {reason}") from error
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("*.toml"))
        hint = f"; in it are {', '.join(inside)}" if inside else ""
        raise RecipeError(f"recipe {reference} is a folder, expected a TOML file{hint}")
    return path


def _not_found(path: Path) -> RecipeNotFound:
    names = shipped_recipe_names()
    beside = {str(entry): entry.name for entry in path.parent.glob("*.toml")}
    near = get_close_matches(path.name.removesuffix(".toml"), names, 1)
    near += [
        place
        for place, name in beside.items()
        if get_close_matches(path.name.removesuffix(".toml"), [name.removesuffix(".toml")], 1)
    ]
    meant = f": did you mean {' or '.join(near)}? Else" if near else ":"
    return RecipeNotFound(
        f"recipe {str(path)!r} not found{meant} give the path of a TOML file, or one of"
        f" {', '.join(names)}"
    )


def _parse_toml(text: str, reference: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = f", after line {len(text.splitlines())}" if "end of document" in str(error) else ""
        raise RecipeError(f"recipe {reference} is not TOML: {error}{lines}") from error
    except RecursionError as error:
        raise RecipeError(f"recipe {reference} is not a recipe: nested too deeply") from error


def _apply_override(fields: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise RecipeError(f"--set {override}: expected key=value with a dotted key")
    *parents, last = key.split(".")
    target: Any = fields
    for step in parents:
        target = target.setdefault(step, {}) if isinstance(target, dict) else _item(target, step)
    if isinstance(target, dict):
        target[last] = _toml_value(text)
    elif isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = _toml_value(text)
    else:
        raise RecipeError(f"--set {key}: unknown key")


def _item(target: Any, step: str) -> Any:
    if isinstance(target, list) and step.isdigit() and int(step) < len(target):
        return target[int(step)]
    return None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _first_error(
    error: ValidationError | TypeError | RecursionError, fields: Mapping[str, Any]
) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, TypeError):
        return "a recipe takes no dates and times"
    first = error.errors(include_url=False, include_input=False)[0]
    message = _MESSAGES.get(first["type"], first["msg"]).removeprefix("Value error, ")
    place = _place(first["loc"], fields)
    return f"{place}: {message}" if place else message


def _place(location: Sequence[int | str], fields: Mapping[str, Any]) -> str:
    """Return the path of a wrong field in the file, without the union tags that pydantic adds."""
    place = ""
    value: Any = fields
    for depth, step in enumerate(location):
        if isinstance(step, int):
            place += f"[{step}]"
            value = value[step] if isinstance(value, list) and step < len(value) else None
        elif (isinstance(value, dict) and step in value) or depth == len(location) - 1:
            place += f".{step}" if place else step
            value = value.get(step) if isinstance(value, dict) else None
    return place
