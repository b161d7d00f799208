"""Find the resource that a command names, and end the command with the exit code of its failure."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

import httpx
import typer

from service.cli.client import ApiError, Client, segment
from service.cli.tables import instant, note
from service.domain import ids
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind

# One page of the API; with more resources of one name, the user has to give an id.
NAMESAKES = 200
MAX_PORT = 65535
FULL_COMMIT_DIGITS = 40


class Exit(IntEnum):
    """Exit codes; docs/guide/command-line.md has the table."""

    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    NOT_ALLOWED = 5
    UNAVAILABLE = 6


EXIT_OF_STATUS = {
    400: Exit.USAGE,
    413: Exit.USAGE,
    415: Exit.USAGE,
    422: Exit.USAGE,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    410: Exit.REFUSED,
    412: Exit.REFUSED,
    423: Exit.REFUSED,
    428: Exit.REFUSED,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    429: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
}


def fail(reason: str, code: Exit, *more: str) -> NoReturn:
    """End the command with a reason and further lines on stderr."""
    note(f"annals: {reason}")
    for line in more:
        note(f"  {line}")
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class RemoteResource:
    """A resource on a server, and the paths below it."""

    client: Client
    path: str

    def at(self, below: str) -> str:
        """Path below the resource."""
        return f"{self.path}/{below}"

    def version(self, ref: str, below: str = "") -> str:
        """Path of a version, or a path below it."""
        if not ref:
            fail("a REF is not empty", Exit.USAGE)
        if "/" in ref:
            # The server would name a path that the user never gave.
            fail(f"there is no version {ref!r}: no REF holds a slash", Exit.NOT_FOUND)
        return self.at(f"versions/{segment(ref)}{below}")

    def whole(self, commit: str | None) -> str | None:
        """Full commit hash of an abbreviated one; tables show its first ten digits."""
        if commit is None or len(commit) == FULL_COMMIT_DIGITS:
            return commit
        return str(self.client.get(self.version(commit))["git_commit_hash"])


@contextmanager
def opened(url: str, key: str | None, argument: str) -> Iterator[RemoteResource]:
    """Open the resource of an argument; failures within the block end the command with their exit code."""
    kind, rest = _parsed(argument)
    with connected(url, key) as client:
        yield _found(client, kind, rest)


@contextmanager
def connected(url: str, key: str | None) -> Iterator[Client]:
    """Connect to a server; failures within the block end the command with their exit code."""
    client = Client(_checked_url(url), _checked_key(key))
    try:
        yield client
        # Flushed here: if the write failed at the end of the program, the user would see a traceback.
        sys.stdout.flush()
    except ApiError as error:
        _refused(error)
    except BrokenPipeError:
        # The reader closed the pipe; the framework ends the program without a message.
        raise
    except OSError as error:
        fail(str(error), Exit.UNEXPECTED)
    except UnicodeEncodeError:
        fail("an argument is no valid UTF-8", Exit.USAGE)
    except httpx.InvalidURL as error:
        fail(f"an argument does not fit a URL: {error}", Exit.USAGE)
    finally:
        client.close()


def _parsed(argument: str) -> tuple[Kind, str]:
    collection, _, rest = argument.partition("/")
    kind = KIND_OF_COLLECTION.get(collection) or KIND_OF_COLLECTION.get(f"{collection}s")
    if kind is None or not rest:
        collections = ", ".join(KIND_OF_COLLECTION)
        fail(
            f"{argument!r} is no RESOURCE: that is a collection and an id or name, as 'workflows/Order ETL'",
            Exit.USAGE,
            f"collections: {collections}",
        )
    return kind, rest


def _checked_url(url: str) -> str:
    if not _is_a_servers(url):
        fail("the URL of a server is like http://127.0.0.1:8000, with no more than a path behind", Exit.USAGE)
    return url


def _is_a_servers(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return False
    return (
        parsed.scheme in ("http", "https")
        and re.fullmatch(r"[\w.:-]+", parsed.host) is not None
        and (parsed.port or 0) <= MAX_PORT
        # Credentials in the URL would replace the key, and messages would show them.
        and not (parsed.userinfo or parsed.query or parsed.fragment)
    )


def _checked_key(key: str | None) -> str:
    key = (key or "").strip()
    if not key:
        fail("a key is missing: set ANNALS_KEY to an API key of a user, or give --key", Exit.USAGE)
    if not key.isprintable():
        fail("the key holds a line break or control character", Exit.USAGE)
    return key


def subscription_of(client: Client) -> str:
    """Path of the subscription that the key belongs to; ends the command for any other key."""
    me = client.get("/v1/whoami")
    if "subscription_id" not in me:
        fail("the server answers, but not as an Annals server does: is the URL right?", Exit.UNEXPECTED)
    if me["subscription_id"] is None:
        fail(
            "this is the operator's key, which belongs to no subscription: use the API key of a user",
            Exit.NOT_ALLOWED,
        )
    return f"/v1/subscriptions/{segment(str(me['subscription_id']))}"


def _found(client: Client, kind: Kind, rest: str) -> RemoteResource:
    collection = f"{subscription_of(client)}/{kind.collection}"
    resource_id = ids.parse(rest) or _id_of_name(client, collection, kind, rest)
    return RemoteResource(client, f"{collection}/{segment(str(resource_id))}")


def _id_of_name(client: Client, collection: str, kind: Kind, name: str) -> str:
    page = client.get(collection, {"name": name, "limit": NAMESAKES})
    match page["items"]:
        case [one]:
            return str(one["resource_id"])
        case []:
            fail(f"there is no {kind} named {name!r} in this subscription", Exit.NOT_FOUND)
        case several:
            lines = [f"{kind.collection}/{each['resource_id']} in {each['parent_id']}" for each in several]
            more = ["and more"] if page["next_cursor"] else []
            fail(f"more than one {kind} is named {name!r}: give one's id", Exit.REFUSED, *lines, *more)


def _refused(error: ApiError) -> NoReturn:
    problem, lines = error.problem, []
    for fault in problem.get("errors", []):
        line = f"{fault.get('pointer') or fault.get('parameter') or 'the body'}: {fault.get('detail')}"
        # If a problem has a single fault, its detail often repeats this fault.
        if line not in error.detail:
            lines.append(line)
    if "checked_out_by_username" in problem:
        since, until = (instant(str(problem.get(name))) for name in ("checked_out_at", "expires_at"))
        lines.append(f"held by {problem['checked_out_by_username']} from {since} until {until}")
    if error.status in (412, 428):
        lines.append("give --if-match and the current commit, which `annals version log` shows")
    if error.retry_after is not None:
        lines.append(f"try again in {error.retry_after:.0f} s")
    code = Exit.UNAVAILABLE if error.status is None else EXIT_OF_STATUS.get(error.status, Exit.UNEXPECTED)
    if code is Exit.UNEXPECTED and "request_id" in problem:
        lines.append(f"request {problem['request_id']}")
    fail(error.detail, code, *lines)
