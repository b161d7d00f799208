"""Cookies of the pages: the session, and what a reader chose for this browser alone."""

from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from service.domain.errors import Forbidden
from service.http.requests import context_of
from service.usecases.web_sessions import LONGEST

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
THEMES = ("auto", "light", "dark")
UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """Cookie with the token of a session. `__Host-` binds it to this host, and to TLS."""

    name: str
    is_secure: bool

    def value(self, request: Request) -> str | None:
        """Token that the browser sent."""
        return request.cookies.get(self.name) or None

    def set(self, answer: Response, token: str) -> None:
        """Have the browser keep the token.

        Lax, not Strict: who follows a link from a chat stays signed in. Forms are checked by their origin.
        """
        answer.set_cookie(
            self.name,
            token,
            max_age=int(LONGEST.total_seconds()),
            path="/",
            httponly=True,
            samesite="lax",
            secure=self.is_secure,
        )

    def delete(self, answer: Response) -> None:
        """Have the browser forget the token."""
        answer.delete_cookie(self.name, path="/", httponly=True, samesite="lax", secure=self.is_secure)


def session_cookie(request: Request) -> SessionCookie:
    """Cookie of the session, by the way that the request came."""
    is_secure = is_over_tls(request)
    return SessionCookie("__Host-annals" if is_secure else "annals", is_secure)


def is_over_tls(request: Request) -> bool:
    """Tell if the browser reached the server by HTTPS, perhaps through a proxy."""
    return request.scope["scheme"] == "https" or context_of(request).public_url.startswith("https://")


def takes_keys(request: Request) -> bool:
    """Tell if a key that the browser sends crosses no network in the clear."""
    if request.scope["scheme"] == "https" or _host_of(request) in _LOOPBACK:
        return True
    # Of a proxy that keeps the scheme to itself only the name tells that the browser asked it.
    public = urlsplit(context_of(request).public_url)
    return public.scheme == "https" and request.headers.get("host", "").lower() == public.netloc.lower()


def check_transport(request: Request) -> None:
    """Raise Forbidden where a key would cross a network in the clear."""
    if not takes_keys(request):
        raise Forbidden(
            "Over plain HTTP you can sign in on the machine of the server alone: use HTTPS "
            "(docs/guide/integrate.md, 'Behind a proxy', tells how), or http://127.0.0.1."
        )


def _host_of(request: Request) -> str | None:
    """Name of the server without its port, as the browser knows it; None for what is no name."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def theme_of(request: Request) -> str:
    """Theme that the reader chose: auto, light or dark."""
    chosen = request.cookies.get("theme", "auto")
    return chosen if chosen in THEMES else "auto"


def zone_of(request: Request) -> ZoneInfo:
    """Time zone of the reader, which a script tells; UTC without."""
    try:
        return ZoneInfo(request.cookies.get("tz", "UTC"))
    except (KeyError, ValueError, OSError):
        # ZoneInfoNotFoundError is a KeyError; a name may also be a folder, or no name at all.
        return UTC
