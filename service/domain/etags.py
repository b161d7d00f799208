"""Entity tags: commits that a client has seen."""

# The commits that a header names, or ANY for any commit.
Match = tuple[str, ...]
ANY = "*"


def parse(header: str | None, *, weak: bool = False) -> Match | None:
    """The tags in an `If-Match` or `If-None-Match` header, None without one.

    Weak tags count only with `weak` (RFC 9110, 13.1). Quotes may be missing; text that is no tag names
    nothing.
    """
    if header is None:
        return None
    given = [tag.strip() for tag in header.split(",")]
    strong = [tag.removeprefix("W/") for tag in given if weak or not tag.startswith("W/")]
    # An asterisk in quotes is a tag like another, which no commit has.
    return tuple(tag if tag == f'"{ANY}"' else tag.strip('"') for tag in strong)


def names(match: Match, commit: str) -> bool:
    """Tell if the tags name a commit."""
    return commit in match or ANY in match
