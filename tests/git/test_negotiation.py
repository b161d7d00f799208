"""The requests of clients of upload-pack, read for the audit."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitstore.serve.negotiation import Negotiation, wants
from tests.support.pkt_lines import DELIMITER, FLUSH, LS_REFS, fetch, line

A = "a" * 40
B = "b" * 40


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


@pytest.mark.parametrize(
    "request_",
    [
        b"0",
        b"xxxx",
        b"+00a",
        b"0_04",
        b"0003",
        b"0009abc",
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
@example(b"0004")
def test_no_bytes_make_the_reader_fail_otherwise(request_: bytes) -> None:
    try:
        negotiation = wants(request_)
    except ValueError:
        return
    assert negotiation.wants >= 0
