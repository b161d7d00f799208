"""Model of Annals for the versioning machine, in plain Python: its due effects and answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jsonpatch

Json = dict[str, Any]
Text = str | None
KEY_LIFETIME = timedelta(hours=24)
COMMIT_DIGITS = 7


class Refused(Exception):
    """A refusal that is due: the problem's status and code, and other fields that it must have."""

    def __init__(self, status: int, code: str, **facts: object) -> None:
        super().__init__(status, code, facts)
        self.status = status
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True)
class User:
    name: str
    user_id: str
    is_admin: bool


@dataclass(slots=True)
class Comment:
    """A comment of a user; `at` is None until an answer has shown it."""

    text: str
    by: User
    at: Text


@dataclass(slots=True, eq=False)
class Version:
    """A version; `place` is the number of commits of `main` up to its own."""

    number: int
    definition: Json
    description: Text
    by: User
    version_id: str
    commit: str
    place: int
    at: str
    name: str
    parent: "Resource | None"
    tag: Text = None
    checked_in_at: Text = None
    comments: list[Comment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lease:
    by: User
    taken: str
    expires: str
    reason: Text


@dataclass(slots=True, eq=False)
class Resource:
    """A resource without a description."""

    kind: str
    resource_id: str
    versions: list[Version]
    published: Version | None = None
    lease: Lease | None = None

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def name(self) -> str:
        return self.current.name

    @property
    def parent(self) -> "Resource | None":
        return self.current.parent

    @property
    def path(self) -> str:
        digest = sha256(self.resource_id.encode()).hexdigest()
        return f"{self.kind}s/{digest[:2]}/{self.resource_id}.json"

    def line(self) -> list["Resource"]:
        """Return the resource, its parent, and so on up to the workspace."""
        return [self] if self.parent is None else [self, *self.parent.line()]

    def named(self) -> Json:
        """Return the fields that name the resource in answers about several."""
        return {"resource_type": self.kind, "resource_id": self.resource_id, "resource_name": self.name}

    def snapshot(self, version: Version) -> Json:
        """Return the full content of a version."""
        return {
            "resource_type": self.kind,
            "resource_id": self.resource_id,
            "name": version.name,
            "description": None,
            "parent_id": None if version.parent is None else version.parent.resource_id,
            "definition": version.definition,
        }

    def blob(self, version: Version) -> bytes:
        """Return the bytes of a version's file in git."""
        return f"{canonical(self.snapshot(version))}\n".encode()


# An item of a bulk check-in: the resource (None if it does not exist), its content, and the commit that it is
# based on.
Item = tuple[Resource | None, Json, Text]


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """The effect of a change on one resource: a new version if `makes`, its tag, publication or comment."""

    resource: Resource
    by: User
    definition: Json
    description: Text = None
    tag: Text = None
    publish: bool = False
    comment: Text = None
    ends: bool = False
    # The new name and parent, None if both stay.
    to: tuple[str, Resource | None] | None = None

    @property
    def place(self) -> tuple[str, Resource | None]:
        return self.to or (self.resource.name, self.resource.parent)

    @property
    def makes(self) -> bool:
        current = self.resource.current
        is_another = canonical(self.definition) != canonical(current.definition)
        return is_another or self.place != (current.name, current.parent)


@dataclass(frozen=True, slots=True)
class Plan:
    """The due effect of a request.

    `apply` updates the model with the ids and times of the answer, which only Annals can know, and returns
    the whole answer that is due.
    """

    status: int
    touched: Sequence[Resource]
    apply: Callable[[Json], Json | None]


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer to a call with an Idempotency-Key, kept for its retries."""

    body: bytes | None
    status: int
    answer: Json
    until: datetime


def canonical(value: object) -> str:
    """Write JSON as Annals does in git; as text, true and 1 differ, unlike in Python."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)


def instant(text: str) -> datetime:
    """Parse a time in an answer."""
    return datetime.fromisoformat(text)


class Model:
    """A model of a subscription; each call returns the due effect of a request, or raises Refused."""

    def __init__(self, git_url: str) -> None:
        self.resources: list[Resource] = []
        self.commits: list[str] = []
        self.publications = 0
        self.kept: dict[tuple[User, str, str], Kept] = {}
        # Versions that were commented on since the list was last emptied.
        self.discussed: list[tuple[Resource, Version]] = []
        # A call is carried out between these two times; leases are valid or not as of the first.
        self.sent = self.received = datetime.now(UTC)
        self._git_url = git_url

    # -- calls ----------------------------------------------------------------------------------------

    def create(self, by: User, kind: str, name: str, parent: Resource | None, definition: Json) -> Plan:
        self._refuse_name(kind, name, parent)
        touched: list[Resource] = []

        def apply(answer: Json) -> Json:
            self.commits.append(answer["git_commit_hash"])
            at = self._now(answer["created_at"])
            # The answer does not name the version's id, so the machine reads it afterwards.
            commit, place = self.commits[-1], len(self.commits)
            version = Version(1, definition, None, by, "", commit, place, at, name, parent)
            touched.append(Resource(kind, answer["resource_id"], [version]))
            self.resources += touched
            return self.resource(touched[0])

        return Plan(201, touched, apply)

    def check_out(self, by: User, resource: Resource, reason: Text, ttl: timedelta, match: Text) -> Plan:
        self._refuse_anothers(by, resource)
        self._refuse_stale(resource, match)
        mine = self.lease(resource)

        def apply(answer: Json) -> Json:
            taken, expires = answer["check_out"]["checked_out_at"], answer["check_out"]["expires_at"]
            at = self._now(instant(expires) - ttl)
            assert mine is not None or instant(taken) == at
            before = mine or Lease(by, taken, expires, None)
            resource.lease = replace(before, expires=expires, reason=reason or before.reason)
            return {"check_out": self.check_out_of(resource), "data": resource.current.definition}

        return Plan(200, [resource], apply)

    def release(self, by: User, resource: Resource, match: Text, *, force: bool) -> Plan:
        if force and not by.is_admin:
            raise Refused(403, "forbidden")
        self._demand_lease(None if force else by, resource)
        self._refuse_stale(resource, match)

        def apply(_: Json) -> None:
            resource.lease = None

        return Plan(204, [resource], apply)

    def amend(self, by: User, resource: Resource, name: str, parent: Resource | None, match: Text) -> Plan:
        self._refuse_anothers(by, resource)
        if parent is not None and resource in parent.line():
            raise Refused(409, "folder_cycle")
        edit = Edit(resource, by, resource.current.definition, to=(name, parent))
        if edit.makes:
            self._refuse_name(resource.kind, name, parent)
        self._refuse_stale(resource, match)
        # All descendants are compared, since they may be in another workspace afterwards.
        touched = [each for each in self.resources if resource in each.line()]

        def apply(answer: Json) -> Json:
            makes = edit.makes
            # The answer does not name the version's id, so the machine reads it afterwards.
            self._carry_out([edit], [answer | {"version_id": "", "created_at": answer["updated_at"]}])
            return self.resource(resource) | {"unchanged": not makes}

        return Plan(200, touched, apply)

    def save(self, by: User, resource: Resource, data: Json, match: Text, **more: Any) -> Plan:
        self._refuse_anothers(by, resource)
        return self._edit(Edit(resource, by, data, **more), match)

    def check_in(self, by: User, resource: Resource, data: Json | None, match: Text, **more: Any) -> Plan:
        self._demand_lease(by, resource)
        definition = resource.current.definition if data is None else data
        return self._edit(Edit(resource, by, definition, ends=True, **more), match)

    def check_in_many(self, by: User, items: Sequence[Item], comment: Text, match: Text) -> Plan:
        there = [(resource, data, based) for resource, data, based in items if resource is not None]
        if len(there) < len(items):
            raise Refused(404, "resource_not_found")
        self._refuse_any_anothers(by, [resource for resource, _, _ in there])
        if any(based not in (None, "*", resource.current.commit) for resource, _, based in there):
            raise Refused(412, "stale_version")
        self._refuse_stale_head(match)
        edits = [Edit(r, by, data, comment=comment, ends=self.lease(r) is not None) for r, data, _ in there]
        changes = any(edit.makes for edit in edits)

        def apply(answer: Json) -> Json:
            versions = self._carry_out(edits, answer["versions"])
            commit = self.commits[-1] if changes else None
            return {"commit": commit, "versions": versions, "unchanged": not changes}

        return Plan(201 if changes else 200, [edit.resource for edit in edits], apply)

    def roll_back(
        self, by: User, resource: Resource, to: str | int, comment: Text, match: Text, *, dry: bool
    ) -> Plan:
        target = self._find(resource, to)
        self._refuse_anothers(by, resource)
        edit = Edit(resource, by, target.definition, comment=comment)
        if not dry:
            return self._edit(edit, match)
        self._refuse_stale(resource, match)

        def apply(answer: Json) -> Json:
            # A rollback keeps the present name and parent.
            wanted = replace(target, name=resource.name, parent=resource.parent)
            now, then = resource.snapshot(resource.current), resource.snapshot(wanted)
            assert canonical(jsonpatch.apply_patch(now, answer["json_patch"])) == canonical(then)
            assert bool(answer["text"]) == edit.makes
            return {
                "from": self.version(resource, resource.current),
                "to": self.version(resource, target),
                "json_patch": answer["json_patch"],
                "text": answer["text"],
                "truncated": False,
                "unchanged": not edit.makes,
                "dry_run": True,
            }

        return Plan(200, [resource], apply)

    def roll_back_many(
        self, by: User, root: Resource | None, place: int | None, comment: Text, match: Text, *, dry: bool
    ) -> Plan:
        """Roll back to the time when `main` had `place` commits; None is a commit that is not on it."""
        if place is None:
            raise Refused(404, "commit_not_found")
        below = [r for r in self.resources if root is None or root in r.line()]
        past = {r: next((v for v in reversed(r.versions) if v.place <= place), None) for r in below}
        possible = [(Edit(r, by, v.definition, comment=comment), v) for r, v in past.items() if v is not None]
        edits = {edit: target for edit, target in possible if edit.makes}
        self._refuse_any_anothers(by, [edit.resource for edit in edits])
        self._refuse_stale_head(match)
        common = {
            "skipped": [r.named() | {"reason": "newer"} for r, v in past.items() if v is None],
            "unchanged": not edits,
            "dry_run": dry,
        }

        def apply(answer: Json) -> Json:
            if not dry:
                versions = self._carry_out(list(edits), answer["versions"])
                return common | {"commit": self.commits[-1] if edits else None, "versions": versions}
            foreseen = [
                e.resource.named() | {"from_version": e.resource.current.number, "to_version": target.number}
                for e, target in edits.items()
            ]
            return common | {"commit": None, "versions": foreseen}

        return Plan(201 if edits and not dry else 200, [edit.resource for edit in edits], apply)

    def set_tag(self, resource: Resource, ref: str, tag: Text, match: Text) -> Plan:
        version = self._find(resource, ref)
        self._refuse_tag(resource, tag, but=version)
        self._refuse_stale(resource, match)

        def apply(_: Json) -> Json:
            unchanged, version.tag = version.tag == tag, tag
            return self.version(resource, version) | {"unchanged": unchanged}

        return Plan(200, [resource], apply)

    def set_published(self, resource: Resource, ref: str, match: Text, *, published: bool) -> Plan:
        version = self._find(resource, ref)
        self._refuse_stale(resource, match)

        def apply(_: Json) -> Json:
            unchanged = (resource.published is version) == published
            if not unchanged:
                self._publish(resource, version if published else None)
            return self.version(resource, version) | {"unchanged": unchanged}

        return Plan(200, [resource], apply)

    def comment_on(self, by: User, resource: Resource, ref: str, text: str, match: Text) -> Plan:
        version = self._find(resource, ref)
        self._refuse_stale(resource, match)

        def apply(answer: Json) -> Json:
            comment = Comment(text, by, self._now(answer["commented_at"]))
            self._say(resource, version, comment)
            return self.comment(version, comment) | {"comment_id": answer["comment_id"]}

        return Plan(201, [resource], apply)

    def recall(self, by: User, path: str, key: Text, body: bytes | None) -> Plan | None:
        """Return the due effect of a retry, or None if the call is not a retry."""
        kept = None if key is None else self.kept.get((by, path, key))
        if kept is None or kept.until <= self.sent:
            return None
        # Blanks between the values of a JSON body make no other body of it.
        if (kept.body or b"").strip() != (body or b"").strip():
            raise Refused(422, "idempotency_key_reused")
        return Plan(kept.status, [], lambda _: kept.answer)

    def keep(self, by: User, path: str, key: Text, body: bytes | None, status: int, answer: Json) -> None:
        """Remember the answer to a POST, for its retries."""
        if key is not None and self.recall(by, path, key, body) is None:
            self.kept[by, path, key] = Kept(body, status, answer, self.sent + KEY_LIFETIME)

    # -- how things stand -------------------------------------------------------------------------------

    def lease(self, resource: Resource) -> Lease | None:
        """Return the check-out of a resource, if it has not expired."""
        lease = resource.lease
        return None if lease is None or instant(lease.expires) <= self.sent else lease

    def version(self, resource: Resource, version: Version) -> Json:
        """Return the metadata of a version."""
        lease = self.lease(resource) if version is resource.current else None
        return resource.named() | {
            "resource_name": version.name,
            "version_id": version.version_id,
            "version_number": version.number,
            "version_tag": version.tag,
            "version_description": version.description,
            "is_current": version is resource.current,
            "is_published": version is resource.published,
            "git_commit_hash": version.commit,
            "git_branch": "main",
            "git_repo_url": self._git_url,
            "created_by": version.by.user_id,
            "created_by_username": version.by.name,
            "created_at": version.at,
            "checked_out_by": None if lease is None else lease.by.user_id,
            "checked_out_at": None if lease is None else lease.taken,
            "checked_in_at": version.checked_in_at,
        }

    def resource(self, resource: Resource) -> Json:
        """Return a resource with its definition."""
        lease, first, current = self.lease(resource), resource.versions[0], resource.current
        return resource.snapshot(current) | {
            "workspace_id": resource.line()[-1].resource_id,
            "current_version": current.number,
            "git_commit_hash": current.commit,
            "checked_out_by": None if lease is None else lease.by.user_id,
            "created_by": first.by.user_id,
            "created_at": first.at,
            "updated_at": current.at,
            "deleted_at": None,
        }

    def check_out_of(self, resource: Resource) -> Json:
        """Return the check-out of a resource that a user has checked out."""
        lease, current = self.lease(resource), resource.current
        assert lease is not None
        return {
            "version_id": current.version_id,
            "version_number": current.number,
            "commit": current.commit,
            "checked_out_by": lease.by.user_id,
            "checked_out_by_username": lease.by.name,
            "checked_out_at": lease.taken,
            "expires_at": lease.expires,
            "reason": lease.reason,
        }

    def check_outs(self, by: User) -> Json:
        """Return the check-outs that have not expired, as a user sees them."""
        held = [(lease, r) for r in self.resources if (lease := self.lease(r)) is not None]
        held.sort(key=lambda pair: instant(pair[0].taken), reverse=True)
        shown = [(lease.by == by, self.check_out_of(r) | r.named()) for lease, r in held]
        ours, theirs = ([each for mine, each in shown if mine == which] for which in (True, False))
        return {"ours": ours, "theirs": theirs, "next_cursor": None}

    def comment(self, version: Version, comment: Comment) -> Json:
        """Return a comment without its id."""
        return {
            "version_id": version.version_id,
            "version_number": version.number,
            "text": comment.text,
            "commented_by": comment.by.user_id,
            "commented_by_username": comment.by.name,
            "commented_at": comment.at,
        }

    def ends(self) -> list[datetime]:
        """Return the times at which leases, and results that are kept for retries, end."""
        leases = [instant(lease.expires) for r in self.resources if (lease := self.lease(r)) is not None]
        return leases + [kept.until for kept in self.kept.values() if kept.until > self.sent]

    # -- rules ------------------------------------------------------------------------------------------

    def _edit(self, edit: Edit, match: Text) -> Plan:
        resource, makes = edit.resource, edit.makes
        self._refuse_tag(resource, edit.tag, but=None if makes else resource.current)
        self._refuse_stale(resource, match)
        return Plan(201 if makes else 200, [resource], lambda answer: self._carry_out([edit], [answer])[0])

    def _carry_out(self, edits: Sequence[Edit], answers: Sequence[Json]) -> list[Json]:
        """Make the versions in one commit; returns the due answer for each resource."""
        answer_of = {answer["resource_id"]: answer for answer in answers}
        made = {e: answer_of[e.resource.resource_id] for e in edits if e.makes}
        ended = [answer_of[e.resource.resource_id] for e in edits if e.ends]
        at = None
        if made:
            [first, *_] = made.values()
            self.commits.append(first["git_commit_hash"])
            at = self._now(first["created_at"])
        elif ended:
            at = self._now(ended[0]["checked_in_at"])
        for edit, answer in made.items():
            versions, commit, place = edit.resource.versions, self.commits[-1], len(self.commits)
            what, version_id = (edit.definition, edit.description, edit.by), answer["version_id"]
            versions.append(
                Version(len(versions) + 1, *what, version_id, commit, place, at or "", *edit.place)
            )
        for edit in edits:
            resource, current = edit.resource, edit.resource.current
            if edit.ends:
                resource.lease, current.checked_in_at = None, at
            if edit.tag is not None:
                current.tag = edit.tag
            if edit.publish and resource.published is not current:
                self._publish(resource, current)
            if edit.comment is not None:
                self._say(resource, current, Comment(edit.comment, edit.by, at))
        return [self.version(e.resource, e.resource.current) | {"unchanged": e not in made} for e in edits]

    def _publish(self, resource: Resource, version: Version | None) -> None:
        resource.published = version
        self.publications += 1

    def _say(self, resource: Resource, version: Version, comment: Comment) -> None:
        version.comments.append(comment)
        self.discussed.append((resource, version))

    def _now(self, time: Any) -> Any:
        """Return a time of an answer, which must be within the present call."""
        assert self.sent <= (instant(time) if isinstance(time, str) else time) <= self.received
        return time

    def _find(self, resource: Resource, ref: str | int) -> Version:
        text = str(ref)
        words = {
            "current": resource.versions[-1:],
            "previous": resource.versions[-2:-1],
            "published": [] if resource.published is None else [resource.published],
        }
        found = words.get(text) or [v for v in resource.versions if text in (str(v.number), v.tag)]
        if len(text) >= COMMIT_DIGITS:
            found = found or [v for v in resource.versions if v.commit.startswith(text.lower())]
        if not found:
            raise Refused(404, "version_not_found")
        return found[0]

    def _demand_lease(self, by: User | None, resource: Resource) -> None:
        lease = self.lease(resource)
        if lease is None:
            raise Refused(409, "not_checked_out")
        if by not in (None, lease.by):
            raise Refused(409, "not_holder", checked_out_by=lease.by.user_id)

    def _refuse_anothers(self, by: User, resource: Resource) -> None:
        lease = self.lease(resource)
        if lease is not None and lease.by != by:
            raise Refused(423, "checked_out", checked_out_by=lease.by.user_id)

    def _refuse_any_anothers(self, by: User, resources: Sequence[Resource]) -> None:
        if any((lease := self.lease(r)) is not None and lease.by != by for r in resources):
            raise Refused(423, "checked_out")

    def _refuse_name(self, kind: str, name: str, parent: Resource | None) -> None:
        if any((r.kind, r.name, r.parent) == (kind, name, parent) for r in self.resources):
            raise Refused(409, "name_taken")

    def _refuse_tag(self, resource: Resource, tag: Text, but: Version | None) -> None:
        if tag is not None and any(v.tag == tag and v is not but for v in resource.versions):
            raise Refused(409, "tag_taken")

    def _refuse_stale(self, resource: Resource, match: Text) -> None:
        if match not in (None, "*", resource.current.commit):
            raise Refused(412, "stale_version", git_commit_hash=resource.current.commit)

    def _refuse_stale_head(self, match: Text) -> None:
        if match not in (None, "*", self.commits[-1]):
            raise Refused(412, "stale_version", git_commit_hash=self.commits[-1])
