"""The requests of clients of upload-pack, read for the audit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitstore.serve.negotiation import MAX_LINES, Negotiation, NegotiationReader, NegotiationTooLong
from tests.support.pkt_lines import DELIMITER, FLUSH, LS_REFS, fetch, line

A = "a" * 40
B = "b" * 40


def wants(request: bytes, piece_bytes: int = 2**16) -> Negotiation:
    """Read a request in pieces."""
    reader = NegotiationReader()
    for begin in range(0, len(request), piece_bytes):
        reader.read(request[begin : begin + piece_bytes])
    return reader.result()


@pytest.mark.parametrize(
    ("request_", "negotiation"),
    [
        (b"", Negotiation(None, 0, 0, False)),
        (FLUSH, Negotiation(None, 0, 0, False)),
        (LS_REFS, Negotiation("ls-refs", 0, 0, False)),
        (fetch(f"want {A}", "done"), Negotiation("fetch", 1, 0, True)),
        (fetch("thin-pack", f"want {A}", f"want {B}", f"have {A}"), Negotiation("fetch", 2, 1, False)),
        (
            line(f"want {A} multi_ack side-band-64k agent=git/2.39\n")
            + line(f"want {B}\n")
            + line("deepen 1")
            + FLUSH
            + line(f"have {A}\n")
            + line("done\n"),
            Negotiation(None, 2, 1, True),
        ),
    ],
)
def test_a_request_is_read_for_the_audit(request_: bytes, negotiation: Negotiation) -> None:
    assert wants(request_) == negotiation
    assert wants(request_, 7) == negotiation


@pytest.mark.parametrize(
    "request_",
    [
        b"0",
        b"xxxx",
        b"+00a",
        b"0_04",
        b"0003",
        b"0009abc",
        b"0004",
        line("want 12\n"),
        line(f"want {A}a\n"),
        line(f"have {'g' * 40}"),
        line("want"),
        b"000e" + b"command=\xff\n"[:10],
    ],
)
def test_a_malformed_request_is_refused(request_: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wants(request_)


pieces = st.lists(
    st.sampled_from(
        [FLUSH, DELIMITER, b"0002", b"0003", LS_REFS, fetch(f"want {A}", "done"), line("want "), b"00"]
    )
    | st.binary(max_size=30)
    | st.binary(max_size=30).map(lambda data: b"%04x%s" % (len(data) + 4, data)),
    max_size=6,
)


@given(pieces.map(b"".join) | st.binary())
def test_no_bytes_make_the_reader_fail_otherwise(request_: bytes) -> None:
    try:
        negotiation = wants(request_)
    except ValueError:
        return
    assert negotiation.wants >= 0


def test_a_request_has_no_more_lines_than_any_client_sends() -> None:
    reader = NegotiationReader()
    reader.read(FLUSH * MAX_LINES)
    with pytest.raises(NegotiationTooLong):
        reader.read(FLUSH)


def test_as_many_wants_as_fit_into_the_bytes_are_read() -> None:
    request = b"".join(line(f"want {number:040x}\n") for number in range(160_000))
    assert wants(request).wants == 160_000


def test_the_first_fault_ends_the_reading() -> None:
    reader = NegotiationReader()
    with pytest.raises(ValueError, match="wrong length"):
        reader.read(b"0004" * 1_000_000)
    assert reader._lines == 1
