"""Chromium with a window of its own for each reader, and what a page must not do in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, ViewportSize, sync_playwright

from tests.support.project import ROOT
from tests.support.story import Story

CHROMIUM = shutil.which("chromium")
WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
AXE = (ROOT / "tests/vendor/axe-core/axe.min.js").read_text(encoding="utf-8")
# Findings are told by the HTML of their elements, whose selectors take a third of axe's time.
_QUICK = {"resultTypes": ["violations"], "selectors": False}
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", event => {
    violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""
# Pixels by which the page is wider than its window, and the elements that make it so.
_OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const wide = [...document.querySelectorAll("body *")].filter(each => {
        const scrolls = each.parentElement?.closest('[role="region"], pre, .scroll, svg');
        return !scrolls && each.getBoundingClientRect().right > width + 1;
    });
    return ["overflow", ...wide.slice(-3).map(each => each.outerHTML.slice(0, 160))];
}"""
# Fills a form and sends it, whatever its fields allow.
_SEND = """([action, values]) => {
    const path = form => new URL(form.getAttribute("action"), location.href).pathname;
    const form = [...document.forms].find(form => form.method === "post" && path(form).endsWith(action));
    for (const [name, value] of Object.entries(values)) {
        // A button of that name would be sent only by a click on it.
        let field = form.querySelector(`:is(input, select, textarea)[name="${name}"]`);
        if (!field) {
            field = form.appendChild(Object.assign(document.createElement("input"), {type: "hidden", name}));
        }
        field.value = value;
    }
    form.noValidate = true;
    form.requestSubmit();
}"""


@dataclass
class Reader:
    """A window of a browser, and all that its pages did wrong."""

    story: Story
    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> int | None:
        """Open a path of the server; returns the status of what it leads to."""
        answer = self.page.goto(self.story.server.url + path)
        return None if answer is None else answer.status

    def sign_in(self, role: str) -> "Reader":
        """Sign in by the page, with the key of a role."""
        self.go("/sign-in")
        self.page.fill("input[name=key]", str(self.story.caller(role).key))
        self.page.click("button.first")
        self.page.wait_for_url(lambda address: "/sign-in" not in address)
        return self

    def send(self, action: str, values: dict[str, str]) -> int:
        """Fill the form of the page whose address ends so, and send it; returns the status of the answer."""
        with self.page.expect_navigation() as answered:
            self.page.evaluate(_SEND, [action, values])
        return answered.value.status

    def check(self) -> None:
        """Assert that no page broke its policy, failed in its script, or asked another host."""
        broken = self.page.evaluate("window.violations || []")
        assert (broken, self.wrong) == ([], []), self.page.url

    def overflow(self) -> list[str]:
        """Elements that make the page wider than its window."""
        found: list[str] = self.page.evaluate(_OVERFLOW)
        return found

    def findings(self, **options: Any) -> list[str]:
        """Findings of axe: rule, how many elements, and the first of them."""
        if not self.page.evaluate("!!window.axe"):
            self.page.evaluate(AXE)
        result = self.page.evaluate("options => axe.run(document, options)", {**_QUICK, **options})
        return [
            f"{each['id']} ({len(each['nodes'])}): {each['nodes'][0]['html'][:160]}"
            for each in result["violations"]
        ]

    def set_theme(self, theme: str) -> None:
        """Show the page in a theme, as the button does."""
        self.page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)

    def set_width(self, width: int) -> None:
        """Show the page in a window of this width."""
        self.page.set_viewport_size({"width": width, "height": 900})


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def reading(browser: Browser, story: Story, *, scripts: bool = True, **options: Any) -> Iterator[Reader]:
    """Open a window without cookies, which notes what its pages do wrong."""
    size: ViewportSize = {"width": WIDTHS[0], "height": 900}
    context = browser.new_context(**{"java_script_enabled": scripts, "viewport": size, **options})
    context.set_default_timeout(30_000)
    context.add_init_script(_WATCH)
    page = context.new_page()
    reader = Reader(story, context, page)

    def asked(request: Request) -> None:
        if not request.url.startswith((story.server.url, "data:", "http://elsewhere.example")):
            reader.wrong.append(f"request to {request.url}")

    def asked_for_answer(dialog: Dialog) -> None:
        reader.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", asked)
    page.on("pageerror", lambda error: reader.wrong.append(f"error: {error}"))
    page.on("console", lambda said: reader.wrong.append(said.text) if said.type == "error" else None)
    page.on("dialog", asked_for_answer)
    try:
        yield reader
    finally:
        context.close()
