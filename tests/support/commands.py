"""Run the `annals` program as a user of a tenant, and read its output."""

import json
import os
import pty
import re
import subprocess
from tempfile import TemporaryFile
from typing import Any

from tests.support import warm_program
from tests.support.api import Caller, Json, Tenant, ok

NOBODY_LISTENS = "http://127.0.0.1:1"
ESCAPE = "\x1b"
# Text that a terminal or rich would interpret, and the form in which it must be printed.
HARMFUL = "[red]x[/red] :boom: \x1b[31m\r\n\x9b2J\u202e\x07"
HARMLESS = "[red]x[/red] :boom: \\u001b[31m\\r\\n\\u009b2J\\u202e\\u0007"
Done = subprocess.CompletedProcess[bytes]


def environment(caller: Caller | None, **changes: str) -> dict[str, str]:
    """Return the environment of that user's shell, without any other setting of Annals."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_") and k != "NO_COLOR"}
    if caller is not None and caller.key is not None:
        clean |= {"ANNALS_URL": caller.server.url, "ANNALS_KEY": caller.key}
    return clean | {"COLUMNS": "300", "TERM": "xterm-256color"} | changes


def annals(
    caller: Caller | None, *arguments: object, code: int = 0, given: bytes = b"", **changes: str
) -> Done:
    """Run a command, after which the exit code has to be `code`, without a traceback."""
    typed = [str(each) for each in arguments]
    with TemporaryFile() as read, TemporaryFile() as written, TemporaryFile() as said:
        read.write(given)
        read.seek(0)
        files = (read.fileno(), written.fileno(), said.fileno())
        ended = warm_program.start(typed, environment(caller, **changes), files).wait()
        written.seek(0)
        said.seek(0)
        done = Done(typed, ended, written.read(), said.read())
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode == code, (done.stdout.decode(), done.stderr.decode())
    return done


def answered(caller: Caller, *arguments: object) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(annals(caller, *arguments, "-o", "json").stdout)


def rows(done: Done) -> list[list[str]]:
    """Return the cells of a printed table, without its head."""
    lines = done.stdout.decode().splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", lines[0])]
    ends = [*starts[1:], 10_000]
    return [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines[1:]]


def on_a_terminal(caller: Caller | None, *arguments: object, **changes: str) -> str:
    """Return the output of a command on a terminal."""
    ours, theirs = pty.openpty()
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        files = (theirs, theirs, nowhere.fileno())
        program = warm_program.start([*map(str, arguments)], environment(caller, **changes), files)
    os.close(theirs)
    written = bytearray()
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:
        # Reading from a terminal whose other end is closed fails: the output is complete.
        pass
    finally:
        os.close(ours)
    assert program.wait() == 0, written.decode()
    return written.decode()


def at(resource: Json) -> str:
    """Return the argument that names a resource by its id."""
    return f"{resource['resource_type']}s/{resource['resource_id']}"


def edited(tenant: Tenant) -> Json:
    """Make a workflow with three versions, the second of which is tagged v2."""
    workflow = tenant.workflow(name="etl", definition={"n": 1})
    tenant.save(workflow, {"n": 2}, tag="v2", description="two")
    tenant.save(workflow, {"n": 3}, by=tenant.ben)
    return workflow


def holder(tenant: Tenant, resource: Json) -> str | None:
    """Return the id of the user who has the resource checked out."""
    found: str | None = ok(tenant.ana.get(tenant.at(resource)))["checked_out_by"]
    return found


def current(tenant: Tenant, resource: Json) -> Json:
    return ok(tenant.ana.get(f"{tenant.at(resource)}/versions/current"))
