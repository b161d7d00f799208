"""The documentation holds together: links, paths, index, decisions, settings, language."""

import re
from pathlib import Path

import pytest

from gitstore.serve.negotiation import MAX_REQUEST_BYTES
from service.domain.actions import Action
from service.http.bodies import MAX_BODY_BYTES
from service.runtime.settings import Settings, variable
from tests.support.project import ROOT

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
CONFIGURATION = DOCS / "operations" / "configuration.md"
MAP = DOCS / "internals" / "map.md"
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
TREES = ("service", "gitstore", "sql", "jobs", "tests", "docs", "script", "bench")

# Languages of blocks. A test runs `sh` and `python` alone; a page that has `console` says why that is not.
FENCES = {"sh", "python", "console", "text", "json", "sql", "toml", "yaml"}
NOT_RUN = "No test runs the blocks marked `console`"
# The end of a sentence within a line, and the beginning of the next.
TWO_SENTENCES = re.compile(r"(?<=[.!?])(?:[\"')]|\*\*)* (?=[`\"(\[*]*[A-Z])")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def code_spans(page: Path) -> list[str]:
    """Text between single backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """The names by which a link reaches the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_source_file_and_folder_that_a_page_names_is_there(page: Path) -> None:
    words = [span.split()[0] for span in code_spans(page) if span.split()]
    paths = [
        word
        for word in words
        if re.fullmatch(r"[\w./-]+\.(?:py|sql)", word)
        or re.fullmatch(rf"(?:{'|'.join(TREES)})/[\w./-]*", word)
    ]
    # A module may be named without its ending, and `__init__.py` alone means that of any package.
    assert [
        path
        for path in paths
        if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists() and path != "__init__.py"
    ] == []


def test_the_index_links_every_page() -> None:
    linked = {(INDEX.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)\)", INDEX.read_text())}
    assert [name(page) for page in sorted(DOCS.rglob("*.md")) if page not in linked | {INDEX}] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_each_decision_has_a_status(decision: Path) -> None:
    title, _, status = decision.read_text().splitlines()[:3]
    assert title.startswith(f"# {int(decision.name[:4])}. ")
    accepted = re.fullmatch(r"\*\*Status:\*\* accepted(?:; changed by \[decision \d+\]\(\S+\))?\.", status)
    superseded = re.fullmatch(r"\*\*Status:\*\* superseded by \[decision \d+\]\(\S+\)\.", status)
    assert accepted or superseded, status


def test_decisions_are_numbered_once_each() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(set(numbers)) == len(numbers)


def test_the_configuration_page_has_every_setting_as_it_is() -> None:
    text = CONFIGURATION.read_text()
    rows = [
        f"| `{variable(field)}` | {shown_default(field)} | {setting.description} |"
        for field, setting in Settings.model_fields.items()
    ]
    assert [row for row in rows if row not in text] == []
    assert len(re.findall(r"^\| `(?:ANNALS_|DATABASE_URL)", text, flags=re.MULTILINE)) == len(rows)


def shown_default(field: str) -> str:
    """A default as the table shows it."""
    default = Settings.model_fields[field].default
    return "" if default is None else f"`{default}`"


def test_the_audit_page_names_every_action() -> None:
    spans = set(code_spans(DOCS / "guide" / "audit.md"))
    assert [action for action in Action if action not in spans] == []


def test_the_map_has_every_room() -> None:
    rooms = {
        f"{folder.parent.relative_to(ROOT)}"
        for tree in ("service", "gitstore", "sql", "jobs")
        for folder in (ROOT / tree).rglob("__init__.py")
    } - {"service"}
    text = MAP.read_text()
    assert [room for room in sorted(rooms) if f"`{room}`" not in text] == []


def test_the_map_names_modules_that_are_there() -> None:
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]* \| (.*) \|$", MAP.read_text(), flags=re.MULTILINE)
    missing = [
        f"{room}/{module}"
        for room, held in rows
        for module in re.findall(r"`(\w+)`", held)
        if not (ROOT / room / f"{module}.py").exists() and not (ROOT / room / module).is_dir()
    ]
    assert rows
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_say_whether_they_run(page: Path) -> None:
    fences = re.findall(r"^\s*```(.*)$", page.read_text(), flags=re.MULTILINE)
    opened = set(fences[::2])
    assert opened <= FENCES
    if "console" in opened:
        assert NOT_RUN in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_there_is_one_sentence_a_line(page: Path) -> None:
    lines = [
        re.sub(r"^\s*(?:-|\d+\.) ", "", re.sub(r"`[^`]*`", "`x`", line))
        for line in prose(page).splitlines()
        if not line.lstrip().startswith(("|", "#"))
    ]
    assert [line for line in lines if TWO_SENTENCES.search(line)] == []


def test_the_proxy_of_the_docs_passes_the_largest_bodies() -> None:
    text = (DOCS / "guide" / "integrate.md").read_text()
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(mebibytes) * 1024**2 >= max(MAX_BODY_BYTES, MAX_REQUEST_BYTES)
