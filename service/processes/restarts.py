"""When a worker that has ended is started again, and when that is given up."""

EARLY_EXIT_SECONDS = 10.0
"""A worker that ends sooner after its start counts as an early exit."""
MAX_EARLY_EXITS = 6
"""Early exits of one worker in a row after which the service ends."""
_DELAY_SECONDS = 0.05  # doubled with each early exit after the first


class RestartPolicy:
    """Restarts a worker at once, later and later if it keeps ending early, and then no more."""

    def __init__(self, workers: int) -> None:
        """Begin without exits.

        Args:
            workers: How many there are.
        """
        self._early_exits = [0] * workers

    def delay_seconds(self, number: int, lived_seconds: float) -> float | None:
        """Say when the successor of a worker that has ended is due.

        Args:
            number: Which worker it is.
            lived_seconds: Time from its start to its end.

        Returns:
            Seconds from now; None when it has ended early too many times in a row.
        """
        if lived_seconds >= EARLY_EXIT_SECONDS:
            self._early_exits[number] = 0
            return 0.0
        self._early_exits[number] += 1
        early_exits = self._early_exits[number]
        if early_exits >= MAX_EARLY_EXITS:
            return None
        return _DELAY_SECONDS * 2**early_exits if early_exits > 1 else 0.0
