"""Users: the last admin, roles and check-outs that end, erased addresses, service accounts, equal names."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from service.domain.errors import Forbidden
from service.domain.resource_kinds import Kind
from service.usecases.check_outs import check_out
from tests.support.api import UNKNOWN, Caller, Json, Server, Tenant, ok, pointers, refused
from tests.support.authors import late_author


def user_path(tenant: Tenant, user: Caller) -> str:
    return f"{tenant.path}/users/{user.user_id}"


def roles(tenant: Tenant) -> dict[str, str]:
    """The role of each user, by name."""
    return {user["username"]: user["role"] for user in tenant.server.operator.pages(f"{tenant.path}/users")}


# -- the last admin ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "editor", "auditor"])
def test_the_last_admin_cannot_be_demoted(tenant: Tenant, role: str) -> None:
    refused(tenant.ana.patch(user_path(tenant, tenant.ana), {"role": role}), 409, "last_admin")
    assert roles(tenant)["ana"] == "admin"


def test_the_last_admin_cannot_be_deleted(tenant: Tenant) -> None:
    refused(tenant.ana.delete(user_path(tenant, tenant.ana)), 409, "last_admin")
    ok(tenant.ana.get("/v1/whoami"))


def test_an_admin_beside_another_may_be_demoted_and_deleted(tenant: Tenant) -> None:
    other = tenant.user("olga", "admin")
    ok(tenant.ana.patch(user_path(tenant, tenant.ana), {"role": "viewer"}))
    ok(other.delete(user_path(tenant, tenant.ana)), 204)
    refused(other.delete(user_path(tenant, other)), 409, "last_admin")


def test_an_admin_without_a_valid_key_does_not_count(tenant: Tenant) -> None:
    keyless = {"username": "olga", "email": "olga@example.org", "role": "admin"}
    olga = ok(tenant.ana.post(f"{tenant.path}/users", keyless), 201)
    refused(tenant.ana.patch(user_path(tenant, tenant.ana), {"role": "viewer"}), 409, "last_admin")
    key = {"user_id": olga["user_id"], "name": "laptop"}
    ok(tenant.ana.post(f"{tenant.path}/api-keys", key), 201)
    ok(tenant.ana.patch(user_path(tenant, tenant.ana), {"role": "viewer"}))


def test_a_key_cannot_delete_itself_but_another_key_of_its_user(tenant: Tenant) -> None:
    keys = f"{tenant.path}/api-keys"
    refused(tenant.ana.delete(f"{keys}/{tenant.ana.key_id}"), 409, "own_key")
    other = ok(tenant.ana.post(keys, {"user_id": tenant.ana.user_id, "name": "laptop"}), 201)
    ok(tenant.ana.delete(f"{keys}/{other['key_id']}"), 204)
    ok(tenant.ana.get("/v1/whoami"))


def test_an_admin_of_another_subscription_does_not_count(tenant: Tenant, stranger: Tenant) -> None:
    assert stranger.ana.user_id
    refused(tenant.ana.delete(user_path(tenant, tenant.ana)), 409, "last_admin")


def test_the_operator_may_end_the_last_admin(tenant: Tenant) -> None:
    operator = tenant.server.operator
    ok(operator.patch(user_path(tenant, tenant.ana), {"role": "viewer"}))
    ok(operator.patch(user_path(tenant, tenant.ana), {"role": "admin"}))
    ok(operator.delete(user_path(tenant, tenant.ana)), 204)


def test_the_last_admin_keeps_the_role_that_it_is_given_again(tenant: Tenant) -> None:
    changed = ok(tenant.ana.patch(user_path(tenant, tenant.ana), {"role": "admin", "email": "a@b.example"}))
    assert (changed["role"], changed["email"]) == ("admin", "a@b.example")


@pytest.mark.parametrize("call", ["demote", "delete"])
def test_admins_who_end_each_other_at_once_leave_one(tenant: Tenant, call: str) -> None:
    admins = [tenant.ana, *(tenant.user(f"admin{number}", "admin") for number in range(3))]

    def end(pair: tuple[Caller, Caller]) -> int:
        by, whom = pair
        path = user_path(tenant, whom)
        answer = by.delete(path) if call == "delete" else by.patch(path, {"role": "viewer"})
        return answer.status_code

    pairs = [(each, other) for each in admins for other in admins if each is not other]
    with ThreadPoolExecutor(len(pairs)) as pool:
        statuses = list(pool.map(end, pairs))
    # The others lost their role or their key before their own call, or found nobody to end.
    assert set(statuses) <= {200, 204, 401, 403, 404, 409}
    assert list(roles(tenant).values()).count("admin") >= 1


# -- check-outs of users who may not write any more --------------------------------------------------


def test_a_demoted_user_loses_its_check_outs_at_once(tenant: Tenant) -> None:
    held = [tenant.workflow(), tenant.make("connectors"), tenant.make("workspaces")]
    for resource in held:
        tenant.check_out(resource, tenant.ben)
    kept = tenant.workflow()
    tenant.check_out(kept, tenant.ana)
    ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"role": "viewer"}))
    for resource in held:
        assert ok(tenant.ana.get(tenant.at(resource)))["checked_out_by"] is None
        tenant.check_out(resource, tenant.ana)
    assert ok(tenant.ana.get(tenant.at(kept)))["checked_out_by"] == tenant.ana.user_id
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", action="FORCE_CANCEL")
    assert {event["resource_id"] for event in events} == {resource["resource_id"] for resource in held}
    assert {event["username"] for event in events} == {"ana"}
    assert {event["old_values"]["checked_out_by_username"] for event in events} == {"ben"}


def test_a_change_between_roles_that_write_keeps_check_outs(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"role": "admin"}))
    ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"role": "editor"}))
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] == tenant.ben.user_id


def test_the_operator_ends_check_outs_by_a_demotion(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    ok(tenant.server.operator.patch(user_path(tenant, tenant.ben), {"role": "auditor"}))
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] is None
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="FORCE_CANCEL")
    assert event["username"] == "operator"


def test_a_user_demoted_since_its_key_was_verified_takes_no_check_out(server: Server, tenant: Tenant) -> None:
    workflow = tenant.workflow()
    author = late_author(tenant, tenant.ben)
    ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"role": "viewer"}))
    with pytest.raises(Forbidden):
        check_out(
            server.context, author, Kind.WORKFLOW, UUID(workflow["resource_id"]), reason=None, lease=None
        )
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] is None


def test_no_check_out_survives_a_demotion_beside_it(tenant: Tenant) -> None:
    workflows = [tenant.workflow() for _ in range(8)]
    path = user_path(tenant, tenant.ben)

    def take(workflow: Json) -> int:
        return tenant.ben.post(f"{tenant.at(workflow)}/check-out", {}).status_code

    with ThreadPoolExecutor(9) as pool:
        taken = [pool.submit(take, workflow) for workflow in workflows]
        demoted = pool.submit(tenant.ana.patch, path, {"role": "viewer"})
        assert {each.result() for each in taken} <= {200, 403}
        ok(demoted.result())
    found = ok(tenant.ana.get(f"{tenant.path}/check-outs"))
    assert (found["ours"], found["theirs"]) == ([], [])


# -- addresses ---------------------------------------------------------------------------------------


def addresses_in_events(tenant: Tenant, user: Caller) -> set[str | None]:
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", user_id=user.user_id)
    assert events
    return {event["user_email"] for event in events}


def test_null_erases_a_users_address_everywhere(tenant: Tenant) -> None:
    tenant.workflow(by=tenant.ben)
    assert addresses_in_events(tenant, tenant.ben) == {"ben@example.org"}
    erased = ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"email": None}))
    assert (erased["email"], erased["role"]) == (None, "editor")
    assert addresses_in_events(tenant, tenant.ben) == {None}
    assert (
        tenant.server.database.value(
            "SELECT count(*) FROM actors WHERE email = 'ben@example.org' AND subscription_id = %s",
            tenant.subscription_id,
        )
        == 0
    )


@pytest.mark.parametrize("by", ["ana", "operator"])
def test_the_address_of_a_former_user_can_be_erased(tenant: Tenant, by: str) -> None:
    tenant.workflow(by=tenant.ben)
    ok(tenant.ana.delete(user_path(tenant, tenant.ben)), 204)
    assert addresses_in_events(tenant, tenant.ben) == {"ben@example.org"}
    for _ in range(2):
        ok(tenant.caller(by).delete(f"{user_path(tenant, tenant.ben)}/email"), 204)
    assert addresses_in_events(tenant, tenant.ben) == {None}
    path = f"{tenant.path}/change-history"
    [change, *_] = tenant.aud.pages(path, table_name="users", record_id=tenant.ben.user_id)
    assert change["new_data"]["email_changed"] is True
    assert "ben@example.org" not in str(change)


def test_only_who_was_a_user_has_an_address_to_erase(tenant: Tenant, stranger: Tenant) -> None:
    for user_id in (UNKNOWN, "nobody", stranger.ben.user_id):
        path = f"{tenant.path}/users/{user_id}/email"
        refused(tenant.ana.delete(path), 404, "user_not_found")
    assert ok(stranger.ana.get(f"{stranger.path}/users"))["items"][0]["email"] == "ana@example.org"


# -- service accounts --------------------------------------------------------------------------------


def service_account(tenant: Tenant, name: str = "deployer") -> Json:
    body = {"username": name, "role": "editor", "kind": "service"}
    return ok(tenant.ana.post(f"{tenant.path}/users", body), 201)


def test_a_service_account_has_no_address_and_works_with_its_keys(tenant: Tenant) -> None:
    account = service_account(tenant)
    assert (account["kind"], account["email"]) == ("service", None)
    body = {"user_id": account["user_id"], "name": "pipeline"}
    key = ok(tenant.ana.post(f"{tenant.path}/api-keys", body), 201)["api_key"]
    caller = Caller(tenant.server, key)
    assert ok(caller.get("/v1/whoami"))["kind"] == "service"
    made = tenant.workflow(by=caller)
    assert made["created_by"] == account["user_id"]


@pytest.mark.parametrize("extra", [{}, {"email": None}])
def test_a_person_has_an_address(shared: Tenant, extra: Json) -> None:
    body = {"username": "zed", "role": "viewer", **extra}
    problem = refused(shared.ana.post(f"{shared.path}/users", body), 422, "invalid")
    assert pointers(problem) == ["/email"]


def test_a_service_account_is_given_no_address_later(tenant: Tenant) -> None:
    path = f"{tenant.path}/users/{service_account(tenant)['user_id']}"
    problem = refused(tenant.ana.patch(path, {"email": "x@example.org", "role": "viewer"}), 422, "invalid")
    assert pointers(problem) == ["/email"]
    assert roles(tenant)["deployer"] == "editor"
    assert ok(tenant.ana.patch(path, {"email": None, "role": "viewer"}))["role"] == "viewer"


def test_users_are_listed_by_kind(tenant: Tenant) -> None:
    account, path = service_account(tenant), f"{tenant.path}/users"
    assert tenant.ana.pages(path, kind="service") == [account]
    assert [user["username"] for user in tenant.ana.pages(path, kind="human", limit=1)] == ["ana"]
    refused(tenant.ana.get(path, params={"kind": "robot"}), 422, "invalid")


def test_an_event_names_the_kind_of_a_new_user(tenant: Tenant) -> None:
    account = service_account(tenant)
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_id=account["user_id"], action="CREATE")
    assert event["new_values"]["kind"] == "service"


# -- names -------------------------------------------------------------------------------------------

ALIKE = [
    ("ana", "ANA"),
    ("zoë", "ZOË"),
    ("zoë", "zoe\u0308"),
    ("straße", "STRASSE"),
    ("Ελένης", "ΕΛΈΝΗΣ"),
    ("ana", "\uff21\uff4e\uff41"),
]


@pytest.mark.parametrize(("name", "alike"), ALIKE)
def test_a_username_is_unique_without_regard_to_case(tenant: Tenant, name: str, alike: str) -> None:
    path = f"{tenant.path}/users"
    body = {"email": "x@example.org", "role": "viewer"}
    operator = tenant.server.operator
    ok(operator.post(path, body | {"username": name}), 201)
    problem = refused(operator.post(path, body | {"username": alike}), 409, "username_taken")
    assert pointers(problem) == ["/username"]


def test_of_many_alike_names_at_once_one_is_taken(tenant: Tenant) -> None:
    names = ["build", "Build", "BUILD", "bUILD", "buiLd", "builD"]

    def make(name: str) -> int:
        body = {"username": name, "email": "x@example.org", "role": "viewer"}
        return tenant.server.operator.post(f"{tenant.path}/users", body).status_code

    with ThreadPoolExecutor(len(names)) as pool:
        assert sorted(pool.map(make, names)) == [201, *[409] * 5]


def test_a_username_is_stored_composed(tenant: Tenant) -> None:
    assert tenant.user("zoe\u0308", "viewer").username == "zoe\u0308"
    assert "zo\u00eb" in roles(tenant)


@pytest.mark.parametrize("name", ["अनीता", "सीता-देवी", "สมชาย.ดี", "தமிழ்", "Nguyễn"])
def test_a_username_may_have_marks_after_its_letters(tenant: Tenant, name: str) -> None:
    assert tenant.user(name, "editor").username == name
    assert name in roles(tenant)


@pytest.mark.parametrize("name", ["operator", "system-retention"])
def test_a_user_from_before_a_name_was_reserved_stays(tenant: Tenant, name: str) -> None:
    with tenant.server.database.connection() as connection:
        connection.execute("UPDATE users SET username = %s WHERE user_id = %s", [name, tenant.ben.user_id])
    assert ok(tenant.ana.patch(user_path(tenant, tenant.ben), {"role": "viewer"}))["username"] == name


# -- versions by author ------------------------------------------------------------------------------


def test_an_authors_name_means_its_live_user_or_else_all_former_ones(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = f"{tenant.at(workflow)}/versions"

    def numbers(author: str) -> list[int]:
        return [version["version_number"] for version in tenant.ana.pages(path, author=author)]

    first = tenant.ben
    tenant.save(workflow, {"n": 2}, first)
    ok(tenant.ana.delete(user_path(tenant, first)), 204)
    second = tenant.user("ben", "editor")
    tenant.save(workflow, {"n": 3}, second)
    assert numbers("ben") == [3]
    assert (numbers(first.user_id), numbers(second.user_id)) == ([2], [3])
    ok(tenant.ana.delete(user_path(tenant, second)), 204)
    assert numbers("ben") == [3, 2]
    assert numbers("nobody") == []
