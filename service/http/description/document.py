"""Description of the API for OpenAPI 3.1, made from the routes and the declarations of their parts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, routing
from fastapi.openapi.utils import get_openapi

from service.domain.errors import (
    AnnalsError,
    HeadTooLarge,
    MalformedRequest,
    OutcomeUnknown,
    RequestLineTooLong,
    TooSlow,
    leaves,
)
from service.http import problems
from service.http.audited_operations import declared
from service.http.description import headers
from service.http.description.declarations import Header, operation_of
from service.http.description.names import NAMES
from service.http.description.problem_schema import Problem
from service.http.description.schemas import SchemaBook, component, referenced, renamed
from service.http.description.texts import ABOUT, GROUPS

JSON = "application/json"
# Any request can be refused while its head or its body arrives, or when the server stops.
_OF_EVERY_REQUEST: tuple[type[AnnalsError], ...] = (
    *(MalformedRequest, TooSlow, RequestLineTooLong, HeadTooLarge),
    OutcomeUnknown,
)
_KEY = "Bearer"
_SECURITY_SCHEMES = {
    _KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key; the operator's key for the calls of the operator.",
    }
}
_RATE_LIMITS = (headers.RATE_LIMIT_POLICY, headers.RATE_LIMIT)

Json = dict[str, Any]


def published(app: FastAPI) -> Json:
    """Description of the API for its clients.

    The paths of git are left out: git clients speak their own protocol, and generators of clients warn of
    its media types.
    """
    whole = described(app)
    paths = {path: methods for path, methods in whole["paths"].items() if not path.startswith("/git/")}
    return whole | {"paths": paths}


def described(app: FastAPI) -> Json:
    """Description of all routes of an application that are not hidden."""
    base = get_openapi(
        title=app.title,
        version=app.version,
        description=ABOUT,
        routes=app.routes,
        tags=[{"name": name, "description": about} for name, about in GROUPS.items()],
    )
    book = SchemaBook(NAMES)
    drafts = [
        _OperationDraft(book, route, method, base["paths"][route.path_format][method.lower()])
        for route in _routes(app)
        for method in sorted(route.methods)
    ]
    problem = book.want(Problem, "serialization")
    made, schemas = book.schemas()
    components = _Components(made[problem])
    paths: dict[str, Json] = defaultdict(dict)
    for draft in drafts:
        paths[draft.route.path_format][draft.method.lower()] = draft.operation(made, components)
    # FastAPI has made the schemas of parameters, under its own names.
    of_parameters = base.get("components", {}).get("schemas", {})
    missing = referenced(paths) - schemas.keys()
    for name, schema in of_parameters.items():
        if NAMES.get(name, name) in missing:
            schemas[NAMES.get(name, name)] = component(renamed(schema, NAMES))
    return base | {
        "paths": dict(paths),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": dict(sorted(components.responses.items())),
            "parameters": dict(sorted(components.parameters.items())),
            "headers": dict(sorted(components.headers.items())),
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _routes(app: FastAPI) -> Iterator[Any]:
    for route in routing.iter_route_contexts(app.routes):
        if isinstance(route.original_route, routing.APIRoute) and route.include_in_schema:
            yield route


class _Components:
    """Parts of the description to which operations refer."""

    def __init__(self, problem: Json) -> None:
        self.responses: dict[str, Json] = {}
        self.parameters: dict[str, Json] = {}
        self.headers: dict[str, Json] = {}
        self._problem = problem

    def parameter(self, header: Header) -> Json:
        """Reference to a header of requests."""
        self.parameters[header.name] = {
            "name": header.name,
            "in": "header",
            "description": header.description,
            "schema": dict(header.schema),
        }
        return {"$ref": f"#/components/parameters/{header.name}"}

    def sent(self, found: Iterable[Header]) -> Json:
        """References to headers of answers, by name."""
        references = {}
        for header in found:
            self.headers[header.name] = {
                "description": header.description,
                "schema": dict(header.schema),
            } | ({"required": True} if header.always else {})
            references[header.name] = {"$ref": f"#/components/headers/{header.name}"}
        return references

    def problem(self, status: int, errors: frozenset[type[AnnalsError]]) -> Json:
        """Response with a problem, or a reference to it if one error or family alone makes it."""
        found = sorted(errors, key=lambda error: error.code)
        codes = [error.code for error in found]
        sent = [headers.ANSWERED_ID, *_RATE_LIMITS]
        if status in (429, 503):
            sent.append(headers.RETRY_AFTER)
        if status == 401:
            sent.append(headers.AUTHENTICATE)
        made = {
            "description": "; ".join(f"`{error.code}`: {problems.title_of(error)}" for error in found) + ".",
            "headers": self.sent(sent),
            "content": {problems.MEDIA_TYPE: {"schema": self._problem}},
            "x-problem-codes": codes,
        }
        name = _name_of(errors)
        if name is None:
            return made
        self.responses[name] = made
        return {"$ref": f"#/components/responses/{name}"}


def _name_of(errors: frozenset[type[AnnalsError]]) -> str | None:
    if len(errors) == 1:
        return next(iter(errors)).__name__
    family = next(iter(errors)).__mro__[1]
    return family.__name__ if family is not AnnalsError and errors == _members(family) else None


def _members(error: type[AnnalsError]) -> frozenset[type[AnnalsError]]:
    """Errors that a declared one stands for: itself, or all of its family."""
    if "code" in vars(error):
        return frozenset({error})
    return frozenset(leaf for leaf in leaves() if issubclass(leaf, error))


class _OperationDraft:
    """An operation whose schemas are asked for, but not made yet."""

    def __init__(self, book: SchemaBook, route: Any, method: str, base: Json) -> None:
        self.route = route
        self.method = method
        self._declared = operation_of(route)
        self._base = base
        body = self._declared.body
        self._body = {
            media_type: book.want(kind, "validation")
            for media_type, kind in (body.content if body else {}).items()
        }
        self._answers = {
            status: None if model is None else book.want(model, "serialization")
            for status, model in self._models()
        }

    def _models(self) -> Iterator[tuple[int, Any]]:
        """Types of the answers that are no problems; one that a route adds may have the main type."""
        yield self.route.status_code or 200, self.route.response_model
        for status, more in (self.route.responses or {}).items():
            has_body = status < 300 or "content" in more
            yield status, more.get("model", self.route.response_model if has_body else None)

    def operation(self, made: Mapping[Any, Json], components: _Components) -> Json:
        """Make the operation."""
        base = {key: self._base[key] for key in _KEPT if key in self._base}
        parameters = [_untitled(given) for given in self._base.get("parameters", [])]
        parameters.sort(key=lambda given: self.route.path_format.find(f"{{{given['name']}}}") % _LAST)
        read = {header.name: header for header in self._headers_read()}
        known = {name.lower() for name in read}
        parameters = [given for given in parameters if given["name"].lower() not in known]
        parameters += [components.parameter(header) for header in read.values()]
        whole: Json = base | {"parameters": parameters}
        if self._declared.body is not None:
            content = {media_type: {"schema": made[key]} for media_type, key in self._body.items()}
            whole["requestBody"] = {"required": self._declared.body.required, "content": content}
        whole["responses"] = dict(sorted(self._responses(made, components).items()))
        if self._declared.asks_for_key:
            whole["security"] = [{_KEY: []}] if self._declared.needs_key else [{}, {_KEY: []}]
        return whole

    def _headers_read(self) -> Iterator[Header]:
        yield from self._declared.reads
        if declared(self.route.endpoint) is not None:
            yield headers.REASON
        yield headers.REQUEST_ID

    def _responses(self, made: Mapping[Any, Json], components: _Components) -> dict[str, Json]:
        found: dict[str, Json] = {}
        limits = _RATE_LIMITS if self._declared.asks_for_key else ()
        for status, key in self._answers.items():
            more = dict(self.route.responses.get(status, {}))
            more.pop("model", None)
            sent = (headers.ANSWERED_ID, *limits, *(self._declared.sends if status < 400 else ()))
            if status == 204:
                sent = tuple(header for header in sent if header is not headers.ETAG)
            answer: Json = {"description": HTTPStatus(status).phrase, "headers": components.sent(sent)}
            if key is not None:
                media_type = getattr(self.route.response_class, "media_type", None) or JSON
                answer["content"] = {media_type: {"schema": made[key]}, **more.pop("content", {})}
            found[str(status)] = answer | more
        by_status: dict[int, set[type[AnnalsError]]] = defaultdict(set)
        for error in (*_OF_EVERY_REQUEST, *self._declared.refusals):
            for member in _members(error):
                by_status[problems.status_of(member)].add(member)
        for status, errors in by_status.items():
            refusal = components.problem(status, frozenset(errors))
            found[str(status)] = _joined(found.get(str(status)), refusal, components)
        return found


# FastAPI makes these parts of an operation; the rest is made here.
# A place in a path; parameters that are in no path come after it.
_LAST = 10_000
_KEPT = ("tags", "summary", "description", "operationId", "deprecated")


def _joined(answer: Json | None, refusal: Json, components: _Components) -> Json:
    """Response that can be either of two."""
    if answer is None:
        return refusal
    name = refusal.get("$ref", "").rpartition("/")[2]
    refusal = components.responses[name] if name else refusal
    return (
        refusal
        | answer
        | {
            "headers": refusal["headers"] | answer["headers"],
            "content": answer["content"] | refusal["content"],
        }
    )


def _untitled(parameter: Json) -> Json:
    schema = {key: value for key, value in parameter["schema"].items() if key != "title"}
    return parameter | {"schema": renamed(schema, NAMES)}
