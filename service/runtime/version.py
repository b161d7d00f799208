"""The version of Annals."""

from importlib import metadata


def version() -> str:
    """The version of the installed package."""
    return metadata.version("annals")
