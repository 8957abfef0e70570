"""How many bytes of requests and responses are open in a process, and how many may be."""

from service.errors import MemoryFull


class OpenBytes:
    """A budget that all requests of a process share.

    It counts bodies as they come, what their responses are expected to take, and responses that
    clients have not read. Whatever would exceed it is refused, so that no number of clients can
    take more memory than the operator has given.

    Attributes:
        held: Bytes that are open.
        limit: Bytes that may be.
    """

    def __init__(self, limit: int) -> None:
        """Begin with nothing open.

        Args:
            limit: Bytes that may be open.
        """
        self.held = 0
        self.limit = limit

    def take(self, count: int) -> None:
        """Hold so many bytes more.

        Raises:
            MemoryFull: They would be too many; none of them is held.
        """
        if self.held + count > self.limit:
            raise MemoryFull(
                f"{self.held} bytes are open; {count} more would exceed the limit of {self.limit}"
            )
        self.held += count

    def add(self, count: int) -> None:
        """Hold so many bytes more, or fewer, whatever the limit: they are there already."""
        self.held += count

    def give_back(self, count: int) -> None:
        """Hold so many bytes less."""
        self.held -= count
