"""Signing in and out by pages."""

from tests.support.api import Server, Tenant
from tests.support.web import Browser


def test_a_key_signs_in_and_leads_to_the_subscription(server: Server, tenant: Tenant) -> None:
    browser = Browser(server)
    form = browser.see("/sign-in").form("/sign-in")
    page = browser.send(form, follow=False, key=tenant.ana.key)
    assert (page.status, page.location) == (303, f"/s/{tenant.subscription_id}")


def test_nobody_is_led_to_the_sign_in_and_back(server: Server, tenant: Tenant) -> None:
    browser = Browser(server)
    asked = f"/s/{tenant.subscription_id}?x=1"
    page = browser.get(asked, follow=True)
    assert page.heading == "Sign in"
    assert browser.send(page.form("/sign-in"), follow=False, key=tenant.ana.key).location == asked


def test_a_wrong_key_is_told_in_place(server: Server) -> None:
    page = Browser(server).post("/sign-in", key="wrong")
    assert (page.status, page.heading) == (401, "Sign in")
    assert "The API key is not known here." in page.words


def test_signing_out_ends_the_session(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    cookie = browser.http.cookies["annals"]
    page = browser.post("/sign-out", follow=True)
    assert "You are signed out." in page.words
    browser.http.cookies.set("annals", cookie)
    assert browser.get("/").location == "/sign-in"
