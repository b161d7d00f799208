"""Output of versions, diffs and documents: tables and colours on a terminal, plain text elsewhere."""

import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

import typer
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from service.cli.client import Json

# A line of a table is never cut for a program that reads it.
PIPE_WIDTH = 100_000
# Above this size, colouring takes seconds.
HIGHLIGHT_CHARACTERS = 200_000
COMMIT_DIGITS = 10
# Some scripts and emoji need these two; other invisible characters can make a text look like another.
_JOINERS = "\u200c\u200d"
_HARMFUL_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")


class Format(StrEnum):
    """Output format of a command."""

    TABLE = "table"
    JSON = "json"


def harmless(text: str) -> str:
    """Escape control and invisible characters of a text as JSON does, for a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(json.dumps(each)[1:-1] if _is_harmful(each) else each for each in text)


def _is_harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL_CATEGORIES and character not in _JOINERS


def note(line: str) -> None:
    """Print a remark on stderr."""
    typer.echo(harmless(line), err=True)


def history(versions: Iterable[Json]) -> None:
    """Print one line a version."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("version", "tag", "state", "commit", "author", "time", "description"):
        table.add_column(column, overflow="fold", no_wrap=column in ("version", "commit", "time"))
    for version in versions:
        table.add_row(
            _cell(version["version_number"], "bold"),
            _cell(version["version_tag"], "cyan"),
            _cell(_state(version), "green"),
            _cell(version["git_commit_hash"][:COMMIT_DIGITS], "yellow"),
            _cell(version["created_by_username"]),
            _cell(instant(version["created_at"]), "dim"),
            _cell(version["version_description"]),
        )
    _print_table(table)


def plain(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table; cells are folded, never cut, where a terminal is too narrow."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    _print_table(table)


def facts(version: Json) -> None:
    """Print the fields of a version, one a line."""
    shown = {
        "resource": f"{version['resource_type']}s/{version['resource_id']}",
        "name": version["resource_name"],
        "version": version["version_number"],
        "state": _state(version),
        "tag": version["version_tag"],
        "description": version["version_description"],
        "commit": version["git_commit_hash"],
        "branch": version["git_branch"],
        "author": version["created_by_username"],
        "time": instant(version["created_at"]),
        "checked out": version["checked_out_by"] and instant(version["checked_out_at"]),
        "checked in": version["checked_in_at"] and instant(version["checked_in_at"]),
        "repository": version["git_repo_url"],
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in shown.items():
        if value not in (None, ""):
            table.add_row(_cell(name, "dim"), _cell(value))
    _print_table(table)


def document(value: object) -> None:
    """Print JSON, in colours on a terminal."""
    text = as_json(value)
    console = _console()
    if not console.is_terminal:
        write((text + "\n").encode())
        return
    # In JSON these characters occur in strings only, where the escape has the same value.
    shown = Text("\n".join(map(harmless, text.split("\n"))))
    if console.color_system is not None and len(text) <= HIGHLIGHT_CHARACTERS:
        JSONHighlighter().highlight(shown)
    console.print(shown, soft_wrap=True)


def written(version: Json, output: Format, unchanged: str) -> None:
    """Print the version of a write; if it is an old one, then also `unchanged`, with {name} and {number}."""
    if output is Format.JSON:
        document(version)
    else:
        history([version])
    if version.get("unchanged"):
        note(unchanged.format(name=version["resource_name"], number=version["version_number"]))


def difference(found: Json, output: Format) -> None:
    """Print the diff of two versions, or that nothing differs."""
    if output is Format.JSON:
        document(found)
    elif found["text"]:
        _unified_diff(found["text"])
    if not found["text"]:
        note("nothing differs")


def _unified_diff(text: str) -> None:
    """Print a unified diff: in colours on a terminal, unchanged elsewhere."""
    console = _console()
    if not console.is_terminal:
        write(text.encode())
        return
    within = False
    for line in text.removesuffix("\n").split("\n"):
        within = within or line.startswith("@@")
        console.print(Text(harmless(line), style=_diff_style(line) if within else "bold"), soft_wrap=True)


def as_json(value: object) -> str:
    """JSON for people: indented, with Unicode unescaped."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def write(data: bytes) -> None:
    """Write bytes to stdout."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _diff_style(line: str) -> str:
    match line[:1]:
        case "+":
            return "green"
        case "-":
            return "red"
        case "@":
            return "cyan"
        case _:
            return ""


def _state(version: Json) -> str:
    return ", ".join(state for state in ("current", "published") if version[f"is_{state}"])


def instant(text: str) -> str:
    """Cut an instant of the API to whole seconds."""
    return re.sub(r"\.\d+", "", text)


def _cell(value: object, style: str = "") -> Text:
    return Text("" if value is None else harmless(str(value)), style=style)


def _print_table(table: Table) -> None:
    console = _console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()).encode())


def _console() -> Console:
    terminal = sys.stdout.isatty()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may lack a character: print its escape instead of a failure.
        sys.stdout.reconfigure(errors="backslashreplace")
    coloured = terminal and not os.environ.get("NO_COLOR")
    return Console(
        force_terminal=terminal,
        # Rich's own option `no_color` would leave bold and dim.
        color_system="auto" if coloured else None,
        width=None if terminal else PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
