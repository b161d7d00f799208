"""A whole repository as one file, which git clones from like from any other place."""

from pathlib import Path

from gitstore.upkeep.git_process import MaintenanceGit

BUNDLE_SECONDS = 6 * 3600.0


def write(git: MaintenanceGit, file: Path) -> None:
    """Put every ref and all that it reaches into a file, in place of what is there, and let git verify it.

    The repository has a commit. Raises as `MaintenanceGit.run` does.
    """
    path = str(file.resolve())
    git.run("bundle", "create", "--quiet", path, "--all", deadline_seconds=BUNDLE_SECONDS)
    git.run("bundle", "verify", path, deadline_seconds=BUNDLE_SECONDS)
