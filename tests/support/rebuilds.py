"""A data directory whose database can be lost: servers on it, a history to make, and all answers about it."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from service.http.app import create_app
from service.processes.startup import make_folders
from service.runtime import log_setup
from service.runtime.settings import Settings, load
from tests.support.api import COLLECTIONS, OPERATOR_KEY, Caller, Clock, Json, Server, Tenant, ok, served
from tests.support.databases import Cluster, Database
from tests.support.running_server import ANNALS
from tests.support.serving import set_operator_key

PUBLIC_URL = "http://annals.example"
# Random steps of a story, of which every answer is compared.
STEPS = int(os.environ.get("ANNALS_TEST_STEPS", "20"))
Done = subprocess.CompletedProcess[str]


@dataclass
class House:
    """A data directory, and its database until that is lost."""

    cluster: Cluster
    settings: Settings
    database: Database

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Run Annals on the present database, with the tests' operator key."""
        clock = Clock()
        set_operator_key(self.database, clock, OPERATOR_KEY)
        app = create_app(self.settings, database_url=self.database.url, clock=clock)
        with served(app, self.database, clock) as server:
            yield server

    def lose_database(self) -> None:
        """Drop the database, and create an empty one in its place."""
        self.cluster.drop(self.database)
        self.database = self.cluster.empty()

    def environment(self) -> dict[str, str]:
        """Return the environment of an operator's shell."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_")}
        return clean | {
            "DATABASE_URL": self.database.url,
            "ANNALS_DATA_DIR": str(self.settings.data_dir),
            "ANNALS_PUBLIC_URL": PUBLIC_URL,
        }

    def annals(self, *arguments: str, code: int = 0) -> Done:
        """Run a command, after which the exit code has to be `code`, without a traceback."""
        done = subprocess.run(
            [ANNALS, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def rebuilt(self, *options: str, code: int = 0) -> dict[str, Json]:
        """Run `annals rebuild`; returns its reports by subscription."""
        report = json.loads(self.annals("rebuild", "--from-git", "--json", *options, code=code).stdout)
        return {each["subscription_id"]: each for each in report["subscriptions"]}


def house(cluster: Cluster, folder: Path) -> House:
    """Make a data directory with an empty database."""
    settings, _ = load({"data_dir": folder / "data", "public_url": PUBLIC_URL}, {})
    make_folders(settings)
    log_setup.configure("json", "error")
    return House(cluster, settings, cluster.migrated())


def tell(tenant: Tenant, *, seed: int, random_steps: int) -> None:
    """Make every kind of change to every kind of resource, first each by name and then at random."""
    ana, ben = tenant.ana, tenant.ben
    made = [tenant.make(collection, definition={"kind": collection}) for collection in COLLECTIONS]
    inner = tenant.make(
        "folders", workspace_id=tenant.workspace_id, parent_folder_id=tenant.folder_id, name="inner é – 日本"
    )
    made += [
        tenant.make("jobs", folder_id=inner["resource_id"], description="with\ntwo lines", by=ben),
        inner,
    ]
    workflow = tenant.workflow(name='"quoted" 🙂', description="", definition={"n": 1})
    tenant.save(workflow, {"n": 2.50, "big": 1e22}, description="two\n\nlines", tag="v1", publish=True)
    tenant.save(workflow, {"n": 1}, by=ben, description="Annals-Version: forged")
    at = tenant.at(workflow)
    ok(ana.post(f"{at}/versions/1/publish"))
    # This has the same content as version 1, so the tree of `published` does not change.
    ok(ben.post(f"{at}/versions/3/publish"))
    ok(ana.put(f"{at}/versions/3/tag", {"tag": "v2"}))
    ok(ana.put(f"{at}/versions/3/tag", {"tag": "v2.0"}))
    ok(ana.delete(f"{at}/versions/v1/tag"))
    ok(ben.put(f"{at}/versions/1/tag", {"tag": "v1"}))
    tenant.check_out(workflow, by=ben, reason="night")
    tenant.check_in(
        workflow, by=ben, data={"n": 4}, comment="why\n\nAnnals-Time: x", tag="checked", publish=True
    )
    ok(ana.post(f"{at}/rollback", {"to": "v1", "comment": "back"}), 201)
    ok(ana.post(f"{at}/versions/checked/unpublish"))
    before = tenant.main()
    ok(
        ana.post(
            f"{tenant.path}/check-ins",
            {"items": [_item(each, {"bulk": 1}) for each in made], "comment": "many"},
        ),
        201,
    )
    ok(ben.post(f"{tenant.path}/rollback", {"to": before, "comment": "all back"}), 201)
    _amend(tenant, inner, workflow)
    _at_random(tenant, [*made, workflow], random.Random(seed), random_steps)


def _amend(tenant: Tenant, folder: Json, workflow: Json) -> None:
    """Rename and move resources, also below later ones, and with descendants to another workspace."""
    tenant.amend(workflow, by=tenant.ben, name="another", description=None)
    elsewhere = tenant.make("workspaces")["resource_id"]
    outer = tenant.make("folders", workspace_id=elsewhere)
    job = tenant.make("jobs", folder_id=folder["resource_id"])
    tenant.amend(workflow, job_id=job["resource_id"])
    tenant.amend(folder, name="moved", parent_folder_id=outer["resource_id"])
    tenant.amend(tenant.make("connectors"), workspace_id=elsewhere)


def _item(resource: Json, data: Json) -> Json:
    return {"resource_type": resource["resource_type"], "resource_id": resource["resource_id"], "data": data}


def _at_random(tenant: Tenant, resources: list[Json], chance: random.Random, steps: int) -> None:
    """Take random steps. Refused ones leave nothing in the history."""
    for number in range(steps):
        caller = chance.choice([tenant.ana, tenant.ben])
        resource = chance.choice(resources)
        at, data = tenant.at(resource), {"n": chance.randrange(9), "step": [number]}
        ref = chance.choice(["current", "previous", "1", "2", "a", "published"])
        match chance.randrange(8):
            case 0 | 1:
                tag = chance.choice([None, None, "a", "b"])
                caller.post(f"{at}/versions", {"data": data, "tag": tag, "publish": chance.random() < 0.3})
            case 2:
                caller.put(f"{at}/versions/{ref}/tag", {"tag": chance.choice("abc")})
            case 3:
                caller.delete(f"{at}/versions/{ref}/tag")
            case 4:
                caller.post(f"{at}/versions/{ref}/{chance.choice(['publish', 'publish', 'unpublish'])}")
            case 5:
                caller.post(f"{at}/rollback", {"to": ref})
            case 6:
                some = chance.sample(resources, 3)
                caller.post(f"{tenant.path}/check-ins", {"items": [_item(each, data) for each in some]})
            case 7:
                caller.patch(
                    at, {"name": chance.choice(["x", "y"]), "description": chance.choice([None, "d"])}
                )


def answers(tenant: Tenant, by: Caller) -> dict[str, Any]:
    """Return all that the API answers about a subscription's resources and history, by path."""
    found: dict[str, Any] = {}

    def note(path: str, **query: str) -> None:
        response = by.get(path, params=query)
        body = response.json() if "json" in response.headers["content-type"] else response.text
        if isinstance(body, dict):
            # A problem holds the id of its own request, which always differs.
            body.pop("request_id", None)
        found[f"{path}?{query}"] = (response.status_code, response.headers.get("etag"), body)

    found["deletions"] = by.pages(f"{tenant.path}/deletions")
    for deletion in found["deletions"]:
        note(f"{tenant.path}/deletions/{deletion['deletion_id']}")
    for collection in COLLECTIONS:
        listed = by.pages(f"{tenant.path}/{collection}", include_deleted=True)
        found[collection] = listed
        for resource in listed:
            at = f"{tenant.path}/{collection}/{resource['resource_id']}"
            note(at)
            history = by.pages(f"{at}/versions")
            found[f"{at}/versions"] = history
            tags = [version["version_tag"] for version in history if version["version_tag"]]
            numbers = [version["version_number"] for version in history]
            for ref in (*numbers, "published"):
                note(f"{at}/versions/{ref}")
                note(f"{at}/versions/{ref}/data")
            for ref in (*tags, "current", "previous", history[0]["git_commit_hash"]):
                note(f"{at}/versions/{ref}")
            note(f"{at}/versions", published="true")
            for author in ("ana", "ben"):
                note(f"{at}/versions", author=author)
            note(f"{at}/diff")
            note(f"{at}/diff", **{"from": "1", "to": "current"})
    return found


def rows(database: Database, table: str, without: tuple[str, ...]) -> list[Json]:
    """Return the rows of a table, without some columns."""
    with database.connection() as connection:
        found = connection.execute(
            sql.SQL("SELECT to_jsonb(t) FROM {} AS t").format(sql.Identifier(table))
        ).fetchall()
    return sorted(
        ({name: value for name, value in row.items() if name not in without} for [row] in found),
        key=lambda row: json.dumps(row, sort_keys=True),
    )


# The fields that the repositories do not hold, and the reasons.
LOST_OF_VERSIONS = (
    "checked_in_at",  # a check-in leaves the same commit as a save
    "checked_out_by",  # check-outs are leases, no history
    "checked_out_at",
)
LOST_OF_ROWS = {
    "versions": LOST_OF_VERSIONS,
    "publications": ("publication_id",),  # minted anew; nothing names it
    "tags": ("tag_id",),  # likewise
    # The first to the millisecond of the subscription's id; the others count against quotas.
    "repositories": (
        *("created_at", "bytes", "versions_day", "versions_of_day", "live_resources", "live_at_commits"),
    ),
    "deletion_logs": (),
    "actors": ("email",),  # kept out of git, so that a person can be erased
    **dict.fromkeys(COLLECTIONS, ()),
}


def admin_again(tenant: Tenant, server: Server) -> Caller:
    """Give Ana her role and a key again after the rebuild, as the operator."""
    operator, path = server.operator, tenant.path
    users = {user["username"]: user for user in ok(operator.get(f"{path}/users"))["items"]}
    user_id = users["ana"]["user_id"]
    ok(operator.patch(f"{path}/users/{user_id}", {"role": "admin"}))
    key = ok(operator.post(f"{path}/api-keys", {"user_id": user_id, "name": "again"}), 201)["api_key"]
    return Caller(server, key, user_id, "ana")


def check_rows_as_before(home: House, before: dict[str, list[Json]]) -> None:
    """Check that a rebuild restored the rows that `stored` returned before the loss."""
    now = stored(home)
    for table in LOST_OF_ROWS:
        assert now[table] == before[table], table


def check_api_as_before(tenant: Tenant, server: Server, before: dict[str, Any], refs: str) -> None:
    """Check that the rebuilt server gives the `answers` of before, and that the refs are the same.

    The tenant calls this server from here on, by a new key of Ana's.
    """
    tenant.server = server
    tenant.ana = admin_again(tenant, server)
    after = answers(tenant, tenant.ana)
    assert after.keys() == before.keys()
    for path, answer in before.items():
        assert without_lost(after[path]) == without_lost(answer), path
    assert tenant.git("for-each-ref") == refs


def without_lost(value: Any) -> Any:
    """Return an answer without the fields that a rebuild can't restore."""
    if isinstance(value, dict):
        return {name: without_lost(each) for name, each in value.items() if name not in LOST_OF_VERSIONS}
    if isinstance(value, list | tuple):
        return [without_lost(each) for each in value]
    return value


def stored(home: House) -> dict[str, list[Json]]:
    """Return the rows of all that the repositories hold; they do not hold removed tags."""
    found = {table: rows(home.database, table, without) for table, without in LOST_OF_ROWS.items()}
    found["tags"] = [row for row in found["tags"] if row["untagged_at"] is None]
    # A user who wrote nothing is named in no commit.
    found["actors"] = [row for row in found["actors"] if row["username"] in ("ana", "ben")]
    return found
