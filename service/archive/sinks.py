"""What takes the bytes of a file that is being written."""

from typing import Protocol


class Sink(Protocol):
    """Takes bytes, one part after the other."""

    def write(self, data: bytes) -> object:
        """Take some."""
