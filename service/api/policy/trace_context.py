"""The trace that a request is part of, for its log line."""

import re

# Later versions may add fields, but not change these.
_TRACE_PARENT = re.compile(
    rb"(?!ff)(?:00(?=-.{52}$)|(?!00)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})"
    rb"-[0-9a-f]{2}(?:-.{0,256})?",
    re.DOTALL,
)


def trace_facts(trace_parent: bytes) -> dict[str, str]:
    """Read a ``traceparent`` header.

    Returns:
        ``trace_id`` and ``parent_span_id``; nothing if it is malformed.

    Source: W3C Trace Context, section 3.2.
    """
    matched = _TRACE_PARENT.fullmatch(trace_parent)
    if matched is None:
        return {}
    return {"trace_id": matched[1].decode(), "parent_span_id": matched[2].decode()}
