"""Digests of the content of a data set."""

import hashlib


def digest(*contents: bytes) -> str:
    """Return the SHA-256 of contents joined, in hexadecimal."""
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()
