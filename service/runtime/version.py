"""Version of Annals."""

from importlib import metadata


def version() -> str:
    """Version of the installed package."""
    return metadata.version("annals")
