"""Commands that change one resource of a running server: check-out, check-in, rollback, tag, publish."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from service.cli import tables
from service.cli.calls import Exit, fail, opened
from service.cli.client import Json
from service.cli.options import LOCAL, REFS, Comment, IfMatch, Key, Output, Url, Which
from service.cli.tables import Format, note

NO_VERSION = "no new version: {name} stays at version {number}"
NO_CHANGE = "nothing changed: version {number} of {name} is like this already"

resource = typer.Typer()


@resource.command("check-out")
def check_out(
    which: Which,
    from_ref: Annotated[
        str | None, typer.Option("--from", metavar="REF", help="Another version than the current one.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="What for; others see it.")] = None,
    ttl: Annotated[int | None, typer.Option("--ttl", min=1, metavar="SECONDS", help="For how long.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where the definition goes.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="FILE may be there already.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give the check-out back instead.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --cancel: another's (admin).")] = False,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Check out a resource and print its definition."""
    if cancel and (overwrite or any(each is not None for each in (from_ref, reason, ttl, to))):
        fail("--cancel goes with --force alone", Exit.USAGE)
    if force and not cancel:
        fail("--force goes with --cancel", Exit.USAGE)
    file = None if to is None or str(to) == "-" else to
    if file is not None:
        _check_target(file, overwrite)
    asked = {"from": from_ref, "reason": reason, "ttl_seconds": ttl}
    with opened(url, key, which) as found:
        if cancel:
            found.client.delete(found.at("check-out"), {"force": "true"} if force else None)
            note("the check-out was given back" if not force else "the check-out was taken away")
            return
        answer = found.client.post(found.at("check-out"), _given(asked))
        held = answer["check_out"]
        note(
            f"{held['checked_out_by_username']} holds {which} until {tables.instant(held['expires_at'])}: "
            f"version {held['version_number']}, commit {held['commit']}"
        )
        if file is not None:
            _write_definition(file, answer["data"], overwrite)
        if output is Format.JSON:
            tables.document(answer)
        elif file is None:
            tables.document(answer["data"])


def _check_target(file: Path, overwrite: bool) -> None:
    if file.is_dir():
        fail(f"{file} is a folder: give a FILE in it", Exit.USAGE)
    if not file.parent.is_dir():
        fail(f"there is no folder {file.parent} for FILE", Exit.USAGE)
    if os.path.lexists(file) and not overwrite:
        fail(f"{file} is there already: give --overwrite, or another FILE", Exit.USAGE)


def _write_definition(file: Path, definition: Json, overwrite: bool) -> None:
    try:
        # "x" fails for a file created since the check.
        with file.open("w" if overwrite else "x", encoding="utf-8") as opened_file:
            opened_file.write(tables.as_json(definition) + "\n")
    except OSError as error:
        fail(
            f"{file} could not be written: {error.strerror}",
            Exit.UNEXPECTED,
            "the check-out stands: repeat it with another FILE, or give it back with --cancel",
        )


@resource.command("check-in")
def check_in(
    which: Which,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The new definition; - reads stdin; without it: unlock."),
    ] = None,
    comment: Comment = None,
    tag: Annotated[str | None, typer.Option("--tag", help="A tag for the version.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the version.")] = False,
    if_match: IfMatch = None,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Store a new version from FILE and end the check-out."""
    asked = _given({"comment": comment, "tag": tag, "publish": publish or None})
    body: Json | bytes = asked if file is None else _with_data(asked, _read_object(file))
    expected = _commit(if_match)
    with opened(url, key, which) as found:
        answer = found.client.post(found.at("check-in"), body, if_match=found.whole(expected))
        tables.written(answer, output, NO_VERSION)


def _read_object(file: str) -> str:
    """Read the text of a JSON object, unchanged: Python's parser would alter parts that the server checks."""
    name = "stdin" if file == "-" else file
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as opened_file:
            text = opened_file.read().decode("utf-8-sig")
        value = json.loads(text, parse_constant=_no_json)
    except OSError as error:
        fail(f"{name} can't be read: {error.strerror}", Exit.USAGE)
    except RecursionError:
        fail(f"{name} is nested too deep", Exit.USAGE)
    except ValueError as error:
        fail(f"{name} holds no JSON: {error}", Exit.USAGE)
    if not isinstance(value, dict):
        fail(f"{name} holds no JSON object: a definition is one", Exit.USAGE)
    return text


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _with_data(asked: Json, text: str) -> bytes:
    rest = json.dumps(asked)[1:-1]
    return f'{{{rest}{", " if rest else ""}"data": {text}}}'.encode()


@resource.command("rollback")
def rollback(
    which: Which,
    ref: Annotated[str, typer.Argument(help=REFS)],
    comment: Comment = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    if_match: IfMatch = None,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Make a new version with the definition and description of an older one."""
    to: str | int = int(ref) if re.fullmatch("[0-9]{1,9}", ref) else ref
    asked = _given({"to": to, "comment": comment, "dry_run": dry_run or None})
    expected = _commit(if_match)
    with opened(url, key, which) as found:
        answer = found.client.post(found.at("rollback"), asked, if_match=found.whole(expected))
        if dry_run:
            tables.difference(answer, output)
        else:
            tables.written(answer, output, NO_VERSION)


@resource.command("tag")
def tag(
    which: Which,
    ref: Annotated[str, typer.Argument(help=REFS)],
    name: Annotated[str | None, typer.Argument(metavar="TAG", help="The tag; it names one version.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the version's tag away.")] = False,
    if_match: IfMatch = None,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Tag a version, or remove its tag."""
    if (name is None) is not delete:
        fail("give a TAG, or --delete", Exit.USAGE)
    expected = _commit(if_match)
    with opened(url, key, which) as found:
        path, commit = found.version(ref, "/tag"), found.whole(expected)
        if name is None:
            answer = found.client.delete(path, if_match=commit)
        else:
            answer = found.client.put(path, {"tag": name}, if_match=commit)
        tables.written(answer, output, NO_CHANGE)


@resource.command("publish")
def publish(
    which: Which,
    ref: Annotated[
        str | None, typer.Argument(help=f"{REFS} [default: current, with --undo published]")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let the version be published no more.")] = False,
    if_match: IfMatch = None,
    output: Output = Format.TABLE,
    url: Url = LOCAL,
    key: Key = None,
) -> None:
    """Publish a version; at most one version of a resource is published."""
    expected = _commit(if_match)
    with opened(url, key, which) as found:
        path = (
            found.version(ref or "published", "/unpublish")
            if undo
            else found.version(ref or "current", "/publish")
        )
        tables.written(found.client.post(path, if_match=found.whole(expected)), output, NO_CHANGE)


def _given(fields: dict[str, Any]) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _commit(text: str | None) -> str | None:
    """Commit given by `--if-match`, in lower case as the header needs it."""
    if text is not None and not re.fullmatch("[0-9a-fA-F]{7,40}", text):
        fail(f"--if-match takes a commit of 7 to 40 hex digits, not {text!r}", Exit.USAGE)
    return text and text.lower()
