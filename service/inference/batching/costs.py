"""How long runs of a graph take: as measured at loading, corrected by what they take now."""

_WEIGHT = 0.1  # of one run in the running average: ten runs outweigh what was before
_MAX_SLOWDOWN = 10.0  # more is a process that was suspended


class RunCosts:
    """Estimates runs of one graph.

    Attributes:
        slowdown: How many times as long as measured runs take at present: what else the machine
            does, and other graphs on the same threads.
    """

    def __init__(self, seconds_per_run: float = 0.0, seconds_per_row: float = 0.0) -> None:
        """Begin with what was measured while nothing else ran.

        Args:
            seconds_per_run: Of every run, whatever its rows.
            seconds_per_row: Of each row besides, in a batch of an efficient size.
        """
        self.slowdown = 1.0
        self.seconds_per_run = seconds_per_run
        self.seconds_per_row = seconds_per_row

    def measured(self, rows: int) -> float:
        """Return the seconds that a run of so many rows took when it was measured."""
        return self.seconds_per_run + rows * self.seconds_per_row

    def observe(self, rows: int, seconds: float) -> None:
        """Correct the estimates by a run that has ended.

        Args:
            rows: Its rows.
            seconds: From when it was handed to the threads.
        """
        measured = self.measured(rows)
        if measured > 0:
            slowdown = min(seconds / measured, _MAX_SLOWDOWN)
            self.slowdown += _WEIGHT * (slowdown - self.slowdown)
