"""Every error this project raises on purpose.

    LatentServeError
    ├── ConfigurationError
    │   ├── AddressUnavailable
    │   └── ProviderUnavailable
    ├── BundleError
    │   ├── BundleNotFound
    │   ├── MisplacedBundle
    │   ├── UnsafeBundlePath
    │   ├── BundleFileMissing
    │   ├── BundleFileCorrupted
    │   ├── BundleTooLarge
    │   ├── InvalidManifest
    │   │   └── UnsupportedSchemaVersion
    │   ├── InvalidGraph
    │   │   └── UnsafeGraph
    │   ├── GoldenMismatch
    │   ├── RowsNotIndependent
    │   └── VerificationFailed
    ├── InferenceFailed
    └── RequestError
        ├── PathNotFound
        ├── MethodNotAllowed
        ├── HostNotAllowed
        ├── CrossSiteRequest
        ├── HeadTooLarge
        ├── UriTooLong
        ├── MalformedHead
        ├── UnsupportedTransferEncoding
        ├── TransferTooSlow
        ├── MalformedBody
        ├── UnsupportedMediaType
        │   └── UnsupportedContentCoding
        ├── NotAcceptable
        ├── BodyTooLarge
        ├── TooManyRows
        ├── ResponseTooLarge
        ├── InvalidInput
        │   ├── ModelRequired
        │   └── NonFiniteResult
        ├── ModelNotFound
        ├── VersionNotFound
        ├── ReportNotFound
        ├── ReportGone
        ├── CapabilityMissing
        │   └── EmptyCalibration
        ├── ModelUnavailable
        ├── QueueFull
        ├── MemoryFull
        ├── TooManyConnections
        ├── Draining
        └── DeadlineExceeded

Messages name shapes, counts, types and names, never the values of a client's data.
What an error becomes over HTTP is decided in one place, ``service/api/problems.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class LatentServeError(Exception):
    """Root of the tree: catching it catches everything raised on purpose."""


class ConfigurationError(LatentServeError):
    """The settings cannot be used as given; the program does not start."""


class AddressUnavailable(ConfigurationError):
    """The address or port to listen on is in use, is not this machine's, or may not be used."""


class ProviderUnavailable(ConfigurationError):
    """An execution provider was asked for that this machine or build does not have."""


class BundleError(LatentServeError):
    """A model bundle cannot be used; the others are not affected."""


class BundleNotFound(BundleError):
    """There is no bundle folder, or no manifest in it."""


class MisplacedBundle(BundleError):
    """A folder among the models cannot be read, or its name is not one of a model or a version."""


class UnsafeBundlePath(BundleError):
    """A bundle names a file outside its own folder, or one that is not a plain file."""


class BundleFileMissing(BundleError):
    """A file that the manifest lists is not there."""


class BundleFileCorrupted(BundleError):
    """A file does not have its digest in the manifest, or cannot be read as its kind."""


class BundleTooLarge(BundleError):
    """A file, or all files together, have more bytes than the service reads."""


class InvalidManifest(BundleError):
    """The manifest is not JSON of the documented schema, or contradicts itself."""


class UnsupportedSchemaVersion(InvalidManifest):
    """The manifest was written for a schema version that this release does not read."""


class InvalidGraph(BundleError):
    """onnxruntime refuses a graph, or its inputs and outputs are not those of the manifest."""


class UnsafeGraph(InvalidGraph):
    """A graph refers to other files, or has operators that graphs of bundles may not have."""


class GoldenMismatch(BundleError):
    """A graph does not reproduce the golden outputs it was published with."""


class RowsNotIndependent(BundleError):
    """A graph answers a row otherwise when other rows are in the batch."""


class VerificationFailed(BundleError):
    """The process that verifies a bundle crashed, or needed more time or memory than it may."""


class InferenceFailed(LatentServeError):
    """A graph failed on valid rows: an error of the service or the bundle, not of the client."""


@dataclass(frozen=True)
class FieldError:
    """One place of a request that is wrong.

    Attributes:
        pointer: RFC 6901 pointer into the request body (``/inputs/3``), or the name of a
            query parameter written the same way (``/seed``).
        detail: What was received and what is expected, in one sentence without values.
    """

    pointer: str
    detail: str


class RequestError(LatentServeError):
    """A request cannot be answered, for a reason that its sender can read and act on.

    Attributes:
        field_errors: The places that are wrong, when they can be named.
        model: Name of the model that the request means, when it has been read.
    """

    model: str | None = None

    def __init__(self, detail: str, field_errors: Sequence[FieldError] = ()) -> None:
        """Keep the sentence for the client and the places it speaks of.

        Args:
            detail: One sentence that names shapes, counts, types or limits, never values.
            field_errors: The places that are wrong, when they can be named.
        """
        super().__init__(detail)
        self.field_errors = tuple(field_errors)


class PathNotFound(RequestError):
    """The service has nothing at the path."""


class MethodNotAllowed(RequestError):
    """The path is there, but does not take this method.

    Attributes:
        allowed: The methods that it takes.
    """

    def __init__(self, path: str, allowed: str) -> None:
        """Say which methods the path takes, with commas between them."""
        super().__init__(f"{path} takes {allowed}")
        self.allowed = allowed


class HostNotAllowed(RequestError):
    """The request was sent to a host name that the service does not answer for."""


class CrossSiteRequest(RequestError):
    """A web page of an origin that is not allowed made its browser send the request."""


class HeadTooLarge(RequestError):
    """The request line and headers have more bytes than the service reads."""


class UriTooLong(RequestError):
    """The request line, with path and query, has more bytes than the service reads."""


class MalformedHead(RequestError):
    """What came is not the head of a request, or its headers contradict each other."""


class UnsupportedTransferEncoding(RequestError):
    """The body is framed in a way that the service does not read."""


class TransferTooSlow(RequestError):
    """The head or the body came too slowly, or stopped coming."""


class MalformedBody(RequestError):
    """The body is not what its media type says it is."""


class UnsupportedMediaType(RequestError):
    """The body's media type or encoding is not one that this call and model can read."""


class UnsupportedContentCoding(UnsupportedMediaType):
    """The body is compressed in a way that is not read.

    Attributes:
        supported: The content codings that are read.
    """

    def __init__(self, detail: str, supported: Sequence[str]) -> None:
        """Say which ones are read."""
        super().__init__(detail)
        self.supported = tuple(supported)


class NotAcceptable(RequestError):
    """The client accepts no media type that this call and model can write."""


class BodyTooLarge(RequestError):
    """The body has more bytes than the service reads."""


class TooManyRows(RequestError):
    """One request brings, or asks for, more rows than the service takes at once."""


class ResponseTooLarge(RequestError):
    """The response would have more bytes than the service writes."""


class InvalidInput(RequestError):
    """The request can be read, but a shape, range, type or field in it is wrong."""

    @classmethod
    def at(cls, pointer: str, detail: str) -> "InvalidInput":
        """Make the error of exactly one wrong place, whose sentence is also the summary."""
        return cls(detail, [FieldError(pointer, detail)])


class ModelRequired(InvalidInput):
    """The request names no model, and more than one could be meant."""


class NonFiniteResult(InvalidInput):
    """Finite inputs overflow inside the model: they lie far outside what it was trained on."""


class ModelNotFound(RequestError):
    """No model of that name is configured."""


class VersionNotFound(RequestError):
    """The model is known, but not in that version."""


class ReportNotFound(RequestError):
    """The bundle was published without a report page."""


class ReportGone(RequestError):
    """The report page was published with the bundle, but its file is not there as it was."""


class CapabilityMissing(RequestError):
    """The model is there, but this call is not among its capabilities."""


class EmptyCalibration(CapabilityMissing):
    """Scores cannot be judged: the bundle was published without calibration scores."""


class ModelUnavailable(RequestError):
    """The model is configured but not ready: it is still loading, or its bundle was refused."""


class QueueFull(RequestError):
    """As much work waits as the service is willing to keep waiting.

    Attributes:
        retry_after_seconds: Time until it expects to have done that work.
        clears_in_seconds: Time until it expects to take such a request again; 0 if that is unknown.
    """

    def __init__(
        self, detail: str, retry_after_seconds: float, clears_in_seconds: float = 0.0
    ) -> None:
        """Say what waits, and for how long it still will."""
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds
        self.clears_in_seconds = clears_in_seconds


class MemoryFull(RequestError):
    """Open requests and responses have as many bytes as the service is willing to hold."""


class TooManyConnections(RequestError):
    """As many connections are open as the service is willing to have."""


class Draining(RequestError):
    """The service is stopping and takes no new work."""


class DeadlineExceeded(RequestError):
    """The request was not answered within the time limit; its remaining work was dropped."""
