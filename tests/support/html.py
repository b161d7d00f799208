"""Pages as tests read them: elements, words, links and forms."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_CONTROLS = frozenset({"input", "select", "textarea"})
_UNSEEN = frozenset({"head", "script", "style"})
# Elements whose end may be left out: another of its kind begins where it ends.
_ENDED_BY = {
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tr": ("td", "th", "tr"),
    "li": ("li",),
    "option": ("option",),
    "dt": ("dt", "dd"),
    "dd": ("dt", "dd"),
}


@dataclass
class Element:
    """An element with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def elements(self) -> Iterator["Element"]:
        """The element and all in it, in their order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.elements()

    def all(self, *tags: str, **attributes: str) -> list["Element"]:
        """Elements of these tags that have these attributes; a class is one of several."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            each
            for each in self.elements()
            if (not tags or each.tag in tags) and all(each._has(*pair) for pair in wanted.items())
        ]

    def one(self, *tags: str, **attributes: str) -> "Element":
        """The one element of these tags with these attributes."""
        found = self.all(*tags, **attributes)
        assert len(found) == 1, (tags, attributes, len(found))
        return found[0]

    def _has(self, name: str, value: str) -> bool:
        given = self.attributes.get(name)
        return given is not None and (value in given.split() if name == "class" else given == value)

    @property
    def raw_text(self) -> str:
        """All text in it, as it is."""
        return "".join(each if isinstance(each, str) else each.raw_text for each in self.children)

    @property
    def text(self) -> str:
        """Text that a reader sees, with single spaces."""
        return re.sub(r"\s+", " ", "".join(self._seen())).strip()

    def _seen(self) -> Iterator[str]:
        for each in self.children:
            if isinstance(each, str):
                yield each
            elif each.tag not in _UNSEEN:
                yield from each._seen()
                if each.tag not in ("a", "b", "bdi", "code", "em", "span", "strong", "mark", "wbr"):
                    yield " "


@dataclass
class Form:
    """A form: where it goes, and the values that it has before anybody fills it."""

    element: Element
    action: str
    method: str
    fields: dict[str, list[str]]

    @property
    def text(self) -> str:
        return self.element.text

    def value(self, name: str) -> str:
        """The one value that a field has."""
        (found,) = self.fields[name]
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("root")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        while self._open[-1].tag in _ENDED_BY.get(tag, ()):
            self._open.pop()
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        # The ends of some elements, such as `li`, may be left out.
        if any(each.tag == tag for each in self._open[1:]):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(text: str) -> Element:
    """Parse a page."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return parser.root


def forms(root: Element, path: str) -> list[Form]:
    """Forms of a page, in their order; `path` is the address of the page."""
    return [
        # A browser keeps the fragment of an address to itself.
        Form(
            form,
            (form.get("action") or path).partition("#")[0],
            (form.get("method") or "get").upper(),
            dict(_values(root, form)),
        )
        for form in root.all("form")
    ]


def _values(root: Element, form: Element) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    inside = {id(each) for each in form.elements()}
    for each in root.all(*_CONTROLS):
        is_of_form = id(each) in inside if each.get("form") is None else each.get("form") == form.get("id")
        name, value = each.get("name"), _value(each)
        if is_of_form and name and value is not None and each.get("disabled") is None:
            found.setdefault(name, []).append(value)
    yield from found.items()


def _value(control: Element) -> str | None:
    if control.tag == "textarea":
        # The first end of line is none of the value.
        return control.raw_text.removeprefix("\n")
    if control.tag == "select":
        options = control.all("option")
        chosen = next((each for each in options if each.get("selected") is not None), options[0])
        return chosen.get("value") if chosen.get("value") is not None else chosen.text
    if control.get("type") in ("checkbox", "radio"):
        return control.get("value") or "on" if control.get("checked") is not None else None
    return (
        None if control.get("type") in ("submit", "button", "reset", "image") else control.get("value") or ""
    )


def check(root: Element) -> None:
    """Assert the rules of every page: nothing inline, one title, one heading, ids once, labelled controls."""
    for each in root.elements():
        inline = {"style", "srcdoc", "hx-on"} & set(each.attributes)
        inline |= {name for name in each.attributes if name.startswith(("on", "hx-on:"))}
        assert not inline, (each.tag, inline)
        assert each.tag != "style", "a page has no style of its own"
        assert each.tag != "script" or (each.get("src") and not each.raw_text.strip()), "an inline script"
        for name in ("href", "src", "action", "formaction"):
            assert not (each.get(name) or "").strip().lower().startswith(("javascript:", "data:")), each
    assert root.one("html").get("lang") == "en"
    # A drawing has a title of its own.
    assert root.one("head").one("title").raw_text.strip()
    assert len(root.all("h1")) == 1, [each.text for each in root.all("h1")]
    levels = [int(each.tag[1]) for each in root.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    ids = [each["id"] for each in root.elements() if each.get("id") is not None]
    assert len(ids) == len(set(ids)), sorted({each for each in ids if ids.count(each) > 1})
    _check_labels(root)
    for table in root.all("table"):
        assert all(each.get("scope") for each in table.all("th")), "a header of a table without its scope"
    for form in root.all("form"):
        assert (form.get("method") or "get").lower() in ("get", "post")
        assert not (form.get("action") or "/").startswith(("http", "//"))


def _check_labels(root: Element) -> None:
    labelled = {id(each) for label in root.all("label") for each in label.elements() if label.text}
    named = {label.get("for") for label in root.all("label")}
    for control in root.all(*_CONTROLS):
        if control.get("type") in ("hidden", "submit"):
            continue
        says = control.get("aria-label") or control.get("aria-labelledby")
        assert says or id(control) in labelled or (control.get("id") in named), f"no label: {control}"
    for button in root.all("button", "a", "summary"):
        pictures = [each for each in button.all("img") if each.get("alt")]
        assert button.text or button.get("aria-label") or pictures, f"no name: {button}"
