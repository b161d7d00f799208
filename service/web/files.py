"""Links to what a page shows as files, one for each format."""

from urllib.parse import urlencode

from service.documents.tabular import FileFormat

# Pairs of the name of a format and an address.
FileLinks = list[tuple[str, str]]


def links(path: str, **asked: str) -> FileLinks:
    """Return the formats and addresses of what a path answers as a file."""
    return [(form.name, f"{path}?{urlencode({**asked, 'format': form.value})}") for form in FileFormat]
