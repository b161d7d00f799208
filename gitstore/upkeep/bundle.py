"""Write a whole repository as one file, from which git can clone."""

from pathlib import Path

from gitstore.upkeep.git_process import MaintenanceGit

BUNDLE_SECONDS = 6 * 3600.0


def write(git: MaintenanceGit, file: Path) -> None:
    """Write every ref and all objects that refs reach into a file, replacing it, and have git verify it.

    The repository must have a commit. Raises the errors of `MaintenanceGit.run`.
    """
    path = str(file.resolve())
    git.run("bundle", "create", "--quiet", path, "--all", deadline_seconds=BUNDLE_SECONDS)
    git.run("bundle", "verify", path, deadline_seconds=BUNDLE_SECONDS)
