"""Names: the form in which they are stored, and the forms by which names that look alike are found."""

import re
import unicodedata
from typing import Final

# Characters that leave no mark: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), without
# those that have a place in words and emoji: the joiners U+200C and U+200D, the selectors U+FE0E and U+FE0F.
_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_JOINERS: Final = "\u200c\u200d"
_SELECTORS: Final = "\ufe0e\ufe0f"
# Blanks that look like U+0020. Those of another width in a text of their script are U+1680 and U+3000.
_PLAIN_BLANKS: Final = "\u00a0\u2000-\u200a\u202f\u205f"
# The pattern of Braille without dots is a symbol to Unicode, and a blank to the eye.
_EMPTY_BRAILLE: Final = "\u2800"
_BLANKS: Final = re.compile(f"[{_PLAIN_BLANKS}]")
_HIDDEN: Final = re.compile(f"[{_IGNORABLE}]")
_AROUND: Final = f" \t\n\v\f\r\x1c-\x1f\x85\u1680\u2028\u2029\u3000{_EMPTY_BRAILLE}"
_EDGES: Final = re.compile(f"\\A[{_AROUND}]+|[{_AROUND}]+\\Z")


def stored(text: str) -> str:
    """Convert a name to its stored form: composed (NFC), no blanks around it, plain blanks inside.

    Raises ValueError for a name of which nothing can be seen, and for line breaks, control characters and
    format characters; the joiners are allowed inside words of scripts that have them, and inside emoji.
    """
    name = _EDGES.sub("", _BLANKS.sub(" ", unicodedata.normalize("NFC", text)))
    if not any(unicodedata.category(character)[0] in "LNPS" for character in _HIDDEN.sub("", name)):
        raise ValueError("may not be blank, or hold nothing but invisible characters")
    check(name)
    return name


def check(name: str) -> None:
    """Raise ValueError for characters of a composed name that cannot be seen."""
    for place, character in enumerate(name):
        if character in _JOINERS:
            if not (0 < place < len(name) - 1 and _joins(name[place - 1]) and _joins(name[place + 1])):
                raise ValueError("may hold a zero-width joiner only between letters that it joins")
        elif character in _SELECTORS:
            if place == 0 or unicodedata.category(name[place - 1]) not in ("So", "Sm"):
                raise ValueError("may hold a variation selector only after a symbol")
        elif _HIDDEN.match(character) or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise ValueError("may not hold line breaks, or control or format characters")


def comparable(name: str) -> str:
    """Convert a name, also one from before these rules, to the text that is equal for look-alikes.

    A name in its stored form is this text itself. `sql/models/resources.py` has the same rule for rows.
    """
    return _EDGES.sub("", unicodedata.normalize("NFC", _BLANKS.sub(" ", _HIDDEN.sub("", name))))


def name_key(name: str) -> str:
    """Convert a name to the text that is equal for names that differ in case or in the width of letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_reserved(username: str) -> bool:
    """Tell if a name is, or looks like, one that answers use for Annals itself: `operator`, `system:…`."""
    key = name_key(username)
    return key == "operator" or key.startswith("system")


def _joins(character: str) -> bool:
    """Tell if a joiner beside this character can be seen: Arabic and Indic letters, marks, and emoji."""
    category = unicodedata.category(character)
    if category in ("Lo", "Lm"):
        return unicodedata.east_asian_width(character) not in ("W", "F")
    return category in ("Mn", "Mc", "So", "Sk") or character in _SELECTORS
