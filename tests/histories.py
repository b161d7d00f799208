"""Whether the rows of a subscription and its repository say the same."""

import json

from tests.api import Tenant, snapshot_path


def check_history(tenant: Tenant) -> None:
    """Every version has its commit on a straight `main`, in order, with its own content."""
    assert tenant.git("fsck", "--strict", "--full", "--no-dangling") == ""
    commits = tenant.git("rev-list", "--reverse", "--parents", "main").splitlines()
    chain = [line.split() for line in commits]
    assert [len(line) for line in chain] == [1] + [2] * (len(chain) - 1)
    assert [line[1] for line in chain[1:]] == [line[0] for line in chain[:-1]]
    rows = tenant.server.database.rows(
        "SELECT git_commit_hash, resource_type, resource_id::text, version_number, git_blob_id,"
        " version_data::text FROM versions WHERE subscription_id = %s ORDER BY version_id",
        tenant.subscription_id,
    )
    assert sorted(row[0] for row in rows) == sorted(line[0] for line in chain)
    numbers: dict[str, list[int]] = {}
    position = {line[0]: index for index, line in enumerate(chain)}
    for commit, kind, resource_id, number, blob, data in sorted(rows, key=lambda row: position[row[0]]):
        numbers.setdefault(resource_id, []).append(number)
        path = snapshot_path({"resource_type": kind, "resource_id": resource_id})
        assert tenant.git("rev-parse", f"{commit}:{path}").strip() == blob
        # JSONB normalises numbers: the copy for queries has their values, not their spelling.
        assert json.loads(tenant.git("cat-file", "blob", blob), parse_int=float) == json.loads(
            data, parse_int=float
        )
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))
    assert head_of_row(tenant) == tenant.main() == chain[-1][0]


def head_of_row(tenant: Tenant) -> str:
    """Where the row says that `main` is."""
    return str(
        tenant.server.database.value(
            "SELECT head_commit FROM repositories WHERE subscription_id = %s", tenant.subscription_id
        )
    )
