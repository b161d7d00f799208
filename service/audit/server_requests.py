"""The texts and documents of an HTTP request, masked and cut for the server log."""

from typing import Any, Final

from service.masking.patterns import MASK
from service.masking.truncation import bounded, bounded_text

MAX_TEXT_BYTES: Final = 8 * 1024
MAX_TRACEBACK_BYTES: Final = 32 * 1024
MAX_QUERY_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024

_ADDRESSES = frozenset({"email", "user_email"})


def text(value: str | None, max_bytes: int = MAX_TEXT_BYTES) -> str | None:
    """Mask a text and cut it."""
    return None if value is None else bounded_text(value, max_bytes)


def query(parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Mask the parameters of a query, and cut them."""
    found: dict[str, Any] | None = None if parameters is None else bounded(parameters, MAX_QUERY_BYTES)
    return found


def body(document: Any) -> Any:
    """Mask the JSON body of a request or an answer, and cut it; raises RecursionError for a very deep one."""
    return None if document is None else bounded(_without_addresses(document), MAX_BODY_BYTES)


def _without_addresses(value: Any) -> Any:
    """Remove e-mail addresses: they are stored in one place only, so that a person can be erased there."""
    if isinstance(value, list):
        return [_without_addresses(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_addresses(item) for name, item in value.items()}
    return kept | {name: MASK for name in _ADDRESSES & kept.keys() if kept[name] is not None}
