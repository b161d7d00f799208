"""The user that runs the embedded PostgreSQL, and its folders: PostgreSQL refuses to run as root."""

import os
import pwd
import shlex
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path


class EmbeddedError(Exception):
    """The embedded PostgreSQL can't be used; the message names the fault and the next step."""


@dataclass(frozen=True)
class ServerUser:
    """The way to run PostgreSQL's programs: as this user, in a user namespace, or as another system user."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def file_owner(self) -> int:
        """The uid that owns the server's files on disk."""
        return os.geteuid() if self.uid is None else self.uid

    def popen(self, command: list[str], output: int, errors: int) -> subprocess.Popen[bytes]:
        """Start a program that outlives this process and gets no Ctrl-C; its output goes to descriptors."""
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd="/",
            # The environment is not inherited: PGDATA, PGOPTIONS, LANG and so on are for other programs.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a program to its end; returns its exit code and one text: its output, then its errors."""
        with self.popen(command, subprocess.PIPE, subprocess.PIPE) as process:
            output, errors = process.communicate()
        return process.returncode, (output + errors).decode(errors="replace").strip()

    def take_over(self, folder: Path) -> None:
        """Make the user the owner of a folder and everything in it, unless it is already."""
        if self.uid is None or self.gid is None or folder.stat().st_uid == self.uid:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def be_let_through(self, folder: Path) -> None:
        """Allow the user to pass through a folder that is closed to everybody else, and nothing more."""
        found = folder.stat()
        if self.gid is not None and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700:
            os.chown(folder, -1, self.gid)
            folder.chmod(0o710)


def require_access(user: ServerUser, folders: list[Path]) -> None:
    """Raise EmbeddedError if the user may not pass a folder on the way; it names the first such folder."""
    if user.uid is None:
        return
    on_the_way = {parent: None for folder in folders for parent in (*reversed(folder.parents), folder)}
    # Checked as that user, not read from mode bits: access lists and mounts matter too.
    script = 'for folder; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done'
    code, blocked = user.run(["/bin/sh", "-c", script, "sh", *map(str, on_the_way)])
    if code != 0:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, user namespaces can't be used here, and the user "
            f"{pwd.getpwuid(user.uid).pw_name} may not pass the folder {blocked}. Either allow it yourself "
            f"(chmod o+x {shlex.quote(blocked)}), or choose another --data-dir, or give a PostgreSQL of your "
            "own by DATABASE_URL."
        )


def choose_server_user(programs: Path, cluster: Path, user_namespaces: bool) -> ServerUser:
    """Choose the user that runs PostgreSQL's programs on a cluster, which may not exist yet.

    Root prefers a user namespace to a system user: in the namespace the server's files stay root's, so a
    closed folder, such as /root, need not be opened to anybody. Raises EmbeddedError if the cluster is
    another user's.
    """
    owner = cluster.stat().st_uid if cluster.exists() else os.geteuid()
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise EmbeddedError(
                f"{cluster} belongs to another user (uid {owner}): start Annals as that one, "
                "or choose another --data-dir."
            )
        return ServerUser()
    if owner != 0:
        return ServerUser(uid=owner, gid=cluster.stat().st_gid)
    system_user = _system_user()
    # The namespace shows root under a system user's id: initdb looks up the name of the user that it runs as.
    prefix = ("unshare", "--user", f"--map-user={system_user.pw_uid}", f"--map-group={system_user.pw_gid}")
    if user_namespaces and shutil.which("unshare") is not None:
        namespaced = ServerUser(prefix=prefix)
        if namespaced.run([str(programs / "postgres"), "--version"])[0] == 0:
            return namespaced
    return ServerUser(uid=system_user.pw_uid, gid=system_user.pw_gid)


def _system_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL can't run as root, and there is no user postgres or nobody: start Annals as another user."
    )


def private_folder(name: str, user: ServerUser) -> Path:
    """Make a folder that only the user (and root) can enter, its path short enough for a Unix socket.

    Raises EmbeddedError when a folder of that name exists and is another user's: it may be a trap.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if (
        user.uid is None
        and runtime.is_absolute()
        and len(str(runtime)) < 60
        and os.access(runtime, os.W_OK | os.X_OK)
    ):
        folder = runtime / f"annals-{name}"
    else:
        folder = Path(f"/tmp/annals-{user.file_owner}-{name}")  # noqa: S108 - checked below
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        user.take_over(folder)
    check_private(folder, user)
    return folder


def check_private(folder: Path, user: ServerUser) -> None:
    """Raise EmbeddedError unless the folder is the user's, closed to everybody else, and not a link."""
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or stat.S_IMODE(found.st_mode) != 0o700
        or found.st_uid != user.file_owner
    ):
        raise EmbeddedError(
            f"{folder} should be a folder with mode 0700 that belongs to uid {user.file_owner}, and is not. "
            "Somebody else may have made it: look at it, remove it, and start again."
        )
