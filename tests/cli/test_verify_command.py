"""`annals verify` as an operator types it."""

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from service.recovery.checks.findings import ADVICE, Code
from tests.support.api import Tenant
from tests.support.commands import annals
from tests.support.project import ROOT
from tests.support.reconciled import History
from tests.support.running_server import ANNALS, running

PAGE = ROOT / "docs" / "operations" / "upkeep.md"
Done = subprocess.CompletedProcess[bytes]


def verify(tenant: Tenant, *options: str, code: int = 0) -> Done:
    """The command, for one subscription of the server."""
    settings = tenant.server.context.settings
    return annals(
        None,
        *("verify", "--data-dir", settings.data_dir, "--subscription", tenant.subscription_id, *options),
        code=code,
        DATABASE_URL=tenant.server.database.url,
    )


def test_where_all_is_well_the_code_is_0(tenant: Tenant) -> None:
    History(tenant)
    done = verify(tenant)
    assert done.stdout.decode() == "1 subscriptions, 7 versions: all is as it has to be\n"
    assert tenant.subscription_id in done.stderr.decode()
    assert json.loads(verify(tenant, "--full", "--json").stdout) == {
        "subscriptions": 1,
        "versions": 7,
        "repaired": 0,
        "left": 0,
        "findings": [],
    }


def test_what_is_left_is_told_and_the_code_is_1_until_it_is_repaired(tenant: Tenant) -> None:
    history = History(tenant)
    head, stranger = history.git("rev-parse", "main"), history.foreign("main")
    history.git("update-ref", "refs/heads/main", stranger)
    told = verify(tenant, code=1).stdout.decode().splitlines()
    assert told == [
        f"left      ref_ahead  subscription {tenant.subscription_id}  refs/heads/main",
        f"          expected  {head}",
        f"          found     {stranger}",
        "          to do     run again with --repair",
        "1 subscriptions, 7 versions: 1 findings, 0 repaired, 1 left",
    ]
    report = json.loads(verify(tenant, "--repair", "--json").stdout)
    assert (report["repaired"], report["left"]) == (1, 0)
    [finding] = report["findings"]
    assert finding == {
        "code": "ref_ahead",
        "subscription_id": tenant.subscription_id,
        "subject": "refs/heads/main",
        "expected": head,
        "found": stranger,
        "repaired": f"put back to {head}; {stranger} is kept as refs/annals/found/{stranger}",
        "failed": None,
        "to_do": None,
    }
    verify(tenant)


def test_what_can_not_be_repaired_has_code_1_with_repair_too(tenant: Tenant) -> None:
    history = History(tenant)
    history.sql("DELETE FROM publications WHERE version_id = %s", history.version_id(1))
    assert b"to do" in verify(tenant, "--repair", code=1).stdout


def test_wrong_usage_has_code_2(tenant: Tenant) -> None:
    for options in (["--subscription", "nonsense"], ["--what"], ["--subscription", str(uuid4())]):
        done = verify(tenant, *options, code=2)
        assert done.stdout == b""
        assert b"--" in done.stderr


@pytest.mark.embedded
def test_it_works_beside_a_running_server_and_after_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir):
        beside = subprocess.run(
            [ANNALS, "verify", "--data-dir", data_dir, "--json"], capture_output=True, check=True
        )
    after = subprocess.run(
        [ANNALS, "verify", "--data-dir", data_dir, "--json"], capture_output=True, check=True
    )
    assert json.loads(beside.stdout) == json.loads(after.stdout)
    assert json.loads(after.stdout)["subscriptions"] == 1


def test_the_page_has_every_code_and_what_becomes_of_it() -> None:
    # The page goes on with packs, which have tables of their own.
    text = PAGE.read_text().partition("\n## Packs\n")[0]
    rows = [line.split("|")[1].strip(" `") for line in text.splitlines() if line.startswith("| `")]
    assert rows == [code.value for code in Code]
    assert set(ADVICE) <= set(Code)
