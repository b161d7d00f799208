"""Entity tags: commits that a client has seen."""

# The commits that a header names, or ANY for any commit.
Match = tuple[str, ...]
ANY = "*"


def parse(header: str | None, *, weak: bool = False) -> Match | None:
    """Entity tags of an `If-Match` or `If-None-Match` header; None if the header is missing.

    Weak tags are left out unless `weak` is set (RFC 9110, 13.1). Quotes may be missing. A text that is not a
    valid entity tag is no error; it equals no commit hash.
    """
    if header is None:
        return None
    given = [tag.strip() for tag in header.split(",")]
    strong = [tag.removeprefix("W/") for tag in given if weak or not tag.startswith("W/")]
    # An asterisk in quotes does not mean ANY: it keeps its quotes, and matches no commit.
    return tuple(tag if tag == f'"{ANY}"' else tag.strip('"') for tag in strong)


def names(match: Match, commit: str) -> bool:
    """Tell if the tags name a commit."""
    return commit in match or ANY in match
