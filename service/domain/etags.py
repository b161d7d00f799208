"""Entity tags: commits that a client has seen."""

# The commits that a header names, or ANY for any commit.
Match = tuple[str, ...]
ANY = "*"


def parse(header: str | None) -> Match | None:
    """Entity tags of an `If-Match` or `If-None-Match` header; None if the header is missing.

    A weak tag counts as the strong one: a commit names one content, and a proxy that compresses answers makes
    the tag weak. Quotes may be missing. A text that is not a valid entity tag is no error; it equals no
    commit hash.
    """
    if header is None:
        return None
    given = [tag.strip() for tag in header.split(",")]
    tags = [tag.removeprefix("W/") if tag.startswith('W/"') else tag for tag in given]
    # An asterisk in quotes does not mean ANY: it keeps its quotes, and matches no commit.
    return tuple(tag if tag == f'"{ANY}"' else tag.strip('"') for tag in tags)


def names(match: Match, commit: str) -> bool:
    """Tell if the tags name a commit."""
    return commit in match or ANY in match
