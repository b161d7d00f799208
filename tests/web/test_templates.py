"""Rules of the templates: nothing inline, nothing unescaped, nothing from elsewhere."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.web import render, words

FOLDER = Path(render.__file__).parent / "templates"
NAMES = sorted(f"{path.relative_to(FOLDER)}" for path in FOLDER.rglob("*.html"))
BANNED = {
    "a style of its own": r"\sstyle\s*=|<style",
    "a handler": r"\son[a-z]+\s*=",
    "a handler of htmx": r"hx-on|js:|hx-vals\s*=\s*['\"]js|javascript:",
    "unescaped text": r"\|\s*safe\b|autoescape|Markup",
    "a file from elsewhere": r"(src|href|action)\s*=\s*[\"']?(https?:)?//",
    "a script of its own": r"<script(?![^>]*\ssrc=)|<script[^>]*>\s*[^<\s]",
    "a frame": r"<(iframe|object|embed|base)\b",
    "an attribute without quotes": r"\s(href|src|value|action|id|class|name)=\{\{",
}


def without_comments(text: str) -> str:
    return re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("what", BANNED)
def test_no_template_has(what: str) -> None:
    found = {
        name: match.group()
        for name in NAMES
        if (match := re.search(BANNED[what], without_comments((FOLDER / name).read_text())))
    }
    assert found == {}


def test_what_is_banned_is_found() -> None:
    examples = {
        "a style of its own": '<p style="x">',
        "a handler": '<p onclick="x">',
        "a handler of htmx": '<p hx-on:click="x">',
        "unescaped text": "{{ x|safe }}",
        "a file from elsewhere": '<img src="//x">',
        "a script of its own": "<script>x</script>",
        "a frame": "<iframe src='x'>",
        "an attribute without quotes": "<a href={{ x }}>",
    }
    assert {what for what, text in examples.items() if re.search(BANNED[what], text)} == set(BANNED)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_compiles_and_its_forms_name_their_method(name: str) -> None:
    render._templates.get_template(name)
    text = without_comments((FOLDER / name).read_text())
    forms = re.findall(r"<form\b[^>]*>", text)
    assert [form for form in forms if not re.search(r'method="(post|get)"|action="', form)] == []


def test_every_value_is_escaped_and_a_missing_one_is_a_fault() -> None:
    assert render._templates.autoescape is True
    assert render._templates.undefined.__name__ == "StrictUndefined"


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(days=90) - timedelta(seconds=2), "in 90 days"),
        (timedelta(hours=8) - timedelta(seconds=2), "in 8 h"),
        (timedelta(minutes=20, seconds=40), "in 21 min"),
        (timedelta(minutes=59, seconds=50), "in 1 h"),
        (timedelta(hours=47, minutes=50), "in 2 days"),
        (-timedelta(days=2, hours=23), "2 days ago"),
    ],
)
def test_a_time_to_come_is_told_to_the_nearest_unit(span: timedelta, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert words.ago(now + span, now) == said
