"""Whether the copy of each document that queries use is what its blob in git says, as JSONB keeps it."""

from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from gitstore.inspection import Objects
from service.ids import SubscriptionId
from service.usecases.reconciliation.findings import Code, Finding
from service.usecases.reconciliation.history import Facts, Main
from service.usecases.reconciliation.trailers import subject
from sql.database import Database
from sql.errors import LimitExceeded, UnfitValue
from sql.queries import reconcile
from sql.queries.reconcile import VersionFact

# Compared in one statement; PostgreSQL reads a document faster than Python would.
_CHUNK_BYTES = 4 * 2**20
_CHUNK_DOCUMENTS = 500
_REPORT_EVERY = 2_000


def differences(
    database: Database,
    subscription_id: SubscriptionId,
    facts: Facts,
    main: Main,
    objects: Objects,
    progress: Callable[[str], None],
) -> Iterator[tuple[Finding, UUID, str | None]]:
    """Versions whose copy differs, each with the document that it has to be, None where git has none."""
    versions = {version.version_id: version for version in facts.versions}
    chunk: dict[UUID, str] = {}
    size = 0
    for count, version in enumerate(facts.versions, 1):
        data = objects.blob(main.blob_of(version))
        text = None if data is None else _text(data)
        if text is None:
            found = "no such blob" if data is None else "no text"
            yield (
                _finding(Code.BLOB_MISSING, subscription_id, version, main.blob_of(version), found),
                version.version_id,
                None,
            )
            continue
        chunk[version.version_id] = text
        size += len(text)
        if size >= _CHUNK_BYTES or len(chunk) == _CHUNK_DOCUMENTS:
            yield from _compared(database, subscription_id, versions, main, chunk)
            chunk, size = {}, 0
        if count % _REPORT_EVERY == 0:
            progress(f"  compared {count} of {len(facts.versions)} documents")
    if chunk:
        yield from _compared(database, subscription_id, versions, main, chunk)


def _compared(
    database: Database,
    subscription_id: SubscriptionId,
    versions: Mapping[UUID, VersionFact],
    main: Main,
    chunk: Mapping[UUID, str],
) -> Iterator[tuple[Finding, UUID, str | None]]:
    try:
        with database.transaction(subscription_id) as tx:
            differing = reconcile.differing(tx, subscription_id, chunk)
    except (UnfitValue, LimitExceeded):
        # One of the blobs is no JSON: halve until it stands alone.
        ids = list(chunk)
        if len(ids) == 1:
            version = versions[ids[0]]
            blob = main.blob_of(version)
            yield _finding(Code.BLOB_MISSING, subscription_id, version, blob, "no JSON"), ids[0], None
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
        yield finding, version_id, chunk[version_id]


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _finding(
    code: Code, subscription_id: SubscriptionId, version: VersionFact, expected: str, found: str
) -> Finding:
    return Finding(
        code=code,
        subscription_id=subscription_id,
        subject=subject(version.resource_type, version.resource_id, version.version_number),
        expected=expected,
        found=found,
    )
