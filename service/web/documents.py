"""Documents as pages show them: a drawing or an outline, and the text, both within bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from markupsafe import escape

from service.web import outline
from service.web.graphs import Drawing, drawn, graph_of, note_on
from service.web.outline import Outline
from service.web.words import pretty

# Characters of HTML that the texts of a document take on its page.
MAX_TEXT = 80_000
# Members of a document that are listed.
MAX_MEMBERS = 200
# A member of this length is shown at once, a longer one when it is opened.
_SHORT = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Drawing of a workflow, or the outline of any other document; `note` tells why there is no drawing."""

    drawing: Drawing | None
    outline: Outline | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedMember:
    """A member of a document: its name, and its text as far as the page has room for it.

    `left_out` is the number of characters that are missing.
    """

    name: str
    text: str
    left_out: int
    is_short: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDocument:
    """A document as the page of a version shows it; `more_members` are not listed."""

    size: int
    picture: Picture
    members: tuple[FoldedMember, ...]
    more_members: int

    @property
    def is_whole(self) -> bool:
        """True if nothing is left out."""
        return not self.more_members and not any(member.left_out for member in self.members)


def picture_of(snapshot: bytes) -> Picture:
    """Make the picture of a stored document."""
    return _picture(orjson.loads(snapshot)["definition"])


def shown(snapshot: bytes) -> ShownDocument:
    """Make what the page of a version shows of a stored document."""
    definition: dict[str, Any] = orjson.loads(snapshot)["definition"]
    return ShownDocument(
        size=len(snapshot),
        picture=_picture(definition),
        members=tuple(_members(definition)),
        more_members=max(len(definition) - MAX_MEMBERS, 0),
    )


def _picture(definition: Any) -> Picture:
    graph = graph_of(definition)
    if graph is not None:
        return Picture(drawing=drawn(graph), outline=None, note=None)
    return Picture(drawing=None, outline=outline.of(definition), note=note_on(definition))


def _members(definition: dict[str, Any]) -> Iterator[FoldedMember]:
    room = MAX_TEXT
    for name in sorted(definition)[:MAX_MEMBERS]:
        text = pretty(definition[name])
        cut = _fitting(text, room)
        room -= _length(cut)
        yield FoldedMember(
            name=name if len(name) <= 200 else f"{name[:199]}…",
            text=cut,
            left_out=len(text) - len(cut),
            is_short=len(text) <= _SHORT,
        )


def _fitting(text: str, room: int) -> str:
    """Cut a text so that its HTML fits into the room; at the end of a line, if it has lines."""
    cut = text[: max(room, 0)]
    # Quotes, which JSON is full of, take five characters of HTML.
    while (length := _length(cut)) > room:
        cut = cut[: len(cut) * room // length] if room > 0 else ""
    if len(cut) == len(text):
        return cut
    return cut[: cut.rfind("\n")] if "\n" in cut else cut


def _length(text: str) -> int:
    return len(escape(text))
