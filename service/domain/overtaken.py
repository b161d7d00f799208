"""Changes of settings that are bound to what their sender saw: others may have changed the same meanwhile."""

from collections.abc import Mapping
from typing import Any

from service.domain.errors import Fault, StaleVersion


def check_seen(
    stored: Mapping[str, Any],
    wanted: Mapping[str, Any],
    seen: Mapping[str, Any] | None,
    pointers: Mapping[str, str] | None = None,
) -> None:
    """Raise StaleVersion if a setting to change is not as its sender saw it; None binds to nothing.

    A setting that is as wanted already was changed by the same form, sent twice. `pointers` are the places
    of settings in the body, where they are not their names.
    """
    if seen is None:
        return
    overtaken = [name for name in wanted if stored[name] not in (wanted[name], seen.get(name))]
    if overtaken:
        faults = [
            Fault("was changed by somebody else", pointer=(pointers or {}).get(name, f"/{name}"))
            for name in overtaken
        ]
        raise StaleVersion("Somebody else changed the same settings meanwhile.", faults=faults)
