"""Rows as a Parquet file, for queries elsewhere; documents and exact numbers keep their texts."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from service.archive.errors import ArchiveError
from service.archive.store import Sink
from sql.queries.archives import Column

if TYPE_CHECKING:
    from obstore import ReadableFile

SUFFIX = "parquet"
# Blocks of rows in a row group: few, because readers load a row group into memory as a whole.
_GROUP_BLOCKS = 16
_BATCH_ROWS = 1000
_DOCUMENTS = ("json", "jsonb")


def encode(blocks: Iterable[bytes], columns: Sequence[Column], sink: Sink) -> None:
    """Write blocks of whole lines of JSON, in which documents and exact numbers are strings.

    Raises ArchiveError for a value that Parquet has no form for, such as a NUMERIC that is NaN.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _type(column)) for column in columns])
    source = iter(blocks)
    with pq.ParquetWriter(pa.PythonFile(_SinkFile(sink), mode="w"), schema, compression="zstd") as writer:
        while group := list(islice(source, _GROUP_BLOCKS)):
            rows = [orjson.loads(line) for block in group for line in block.splitlines()]
            arrays = [_array(field, [row[field.name] for row in rows]) for field in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def decode(reader: "ReadableFile", columns: Sequence[Column]) -> Iterator[bytes]:
    """Read the rows as blocks of whole lines of JSON; documents and numbers are no longer strings."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ArchiveError("reading Parquet takes pyarrow: pip install 'annals[parquet]'") from None

    raw = {column.name for column in columns if column.type in _DOCUMENTS or _is_number(column)}
    with pq.ParquetFile(pa.PythonFile(_StoredFile(reader), mode="r")) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            lines = (_line(row, raw) for row in batch.to_pylist())
            yield b"".join(lines)


def _line(row: dict[str, Any], raw: set[str]) -> bytes:
    for name in raw:
        if row[name] is not None:
            row[name] = orjson.Fragment(str(row[name]))
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _is_number(column: Column) -> bool:
    return column.type.startswith("numeric")


def _type(column: Column) -> Any:
    import pyarrow as pa

    name, _, rest = column.type.rstrip(")").partition("(")
    if name == "numeric" and rest:
        return pa.decimal128(*map(int, rest.split(",")))
    return {
        "bool": pa.bool_(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "float8": pa.float64(),
        "timestamptz": pa.timestamp("us", tz="UTC"),
    }.get(name, pa.string())


def _array(field: Any, values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array([_stored(value, field.type) for value in values], field.type)
    except pa.ArrowException as error:
        raise ArchiveError(f"{field.name} has a value that Parquet can't hold: {error}") from error


def _stored(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, str):
        if pa.types.is_timestamp(kind):
            return datetime.fromisoformat(value)
        if pa.types.is_decimal(kind):
            return Decimal(value)
    return value


class _SinkFile:
    """A sink in the form of a file, which pyarrow writes to."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Any) -> None:
        self._sink.write(bytes(data))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class _StoredFile:
    """A file of the store in the form of a file that pyarrow reads from."""

    closed = False

    def __init__(self, reader: "ReadableFile") -> None:
        self._reader = reader
        self.seek, self.tell = reader.seek, reader.tell

    def read(self, size: int = -1) -> bytes:
        return bytes(self._reader.read(None if size < 0 else size))

    def close(self) -> None:
        self.closed = True
