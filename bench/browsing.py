"""The figures of the pages: the time to the first byte of each, beside the same data by the API."""

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode

from bench.figures import Demand, Measured
from bench.load import LoadFailed
from bench.service import Service
from bench.stage import Stage
from bench.tenants import Tenant

_FORM = "application/x-www-form-urlencoded"
# Views of a page in one turn, the first of which are not counted.
_VIEWS, _WARM = 30, 3
_SAVES = 30


@dataclass(frozen=True, slots=True)
class Viewed:
    """A page and the call of the API with the same data; both are paths below the subscription."""

    demand: Demand
    page: str
    call: str


def _viewed(key: str, figure: str, page: str, call: str) -> Viewed:
    return Viewed(Demand(key, f"first byte of {figure}", 100, 50, "ms", at_most=True), page, call)


# `W` stands for the path of a workflow with some versions.
PAGES = (
    _viewed("tree", "the tree of 10,000 resources", "/resources", "/workspaces"),
    _viewed("search", "a search by a part of a name", "/resources?q=99", "/workflows?limit=50"),
    _viewed("history", "a history, 25 versions", "W", "W/versions?limit=25"),
    _viewed("version", "a version", "W/versions/5", "W/versions/5"),
    _viewed("compare", "a comparison", "W/compare?from=2&to=20", "W/diff?from=2&to=20"),
    _viewed("roll-back", "the preview of a rollback", "W/roll-back?to=2", "W/diff?from=current&to=2"),
    _viewed("publish", "the preview of a publication", "W/publish?ref=current", "W/diff?from=2&to=current"),
    _viewed("check-outs", "the check-outs", "/check-outs", "/check-outs"),
    _viewed("deletions", "the restore bin", "/deletions", "/deletions"),
)


def views(stage: Stage) -> list[Measured]:
    """View each page, and make each call, alternately."""
    service, tenant = stage.service(), stage.hot()
    workflow = f"/workflows/{tenant.workflows[0]}"
    _save(service, tenant, workflow)
    found = []
    with closing(HTTPConnection(*service.address, timeout=60)) as connection:
        cookie = signed_in(connection, tenant.keys[0])
        as_reader = {"Cookie": cookie, "Accept": "text/html", "Accept-Encoding": "gzip"}
        as_program = {"Authorization": f"Bearer {tenant.keys[0]}"}
        for each in PAGES:
            measured = Measured(each.demand, measure="ms")
            page = f"/s/{tenant.subscription_id}{each.page.replace('W', workflow)}"
            call = f"{tenant.path}{each.call.replace('W', workflow)}"
            for _ in range(stage.sizes.pairs):
                ours = statistics.median(_times(connection, page, as_reader))
                theirs = statistics.median(_times(connection, call, as_program))
                measured.add(ours, 1.0)
                measured.notes.append(f"{ours:.1f} ms, by the API {theirs:.1f} ms: {ours / theirs:.1f} ×")
            stage.say(f"{each.demand.key}: {measured.notes[-1]}")
            found.append(measured)
    return found


def _save(service: Service, tenant: Tenant, workflow: str) -> None:
    """Make versions of a workflow, publish one and tag one."""
    for number in range(_SAVES):
        data = service.call("GET", f"{tenant.path}{workflow}", key=tenant.keys[0])["definition"]
        data["revision"] = number
        service.call("POST", f"{tenant.path}{workflow}/versions", {"data": data}, tenant.keys[0])
    service.call("POST", f"{tenant.path}{workflow}/versions/3/publish", {}, tenant.keys[0])


def auditor(service: Service, tenant: Tenant) -> str:
    """Make a user who may read figures and logs, and return the key."""
    user = {"username": "auditor", "email": "auditor@example.com", "role": "auditor"}
    user_id = service.call("POST", f"{tenant.path}/users", user)["user_id"]
    asked = {"user_id": user_id, "name": "bench"}
    key: str = service.call("POST", f"{tenant.path}/api-keys", asked)["api_key"]
    return key


def signed_in(connection: HTTPConnection, key: str) -> str:
    """Begin a session; returns its cookie."""
    headers = {"Content-Type": _FORM, "Sec-Fetch-Site": "same-origin"}
    connection.request("POST", "/sign-in", urlencode({"key": key}), headers)
    answer = connection.getresponse()
    answer.read()
    cookie = answer.getheader("Set-Cookie")
    if answer.status != 303 or cookie is None:
        raise LoadFailed(f"the sign-in was answered {answer.status}")
    return cookie.partition(";")[0]


def _times(connection: HTTPConnection, path: str, headers: dict[str, str]) -> Iterator[float]:
    """Milliseconds to the first byte of each view; raises LoadFailed for any answer but 200."""
    for number in range(_WARM + _VIEWS):
        began = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        spent = (time.perf_counter() - began) * 1000
        body = answer.read()
        if answer.status != 200:
            raise LoadFailed(f"GET {path} was answered {answer.status}: {body[:200]!r}")
        if number >= _WARM:
            yield spent
