"""The pages that the `type` of a problem resolves to, made from the errors' own docstrings."""

from html import escape

from service.domain.errors import PathNotFound, leaves
from service.http.problems import explanation_of, status_of, title_of

_FRAME = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1rem/1.5 system-ui; max-width: 42rem; margin: 3rem auto }}</style>
</head>
<body>
{body}
</body>
</html>
"""


def index() -> str:
    """A list of all problems."""
    rows = "\n".join(
        f'<li><a href="/docs/problems/{error.code}"><code>{error.code}</code></a> '
        f"({status_of(error)}): {escape(title_of(error))}</li>"
        for error in leaves()
    )
    return _FRAME.format(title="Problems", body=f"<h1>Problems</h1>\n<ul>\n{rows}\n</ul>")


def page(code: str) -> str:
    """The page of one problem; raises PathNotFound for a code that is none."""
    found = {error.code: error for error in leaves()}.get(code)
    if found is None:
        raise PathNotFound("There is no such problem: /docs/problems lists them.")
    title = escape(title_of(found))
    body = (
        f"<h1>{title}</h1>\n<p>Code <code>{found.code}</code>, HTTP status {status_of(found)}.</p>\n"
        f'<p>{escape(explanation_of(found))}</p>\n<p><a href="/docs/problems">All problems</a></p>'
    )
    return _FRAME.format(title=title, body=body)
