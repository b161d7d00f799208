"""Compare the row of each version with its blob: the name, and the document, which the row has as JSONB."""

from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from gitstore.errors import NotUnderstood
from gitstore.read.inspection import Objects
from service.domain.ids import SubscriptionId
from service.recovery.checks.findings import Code, Finding, RowDifference
from service.recovery.checks.main_branch import Facts, MainCheck, VersionCorrection
from service.recovery.resource_rows import read_snapshot
from service.recovery.trailers import subject
from sql.database import Database
from sql.errors import LimitExceeded, UnfitValue
from sql.queries import reconcile
from sql.queries.reconcile import VersionFact

# Limits of one statement: PostgreSQL compares the documents, since it parses them faster than Python.
_CHUNK_BYTES = 4 * 2**20
_CHUNK_DOCUMENTS = 500
_REPORT_EVERY = 2_000


def differences(
    database: Database,
    subscription_id: SubscriptionId,
    facts: Facts,
    main: MainCheck,
    objects: Objects,
    progress: Callable[[str], None],
) -> Iterator[RowDifference[VersionCorrection]]:
    """Yield the versions whose document or name differs; the correction is None if git has no right value."""
    versions = {version.version_id: version for version in facts.versions}
    chunk: dict[UUID, str] = {}
    size = 0
    for count, version in enumerate(facts.versions, 1):
        blob = main.blob_of(version)
        data = objects.blob(blob)
        text = None if data is None else _text(data)
        if data is None or text is None:
            found = "no such blob" if data is None else "no text"
            yield RowDifference(_finding(Code.BLOB_MISSING, subscription_id, version, blob, found), None)
            continue
        yield from _named(subscription_id, version, main, blob, data)
        chunk[version.version_id] = text
        size += len(text)
        if size >= _CHUNK_BYTES or len(chunk) == _CHUNK_DOCUMENTS:
            yield from _compared(database, subscription_id, versions, main, chunk)
            chunk, size = {}, 0
        if count % _REPORT_EVERY == 0:
            progress(f"  compared {count} of {len(facts.versions)} documents")
    if chunk:
        yield from _compared(database, subscription_id, versions, main, chunk)


def _named(
    subscription_id: SubscriptionId, version: VersionFact, main: MainCheck, blob: str, data: bytes
) -> Iterator[RowDifference[VersionCorrection]]:
    """Compare the name in the snapshot with the row's, if a commit names the version."""
    named = main.history.named.get(version.version_id)
    if named is None:
        return
    try:
        name = read_snapshot(named.line.key, blob, data).name
    except NotUnderstood:
        finding = _finding(Code.BLOB_MISSING, subscription_id, version, blob, "no snapshot of it")
        yield RowDifference(finding, None)
        return
    if name != version.resource_name:
        finding = _finding(Code.NAME_DIFFERS, subscription_id, version, name, version.resource_name)
        yield RowDifference(finding, VersionCorrection(version.version_id, "resource_name", name))


def _compared(
    database: Database,
    subscription_id: SubscriptionId,
    versions: Mapping[UUID, VersionFact],
    main: MainCheck,
    chunk: Mapping[UUID, str],
) -> Iterator[RowDifference[VersionCorrection]]:
    try:
        with database.transaction(subscription_id) as tx:
            differing = reconcile.differing(tx, subscription_id, chunk)
    except (UnfitValue, LimitExceeded):
        # One of the blobs is not JSON: halve the chunk until that blob is alone.
        ids = list(chunk)
        if len(ids) == 1:
            version = versions[ids[0]]
            blob = main.blob_of(version)
            yield RowDifference(_finding(Code.BLOB_MISSING, subscription_id, version, blob, "no JSON"), None)
            return
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            part = {each: chunk[each] for each in half}
            yield from _compared(database, subscription_id, versions, main, part)
        return
    for version_id in sorted(differing):
        version = versions[version_id]
        expected = f"the JSON of blob {main.blob_of(version)}"
        finding = _finding(
            Code.DATA_DIFFERS, subscription_id, version, expected, "another value in version_data"
        )
        yield RowDifference(finding, VersionCorrection(version_id, "version_data", chunk[version_id]))


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _finding(
    code: Code, subscription_id: SubscriptionId, version: VersionFact, expected: str, found: str
) -> Finding:
    about = subject(version.resource_type, version.resource_id, version.version_number)
    return Finding.of(code, subscription_id, about, expected=expected, found=found)
