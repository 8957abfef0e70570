"""This service's own dialect: a path a call, fields in JSON or in the query, rows in any format."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.api.content_codings import check_content_encoding, decompress, is_compressed
from service.api.dialects.dialect import Body, Head, ParsedRequest
from service.api.dialects.native.bodies import content_type_of, is_costly
from service.api.dialects.native.calls import CALLS, Call
from service.api.dialects.native.examples import find_example
from service.api.dialects.native.remedies import remedy_for_error
from service.api.dialects.native.requests import parse_request
from service.api.dialects.native.response_size import expected_bytes
from service.api.dialects.native.responses import write_response
from service.api.media_types import (
    FORM,
    JSON,
    body_type,
    choose_response_type,
    told_by_first_bytes,
)
from service.api.problems import PROBLEM_MEDIA_TYPE, Headers, Problem, problem_body
from service.catalog.catalog import Catalog
from service.errors import FieldError, RequestError
from service.off_loop import require_thread
from service.operations.operation import Result
from service.request_context import RequestContext

_OBJECT = ord("{")


@dataclass(frozen=True)
class NativeEndpoint:
    """One call at its path; an ``Endpoint``."""

    call: Call
    max_rows: int
    max_body_bytes: int
    max_response_bytes: int

    @property
    def name(self) -> str:
        """The operation's name."""
        return self.call.operation.name

    @property
    def path(self) -> str:
        """The call's path."""
        return self.call.path

    def read_head(self, head: Head) -> str:
        """Return the media type of the body; see ``Endpoint.read_head``."""
        check_content_encoding(head.headers)
        content_type = head.headers.get(b"content-type")
        return body_type(None if content_type is None else content_type.decode("latin-1"))

    def parse_request(
        self, head: Head, media_type: str, body: bytes, catalog: Catalog, context: RequestContext
    ) -> ParsedRequest:
        """Read a body; see ``Endpoint.parse_request``."""
        values: dict[str, Any] = {}
        try:
            if media_type == FORM or b"content-encoding" in head.headers:
                body = self._unpack(head, media_type, body)
            if media_type == JSON and body and body[0] != _OBJECT:
                media_type, body = told_by_first_bytes(content_type_of(head), body)
            limits = self.max_rows, values
            return parse_request(self.call, head, media_type, body, catalog, context, *limits)
        except RequestError as error:
            remedied = remedy_for_error(error, self.call, body) if media_type == JSON else error
            named = values.get("model")
            remedied.model = named if isinstance(named, str) else None
            if remedied is error:
                raise
            raise remedied from error

    def _unpack(self, head: Head, media_type: str, body: bytes) -> bytes:
        if is_costly(head, media_type, len(body)):
            require_thread(len(body))
        if is_compressed(head.headers):
            return decompress(head.headers, body, self.max_body_bytes)
        return body

    def negotiate(self, head: Head, request: ParsedRequest) -> str:
        """Choose by ``Accept``; see ``Endpoint.negotiate``."""
        shows_pictures = self.call.returns_rows and request.model.manifest.input.kind == "image"
        headers = head.headers
        request.accept_encoding = headers.get(b"accept-encoding")
        media_type = choose_response_type(headers.get(b"accept"), is_image=shows_pictures)
        request.expected_bytes = expected_bytes(
            self.call, request, media_type, self.max_response_bytes
        )
        return media_type

    def write_response(self, request: ParsedRequest, result: Result) -> tuple[Body, Headers]:
        """Write a result; see ``Endpoint.write_response``."""
        return write_response(self.call, request, result)

    def find_example(self, catalog: Catalog, model: str | None) -> Mapping[str, Any] | None:
        """Return a body of the model that was named, else of one that serves the call."""
        return find_example(self.call, catalog, model)

    def write_problem(
        self,
        problem: Problem,
        detail: str,
        request_id: str,
        errors: tuple[FieldError, ...],
        example: Mapping[str, Any] | None,
    ) -> tuple[Body, bytes]:
        """Write a problem document (RFC 9457)."""
        body = problem_body(problem, detail, request_id, errors, example)
        return body, PROBLEM_MEDIA_TYPE.encode()


class NativeDialect:
    """The calls by path; a ``Dialect``."""

    def __init__(self, max_rows: int, max_body_bytes: int, max_response_bytes: int) -> None:
        """Take the limits that are this dialect's to check.

        Args:
            max_rows: Rows of one request at most.
            max_body_bytes: Bytes of a body at most, once it has been decompressed.
            max_response_bytes: Bytes of one response at most.
        """
        self._endpoints = {
            path: NativeEndpoint(call, max_rows, max_body_bytes, max_response_bytes)
            for path, call in CALLS.items()
        }

    def match(self, path: str) -> NativeEndpoint | None:
        """Return the call at a path, if there is one."""
        return self._endpoints.get(path)
