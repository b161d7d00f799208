"""The environment of every git that is started: made from nothing, so that no other configuration counts."""

import os


def environment(**more: str) -> dict[str, str]:
    """What each git gets, and `more`."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **more,
    }
