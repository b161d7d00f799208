"""Pages out of templates."""

import gzip
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from service.domain.resource_kinds import KIND_OF_COLLECTION
from service.web import advice, static_files, words
from service.web.graphs import drawn, labels

# A page loads nothing from elsewhere, and runs no script but its own files.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "private, no-store",
    "Vary": "Cookie, HX-Request, Accept-Encoding",
}
# Pages of the operator that are about all subscriptions.
_OF_PLATFORM = tuple(f"/platform/{noun}" for noun in ("jobs", "retention", "archives", "sessions"))
# A packet of the network holds a shorter page as it is.
_PACKED_FROM = 1400

_templates = Environment(
    loader=PackageLoader("service.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "compact": words.compact,
    "drawn": drawn,
    "duration": words.duration,
    "exact_size": words.exact_size,
    "iso": words.iso,
    "number": words.number,
    "named": labels.whole,
    "pretty": words.pretty,
    "rate": words.rate,
    "revealed": words.revealed,
    "size": words.size,
}


def _is_of_resources(base: str, path: str) -> bool:
    """Tell if a page is about resources, and so below the tree."""
    below = path.removeprefix(f"{base}/").partition("/")[0]
    return below in ("resources", "roll-back") or below in KIND_OF_COLLECTION


def _is_of_subscriptions(path: str) -> bool:
    """Tell if one of the operator's pages is about subscriptions."""
    return path.startswith("/platform") and not path.startswith(_OF_PLATFORM)


_templates.globals |= {
    "advice_in_form": advice.advice_in_form,
    "detail_of": advice.detail_of,
    "fault_of": advice.fault_of,
    "field_of": advice.field_of,
    "static": static_files.address_of,
    "counted": words.counted,
    "percent": words.percent,
    "is_of_resources": _is_of_resources,
    "is_of_subscriptions": _is_of_subscriptions,
}


def text(template: str, values: Mapping[str, Any]) -> str:
    """Render a part of a page."""
    return _templates.get_template(template).render(values)


def page(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    status: int = 200,
    *,
    has_secret: bool = False,
) -> Response:
    """Render a page; one that shows a secret is not packed, since its size would tell of the secret."""
    body = text(template, values).encode()
    headers = dict(HEADERS)
    if len(body) >= _PACKED_FROM and not has_secret and static_files.takes_gzip(request):
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers=headers, media_type="text/html")
