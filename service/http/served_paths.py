"""Paths that an application serves, as one search.

Routers try one route after the other, of which there are nearly two hundred, and twice if none fits: anybody
could keep a worker busy with paths that are nowhere served.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_GROUP = re.compile(r"\(\?P<\w+>")


class ServedPaths(BaseRoute):
    """Route before all others of a router, which takes the paths that no other has.

    Routes may be added until the first request.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    @cached_property
    def _methods(self) -> dict[re.Pattern[str], set[str]]:
        """Methods by the pattern of the path."""
        found: dict[re.Pattern[str], set[str]] = {}
        contexts: Any = iter_route_contexts([route for route in self._routes if route is not self])
        for context in contexts:
            methods = getattr(context, "methods", None) or {"GET"}
            found.setdefault(context.path_regex, set()).update(methods)
        return found

    @cached_property
    def _any(self) -> re.Pattern[str]:
        return re.compile("|".join(_GROUP.sub("(?:", each.pattern) for each in self._methods))

    def methods(self, path: str) -> set[str]:
        """Methods that a path takes."""
        fitting = (methods for pattern, methods in self._methods.items() if pattern.match(path))
        return set().union(*fitting)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a path that no other route matches."""
        is_served = scope["type"] != "http" or self._any.match(scope["path"]) is not None
        return (Match.NONE if is_served else Match.FULL), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> NoReturn:
        """Refuse the request."""
        raise HTTPException(404)
