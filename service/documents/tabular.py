"""Rows of a list as CSV (RFC 4180) or as lines of JSON, with the fields of the API's answers as columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

_JSON: Final = orjson.OPT_UTC_Z
# A spreadsheet takes a text that begins so for a formula, and runs it. A text that begins with quotes before
# such a character gets one more, so that a reader can take exactly one away: see `unguarded`.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_GUARDED: Final = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
_QUOTED: Final = re.compile(r"[\",\r\n]")


class FileFormat(StrEnum):
    """Format of a list that is exported as a whole."""

    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        """Media type of the file."""
        return "text/csv; charset=utf-8; header=present" if self is FileFormat.CSV else "application/x-ndjson"


def columns_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the columns of rows of a dataclass: its fields, in their order."""
    return tuple(field.name for field in fields(kind))


def head(form: FileFormat, columns: Sequence[str]) -> bytes:
    """Return the beginning of a file: the names of the columns, or nothing."""
    return _line(map(_escaped, columns)) if form is FileFormat.CSV else b""


def lines(form: FileFormat, columns: Sequence[str], rows: Iterable[Any]) -> bytes:
    """Return a line for each row, which is a dataclass or a mapping."""
    if form is FileFormat.NDJSON:
        return b"".join(orjson.dumps(row, option=_JSON | orjson.OPT_APPEND_NEWLINE) for row in rows)
    return b"".join(_line(cell(_value(row, name)) for name in columns) for row in rows)


def cell(value: Any) -> str:
    """Write a value as a cell: nothing for null, an empty text in quotes, nested values as JSON.

    Numbers are numbers. A text that a spreadsheet would take for a formula has a quote before it.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return _escaped(f"'{value}" if _FORMULA.match(value) else value) or '""'
    if isinstance(value, Mapping | list | tuple) or is_dataclass(value):
        return _escaped(orjson.dumps(value, option=_JSON).decode())
    written = orjson.dumps(value, option=_JSON).decode()
    if isinstance(value, orjson.Fragment):
        return _escaped(written)
    # A time, or an id, is a text in JSON.
    return written.strip('"')


def unguarded(text: str) -> str:
    """Return the text that was written as a cell with this content."""
    return text[1:] if _GUARDED.match(text) else text


def _value(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name)


def _line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode()


def _escaped(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
