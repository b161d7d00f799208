"""Problem answers (RFC 9457): the one place where an error becomes a status."""

import inspect
from html import escape
from typing import Any

import orjson
from starlette.responses import PlainTextResponse, Response

from gitstore import errors as git_errors
from service.domain import errors
from service.domain.errors import AnnalsError, PathNotFound, leaves
from sql import errors as sql_errors
from sql.database import STATEMENT_SECONDS

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

_STATUS: tuple[tuple[type[AnnalsError], int], ...] = (
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.MethodNotAllowed, 405),
    (errors.Malformed, 400),
    (errors.TooSlow, 408),
    (errors.RequestLineTooLong, 414),
    (errors.HeadTooLarge, 431),
    (errors.Invalid, 422),
    (errors.KeyReused, 422),
    (errors.TooLarge, 413),
    (errors.UnsupportedMedia, 415),
    (errors.Conflict, 409),
    (errors.Gone, 410),
    (errors.Locked, 423),
    (errors.PreconditionFailed, 412),
    (errors.PreconditionMissing, 428),
    (errors.TooManyRequests, 429),
    (errors.TooManyTails, 429),
    (errors.Unavailable, 503),
    (errors.Internal, 500),
)


def status_of(error: type[AnnalsError]) -> int:
    """HTTP status of an error's family."""
    return next(status for family, status in _STATUS if issubclass(error, family))


def title_of(error: type[AnnalsError]) -> str:
    """Title of an error: a short sentence, the same for every occurrence."""
    return _page(error)[0]


def explanation_of(error: type[AnnalsError]) -> str:
    """Meaning of an error, and the next step."""
    return "\n".join(_page(error)[2:])


def _page(error: type[AnnalsError]) -> list[str]:
    return inspect.cleandoc(error.__doc__ or error.__name__).splitlines()


def from_store(error: Exception) -> AnnalsError | None:
    """Translate an error of the database or the git store for clients; None for a fault of Annals itself."""
    match error:
        case sql_errors.DiskFull():
            return errors.StorageFull("The disk of the database is full; nothing was stored.")
        case git_errors.StoreFull():
            return errors.StorageFull("The disk of the repositories is full; nothing was stored.")
        case sql_errors.DatabaseSilent():
            return errors.DatabaseNotReachable(f"{error}: try again shortly.")
        case sql_errors.StatementEnded():
            return errors.QueryTooLong(
                f"The database ended the query: it takes {STATEMENT_SECONDS} s at the most. "
                "Narrow it by time or by a filter, or ask for less at once."
            )
        case sql_errors.LockNotTaken():
            return errors.Busy("Another change held what this one needs; nothing was changed, try again.")
        case sql_errors.DatabaseUnavailable() | sql_errors.WriteConflict():
            return errors.DatabaseNotReachable("The database did not answer; try again shortly.")
        case sql_errors.RoleNotGranted():
            return errors.RoleMissing(f"The database lets nobody do this: {error}.")
        case sql_errors.LimitExceeded():
            return errors.DocumentTooLarge("The document unfolds to more than the database can store.")
        case sql_errors.UnfitValue():
            return errors.Invalid("A value in the request is past what can be stored or looked for.")
        case git_errors.UploadPackBusy():
            return errors.Busy("Too many clones and fetches are running; try again shortly.")
        case git_errors.DiffTooSlow():
            return errors.Busy("The machine is too busy to make this diff; try again later.")
        case git_errors.UploadPackFailed():
            return errors.MalformedGitRequest("git could not make sense of the request.")
        case git_errors.GitStoreError():
            return errors.StoreNotWritable("The repository can't be read or written just now.")
        case _:
            return None


def answer(error: AnnalsError, request_id: str) -> Response:
    """Make a problem document."""
    kind = type(error)
    status = status_of(kind)
    body: dict[str, Any] = {
        "type": f"/docs/problems/{kind.code}",
        "title": title_of(kind),
        "status": status,
        "detail": error.detail,
        "code": kind.code,
        "request_id": request_id,
        **error.facts,
    }
    if error.faults:
        body["errors"] = [fault.shown() for fault in error.faults]
    content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    return Response(content, status, headers=headers_of(error, "Bearer"), media_type=MEDIA_TYPE)


def answer_to_git(error: AnnalsError, request_id: str) -> Response:
    """Make a plain text, whose lines git shows to its user; it shows nothing of other types."""
    kind = type(error)
    text = f"{error.detail}\n({kind.code}, request {request_id})\n"
    headers = headers_of(error, 'Basic realm="annals", charset="UTF-8"')
    return PlainTextResponse(text, status_of(kind), headers=headers)


def headers_of(error: AnnalsError, challenge: str) -> dict[str, str]:
    """Headers that an answer to an error needs, in whatever form."""
    status = status_of(type(error))
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, errors.TooManyRequests | errors.TooManyTails):
        headers["Retry-After"] = str(error.retry_after)
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return headers


_FRAME = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui; max-width: 42rem; margin: 3rem auto }}</style>
</head>
<body>
{body}
</body>
</html>
"""


def index() -> str:
    """List of all problems, in HTML."""
    rows = "\n".join(
        f'<li><a href="/docs/problems/{error.code}"><code>{error.code}</code></a> '
        f"({status_of(error)}): {escape(title_of(error))}</li>"
        for error in leaves()
    )
    return _FRAME.format(title="Problems", body=f"<h1>Problems</h1>\n<ul>\n{rows}\n</ul>")


def page(code: str) -> str:
    """Page of one problem, in HTML; raises PathNotFound for an unknown code."""
    found = {error.code: error for error in leaves()}.get(code)
    if found is None:
        raise PathNotFound("There is no such problem: /docs/problems lists them.")
    title = escape(title_of(found))
    body = (
        f"<h1>{title}</h1>\n<p>Code <code>{found.code}</code>, HTTP status {status_of(found)}.</p>\n"
        f'<p>{escape(explanation_of(found))}</p>\n<p><a href="/docs/problems">All problems</a></p>'
    )
    return _FRAME.format(title=title, body=body)
