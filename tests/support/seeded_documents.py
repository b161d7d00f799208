"""Documents as people write them, and seeded edits of them as editors and scripts make them."""

import copy
import random
from typing import Any

from tests.support.api import Json

ODD: tuple[Any, ...] = (
    *(1e22, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1, 123456789.123456789, 1.0, 100),
    *(2**63, -(2**63), 2**64 - 1, 9007199254740993, True, False, None, "", [], {}),
    *("é", "e\u0301", "\u2028", "😀", 'x\n  "description": "y"', "\\", "\t", "a" * 300),
)

DOCUMENTS: dict[str, Json] = {
    "orders": {
        "nodes": [
            {
                "id": "n1",
                "type": "source",
                "position": {"x": 80.5, "y": -12.0},
                "config": {"table": "orders"},
            },
            {
                "id": "n2",
                "type": "filter",
                "position": {"x": 240.0, "y": 0},
                "config": {"where": "total > 0"},
            },
            {"id": "n3", "type": "join", "config": {"on": ["customer_id", "région"], "how": "left"}},
            {"id": "n4", "type": "sink", "config": {"table": "mart.orders", "batch": 5000, "dry": False}},
        ],
        "edges": [["n1", "n2"], ["n2", "n3"], ["n3", "n4"]],
        "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "retries": 3, "backoff": 1.5},
    },
    "approval": {
        "start": "receive",
        "states": {
            "receive": {"next": "check", "timeout_seconds": 86400, "on_error": None},
            "check": {"choices": [{"if": {"amount": {"gt": 10000.0}}, "next": "manager"}], "default": "pay"},
            "manager": {"assignees": ["ana", "ben"], "quorum": 1, "next": "pay", "note": "„bitte prüfen“ 🧾"},
            "pay": {"end": True},
        },
        "version": 7,
    },
    "export": {
        "steps": [{"name": f"step {number}", "args": list(range(number))} for number in range(6)],
        "limits": {"rows": 9007199254740993, "ratio": 1e-7, "mask": 18446744073709551615},
        "empty": [{}, [], "", None],
    },
    "nothing": {},
}


def mutated(document: Json, rng: random.Random) -> Json:
    """Return a copy with one to four edits."""
    edited = copy.deepcopy(document)
    for _ in range(rng.randint(1, 4)):
        place = rng.choice(_containers(edited))
        if isinstance(place, list):
            _edit_list(place, rng)
        else:
            _edit_object(place, rng)
    return edited


def _containers(value: Any) -> list[Any]:
    found = [value]
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            found += _containers(inner)
    return found


def _edit_list(place: list[Any], rng: random.Random) -> None:
    if not place or rng.random() < 0.3:
        place.insert(rng.randint(0, len(place)), copy.deepcopy(rng.choice(ODD)))
    elif rng.random() < 0.3:
        place.pop(rng.randrange(len(place)))
    else:
        place.insert(rng.randrange(len(place)), place.pop(rng.randrange(len(place))))


def _edit_object(place: Json, rng: random.Random) -> None:
    key = rng.choice([*place, "new", "Neu é", "😀", "a/b~c", ""])
    if key in place and rng.random() < 0.4:
        place[f"{key}_renamed"] = place.pop(key)
    elif key in place and rng.random() < 0.2:
        del place[key]
    else:
        place[key] = copy.deepcopy(rng.choice(ODD))
