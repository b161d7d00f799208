"""`annals rebuild`: recreate a lost database from the repositories, run by the operator on the server."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gitstore.errors import GitStoreError
from gitstore.read.repository import Stray
from gitstore.store import Store
from service.cli.tables import harmless
from service.processes.startup import StartupError, operated_database
from service.recovery.rebuild import LOST, Outcome, rebuild
from service.runtime.clock import system_clock
from service.runtime.settings import Settings
from sql.database import Database

_CONNECTIONS = 2
# Git's name for the commit of a missing ref.
NOTHING = "0" * 40
_SAID = {
    "rebuilt": "rebuilt",
    "readable": "can be rebuilt",
    "done_before": "skipped: an earlier rebuild finished it",
    "kept": "kept as the database has it",
    "refused": "REFUSED",
}


def run(
    settings: Settings,
    *,
    only_missing: bool,
    dry_run: bool,
    as_json: bool,
    say: Callable[[str], None],
    progress: Callable[[str], None],
) -> bool:
    """Rebuild and report; True if no subscription was refused.

    Raises StartupError where there are no repositories, and the errors of `operated_database`.
    """
    store = Store(settings.git_dir)
    try:
        found = store.subscription_ids()
    except GitStoreError as error:
        raise StartupError(f"the repositories can't be read: {error}") from None
    if not found:
        raise StartupError(f"there are no repositories in {settings.git_dir}: is --data-dir the right one?")
    public_url = settings.reachable_url
    is_set = settings.public_url is not None
    where = f"{public_url}, as " + (
        "ANNALS_PUBLIC_URL says" if is_set else "host and port say: ANNALS_PUBLIC_URL is not set"
    )
    outcomes = []
    for outcome in _outcomes(settings, store, public_url, only_missing, dry_run, progress):
        outcomes.append(outcome)
        if not as_json:
            for line in _lines(outcome, store.path(outcome.subscription_id)):
                say(harmless(line))
    if as_json:
        say(json.dumps(_report(outcomes, public_url, dry_run), indent=2))
    else:
        for line in _closing(outcomes, where, dry_run):
            say(line)
    return all(outcome.result != "refused" for outcome in outcomes)


def _outcomes(
    settings: Settings,
    store: Store,
    public_url: str,
    only_missing: bool,
    dry_run: bool,
    progress: Callable[[str], None],
) -> Iterator[Outcome]:
    with operated_database(settings, progress) as prepared:
        database = Database(prepared.url, pool_size=_CONNECTIONS)
        try:
            yield from rebuild(
                database,
                store,
                system_clock,
                public_url=public_url,
                only_missing=only_missing,
                dry_run=dry_run,
                progress=progress,
            )
        finally:
            database.close()


def _lines(outcome: Outcome, repository: Path) -> list[str]:
    lines = [f"{outcome.subscription_id}: {_SAID[outcome.result]}"]
    if outcome.reason is not None:
        lines[0] += f": {outcome.reason}"
    if outcome.counts:
        counted = ", ".join(f"{number} {name}" for name, number in outcome.counts.items())
        lines.append(f"  {counted}; main at {outcome.head} ({outcome.commits} commits)")
    lines += [f"  {name} is no ref of Annals and was left alone" for name in outcome.foreign]
    if outcome.strays:
        lines.append(
            f"  {len(outcome.strays)} commits go on where a branch ends and no ref reaches them: they were "
            "never answered with a 2xx, and are left out. "
            "docs/operations/recovery.md says how to take one in:"
        )
        lines += [line for stray in outcome.strays for line in _stray(stray, repository)]
    return lines


def _stray(stray: Stray, repository: Path) -> list[str]:
    named = ", ".join(stray.record.named)
    move = f"update-ref refs/heads/{stray.branch} {stray.commit_id} {stray.parent_id or NOTHING}"
    return [
        f"    {stray.commit_id} of {stray.record.time.isoformat()} by {stray.record.actor.username}: {named}",
        f"      git -C {shlex.quote(str(repository))} {move}",
    ]


def _closing(outcomes: Sequence[Outcome], where: str, dry_run: bool) -> list[str]:
    counted = {result: sum(each.result == result for each in outcomes) for result in _SAID}
    lines = ["", ", ".join(f"{number} {_SAID[r]}" for r, number in counted.items() if number) + "."]
    if dry_run:
        return [*lines, "Nothing was written."]
    if counted["rebuilt"]:
        lines += [
            f"Versions name their repository below {where}.",
            "Not in the repositories, hence lost:",
            *(f"  {each}" for each in LOST),
        ]
    if counted["refused"]:
        lines.append("Of what was refused nothing was written: run this again when the reason is gone.")
    return lines


def _report(outcomes: Sequence[Outcome], public_url: str, dry_run: bool) -> dict[str, Any]:
    subscriptions = []
    for outcome in outcomes:
        shown = asdict(outcome)
        shown["strays"] = [
            {
                "commit": stray.commit_id,
                "parent": stray.parent_id,
                "branch": stray.branch,
                "time": stray.record.time.isoformat(),
                "by": stray.record.actor.username,
                "names": stray.record.named,
            }
            for stray in outcome.strays
        ]
        subscriptions.append(shown)
    return {"dry_run": dry_run, "public_url": public_url, "subscriptions": subscriptions, "lost": LOST}
