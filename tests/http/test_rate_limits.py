"""Limits of calls: failed logins of an address, calls of a key and of a subscription."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from service.http.auth.rate_limits import headers_of
from service.http.requests import network_of
from service.runtime import rate_limits
from service.runtime.rate_limits import RateLimit
from service.runtime.settings import SettingsError, load
from tests.support.api import Caller, Server, Tenant, ok, refused
from tests.support.databases import Cluster
from tests.support.serving import serving


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


def counted(limit: RateLimit, who: str, calls: int) -> list[bool]:
    return [limit.count(who).is_within for _ in range(calls)]


def test_calls_beyond_the_rate_are_refused_until_the_oldest_is_a_window_old(time: Time) -> None:
    limit = RateLimit("x", "3/minute", time)
    assert counted(limit, "a", 2) == [True, True]
    time.pass_by(30)
    assert counted(limit, "a", 2) == [True, False]
    time.pass_by(29.5)
    refusal = limit.count("a")
    assert (refusal.is_within, refusal.remaining, refusal.reset_seconds) == (False, 0, 1)
    time.pass_by(1)
    assert counted(limit, "a", 3) == [True, True, False]


def test_each_is_counted_apart(time: Time) -> None:
    limit = RateLimit("x", "1/minute", time)
    assert counted(limit, "a", 2) == [True, False]
    assert counted(limit, "b", 1) == [True]


def test_each_process_has_its_share_rounded_up(time: Time) -> None:
    assert RateLimit("x", "10/minute", time, processes=4).count("a").quota == 3


def test_a_clock_that_is_set_back_shuts_nobody_out(time: Time) -> None:
    limit = RateLimit("x", "1/minute", time)
    assert counted(limit, "a", 2) == [True, False]
    time.pass_by(-3600)
    assert counted(limit, "a", 2) == [True, False]


def test_a_flood_of_addresses_takes_no_more_memory_than_the_bound(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_COUNTED", 100)
    limit = RateLimit("x", "1/minute", time)
    for number in range(300):
        limit.count(str(number))
    assert limit.counted == 100
    assert counted(limit, "299", 1) == [False]
    time.pass_by(61)
    limit.count("another")
    assert limit.counted == 1


@pytest.mark.parametrize("rate", ["", "ten a minute", "0/minute", "100001/minute", "1/minute; 2/hour"])
def test_a_rate_that_is_none_is_refused_at_the_start(rate: str) -> None:
    with pytest.raises(SettingsError, match="ANNALS_KEY_RATE"):
        load({"key_rate": rate}, {})


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, ""),
    ],
)
def test_an_address_of_version_6_stands_for_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network


def test_the_headers_list_every_limit_that_counted_the_call(time: Time) -> None:
    standings = [RateLimit(name, "9/minute", time).count("a") for name in ("key", "subscription")]
    assert headers_of(standings) == {
        "RateLimit-Policy": '"key";q=9;w=60, "subscription";q=9;w=60',
        "RateLimit": '"key";r=8;t=60, "subscription";r=8;t=60',
    }


# -- over HTTP --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limiting(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that limits failed logins to 3 a minute, keys to 20 and subscriptions to 30."""
    flags = {"failed_logins": "3/minute", "key_rate": "20/minute", "subscription_rate": "30/minute"}
    with serving(cluster, tmp_path_factory.mktemp("annals"), **flags) as server:
        yield server


@pytest.fixture
def limited(limiting: Server) -> Tenant:
    """A tenant of that server, at a time when no call counts any more."""
    limiting.clock._offset += timedelta(minutes=2)
    return Tenant(limiting)


def guess(server: Server, key: str | None = None) -> httpx.Response:
    return Caller(server, key or f"annals_{uuid4().hex}_x").get("/v1/whoami")


def test_failed_logins_beyond_the_limit_are_answered_by_429(limited: Tenant) -> None:
    answers = [guess(limited.server) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    refused(answers[3], 429, "too_many_failed_logins")
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60
    assert answers[0].headers["ratelimit-policy"] == '"failed-logins";q=3;w=60'
    assert answers[0].headers["ratelimit"] == '"failed-logins";r=2;t=60'
    assert answers[3].headers["ratelimit"].startswith('"failed-logins";r=0;t=')
    with limited.server.clock.moved(seconds=61):
        refused(guess(limited.server), 401, "unauthenticated")


def test_a_good_key_of_a_limited_address_is_answered(limited: Tenant) -> None:
    answers = [guess(limited.server) for _ in range(4)]
    assert answers[3].status_code == 429
    ok(limited.ana.get("/v1/whoami"))


def test_a_request_without_a_key_is_no_failed_login(limited: Tenant) -> None:
    for _ in range(5):
        answer = limited.server.nobody.get("/v1/whoami")
        refused(answer, 401, "unauthenticated")
        assert "ratelimit" not in answer.headers


def test_a_key_beyond_its_rate_is_answered_by_429(limited: Tenant) -> None:
    ana = limited.ana
    answers = [ana.get("/v1/whoami") for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    refused(answers[20], 429, "key_rate_exceeded")
    assert answers[0].headers["ratelimit"] == '"key";r=19;t=60, "subscription";r=29;t=60'
    assert 1 <= int(answers[20].headers["retry-after"]) <= 60
    ok(limited.ben.get("/v1/whoami"))


def test_the_keys_of_a_subscription_have_one_rate_together(limited: Tenant) -> None:
    ana, ben, other = limited.ana, limited.ben, Tenant(limited.server, "other").ana
    answers = [caller.get("/v1/whoami") for caller in (ana, ben) for _ in range(16)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429] * 2
    refused(answers[31], 429, "subscription_rate_exceeded")
    ok(other.get("/v1/whoami"))


def test_a_call_beyond_the_rate_does_nothing(limited: Tenant) -> None:
    ben = limited.ben
    for _ in range(20):
        ok(ben.get("/v1/whoami"))
    refused(ben.post(f"{limited.path}/workspaces", {"name": "w"}), 429, "key_rate_exceeded")
    assert ok(limited.ana.get(f"{limited.path}/workspaces"))["items"] == []
