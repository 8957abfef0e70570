"""What a dialect is: a protocol of requests and responses for the operations of models.

A dialect says which paths it matches, how it reads a body into work, and how it writes a result.
It knows bytes and names, but not what an operation does with arrays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.api.problems import Headers, Problem
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel
from service.errors import FieldError, MalformedHead
from service.operations.operation import Operation, Result, Work
from service.request_context import RequestContext

Body = bytes | memoryview

# Headers of one value, by which a request would mean two things if it had two of them.
_SINGLE_FIELDS = frozenset(
    {b"authorization", b"content-length", b"content-type", b"host", b"origin", b"x-shape"}
)


@dataclass(slots=True)
class Head:
    """What a request says before its body.

    Attributes:
        method: As it was sent.
        query_string: The URL's query, undecoded.
        headers: Their names in lower case, repeated ones joined by ``join_fields``.
        media_type: Of the body, once the head has been checked. A head that comes again on the same
            connection is the same object, and is not checked again.
    """

    method: str
    query_string: bytes
    headers: dict[bytes, bytes]
    media_type: str | None = field(default=None, init=False)


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Join the headers of a request by name (RFC 9110, section 5.3).

    Args:
        fields: Names in lower case, and values.

    Raises:
        MalformedHead: A header that has one value is repeated with another one.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        before = headers.get(name)
        if before is None:
            headers[name] = value
        elif name not in _SINGLE_FIELDS:
            headers[name] = b"%b, %b" % (before, value)
        elif before != value:
            raise MalformedHead(f"the header {name.decode()} is given twice, with two values")
    return headers


@dataclass(slots=True)
class ParsedRequest:
    """A request whose model is known and whose rows are arrays.

    Attributes:
        model: The model that it means.
        operation: What the model is to do.
        work: What the operation gets.
        rows: How many rows it brings, or asks for.
        options: What the dialect keeps for its response.
        response_type: Media type of the response, once it has been negotiated.
        expected_bytes: What the result and its response will take, if its dialect says so; then
            they are counted before they are there.
        accept_encoding: How the client lets a large response be compressed, as it wrote it.
    """

    model: LoadedModel
    operation: Operation[Any]
    work: Work[Any]
    rows: int
    options: Any = None
    response_type: str = ""
    expected_bytes: int = 0
    accept_encoding: bytes | None = None


class Endpoint(Protocol):
    """What a dialect serves at one path, by POST.

    Attributes:
        name: What requests are counted as: never what a client wrote.
        path: What is logged.
    """

    @property
    def name(self) -> str:
        """What requests are counted as: never what a client wrote."""
        ...

    @property
    def path(self) -> str:
        """What is logged."""
        ...

    def read_head(self, head: Head) -> str:
        """Decide by the head whether to read the body.

        Returns:
            Its media type.

        Raises:
            RequestError: Its media type or encoding is not supported.
        """
        ...

    def parse_request(
        self, head: Head, media_type: str, body: bytes, catalog: Catalog, context: RequestContext
    ) -> ParsedRequest:
        """Read a body.

        Raises:
            RequestError: One of its kinds.
            CostlyWork: It takes too long for the event loop: the pipeline calls again on a thread.
        """
        ...

    def negotiate(self, head: Head, request: ParsedRequest) -> str:
        """Choose the media type of the response, and estimate its size.

        Raises:
            NotAcceptable: The client accepts none that can be written.
            ResponseTooLarge: The response would have more bytes than are written.
        """
        ...

    def write_response(self, request: ParsedRequest, result: Result) -> tuple[Body, Headers]:
        """Write a result.

        Returns:
            The body, and every header that belongs to it but its length.

        Raises:
            CostlyWork: It takes too long for the event loop: the pipeline calls again on a thread.
        """
        ...

    def find_example(self, catalog: Catalog, model: str | None) -> Mapping[str, Any] | None:
        """Return a JSON body that works, for whoever sent one that does not.

        Args:
            catalog: The models; the example's ``model`` names one of them.
            model: The model that the request named, if it named any.
        """
        ...

    def write_problem(
        self,
        problem: Problem,
        detail: str,
        request_id: str,
        errors: tuple[FieldError, ...],
        example: Mapping[str, Any] | None,
    ) -> tuple[Body, bytes]:
        """Write why there is no result, and what may be shown of ``find_example``.

        Returns:
            The body and its media type; the problem's other headers are the pipeline's to write.
        """
        ...


class Dialect(Protocol):
    """A protocol of requests and responses."""

    def match(self, path: str) -> Endpoint | None:
        """Return what the dialect serves at a path, decoded, if anything."""
        ...
