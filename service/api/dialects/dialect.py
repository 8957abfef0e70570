"""What a dialect is: a protocol of requests and responses for the operations of models.

A dialect says which paths it matches, how it reads a body into work, and how it writes a result.
It knows bytes and names, but not what an operation does with arrays.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from service.api.problems import Headers, Problem
from service.catalog.catalog import Catalog
from service.catalog.loading import LoadedModel
from service.errors import FieldError
from service.operations.operation import Operation, Result, Work
from service.request_context import RequestContext

Body = bytes | memoryview


@dataclass(slots=True)
class Head:
    """What a request says before its body.

    Attributes:
        method: As it was sent.
        query_string: The URL's query, undecoded.
        headers: Their names in lower case; of repeated ones the last.
    """

    method: str
    query_string: bytes
    headers: dict[bytes, bytes]


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
        accept_encoding: How the client lets a large response be compressed, as it wrote it.
    """

    model: LoadedModel
    operation: Operation[Any]
    work: Work[Any]
    rows: int
    options: Any = None
    response_type: str = ""
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
        """
        ...

    def negotiate(self, head: Head, request: ParsedRequest) -> str:
        """Choose the media type of the response.

        Raises:
            NotAcceptable: The client accepts none that can be written.
        """
        ...

    def write_response(self, request: ParsedRequest, result: Result) -> tuple[Body, Headers]:
        """Write a result.

        Returns:
            The body, and every header that belongs to it but its length.
        """
        ...

    def write_problem(
        self, problem: Problem, detail: str, request_id: str, errors: tuple[FieldError, ...]
    ) -> tuple[Body, bytes]:
        """Write why there is no result.

        Returns:
            The body and its media type; the problem's other headers are the pipeline's to write.
        """
        ...


class Dialect(Protocol):
    """A protocol of requests and responses."""

    def match(self, path: str) -> Endpoint | None:
        """Return what the dialect serves at a path, decoded, if anything."""
        ...
