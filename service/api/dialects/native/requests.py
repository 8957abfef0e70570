"""From the bytes of a request to checked work."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.api.dialects.dialect import Head, ParsedRequest
from service.api.dialects.native.bodies import (
    FormBody,
    content_type_of,
    rows_of,
    split_form,
    with_white,
)
from service.api.dialects.native.calls import Call
from service.api.dialects.native.remedies import unknown_fields_error
from service.api.dialects.native.schemas import CallFields, SampleFields
from service.api.media_types import FORM, JSON, readable_types
from service.arrays import FloatArray
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel
from service.errors import (
    FieldError,
    InvalidInput,
    TooManyRows,
    UnsupportedMediaType,
)
from service.formats.conditions import conditions_array
from service.formats.form import read_form
from service.formats.json.body import JsonBody
from service.formats.json_terms import json_type, pointer_to
from service.formats.row_format import RowFormat
from service.operations.operation import Work
from service.operations.table import require
from service.request_context import RequestContext

_LISTS = ("ids",)
JSON_TEXTS = ("conditions",)
"""Query parameters that are written as JSON."""


def parse_request(  # noqa: PLR0913, PLR0917  # what a request consists of
    call: Call,
    head: Head,
    media_type: str,
    body: bytes,
    catalog: Catalog,
    context: RequestContext,
    max_rows: int,
    values: dict[str, Any],
) -> ParsedRequest:
    """Read a request: fields first, then the model they mean, then the rows it takes.

    Args:
        call: The call.
        head: The request's head.
        media_type: Of the body.
        body: The body.
        catalog: Finds the model.
        context: Of the request.
        max_rows: Rows of one request at most.
        values: Takes the values of the fields, for whoever explains an error.

    Raises:
        RequestError: One of its kinds.
    """
    values |= _query_values(call.fields, head.query_string)
    content: JsonBody | FormBody | bytes = body
    if media_type == JSON and (body or call.rows_field or not values):
        content = JsonBody(body, call.rows_field, call.fields.model_fields, max_rows)
    elif media_type == FORM:
        content = _read_form(call, head, body, max_rows)
    if not isinstance(content, bytes):
        if values:
            _merge(values, content.fields)
        else:
            values |= content.fields
    fields = _validate(call, values)
    model = catalog.resolve(fields.model, fields.version)
    row_format = _row_format(call, model, media_type, max_rows)
    if fields.white is not None:
        row_format = with_white(row_format, fields.white)
    rows = rows_of(row_format, media_type, content, head)
    count = _count_rows(fields, rows, max_rows)
    if fields.ids is not None and len(fields.ids) != count:
        raise InvalidInput.at("/ids", f"{len(fields.ids)} ids for {count} rows")
    conditions = None
    if fields.conditions is not None or model.manifest.conditions is not None:
        conditions = conditions_array(fields.conditions, model.manifest, count)
    work = Work(rows, conditions, fields.options(), context)
    return ParsedRequest(model, call.operation, work, count, fields)


def _count_rows(fields: CallFields, rows: FloatArray, max_rows: int) -> int:
    """Count the rows that a request is about: those it brings, or those it asks for."""
    if not isinstance(fields, SampleFields):
        return len(rows)
    if fields.count > max_rows:
        raise TooManyRows(f"more rows were asked for than the limit of {max_rows}")
    return fields.count


def _row_format(call: Call, model: LoadedModel, media_type: str, max_rows: int) -> RowFormat | None:
    """Say what rows the call takes of this model, if any, or why it takes none like this."""
    key = (call, media_type)
    if key not in model.caches:
        model.caches[key] = _find_row_format(call, model, media_type, max_rows)
    return model.caches[key]


def _find_row_format(
    call: Call, model: LoadedModel, media_type: str, max_rows: int
) -> RowFormat | None:
    require(model.manifest, call.operation)
    is_image = model.manifest.input.kind == "image" and call.rows_field != "codes"
    readable = readable_types(takes_rows=call.rows_field is not None, is_image=is_image)
    if media_type not in readable and media_type != FORM:
        raise UnsupportedMediaType(
            f"{call.path} of model {model.name} reads {', '.join(readable)}, not {media_type}"
        )
    if call.rows_field is None:
        return None
    describe = RowFormat.of_codes if call.rows_field == "codes" else RowFormat.of_inputs
    return describe(model.manifest, max_rows)


def _query_values(fields: type[CallFields], query_string: bytes) -> dict[str, Any]:
    """Read the query's texts as what the fields of the same names are."""
    if not query_string:
        return {}
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    return _text_values(fields, pairs, "the query contradicts itself in this parameter")


def _read_form(call: Call, head: Head, body: bytes, max_rows: int) -> FormBody:
    """Read a form, whose texts are fields as parameters of the query are."""
    max_parts = 2 * max_rows + len(call.fields.model_fields)  # a file and an id for every row
    parts = read_form(body, content_type_of(head) or "", max_parts)
    texts, files = split_form(parts, call.rows_field, call.fields.model_fields)
    return FormBody(
        _text_values(call.fields, texts, "the form contradicts itself in this field"), files
    )


def _text_values(
    fields: type[CallFields], pairs: Iterable[tuple[str, str]], repeated: str
) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name, value in pairs:
        if name in _LISTS:
            texts.setdefault(name, []).append(value)
        elif texts.get(name, value) != value:
            raise InvalidInput.at(pointer_to(name), repeated)
        else:
            texts[name] = value
    adapters = _text_adapters(fields)
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
def _text_adapters(fields: type[CallFields]) -> dict[str, TypeAdapter[Any]]:
    config = ConfigDict(strict=True, allow_inf_nan=False)
    return {
        name: TypeAdapter(_with_constraints(info), config=config)
        for name, info in fields.model_fields.items()
    }


def _with_constraints(info: FieldInfo) -> Any:
    annotation: Any = info.annotation
    return Annotated[annotation, info]


def _merge(values: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Add the body's fields to the query's, which may say the same.

    A field that is null says nothing, so that the query's counts. Of two that say the same the
    body's is kept, as its types are checked.

    Raises:
        InvalidInput: They contradict each other.
    """
    for name in sorted(values.keys() & fields.keys()):
        if fields[name] is not None and not _say_the_same(values[name], fields[name]):
            raise InvalidInput.at(
                pointer_to(name), "the query and the body contradict each other in this field"
            )
    values |= {
        name: value for name, value in fields.items() if value is not None or name not in values
    }


def _say_the_same(in_query: Any, in_body: Any) -> bool:
    if isinstance(in_query, list) and isinstance(in_body, list):  # a query has no types
        return list(map(str, in_query)) == list(map(str, in_body))  # pyright: ignore[reportUnknownArgumentType]  # JSON values
    return in_query == in_body


def _validate(call: Call, values: Mapping[str, Any]) -> CallFields:
    if not values:
        return _without_values(call)
    return _validate_values(call, values)


@cache
def _without_values(call: Call) -> CallFields:
    return _validate_values(call, {})


def _validate_values(call: Call, values: Mapping[str, Any]) -> CallFields:
    unknown = [name for name in values if name not in call.fields.model_fields]
    if unknown:
        raise unknown_fields_error(call, unknown)
    try:
        return call.fields.model_validate(values)
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
