"""SIGTERM and SIGINT while nobody acts on them yet: at the start, and while models load."""

import os
import signal

INTERRUPTED = 130
"""Exit status of what SIGINT has stopped."""


def exit_on_signals() -> None:
    """Let SIGTERM and SIGINT end the program: as the first process of a container it ignores them.

    At once, for an exception out of a handler is lost wherever compiled code was calling back.
    What has been forked sees its channel close, and stops.
    """

    def end(number: int, _frame: object) -> None:
        os._exit(INTERRUPTED if number == signal.SIGINT else 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
