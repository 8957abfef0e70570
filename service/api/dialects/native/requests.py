"""From the bytes of a request to work that has passed every check."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.api.dialects.native.calls import Call, Work, row_count
from service.api.media_types import JSON, NPY, RAW, readable_types
from service.api.schemas import CallOptions
from service.arrays import FloatArray
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel
from service.errors import FieldError, InvalidInput, UnsupportedMediaType
from service.formats.image import read_image
from service.formats.json import JsonBody
from service.formats.npy import read_npy
from service.formats.raw import read_raw
from service.formats.rows import (
    MAX_ERRORS,
    RowFormat,
    conditions_array,
    json_type,
    pointer_to,
)
from service.inference.graphs import RequestContext

_NO_ROWS: FloatArray = np.empty(0, np.float32)
_LISTS = ("ids",)
JSON_TEXTS = ("conditions",)
"""Query parameters that are written as JSON."""


@dataclass(slots=True)
class Understood:
    """A request whose model is known and whose rows are arrays."""

    model: LoadedModel
    work: Work[Any]
    rows: int


def understand(
    call: Call[Any],
    media_type: str,
    query_string: bytes,
    body: bytes,
    catalog: Catalog,
    *,
    max_rows: int,
    context: RequestContext,
) -> Understood:
    """Read a request: options first, then the model they mean, then the rows it takes.

    Args:
        call: The call.
        media_type: Of the body.
        query_string: The URL's query, undecoded.
        body: The body.
        catalog: Finds the model.
        max_rows: Most rows of one request.
        context: The request's context.

    Raises:
        RequestError: One of its kinds.
    """
    fields = _query_fields(call.options, query_string)
    json_body = None
    if media_type == JSON and (body or call.rows_field or not fields):
        json_body = JsonBody(body, call.rows_field, call.options.model_fields)
        if twice := fields.keys() & json_body.fields.keys():
            name = min(twice)
            raise InvalidInput.at(pointer_to(name), "the query and the body both give this field")
        fields |= json_body.fields
    options = _validate(call.options, fields)
    model = catalog.resolve(options.model, options.version)
    row_format = _row_format(call, model, media_type, max_rows)
    rows = _rows(row_format, media_type, body, json_body)
    count = row_count(options, rows, max_rows)
    if options.ids is not None and len(options.ids) != count:
        raise InvalidInput.at("/ids", f"{len(options.ids)} ids for {count} rows")
    conditions = None
    if options.conditions is not None or model.manifest.conditions is not None:
        conditions = conditions_array(options.conditions, model.manifest.conditions, count)
    return Understood(model, Work(model.autoencoder, options, rows, conditions, context), count)


def _rows(
    row_format: RowFormat | None, media_type: str, body: bytes, json_body: JsonBody | None
) -> FloatArray:
    if row_format is None:
        return _NO_ROWS
    if json_body is not None:
        return json_body.rows(row_format)
    if media_type == NPY:
        return read_npy(body, row_format)
    if media_type == RAW:
        return read_raw(body, row_format)
    return read_image(body, media_type, row_format)


def _row_format(
    call: Call[Any], model: LoadedModel, media_type: str, max_rows: int
) -> RowFormat | None:
    key = (_describe_rows, call, media_type, max_rows)
    if key not in model.caches:
        model.caches[key] = _describe_rows(call, model, media_type, max_rows)
    return model.caches[key]


def _describe_rows(
    call: Call[Any], model: LoadedModel, media_type: str, max_rows: int
) -> RowFormat | None:
    """Say what rows the call takes of this model, if any, or why it takes none like this."""
    model.autoencoder.require(call.capability)
    is_image = model.manifest.input.kind == "image" and call.rows_field != "codes"
    readable = readable_types(takes_rows=call.rows_field is not None, is_image=is_image)
    if media_type not in readable:
        raise UnsupportedMediaType(
            f"{call.path} of model {model.name} reads {', '.join(readable)}, not {media_type}"
        )
    if call.rows_field is None:
        return None
    describe = RowFormat.of_codes if call.rows_field == "codes" else RowFormat.of_inputs
    return describe(model.manifest, max_rows)


def _query_fields(options: type[CallOptions], query_string: bytes) -> dict[str, Any]:
    """Read the query's texts as what the fields of the same names are."""
    if not query_string:
        return {}
    texts: dict[str, Any] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name in _LISTS:
            texts.setdefault(name, []).append(value)
        elif name in texts:
            raise InvalidInput.at(pointer_to(name), "the query gives this parameter twice")
        else:
            texts[name] = value
    adapters = _text_adapters(options)
    return {name: _from_text(name, text, adapters.get(name)) for name, text in texts.items()}


def _from_text(name: str, text: Any, adapter: TypeAdapter[Any] | None) -> object:
    """Read a parameter as what the field of its name is; unknown ones stay text."""
    try:
        if adapter is None:
            return text
        if name in _LISTS:
            return adapter.validate_python(text)
        if name in JSON_TEXTS:
            return adapter.validate_json(text)
        return adapter.validate_strings(text)
    except ValidationError as error:
        raise _explained(error, name) from error


@cache
def _text_adapters(options: type[CallOptions]) -> dict[str, TypeAdapter[Any]]:
    config = ConfigDict(strict=True, allow_inf_nan=False)
    return {
        name: TypeAdapter(_with_constraints(info), config=config)
        for name, info in options.model_fields.items()
    }


def _with_constraints(info: FieldInfo) -> Any:
    annotation: Any = info.annotation
    return Annotated[annotation, info]


def _validate(options: type[CallOptions], fields: Mapping[str, Any]) -> CallOptions:
    if not fields:
        return _without_fields(options)
    return _validate_fields(options, fields)


@cache
def _without_fields(options: type[CallOptions]) -> CallOptions:
    return _validate_fields(options, {})


def _validate_fields(options: type[CallOptions], fields: Mapping[str, Any]) -> CallOptions:
    if unknown := [name for name in fields if name not in options.model_fields]:
        detail = f"unknown field; besides rows there are {', '.join(options.model_fields)}"
        raise InvalidInput(
            detail, [FieldError(pointer_to(name), detail) for name in unknown[:MAX_ERRORS]]
        )
    try:
        return options.model_validate(fields)
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError, parameter: str | None = None) -> InvalidInput:
    """Say what is wrong without a word of what was received but its type."""
    alternatives: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        place = (*([parameter] if parameter else []), *item["loc"][:2])
        alternatives.setdefault(place, []).append(item)
    field_errors = [_fault(place, items, parameter) for place, items in alternatives.items()]
    return InvalidInput(
        "; ".join(dict.fromkeys(error.detail for error in field_errors[:3])), field_errors
    )


def _fault(
    place: tuple[str | int, ...], items: list[ErrorDetails], parameter: str | None
) -> FieldError:
    name = str(place[0]) if place else ""
    if items[0]["type"] == "missing":
        return FieldError(pointer_to(*place), f"{name} is missing")
    first, *others = dict.fromkeys(item["msg"].removeprefix("Value error, ") for item in items)
    expected = " or ".join([first, *(other.removeprefix("Input should be ") for other in others)])
    expected = expected.replace("a valid dictionary", "an object")  # as JSON calls it
    if not place:
        return FieldError("", expected)
    received = "text" if parameter else json_type(items[-1]["input"])
    return FieldError(
        pointer_to(*place), f"{name}: {expected[0].lower()}{expected[1:]}, received {received}"
    )
