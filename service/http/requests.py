"""Parts of a request: its origin, headers and query, and the log that records it."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast

from fastapi import Request
from fastapi.dependencies.utils import request_params_to_args

from service.domain import ids
from service.domain.addresses import stored_address
from service.domain.callers import Caller, Origin, Role
from service.domain.errors import AnnalsError, Fault, Invalid, MalformedRequest, SubscriptionNotFound
from service.domain.ids import SubscriptionId
from service.http.description.declarations import operation_of
from service.masking.truncation import bounded_text
from service.usecases.context import Context
from service.usecases.cors_origins import OriginReader

CHANGE_REASON = "X-Change-Reason"
MAX_REASON = 1_000
# Paths and names of clients are searched on the event loop, where 16 KiB of anybody's text take too long.
# Less is read of them, since a secret there shows itself early.
_LONGEST_SECRET = 1024
_LENGTH = re.compile(r"[0-9]{1,20}")
# Addresses of pages for people, which a session opens, and a key does not.
_PAGES = ("/s/", "/platform", "/sign-")


def context_of(request: Request) -> Context:
    """Context of this process, which use cases need."""
    return cast("Context", request.app.state.context)


def origins_changed(request: Request, subscription_id: SubscriptionId) -> None:
    """Have this process read anew the origins whose pages may call a subscription."""
    reader: OriginReader = request.app.state.origin_reader
    reader.forget(subscription_id)


def declared_length(request: Request) -> int | None:
    """Bytes of the body as its head declares them; None without a Content-Length.

    Raises MalformedRequest for what is no number of 64 bits: Python refuses to read thousands of digits.
    """
    given = request.headers.get("content-length")
    if given is not None and not _LENGTH.fullmatch(given):
        raise MalformedRequest("A Content-Length has 1 to 20 digits, and nothing else.")
    return None if given is None else int(given)


def is_of_git(request: Request) -> bool:
    """Tell if a request is one of git's own protocol, or was sent to its address."""
    path: str = request.scope["path"]
    return path.startswith("/git/")


def is_of_pages(path: str) -> bool:
    """Tell if an address is one of the pages for people."""
    return path.startswith(_PAGES)


def origin_of(request: Request) -> Origin:
    """Origin of a request, as the logs name it."""
    return Origin(
        request_id=bounded_text(request.state.request_id, 128),
        ip_address=address_of(request),
        user_agent=_user_agent(request),
        endpoint=bounded_text(request.scope["path"], 500, _LONGEST_SECRET),
        method=request.state.method,
        reason=_reason(request),
    )


def header_text(request: Request, name: str) -> str | None:
    """Text of a header; None if it is missing."""
    given = request.headers.get(name)
    # The server has decoded the header as Latin-1, as it does with every header.
    return None if given is None else given.encode("latin-1").decode("utf-8", "replace")


def _reason(request: Request) -> str | None:
    given = header_text(request, CHANGE_REASON)
    return None if given is None else given.strip() or None


def _user_agent(request: Request) -> str | None:
    given = header_text(request, "user-agent")
    return None if given is None else _agent(given)


# Cached, since a client sends the same name in each of its requests.
@lru_cache(maxsize=256)
def _agent(given: str) -> str:
    return bounded_text(given, 1000, _LONGEST_SECRET)


def address_of(request: Request) -> str | None:
    """Address of the client; None if it has no IP address."""
    return None if request.client is None else _address(request.client.host)


@lru_cache(maxsize=1024)
def _address(host: str) -> str | None:
    try:
        return stored_address(host)
    except ValueError:
        return None


# IPv6 gives each customer a /64 or more, so that one host has as many addresses as it likes.
_IPV6_PREFIX = 64


@lru_cache(maxsize=1024)
def network_of(address: str | None) -> str:
    """Network that stands for one host: the address itself, or the /64 of an IPv6 address."""
    if address is None:
        return ""
    is_version_6 = isinstance(ip_address(address), IPv6Address)
    return str(ip_network((address, _IPV6_PREFIX), strict=False)) if is_version_6 else address


def log_of(request: Request, caller: Caller | None, error: AnnalsError | None) -> SubscriptionId | None:
    """Subscription of the caller, whose log records the call; None for the platform, as for strangers."""
    if caller is None or caller.role is not Role.OPERATOR:
        return None if caller is None else caller.subscription_id
    # The operator has no subscription: the subscription in the path is taken, if it exists.
    if isinstance(error, SubscriptionNotFound):
        return None
    named = ids.parse(request.path_params.get("subscription_id", ""))
    return None if named is None else SubscriptionId(named)


def media_type_of(request: Request) -> str:
    """Media type of the body in lower case, without its parameters; empty if the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def fault_of(error: Mapping[str, Any]) -> Fault:
    """Fault of a parameter, as FastAPI reports it."""
    # The location is the query or the path, the parameter, and the place in a list of values.
    name = error["loc"][:2][-1]
    return Fault(str(error["msg"]).removeprefix("Value error, "), parameter=str(name))


def refuse_unfit_head(request: Request, *, with_body: bool) -> None:
    """Raise Invalid for an unknown or repeated query parameter, and for a reason that is too long.

    A misspelt filter must not be ignored, nor the first of two. The access calls this for routes that take no
    body. For the others the reader of the body calls it, with `with_body`, since 413 and 415 have to come
    before 422.
    """
    reason = _reason(request)
    if not request.scope["query_string"] and reason is None:
        return
    operation = operation_of(request.scope["route"])
    if (operation.body is not None) is not with_body:
        return
    if reason is not None and len(reason) > MAX_REASON:
        detail = f"a reason has at most {MAX_REASON} characters"
        raise Invalid.of(CHANGE_REASON, detail)
    times = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [name for name in times if name not in operation.query]
    repeated = [name for name in times if times[name] > 1 and name in operation.query - operation.several]
    if unknown or repeated:
        faults = [Fault("there is no such parameter here", parameter=name) for name in unknown]
        faults += [Fault("a parameter has one value", parameter=name) for name in repeated]
        said = [f"there is no parameter {name!r} here" for name in unknown[:1]]
        said += [f"{name!r} stands in it more than once" for name in repeated[:1]]
        # The values are judged here as well, so that a caller sees all faults at once.
        _, errors = request_params_to_args(operation.fields, request.query_params)
        unfit = [each for each in map(fault_of, errors) if each.parameter not in repeated]
        faults += unfit
        said += [f"{fault.parameter}: {fault.detail}" for fault in unfit]
        raise Invalid(f"The query is not valid: {'; '.join(said)}.", faults=faults)
