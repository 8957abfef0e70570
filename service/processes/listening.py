"""Opens the listening socket, whatever address families the machine has."""

import errno
import logging
import os
import socket

from service.errors import AddressUnavailable

_BACKLOG = 2048
_ALL_ADDRESSES = ("*", "::")

_log = logging.getLogger(__name__)


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an address, and log where.

    Args:
        host: A name or an address of either family, in brackets or not. ``*`` and ``::`` are all
            addresses of both families, or of the one that the machine has.
        port: 0 takes a free one.

    Raises:
        AddressUnavailable: The address is not one of this machine, the port is in use, or may not
            be used.
    """
    host = host.strip().removeprefix("[").removesuffix("]")
    listener = _listen_everywhere(port) if host in _ALL_ADDRESSES else _listen(host, port)
    _log.info("running on %s", url(listener))
    return listener


def url(listener: socket.socket) -> str:
    """Write the URL of a listening socket."""
    host, port, *_ = listener.getsockname()
    if listener.family == socket.AF_INET6:
        host = f"[{host.replace('%', '%25')}]"  # RFC 6874: what is behind % names an interface
    return f"http://{host}:{port}"


def _listen_everywhere(port: int) -> socket.socket:
    try:
        return _bind(socket.AF_INET6, ("::", port, 0, 0), both_families=True)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise _unavailable("*", port, error) from error
    try:  # there is no IPv6 here
        return _bind(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104  # it was asked for
    except OSError as error:
        raise _unavailable("*", port, error) from error


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # a name may have characters that none can have
        raise _unavailable(host, port, error) from error
    # Most programs that are told a name try IPv4 too, and some nothing else.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    causes: list[OSError] = []
    for family, _, _, _, address in found:
        try:
            return _bind(family, address)
        except OSError as error:
            causes.append(error)
    raise _unavailable(host, port, causes[0])


def _bind(
    family: int, address: "tuple[str | int | bytes, ...]", *, both_families: bool = False
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # whatever the machine's default is
            only = not both_families and not str(address[0]).startswith("::ffff:")
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _unavailable(host: str, port: int, error: Exception) -> AddressUnavailable:
    cause = str(error)
    if isinstance(error, OSError):
        # gaierror has a number of its own kind, and its own sentence.
        system = not isinstance(error, socket.gaierror) and error.errno is not None
        cause = os.strerror(error.errno) if system and error.errno else error.strerror or cause
    return AddressUnavailable(f"cannot listen on {host}, port {port}: {cause}")
