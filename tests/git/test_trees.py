"""Trees edited as bytes, against libgit2's own."""

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygit2.enums import FileMode

from gitstore.write import trees

IDS = st.binary(min_size=20, max_size=20).filter(any)
NAMES = st.text(alphabet="0123456789abcdef", min_size=1, max_size=4)
MODES = st.sampled_from([FileMode.TREE, FileMode.BLOB])
ENTRIES = st.dictionaries(NAMES, st.tuples(IDS, MODES), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pygit2.Repository:
    return pygit2.init_repository(tmp_path_factory.mktemp("trees"), bare=True)


def built(repository: pygit2.Repository, entries: dict[str, tuple[bytes, FileMode]]) -> tuple[bytes, bytes]:
    """The bytes and the id of a tree as libgit2 makes it."""
    builder = repository.TreeBuilder()
    for name, (object_id, mode) in entries.items():
        builder.insert(name, pygit2.Oid(raw=object_id), mode)
    made = builder.write()
    _, data = repository.odb.read(made)
    return data, made.raw


@given(entries=ENTRIES, new=IDS, data=st.data())
def test_an_entry_is_found_and_replaced_as_libgit2_would(
    repository: pygit2.Repository,
    entries: dict[str, tuple[bytes, FileMode]],
    new: bytes,
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(entries)))
    before, _ = built(repository, entries)
    object_id, mode = entries[name]
    assert trees.entry(before, name, mode) == object_id
    of_mode = {each: found for each, (found, its_mode) in entries.items() if its_mode == mode}
    assert trees.entries(before, mode) == of_mode
    after = trees.replaced(before, name, mode, new)
    assert after is not None
    assert (after, trees.tree_id(after)) == built(repository, {**entries, name: (new, mode)})


def test_what_is_not_there_or_of_another_mode_is_not_found(repository: pygit2.Repository) -> None:
    tree, _ = built(repository, {"ab": (b"x" * 20, FileMode.TREE), "abc": (b"y" * 20, FileMode.BLOB)})
    for name, mode in (
        ("a", FileMode.TREE),
        ("b", FileMode.TREE),
        ("ab", FileMode.BLOB),
        ("c", FileMode.BLOB),
    ):
        assert trees.entry(tree, name, mode) is None
        assert trees.replaced(tree, name, mode, b"z" * 20) is None


@pytest.mark.parametrize("others", [{}, {"00": (b"x" * 20, FileMode.TREE)}])
def test_bytes_that_look_like_an_entry_within_an_id_are_none(
    repository: pygit2.Repository, others: dict[str, tuple[bytes, FileMode]]
) -> None:
    lure = b"....40000 3f\0......."
    assert len(lure) == 20
    tree, _ = built(repository, {**others, "12": (lure, FileMode.TREE)})
    assert trees.entry(tree, "3f", FileMode.TREE) is None
    tree, _ = built(repository, {**others, "12": (lure, FileMode.TREE), "3f": (b"y" * 20, FileMode.TREE)})
    assert trees.entry(tree, "3f", FileMode.TREE) == b"y" * 20
    assert trees.replaced(tree, "3f", FileMode.TREE, b"z" * 20) == tree[:-20] + b"z" * 20
