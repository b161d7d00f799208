"""Room that the parts of a page share, so that the page stays light whatever they hold."""

from dataclasses import dataclass

from markupsafe import escape

from service.web.words import revealed


@dataclass(slots=True)
class Room:
    """Elements and bytes of HTML that are left."""

    elements: int
    size: int

    def take(self, elements: int, size: int) -> bool:
        """Take the room of a part, if there is as much left."""
        if elements > self.elements or size > self.size:
            return False
        self.elements -= elements
        self.size -= size
        return True

    def part(self, share: float) -> "Room":
        """Take a share of what is left as a room of its own."""
        found = Room(int(self.elements * share), int(self.size * share))
        self.take(found.elements, found.size)
        return found

    def give_back(self, other: "Room") -> None:
        """Take back what is left of a part."""
        self.elements += other.elements
        self.size += other.size


def size_of(*texts: str | None) -> int:
    """Count the bytes of texts in a page, where a quote takes five."""
    return sum(len(escape(revealed(text)).encode()) for text in texts if text)
