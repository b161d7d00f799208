"""Names: their stored form, and the key under which usernames and tags are unique."""

import unicodedata


def normal(text: str) -> str:
    """Convert a name to its stored form: composed (Unicode's NFC), and without blanks around it."""
    return unicodedata.normalize("NFC", text).strip()


def name_key(name: str) -> str:
    """Convert a name to the text that is equal for names that differ in case or in the width of letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
