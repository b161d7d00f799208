"""State machines of AWS Step Functions: `States` by name, with the states inside of Map and Parallel."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from service.web.graphs.graph import (
    Edge,
    Graph,
    GraphBuilder,
    Node,
    first_text,
    identifier,
    items_of,
    members_of,
    without,
)

_INNER = ("Iterator", "ItemProcessor")
# Of the name of a state that contains others; each of these tells it.
_TITLE_LENGTH = 100
_COMPARED = ("Variable", "Condition")
_OPERATOR = re.compile("(?:String|Numeric|Boolean|Timestamp)(.+?)(?:Path)?")
_SIGNS = {
    "Equals": "=",
    "LessThan": "<",
    "LessThanEquals": "≤",
    "GreaterThan": ">",
    "GreaterThanEquals": "≥",
    "Matches": "matches",
}


class _StateMachine(NamedTuple):
    """A machine with the state that contains it, both None and empty for the outermost."""

    definition: dict[str, Any]
    holder: str | None
    label: str
    title: str


def read(definition: Any) -> Graph | None:
    """Read a graph; None for a document of another shape."""
    document = members_of(definition)
    if not isinstance(document.get("States"), dict):
        return None
    builder = GraphBuilder()
    machines = deque([_StateMachine(document, None, "", "")])
    while machines:
        machine = machines.popleft()
        machines.extend(_add(builder, machine))
    rest = without(document, "States", "StartAt")
    return Graph(nodes=builder.nodes, edges=tuple(builder.edges), rest=rest, is_by_name=True)


def _add(builder: GraphBuilder, machine: _StateMachine) -> list[_StateMachine]:
    """Add the states of one machine; returns the machines inside of them."""
    states = members_of(machine.definition.get("States"))
    holder = machine.holder
    begin = first_text(machine.definition.get("StartAt"))
    if holder is None and begin:
        holder = builder.free_key("(start)")
        builder.nodes[holder] = Node(key=holder, label="Start", kind="", value=None)
    keys = {}
    for name, item in states.items():
        state = members_of(item)
        keys[name] = key = builder.free_key(name)
        kind = first_text(state.get("Type"))
        builder.nodes[key] = Node(
            key=key,
            label=name or key,
            kind=f"{kind} in {machine.title}" if machine.title else kind,
            value=_value(state) if isinstance(item, dict) else item,
        )
    if holder is not None and begin:
        builder.add_edge(
            Edge(source=holder, target=keys.get(begin, begin), port=machine.label, label=machine.label)
        )
    found: list[_StateMachine] = []
    for name, item in states.items():
        for port, label, target in _ways(members_of(item)):
            builder.add_edge(Edge(source=keys[name], target=keys.get(target, target), port=port, label=label))
        found += _inner(members_of(item), keys[name], name)
    return found


def _inner(state: dict[str, Any], key: str, name: str) -> Iterator[_StateMachine]:
    for part in _INNER:
        if isinstance(state.get(part), dict):
            yield _StateMachine(state[part], key, "each item", name[:_TITLE_LENGTH])
    for number, branch in enumerate(items_of(state.get("Branches")), 1):
        if isinstance(branch, dict):
            yield _StateMachine(branch, key, f"branch {number}", name[:_TITLE_LENGTH])


def _ways(state: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield port, label and target of each way out of a state."""
    if target := first_text(state.get("Next")):
        yield "next", "", target
    for number, choice in enumerate(items_of(state.get("Choices")), 1):
        if target := first_text(members_of(choice).get("Next")):
            # Choices are tried in order, so that their places tell them apart.
            yield f"choice {number}", _condition(members_of(choice)), target
    if target := first_text(state.get("Default")):
        yield "default", "otherwise", target
    for catcher in items_of(state.get("Catch")):
        errors = " ".join(
            each for each in items_of(members_of(catcher).get("ErrorEquals")) if isinstance(each, str)
        )
        if target := first_text(members_of(catcher).get("Next")):
            yield f"catch {errors}", f"on {errors.removeprefix('States.')}", target


def _condition(choice: dict[str, Any]) -> str:
    """Tell in a few words when a choice is taken."""
    subject = first_text(*(choice.get(name) for name in _COMPARED)).removeprefix("$.")
    for name, value in choice.items():
        if name not in ("Next", "Comment", "Output", "Assign", *_COMPARED):
            shown = first_text(value).removeprefix("$.") or identifier(value) or "…"
            found = _OPERATOR.fullmatch(name)
            operator = _SIGNS.get(found[1], name) if found else name
            return f"{subject} {operator} {str(value).lower() if isinstance(value, bool) else shown}".strip()
    return subject


def _value(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state without the ways out of it, and without the states inside of it."""
    value = without(state, "Next", "End", "Default", "Branches", *_INNER)
    for name in ("Choices", "Catch"):
        if isinstance(state.get(name), list):
            value[name] = [
                without(each, "Next") if isinstance(each, dict) else each for each in items_of(state[name])
            ]
    for name in _INNER:
        if isinstance(state.get(name), dict):
            value[name] = without(state[name], "States", "StartAt")
    return value
