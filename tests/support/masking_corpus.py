"""Corpus of texts with secrets to mask and of texts to leave, and the judgement of what a masker made of it.

A file has one entry a line, `label :: text`; lines that follow, indented by four spaces, belong to the text.
`«kind:size»` stands for a secret, `‹kind:size›` for a text of that kind that is none; both are made at run
time, so that no scanner of source code finds secrets in the files. `«=text»` is that very secret.
`‹~kind:size›` is a part of a token that may be masked with it.
"""

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "logs" / "masking_corpus"

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_ALPHABETS = {
    "hex": _DIGITS + "abcdef",
    "hexup": _DIGITS + "ABCDEF",
    "lower": _LOWER + _DIGITS,
    "upper": _LOWER.upper() + "234567",
    "letters": _LOWER + _LOWER.upper(),
    "alnum": _LOWER + _LOWER.upper() + _DIGITS,
    "digits": "123456789",
    "b64url": _LOWER + _LOWER.upper() + _DIGITS + "-_",
    "awssecret": _LOWER + _LOWER.upper() + _DIGITS + "/+",
}
_WORDS = ("Quartz", "kestrel", "Lantern", "maple", "Orbit", "pepper", "Saddle", "tunnel", "Walnut", "zephyr")
_PLACE = re.compile(r"[«‹](?P<part>~?)(?P<kind>=|[a-z0-9]+)(?::?(?P<argument>[^»›]*))?[»›]")


class _Random:
    """Random bytes that depend on a label alone, so that each run has the same corpus."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._number = itertools.count()

    def take(self, size: int) -> bytes:
        """Return so many bytes."""
        found = b""
        while len(found) < size:
            found += hashlib.sha256(f"{self._label}/{next(self._number)}".encode()).digest()
        return found[:size]

    def text(self, alphabet: str, size: int) -> str:
        """Return so many characters of an alphabet."""
        return "".join(alphabet[byte % len(alphabet)] for byte in self.take(size))

    def password(self) -> str:
        """Return a password as people make them."""
        first, second, number, sign = self.take(4)
        return f"{_WORDS[first % 10]}{number}{'!_.-*'[sign % 5]}{_WORDS[second % 10].lower()}{number % 7}"


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _jwt(random: _Random) -> str:
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890","iat":1516239022}', random.take(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _uuid(random: _Random) -> str:
    hexadecimal = random.take(16).hex()
    return "-".join(
        (
            hexadecimal[:8],
            hexadecimal[8:12],
            f"4{hexadecimal[13:16]}",
            f"8{hexadecimal[17:20]}",
            hexadecimal[20:],
        )
    )


def _pem(random: _Random, title: str) -> str:
    lines = "\n".join(f"MII{random.text(_ALPHABETS['alnum'], 61)}" for _ in range(3))
    return f"-----BEGIN {title}-----\n{lines}\n-----END {title}-----"


_MAKERS: dict[str, Callable[[_Random, str], str]] = {
    "=": lambda _, argument: argument,
    "pw": lambda random, _: random.password(),
    "pw2": lambda random, _: random.password(),
    "jwt": lambda random, _: _jwt(random),
    "uuid": lambda random, _: _uuid(random),
    "pem": _pem,
    "basic": lambda random, _: _encoded(f"ana:{random.password()}".encode()),
    "basic0": lambda random, _: _encoded(f"\0ana\0{random.password()}".encode()),
    "b64": lambda random, argument: _encoded(random.take(int(argument))),
    "b64np": lambda random, argument: _encoded(random.take(int(argument))).rstrip("="),
    "b64urlenc": lambda random, argument: (
        _encoded(random.take(int(argument))).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    ),
    "fingerprint": lambda random, _: ":".join(f"{byte:02x}" for byte in random.take(16)),
    "awssecret": lambda random, _: random.text(_ALPHABETS["awssecret"], 40),
}


class Entry(NamedTuple):
    """A text of the corpus; `value` is what it is as JSON, or the text itself."""

    label: str
    text: str
    value: Any
    secrets: tuple[str, ...]
    plain: tuple[str, ...]


@dataclass
class Score:
    """Counts of secrets masked and missed, and of texts taken wrongly, with a list of the last two."""

    masked: int = 0
    missed: int = 0
    taken: int = 0
    faults: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        return self.masked / (self.masked + self.missed)

    @property
    def precision(self) -> float:
        return self.masked / (self.masked + self.taken)

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.3f}, recall {self.recall:.3f}"
            f" ({self.masked} masked, {self.missed} missed, {self.taken} taken wrongly)"
        )


def entries(folder: str) -> list[Entry]:
    """Read the entries of `mask` or `leave`."""
    return [
        entry_of(f"{file.stem}: {label}", text)
        for file in sorted((FOLDER / folder).glob("*.txt"))
        for label, text in _read(file.read_text())
    ]


def is_held_out(entry: Entry) -> bool:
    """Tell if an entry belongs to the third that was measured before its faults were mended."""
    return hashlib.sha256(entry.label.encode()).digest()[0] % 3 == 0


def _read(text: str) -> Iterator[tuple[str, str]]:
    label, lines = "", [""]
    for line in text.splitlines():
        if line.startswith("    "):
            lines.append(line[4:])
            continue
        if label:
            yield label, "\n".join(lines)
        label, _, first = line.partition(" :: ")
        lines = [first]
    yield label, "\n".join(lines)


def entry_of(label: str, text: str) -> Entry:
    """Make an entry of a text, with a secret or another text in the place of each placeholder."""
    random = _Random(label)
    secrets: list[str] = []
    plain: list[str] = []
    is_json = text.startswith(("{", "["))

    def made(place: re.Match[str]) -> str:
        found = (
            _MAKERS[place["kind"]](random, place["argument"])
            if place["kind"] in _MAKERS
            else random.text(_ALPHABETS[place["kind"]], int(place["argument"]))
        )
        if place[0].startswith("«"):
            secrets.extend(part for part in found.splitlines() if not part.startswith("-----"))
        elif not place["part"]:
            plain.append(found)
        return found.replace("\n", "\\n") if is_json else found

    whole = _PLACE.sub(made, text)
    try:
        value = json.loads(whole) if is_json else whole
    except ValueError:
        value = whole
    return Entry(label, whole, value, tuple(secrets), tuple(plain))


def judged(found: Iterable[tuple[Entry, Any]]) -> Score:
    """Judge what a masker made of the value of each entry."""
    score = Score()
    faults: list[str] = []
    for entry, value in found:
        text = _leaves(value)
        kept = [secret for secret in entry.secrets if any(secret in leaf for leaf in text)]
        score.masked += len(entry.secrets) - len(kept)
        score.missed += len(kept)
        faults += [f"missed in {entry.label}: {secret}" for secret in kept]
        taken = _taken(entry, value, text)
        score.taken += len(taken)
        faults += [f"taken in {entry.label}: {part}" for part in taken]
    score.faults = tuple(faults)
    return score


def _taken(entry: Entry, value: Any, text: list[str]) -> list[str]:
    if not entry.secrets:
        return [] if value == entry.value else [f"{entry.text} → {value}"]
    whole = [plain for plain in entry.plain if not any(plain in leaf for leaf in text)]
    if isinstance(entry.value, str):
        return whole
    harmless = (leaf for leaf in _leaves(entry.value) if not any(each in leaf for each in entry.secrets))
    return whole + [
        leaf for leaf in harmless if leaf not in entry.plain and not any(leaf in each for each in text)
    ]


def _leaves(value: Any) -> list[str]:
    """List the keys and values of a JSON value as texts."""
    if isinstance(value, dict):
        return [*value, *(leaf for item in value.values() for leaf in _leaves(item))]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [str(value)]
