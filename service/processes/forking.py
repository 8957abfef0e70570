"""Forks a process without the signal handlers of this one, and describes how it ended."""

import logging
import os
import signal
import warnings
from collections.abc import Callable

from service.processes.signals import SUPERVISOR_SIGNALS

_log = logging.getLogger(__name__)


def fork(work: Callable[[], None]) -> int:
    """Call a function in a process forked from this one, which then exits.

    Signals are blocked until the new process has reset this one's handlers.

    Args:
        work: The function; an exception is logged and ends the process with status 1.

    Returns:
        The new process's id.

    Raises:
        OSError: There is no memory for it, or no more processes are allowed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)
    pid = -1
    try:
        # Python 3.12 warns of threads, which no fork takes along. The one that there may be here is
        # the log's writer, which can be forked at any time.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
    finally:
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except Exception:  # noqa: BLE001  # whatever it is, it is logged and ends this process alone
        _log.exception("worker failed")
    finally:
        logging.shutdown()
        os._exit(status)


def describe_exit(exit_code: int) -> str:
    """Describe how a process ended.

    Args:
        exit_code: Its status, or the negative number of the signal that ended it.
    """
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
