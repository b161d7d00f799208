"""Devices by their user agents."""

import pytest

from service.web.devices import device_of

MOZILLA = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) {}"


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (MOZILLA.format("Windows NT 10.0; Win64; x64", "Chrome/140.0 Safari/537.36"), "Chrome on Windows"),
        (MOZILLA.format("Windows NT 10.0", "Chrome/140.0 Safari/537.36 Edg/140.0"), "Edge on Windows"),
        (MOZILLA.format("Linux; Android 16", "Chrome/140.0 Mobile Safari/537.36"), "Chrome on Android"),
        (MOZILLA.format("iPhone; CPU iPhone OS 19_0 like Mac OS X", "Safari/604.1"), "Safari on iPhone"),
        (MOZILLA.format("Macintosh; Intel Mac OS X 15", "Version/19.0 Safari/605.1.15"), "Safari on macOS"),
        ("curl/8.14.1", "curl/8.14.1"),
        ("", "a program that does not tell its name"),
        (None, "a program that does not tell its name"),
        ("x" * 500, "x" * 60),
    ],
)
def test_a_user_agent_names_a_device(agent: str | None, named: str) -> None:
    assert device_of(agent) == named
