"""Find files that a traced committer had not synced when it sent COMMIT, or when it answered."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev,sendto,sendmsg"
# -D: the server stays a child of this process. -yy: descriptors are shown with what they refer to, files by
# path.
STRACE = ("strace", "-D", "-f", "-yy", "--seccomp-bpf", "-s", "64", "-e", f"trace={CALLS}", "-o")

_LINE = re.compile(r"(?P<thread>\d+) +(?P<text>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_DESCRIPTOR = re.compile(r"\d+<(?P<what>[^>]*)>")
# The text of a simple query, as strace writes it.
_COMMIT = r"COMMIT\0"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that succeeded; `began` and `ended` are line numbers of the trace."""

    thread: str
    name: str
    arguments: str
    began: int
    ended: int

    @property
    def path(self) -> str:
        """The file, folder or socket that its descriptor refers to."""
        found = _DESCRIPTOR.match(self.arguments)
        return found["what"] if found else ""

    @property
    def named(self) -> tuple[str, str] | None:
        """The old and the new path of a rename or link."""
        if not self.name.startswith(("rename", "link")):
            return None
        names = re.findall(r'"([^"]*)"', self.arguments)
        return (names[0], names[1]) if len(names) == 2 else None


def calls(lines: Iterable[str]) -> list[Call]:
    """Return the successful calls of a trace, in the order in which they ended."""
    found = []
    unfinished: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        parsed = _LINE.match(line)
        if parsed is None:
            continue
        thread, text, began = parsed["thread"], parsed["text"], number
        if text.endswith("<unfinished ...>"):
            unfinished[thread] = number, text.removesuffix("<unfinished ...>")
            continue
        if (resumed := _RESUMED.match(text)) and thread in unfinished:
            began, start = unfinished.pop(thread)
            text = start + resumed["rest"]
        call = _CALL.match(text)
        if call is not None and int(call["result"]) >= 0:
            found.append(Call(thread, call["name"], call["arguments"], began, number))
    return found


def lacking(traced: Sequence[Call], repository: Path, refs: Sequence[str]) -> list[str]:
    """Return the files that were not durable in time in the only batch of the trace; empty if all were.

    Both files of the pack, then their names, have to be synced before COMMIT is sent to PostgreSQL; then the
    file of each ref before it is named, and its folder after, before the answer is sent.
    """
    packs = f"{repository}/objects/pack"
    named = {
        Path(call.named[1]).suffix: call for call in traced if call.named and _is_pack(call.named, packs)
    }
    if set(named) != {".pack", ".idx"}:
        return [f"no pack was named, but {sorted(named)}"]
    thread = named[".pack"].thread
    own = [call for call in traced if call.thread == thread]
    whole = max(call.ended for call in named.values())
    commit = _first(own, whole, lambda call: call.name.startswith("send") and _COMMIT in call.arguments)
    if commit is None:
        return ["no COMMIT was sent"]
    answer = _first(own, commit.ended, lambda call: call.path.startswith("UNIX"))
    if answer is None:
        return ["no answer was sent"]
    wrong = []
    for suffix, call in named.items():
        assert call.named is not None
        if not _is_synced(own, call.named[0], call.began):
            wrong.append(f"the {suffix} was not synced before it was named")
    if not _is_synced(own, packs, commit.began, after=whole):
        wrong.append("the folder of packs was not synced before COMMIT")
    for ref in refs:
        wrong += _lacking_of(own, repository / ref, commit, answer)
    return wrong


def _lacking_of(own: Sequence[Call], ref: Path, commit: Call, answer: Call) -> list[str]:
    moved = _first(own, -1, lambda call: call.named is not None and call.named[1] == str(ref))
    if moved is None:
        return [f"{ref.name} was not moved"]
    wrong = []
    if moved.began < commit.ended:
        wrong.append(f"{ref.name} was moved before COMMIT")
    if not _is_synced(own, f"{ref}.lock", moved.began):
        wrong.append(f"{ref.name} was not synced before it was named")
    if not _is_synced(own, str(ref.parent), answer.began, after=moved.ended):
        wrong.append(f"the folder of {ref.name} was not synced before the answer")
    return wrong


def _is_pack(named: tuple[str, str], packs: str) -> bool:
    return named[0].startswith(f"{packs}/tmp_") and named[1].startswith(f"{packs}/pack-")


def _is_synced(own: Sequence[Call], path: str, before: int, after: int = -1) -> bool:
    """Return True if a sync of the path began after all writes to it, and ended in time."""
    written = max((c.ended for c in own if c.name.startswith("write") and c.path == path), default=-1)
    return any(
        call.name in ("fsync", "fdatasync")
        and call.path == path
        and max(after, written) < call.began
        and call.ended < before
        for call in own
    )


def _first(own: Sequence[Call], after: int, wanted: Callable[[Call], bool]) -> Call | None:
    return next((call for call in own if call.began > after and wanted(call)), None)
