"""The story of `annals demo` on a server of the tests, and the ids in it by which pages are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.cli import demo
from tests.support.api import OPERATOR_KEY, Caller, Server, ok

# User of the story by role; the operator belongs to no subscription.
PERSON_OF = {"viewer": "vera", "editor": "ben", "auditor": "aud", "admin": "ana"}
ROLES = (*PERSON_OF, "operator")


@dataclass(frozen=True)
class Story:
    """A subscription with the history that the demo tells, and what the paths of its pages are made of.

    `others` are subscriptions beside it, by their state.
    """

    server: Server
    subscription_id: str
    keys: dict[str, str]
    names: dict[str, str]
    others: Mapping[str, "Story"] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that have a user in it; the operator has none, and comes everywhere."""
        return tuple(role for role in ROLES if role == "operator" or PERSON_OF[role] in self.keys)

    def of(self, place: str) -> "Story":
        """Return one of the others by its state; an empty text is the story itself."""
        return self.others[place] if place else self

    def caller(self, role: str) -> Caller:
        """User of a role."""
        return Caller(self.server, OPERATOR_KEY if role == "operator" else self.keys[PERSON_OF[role]])

    def path(self, pattern: str) -> str:
        """Path of a page, whose pattern names resources of the story."""
        return pattern.format(base=f"/s/{self.subscription_id}", **self.names)


def told(server: Server, say: Callable[[str], None] = lambda _: None) -> Story:
    """Play the story on a server; `say` gets each of its lines."""
    made = demo.tell(server.url, OPERATOR_KEY, say)
    ana = Caller(server, made.keys["ana"])
    path = f"/v1/subscriptions/{made.subscription_id}"
    names = {"subscription": made.subscription_id}
    for collection in ("workspaces", "folders", "jobs", "workflows", "connectors"):
        for each in ana.pages(f"{path}/{collection}"):
            name = _named(each["name"])
            names[name] = f"{collection}/{each['resource_id']}"
            names[f"kind_and_id_of_{name}"] = f"{each['resource_type']}/{each['resource_id']}"
    deletions = [
        each for each in ana.pages(f"{path}/deletions", restorable=True) if each["cascade_level"] == 0
    ]
    names |= {f"deleted_{_named(each['resource_name'])}": each["deletion_id"] for each in deletions}
    users = ok(ana.get(f"{path}/users"))["items"]
    names |= {f"user_{each['username']}": each["user_id"] for each in users}
    names["key_of_ben"] = key_of(ana, path, names["user_ben"])
    return Story(server, made.subscription_id, dict(made.keys), names)


def key_of(admin: Caller, path: str, user_id: str) -> str:
    """Id of a key of a user."""
    keys = admin.pages(f"{path}/api-keys")
    return next(str(each["key_id"]) for each in keys if each["user_id"] == user_id)


def _named(name: str) -> str:
    return name.lower().replace(" ", "_")
