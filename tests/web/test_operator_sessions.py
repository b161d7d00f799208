"""The operator's sessions: listed with their devices, ended one by one or all but the one in use."""

from tests.support.api import UNKNOWN, Server, Tenant
from tests.support.web import Browser

PATH = "/platform/sessions"


def test_the_operator_lists_sessions_and_ends_one(server: Server) -> None:
    first, second = (
        Browser(server, **{"user-agent": name}).sign_in(server.operator) for name in ("Kiln/1", "Oven/2")
    )
    page = second.see(PATH)
    assert ("Kiln/1" in page.source, "Oven/2" in page.source) == (True, True)
    (row,) = [row for row in page.root.all("tr") if "Kiln/1" in row.text]
    (form,) = row.all("form")
    done = second.post(form["action"], follow=True)
    assert "Ended." in done.words
    assert "Kiln/1" not in done.source
    assert first.get(PATH).location.startswith("/sign-in")
    second.see(PATH)
    session_id = form["action"].split("/")[-2]
    rows = server.database.rows(
        "SELECT username FROM audit_logs WHERE subscription_id IS NULL AND action = 'LOGOUT'"
        " AND resource_id = %s",
        session_id,
    )
    assert rows == [("operator",)]


def test_the_operator_ends_all_other_sessions(server: Server) -> None:
    first, second = (Browser(server).sign_in(server.operator) for _ in range(2))
    page = second.send(second.see(PATH).form("/end-others"))
    assert [form.action for form in page.forms if form.action.startswith(PATH)] == []
    assert first.get(PATH).status == 303


def test_what_is_no_session_ends_nothing(server: Server) -> None:
    first, second = (Browser(server).sign_in(server.operator) for _ in range(2))
    for name in (UNKNOWN, "no-id"):
        assert "Ended." in second.post(f"{PATH}/{name}/end", follow=True).words
    first.see(PATH)


def test_a_tenants_session_is_not_the_operators(server: Server, shared: Tenant) -> None:
    theirs = Browser(server, **{"user-agent": "Loom/3"}).sign_in(shared.ana)
    browser = Browser(server).sign_in(server.operator)
    assert "Loom/3" not in browser.see(PATH).source
    page = theirs.see(f"/s/{shared.subscription_id}/settings/sessions")
    browser.post(f"{PATH}/end-others")
    assert page.status == theirs.get(page.path).status == 200
