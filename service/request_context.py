"""What one request carries through every room: who sent it, until when, and where its time went."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """Who sent a request."""

    name: str


ANONYMOUS = Principal("anonymous")
"""Who sends requests to a service without keys."""


@dataclass(slots=True)
class RequestContext:
    """One request on its way through operations and graphs.

    Attributes:
        deadline: ``time.monotonic()`` after which its work is not worth starting.
        principal: Who sent it.
        queue_seconds: Time until its first rows ran, summed over its graphs.
        inference_seconds: Time of the batches that its rows were in, summed likewise.
        finite: Whether everything that graphs computed for its rows was finite.
    """

    deadline: float = float("inf")
    principal: Principal = ANONYMOUS
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    finite: bool = True
