"""Files of the pages: kept for good under addresses that change with them, small, and all from here."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from service.web import static_files
from service.web.static_files import FILES
from tests.support.api import Server, refused
from tests.support.project import ROOT

FOLDER = Path(static_files.__file__).parent / "static"
VENDORED = [FOLDER / "vendor", ROOT / "tests" / "vendor" / "axe-core"]
ALL_PACKED_BYTES = 30 * 1024
OWN_LINES = 200


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_kept_for_good_under_the_hash_of_its_content(server: Server, name: str) -> None:
    file = FILES[name]
    digest = hashlib.sha256(file.plain).hexdigest()[:12]
    assert file.address == f"/static/{Path(name).stem}.{digest}{Path(name).suffix}"
    answer = server.http.get(file.address, headers={"accept-encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, file.plain)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"].startswith("Accept-Encoding")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "br", "gzip; q=0.0"])
def test_a_file_is_sent_plain_to_whom_takes_no_gzip(server: Server, accepted: str) -> None:
    file = FILES["annals.css"]
    answer = server.http.get(file.address, headers={"accept-encoding": accepted})
    assert ("content-encoding" in answer.headers, answer.content) == (False, file.plain)


@pytest.mark.parametrize(
    "name", ["annals.css", "annals.000000000000.css", "..%2f..%2fapp.py", "SHA256SUMS", "%00"]
)
def test_another_name_is_no_file(server: Server, name: str) -> None:
    refused(server.http.get(f"/static/{name}"), 404, "path_not_found")


def test_all_files_together_are_small() -> None:
    assert sum(len(gzip.compress(file.plain, 9)) for file in FILES.values()) <= ALL_PACKED_BYTES
    assert len(FILES["annals.js"].plain.decode().splitlines()) <= OWN_LINES


def test_files_load_nothing() -> None:
    for name in ("annals.css", "annals.js", "tail.js", "mark.svg"):
        text = FILES[name].plain.decode().replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"@import|url\((?!data:)|https?://", text) == [], name
    banned = r"\beval\b|new Function|innerHTML|insertAdjacentHTML|document\.write|\.style\b"
    for name in ("annals.js", "tail.js"):
        assert re.findall(banned, FILES[name].plain.decode()) == [], name


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: folder.parent.name)
def test_a_vendored_file_is_the_one_that_was_looked_at_and_has_its_licence(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in map(str.split, lines)}
    files = {path.name: path for path in folder.iterdir() if path.suffix == ".js"}
    assert set(sums) == set(files)
    for name, digest in sums.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    assert [path for path in folder.iterdir() if "LICENSE" in path.name and path.stat().st_size > 200]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("htmx.js", "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"),
        ("hx-sse.js", "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103"),
    ],
)
def test_the_vendored_library_is_htmx_4_0_1(name: str, expected: str) -> None:
    content = (FOLDER / "vendor" / name).read_bytes()
    assert name != "htmx.js" or b'version="4.0.1"' in content
    assert hashlib.sha256(content).hexdigest() == expected
