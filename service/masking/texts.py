"""Masking of texts and keys, and the quick search that tells which secrets a text may contain.

Pure functions, in time linear in the size of the text; a text without secrets is returned as it is.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from service.masking.assignments import without_assignments
from service.masking.members import is_decided_alone
from service.masking.names import SIGNS as NAME_SIGNS
from service.masking.names import Secrecy, secrecy
from service.masking.patterns import COMMAND_RULES, RULES, SecretPattern
from service.masking.quick_search import QuickSearch

# Each secret name contains one of the signs, in lower case, or has encoded characters, which begin with one
# of the last two. Private keys of JSON Web Keys have one letter, and are known by the member beside them.
_NAME_SIGNS = frozenset((*NAME_SIGNS, "kty", "%", "\\u"))
_LONGEST_REMEMBERED = 100
_MOST_PASSES = 4


class Hints(NamedTuple):
    """The secrets that a value may contain, found by a quick search; only these are then searched for."""

    signs: tuple[str, ...]
    rules: tuple[SecretPattern, ...]
    commands: tuple[SecretPattern, ...]
    names: bool


def masked_text(text: str) -> str:
    """Mask a text."""
    return without_secrets(text, hints_of(text))


def hints_of(text: str) -> Hints:
    """Find the secrets that a text may contain."""
    lowered = text.lower()
    if not lowered.isascii():
        # Names are judged in this form, too.
        lowered = unicodedata.normalize("NFKC", lowered)
    signs = _SEARCH.found_in(lowered)
    return _hints_by(tuple(signs)) if signs else NO_HINTS


@lru_cache(maxsize=4096)
def _hints_by(signs: tuple[str, ...]) -> Hints:
    found = frozenset(signs)
    return Hints(
        signs,
        tuple(rule for rule in RULES if not rule.signs.isdisjoint(found)),
        tuple(rule for rule in COMMAND_RULES if not rule.signs.isdisjoint(found)),
        names=not _NAME_SIGNS.isdisjoint(found),
    )


_SEARCH = QuickSearch(sorted(_NAME_SIGNS.union(*(rule.signs for rule in (*RULES, *COMMAND_RULES)))))
NO_HINTS = Hints((), (), (), names=False)
ALL_HINTS = Hints(("",), RULES, COMMAND_RULES, names=True)


class Key(NamedTuple):
    """A key as it is shown, None if that is as it is, and its secrecy, if it is decided alone."""

    shown: str | None
    how: Secrecy
    alone: bool


NO_NAME = Key(None, Secrecy.NONE, alone=True)


def key_of(key: str) -> Key:
    """Read a key: its masked form, and what it says about its value."""
    return _remembered_key(key) if len(key) <= _LONGEST_REMEMBERED else _read_key(key)


def _read_key(key: str) -> Key:
    shown = masked_text(key)
    return Key(None if shown == key else shown, secrecy(key), is_decided_alone(key))


_remembered_key = lru_cache(maxsize=4096)(_read_key)


def without_secrets(text: str, hints: Hints) -> str:
    """Mask the secrets that a text may contain."""
    lowered = text.lower()
    for sign in hints.signs:
        if sign in lowered:
            break
    else:
        return text
    found = text
    # An odd text, half quoted and half an assignment, is understood differently once a part of it is masked:
    # mask again until nothing changes.
    for _ in range(_MOST_PASSES):
        before, found = found, _read_once(found, hints)
        if found == before:
            break
    if found == text and "~1" in text and "\n" not in text:
        # A JSON pointer whose steps hold slashes, as when a refusal names a field that is a command or a URL.
        plain = text.replace("~1", "/")
        shown = _read_once(plain, hints)
        return text if shown == plain else shown
    return text if found == text else found


def _read_once(text: str, hints: Hints) -> str:
    lowered = text.lower()
    text = without_matches(text, lowered, hints.rules)
    text = without_matches(text, lowered, hints.commands)
    return without_assignments(text) if hints.names else text


def without_matches(text: str, lowered: str, rules: Iterable[SecretPattern]) -> str:
    """Mask the matches of rules; `lowered` is the text in lower case."""
    for rule in rules:
        if any(sign in lowered for sign in rule.signs):
            text = rule.pattern.sub(rule.replacement, text)
    return text
