"""Annals as its pages are used: a browser with its cookies, and the pages that it gets."""

from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import httpx

from service.domain.ids import SubscriptionId, parse
from service.usecases import web_sessions
from sql.database import Database
from tests.support import html
from tests.support.api import Caller, Json, Server, Tenant
from tests.support.html import Element, Form

NAVIGATION = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
HTML = "text/html; charset=utf-8"
# What every page is sent with: see section "Session, CSRF, headers" of the decision about pages.
_POLICY = {
    *(
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
    ),
    *("connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
}
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}


# What a page weighs at most.
MOST_BYTES = 150 * 1024
MOST_ELEMENTS = 3000


class Page:
    """A page that a browser got; `words` are the text that its reader sees."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self.source = response.text
        self.path = response.request.url.raw_path.decode()

    @cached_property
    def root(self) -> Element:
        return html.parsed(self.source)

    @property
    def words(self) -> str:
        return self.root.text

    @property
    def title(self) -> str:
        return self.root.one("head").one("title").raw_text.removesuffix(" · Annals")

    @property
    def heading(self) -> str:
        return self.root.one("h1").text

    @property
    def forms(self) -> list[Form]:
        return html.forms(self.root, self.path)

    def form(self, action: str) -> Form:
        """The one form whose address ends so."""
        found = [each for each in self.forms if each.action.partition("?")[0].endswith(action)]
        assert len(found) == 1, (action, [each.action for each in self.forms])
        return found[0]

    @property
    def links(self) -> list[str]:
        """Addresses that the page links to, in their order."""
        return [each["href"] for each in self.root.all("a") if each.get("href") is not None]

    def link(self, text: str) -> str:
        """Address of the first link with these words."""
        return next(each["href"] for each in self.root.all("a") if each.text == text)

    @property
    def location(self) -> str:
        """Address that the answer leads to."""
        return self.headers["location"]


class Browser:
    """A browser without scripts: it keeps cookies, and says of each request which site sent it."""

    def __init__(self, server: Server, **headers: str) -> None:
        self.server = server
        # Each connection ends with its answer, so that nobody has to close the browser.
        transport = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
        self.http = httpx.Client(
            base_url=server.url,
            timeout=60,
            transport=transport,
            trust_env=False,
            headers={**NAVIGATION, "user-agent": "Browser of the tests", **headers},
            event_hooks={"response": [check]},
        )

    def sign_in(self, caller: Caller) -> "Browser":
        """Sign in with the key of a caller."""
        assert caller.key is not None
        page = self.post("/sign-in", key=caller.key)
        assert page.status == 303, page.words
        return self

    def get(
        self, path: str, *, follow: bool = False, headers: dict[str, str] | None = None, **query: Any
    ) -> Page:
        """Get a page; `follow` goes where it leads."""
        asked = f"{'&' if '?' in path else '?'}{urlencode(query, doseq=True)}" if query else ""
        return self._followed(self.http.get(path + asked, headers=headers), follow)

    def see(
        self, path: str, status: int = 200, *, headers: dict[str, str] | None = None, **query: Any
    ) -> Page:
        """Get a page, which has to have this status."""
        page = self.get(path, headers=headers, **query)
        assert page.status == status, (path, page.status, page.words)
        return page

    def post(
        self, path: str, *, follow: bool = False, headers: dict[str, str] | None = None, **fields: Any
    ) -> Page:
        """Send fields as a page of the server would, without those that a form on it has."""
        sent = SAME_ORIGIN if headers is None else headers
        return self._followed(self.http.post(path, data=fields, headers=sent), follow)

    def send(self, form: Form, *, follow: bool = True, **fields: Any) -> Page:
        """Fill a form and send it; a field with None is left out. `follow` goes where the answer leads."""
        given = {name: value for name, value in (form.fields | fields).items() if value is not None}
        if form.method == "GET":
            return self.get(form.action.partition("?")[0], follow=follow, **given)
        return self.post(form.action, follow=follow, **given)

    def _followed(self, response: httpx.Response, follow: bool) -> Page:
        for _ in range(5):
            if not follow or response.status_code != 303:
                break
            response = self.http.get(response.headers["location"])
        return Page(response)


def check(response: httpx.Response) -> None:
    """Assert what every page keeps to; files, redirects and pages of the API's description are left."""
    response.read()
    path = response.request.url.path
    if response.headers.get("content-type") != HTML or path.startswith("/docs"):
        return
    policy = set(response.headers["content-security-policy"].split("; "))
    assert policy == _POLICY, policy ^ _POLICY
    for name, value in _HEADERS.items():
        assert response.headers.get(name) == value, (path, name, response.headers.get(name))
    assert {"Cookie", "HX-Request"} <= set(response.headers["vary"].split(", ")), path
    assert "x-request-id" in response.headers
    assert not [name for name in response.headers if name.startswith("access-control-")], path
    html.check(html.parsed(response.text))


def assert_light(page: Page) -> None:
    """Assert that a page keeps the budgets of all pages."""
    assert len(page.source.encode()) <= MOST_BYTES
    assert sum(1 for _ in page.root.elements()) <= MOST_ELEMENTS


def offered(tenant: Tenant, caller: Caller | None = None) -> str:
    """Make a link that signs in once as a caller, else as the admin; returns its token."""
    key, subscription_id = (caller or tenant.ana).key, parse(tenant.subscription_id)
    assert key is not None
    assert subscription_id is not None
    database = Database(tenant.server.database.url, pool_size=1)
    try:
        token = web_sessions.offer_link(database, tenant.server.clock, SubscriptionId(subscription_id), key)
    finally:
        database.close()
    assert token is not None
    return token


def page_of(tenant: Tenant, resource: Json) -> str:
    """Return the path of a resource's first page."""
    return f"/s/{tenant.subscription_id}/{resource['resource_type']}s/{resource['resource_id']}"
