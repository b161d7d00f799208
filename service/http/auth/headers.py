"""Read the API key in the headers of a request."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from service.domain.callers import Caller, Origin
from service.domain.errors import TooManyFailedLogins, Unauthenticated
from service.http.auth.rate_limits import RateLimits
from service.http.description.declarations import asks_for_key
from service.http.requests import context_of, is_of_git, origin_of
from service.usecases.authentication import Authenticator

# A failed login is answered after this time, whatever it took: the duration would else tell which keys exist.
FAILED_LOGIN_SECONDS = 0.1

Result = TypeVar("Result")


async def caller_of(request: Request) -> Caller:
    """Caller of a request by the API key in its headers; raises Unauthenticated or TooManyRequests."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            key = _as_sent(credentials.strip())
        case "basic" if is_of_git(request):
            key = _basic_password(credentials.strip())
        case _:
            raise Unauthenticated("Send an API key: `Authorization: Bearer <key>`.")
    authenticator: Authenticator = request.app.state.authenticator
    origin = origin_of(request)
    caller = await logged_in(request, origin, authenticator.authenticate(key, origin))
    return known(request, caller)


async def logged_in(request: Request, origin: Origin, login: Awaitable[Result]) -> Result:
    """Await a login; one that fails is counted, and answered late. Raises TooManyFailedLogins, too."""
    rate_limits: RateLimits = request.app.state.rate_limits
    began = asyncio.get_running_loop().time()
    try:
        return await login
    except Unauthenticated as refused:
        request.state.answer_at = began + FAILED_LOGIN_SECONDS
        rate_limits.count_failed_login(request, origin, refused)
        raise


def known(request: Request, caller: Caller) -> Caller:
    """Note the caller of a request for the logs, and count its call; raises TooManyRequests."""
    rate_limits: RateLimits = request.app.state.rate_limits
    request.state.caller = caller
    rate_limits.count_call(request, caller)
    return caller


@asks_for_key(TooManyFailedLogins, optional=True)
def require_metrics_key(request: Request) -> None:
    """Raise Unauthenticated, or TooManyFailedLogins, if the metrics have a key and the request has not."""
    wanted = context_of(request).settings.metrics_key
    if wanted is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    sent = _as_sent(given.strip()).encode("utf-8", "surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(sent, wanted.get_secret_value().encode()):
        refused = Unauthenticated(
            "Send the key of the metrics: `Authorization: Bearer <ANNALS_METRICS_KEY>`."
        )
        if given:
            rate_limits: RateLimits = request.app.state.rate_limits
            rate_limits.count_failed_login(request, origin_of(request), refused)
        raise refused


def _as_sent(header: str) -> str:
    """Decode a header as UTF-8; the server has decoded it as Latin-1, as it does with every header."""
    return header.encode("latin-1").decode("utf-8", "surrogateescape")


def _basic_password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("The Basic credentials can't be read.") from None
    return decoded.partition(":")[2]
