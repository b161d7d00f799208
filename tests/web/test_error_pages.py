"""Errors as pages: each says what happened, what to do next, and the id of its request."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jinja2 import DictLoader

from service.committer.refusals import check_head_match
from service.domain import errors, etags, quotas
from service.domain.errors import AnnalsError, Fault, leaves
from service.domain.quotas import Quota
from service.usecases import web_sessions
from service.web import advice, render
from tests.support.api import UNKNOWN, Server, Tenant, refused
from tests.support.databases import Cluster
from tests.support.serving import serving
from tests.support.web import SAME_ORIGIN, Browser, Page

PROGRAM = {"accept": "*/*"}
HTMX = {"hx-request": "true"}


def told(page: Page, status: int, heading: str) -> str:
    """Words of an error page, after checking what each of them has."""
    assert (page.status, page.heading) == (status, heading), page.words
    request_id = page.headers["x-request-id"]
    assert f"Request {request_id}" in page.words
    assert any(link.startswith("/docs/problems/") for link in page.links)
    return page.words


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.code)
def test_every_error_has_advice_of_its_family(kind: type[AnnalsError]) -> None:
    found = advice.advice_on(kind)
    assert found.endswith(".")
    assert found != advice.ELSE


def test_an_unknown_address_is_a_page_for_a_person_and_a_problem_for_a_program(server: Server) -> None:
    for path in ("/nothing", "/s", "/favicon.ico"):
        words = told(Browser(server).get(path), 404, "No such path")
        assert "Sign in" in words
        refused(Browser(server).http.get(path, headers=PROGRAM), 404, "path_not_found")
    for path in ("/v1/nothing", "/docs/nothing"):
        refused(Browser(server).http.get(path), 404, "path_not_found")
    refused(server.nobody.get("/", headers=PROGRAM), 401, "unauthenticated")


def test_a_page_of_nothing_leads_its_reader_back(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.vera)
    page = browser.get(f"/s/{UNKNOWN}")
    told(page, 404, "No such subscription")
    assert browser.get(page.link("To the first page")).location == f"/s/{tenant.subscription_id}"
    assert browser.get("/nothing").link("To the first page") == "/"


def test_an_error_keeps_the_menu_of_the_readers_own_subscription(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.vera)
    own = f"/s/{tenant.subscription_id}"
    for path, status in ((f"/s/{UNKNOWN}/resources", 404), (f"{own}/settings/users", 403)):
        page = browser.see(path, status)
        assert f"{own}/resources" in page.links
        assert UNKNOWN not in "".join(page.links)
    operator = Browser(server).sign_in(server.operator)
    assert "/platform" in operator.see(f"/s/{UNKNOWN}/resources", 404).links
    assert Browser(server).get("/nothing").root.all("nav") == []


def test_a_page_that_takes_forms_alone_says_so_to_a_reader(server: Server) -> None:
    page = Browser(server).get("/sign-out")
    told(page, 405, "The method does not apply to this path")
    assert page.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"x=" + b"y" * 320 * 1024, {}, 413, "body_too_large"),
        (b"{}", {"content-type": "application/json"}, 415, "unsupported_media_type"),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        (b"key=\xff", {}, 400, "malformed_request"),
        (b"key=%ff", {}, 400, "malformed_request"),
        (b"&".join([b"a=b"] * 1001), {}, 400, "malformed_request"),
    ],
)
def test_a_form_that_is_none_is_told_on_a_page(
    server: Server, shared: Tenant, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    browser = Browser(server).sign_in(shared.ana)
    form = SAME_ORIGIN | {"content-type": "application/x-www-form-urlencoded"}
    path = f"/s/{shared.subscription_id}/workspaces"
    page = Page(browser.http.post(path, content=content, headers=form | headers))
    assert (page.status, f"/docs/problems/{code}" in page.links) == (status, True), page.words


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every page fail."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a planted fault")

    with monkeypatch.context() as patch:
        patch.setattr(web_sessions, "resume", fail)
        yield


def test_a_fault_in_a_page_is_a_page(server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    with broken(monkeypatch):
        words = told(browser.get(f"/s/{tenant.subscription_id}"), 500, "A fault of the server")
    assert "a planted fault" not in words
    assert browser.get("/").status == 303


def test_an_error_page_that_fails_gives_way_to_a_plain_answer(
    server: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    with monkeypatch.context() as patch:
        patch.setattr(render._templates, "loader", DictLoader({"problem.html": "{{ nothing.at_all }}"}))
        patch.setattr(render._templates, "cache", None)
        refused(browser.http.get("/nothing"), 404, "path_not_found")
        with broken(monkeypatch):
            refused(browser.http.get(f"/s/{tenant.subscription_id}"), 500, "internal")
    told(browser.get("/nothing"), 404, "No such path")


def test_a_database_that_is_away_is_told_on_a_page(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as server:
        tenant = Tenant(server)
        browser = Browser(server).sign_in(tenant.ana)
        cluster.drop(server.database)
        page = browser.get(f"/s/{tenant.subscription_id}")
        words = told(page, 503, "The database can't be reached")
        assert "Try again in a moment." in words
        assert page.headers["retry-after"] == "2"
        told_at_sign_in = browser.post("/sign-in", key=tenant.ana.key)
        assert (told_at_sign_in.status, told_at_sign_in.heading) == (503, "Sign in")


def test_a_head_has_the_headers_of_the_page_and_no_body(server: Server) -> None:
    browser = Browser(server)
    page, head = browser.http.get("/sign-in"), server.http.head("/sign-in")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-security-policy"] == page.headers["content-security-policy"]
    assert server.http.head("/nothing").status_code == 404


def test_a_part_of_a_page_leads_the_whole_page_to_the_sign_in(server: Server, tenant: Tenant) -> None:
    answer = Browser(server).get(f"/s/{tenant.subscription_id}", headers=HTMX)
    assert (answer.status, answer.source) == (401, "")
    assert answer.headers["hx-redirect"] == f"/sign-in?next=%2Fs%2F{tenant.subscription_id}"


def test_a_part_of_a_page_leads_the_whole_page_to_its_error(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    path = f"/s/{UNKNOWN}?under=%C3%A9"
    page = browser.get(path, headers=HTMX)
    assert (page.status, page.headers["hx-redirect"]) == (404, path)
    assert "hx-redirect" not in browser.get(path).headers
    # An address that a browser takes for that of another server.
    sent = browser.http.build_request("GET", f"{server.url}//evil.example/s/", headers=HTMX)
    assert "hx-redirect" not in browser.http.send(sent).headers


def test_an_address_with_markup_is_inert(server: Server) -> None:
    page = Browser(server).get('/s/"><script>alert(1)</script>?x="><script>')
    assert "<script>alert" not in page.source
    page = Browser(server).get('/"><script>alert(1)</script>')
    assert (page.status, "<script>alert" in page.source) == (404, False)


def test_a_form_of_a_session_that_has_ended_asks_to_sign_in(server: Server, tenant: Tenant) -> None:
    page = Browser(server).post(f"/s/{tenant.subscription_id}/workspaces", name="x")
    words = told(page, 401, "No valid credentials")
    assert "Sign in again." in words


def test_the_operator_is_not_sent_to_an_admin_for_a_role(server: Server, tenant: Tenant) -> None:
    page = Browser(server).sign_in(server.operator).get(f"/s/{tenant.subscription_id}/resources")
    words = told(page, 403, "The role does not permit this")
    assert "sign in with the key of a user" in words


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("Field required", "is missing"),
        ("List should have at most 20 items after validation, not 21", "at most 20, not 21"),
        ("Input should be less than or equal to 7", "should be at most 7"),
        ("Input should be greater than or equal to 0", "should be at least 0"),
        ("Input should be a valid integer, unable to parse string as an integer", "should be a whole number"),
        ("is an integer in plain digits", "should be a whole number"),
        ("String should have at most 255 characters", "should have at most 255 characters"),
        ("is an instant with its zone (RFC 3339)", "should be a date with a time"),
        ("may not be blank", "may not be blank"),
    ],
)
def test_a_fault_is_told_in_words_for_people(detail: str, told: str) -> None:
    assert advice.fault_of(detail) == told
    error = errors.Invalid(f"The body is not valid: /a_b/0: {detail}.", faults=[Fault(detail, "/a_b/0")])
    assert advice.detail_of(error) == f"A b: {told}."


@pytest.mark.parametrize(
    ("quota", "told"),
    [
        (Quota.REPOSITORY_BYTES, "The quota of the size of the repository is 1.0 KiB, and 1.0 KiB are used."),
        (Quota.VERSIONS_A_DAY, "The quota of versions a day is 1,024, and 1,024 are used."),
    ],
)
def test_a_quota_is_told_in_words_for_people(quota: Quota, told: str) -> None:
    with pytest.raises(errors.QuotaExceeded) as raised:
        quotas.check(quota, 1024, used=1024, more=1)
    assert advice.detail_of(raised.value).startswith(told)


def test_advice_says_nothing_was_changed_only_where_that_is_known() -> None:
    said = {kind for kind in leaves() if "Nothing was changed." in advice.advice_on(kind)}
    assert said == {errors.Busy, errors.StorageFull, errors.RoleMissing}
    assert "it is stored" in advice.advice_on(errors.RefNotMoved)


@pytest.mark.parametrize("kind", [k for k in leaves() if issubclass(k, errors.NotFound)])
def test_the_restore_bin_is_named_for_what_can_lie_in_it(kind: type[AnnalsError]) -> None:
    of_bin = {errors.ResourceNotFound, errors.ParentNotFound, errors.DeletionNotFound}
    assert ("restore bin" in advice.advice_on(kind)) == (kind in of_bin)


def test_no_detail_of_a_page_speaks_of_headers() -> None:
    match = etags.parse(f'"{"0" * 40}"')
    with pytest.raises(errors.StaleVersion) as raised:
        check_head_match("1" * 40, match)
    assert advice.detail_of(raised.value) == "The subscription's history has gone on."
    for kind in (errors.RequestInFlight, errors.OutcomeUnknown, errors.IfMatchRequired):
        assert "Idempotency-Key" not in advice.detail_of(kind("Send it with the Idempotency-Key."))


def test_a_form_of_another_site_is_told_without_a_word_of_roles(server: Server) -> None:
    page = Browser(server).post("/sign-out", headers={"sec-fetch-site": "cross-site"})
    words = told(page, 403, "Pages of this origin may not call")
    assert "Open the page in Annals itself" in words
