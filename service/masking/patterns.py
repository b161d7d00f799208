"""Rules for texts: the tables of tokens and commands, and forms that are of no provider.

Every pattern is linear: a repetition is possessive, bounded, or cannot begin again inside its own match.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import NamedTuple

from service.masking.candidates import could_be_secret
from service.masking.commands import COMMANDS
from service.masking.names import Secrecy
from service.masking.tokens import START, TOKENS, Sign

MASK = "[masked]"

_Replacement = str | Callable[[re.Match[str]], str]

# The kind of the key, which is no secret, stays visible.
_ANNALS = (re.compile(r"(annals_[0-9A-Fa-f]{32}_)[\w-]++", re.ASCII), rf"\1{MASK}")
# A JWT begins with `{"` in base64. Each run of characters is read once, with or without a second part.
_JWT = re.compile(START + r"eyJ[\w-]{8,}+(\.[\w-]{8,}+(?:\.[\w-]*+)*+)?", re.ASCII)
_LONG_JSON = 100
_PEM = re.compile(
    r"-----BEGIN(?:[ +_]|%20)(?:[A-Za-z0-9]{1,20}(?:[ +_]|%20)){0,4}(?:PRIVATE(?:[ +_]|%20)KEY|Static(?:[ +_]|%20)key)"
    r"(?:(?s:.)*?-----END[A-Za-z0-9 +_%]{0,60}-----|(?s:.)*+)"
)
_PUTTY = (re.compile(r"(Private-Lines: \d{1,5}(?:\\[rn]|\s){1,4})(?s:.)*+"), rf"\1{MASK}")
# Passwords in URLs may contain forbidden characters. So a password ends at the last @ before the path, or
# else before any space.
_USER = r"[^\s:/?#@\"'<>\[\]\\]*+"
_URLS: tuple[tuple[str, re.Pattern[str], _Replacement], ...] = (
    (
        "@",
        re.compile(
            rf"(:\\?/\\?/{_USER}:)"
            r"(?:[^\s\"'<>/?#\\]*(?=@)|(?!\d{1,5}[/?#])(?:[^\s\"'<>@:]|:(?!\\?/\\?/))*+(?=@))"
        ),
        lambda found: _password(found),
    ),
    # A URL within a JSON pointer, as when a refusal names a key that is a URL.
    ("~1~1", re.compile(rf"(:~1~1{_USER}:)[^\s\"'<>/?#\\]*(?=@)"), rf"\1{MASK}"),
    # A long name alone before the host is a token.
    ("@", re.compile(r"(://)(\w{20,}+)(?=@)", re.ASCII), lambda found: _user(found)),
    ("%40", re.compile(r"((?i:%3a%2f%2f)[\w.+-]*+(?i:%3a))(?:[^\s&%]|%(?!40))*+(?=%40)"), rf"\1{MASK}"),
    # Passwords of Go's driver for MySQL: user:password@tcp(host:port).
    ("@tcp(", re.compile(r"(\b[\w.-]{1,60}:)[^\s\"'@/]{1,200}(?=@tcp\()"), rf"\1{MASK}"),
)
# The signatures of Azure's SAS, and of the signed URLs of AWS and Google.
_SIGNATURE = re.compile(
    r"([?&;](?:[Xx]-(?:Amz|Goog)-)?(?:[Ss]ig(?:nature)?|Security-Token)=)[^&\s\"'<>\\]{8,}+"
)
_SAS = re.compile(r"(SharedAccessSignature sr=[^\s]{1,300}?&sig=)[^&\s\"']++")
# The code of OAuth in a query, which is exchanged for a token, and the key of an API.
_CODE = re.compile(r"([?&](?:code|key)=)([^&\s\"'<>\\]{16,}+)")
_SCHEME = re.compile(r"\b(basic|bearer)((?:\s|%20|\+){1,8})([\w.~+/=%-]++)", re.IGNORECASE | re.ASCII)
# No bearer's token has fewer digits, if it has nothing else.
_LONG_NUMBER = 16
# Password hashes: of crypt, bcrypt, argon2, Django and Windows. A password is guessed from its hash.
_HASHES = (
    (
        ("$1$", "$5$", "$6$", "$y$", "$apr1$", "$2", "$argon2", "$scrypt"),
        re.compile(
            r"(\$(?:[156y]|apr1|2[abxy]|argon2\w{1,2}|scrypt)\$(?:[\w=,]{1,40}\$){0,3}+)[\w./+$-]{20,}"
        ),
        rf"\1{MASK}",
    ),
    (("pbkdf2_",), re.compile(r"(pbkdf2_sha\d{1,3}\$\d{1,9}\$\w{1,60}\$)[\w+/=]{16,}"), rf"\1{MASK}"),
    (
        ("aad3b435b51404ee", "31d6cfe0d16ae931"),
        re.compile(r"(\b[\w.$\\-]{1,60}:\d{1,10}:[0-9a-fA-F]{32}:)[0-9a-fA-F]{32}(?=:::)"),
        rf"\1{MASK}",
    ),
)
# A line of .pgpass: host:port:database:user:password.
_PGPASS = re.compile(
    r"(^[\w.*-]{1,100}:(?:\d{1,5}|\*):[\w*-]{1,60}:[\w*-]{1,60}:)[^\s:]{1,200}$", re.MULTILINE
)


def _jwt(found: re.Match[str]) -> str:
    text = found[0]
    return MASK if found[1] or len(text) > _LONG_JSON else text


def _password(found: re.Match[str]) -> str:
    password = found[0][len(found[1]) :]
    return found[0] if _is_reference(password) else f"{found[1]}{MASK}"


def _user(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" if could_be_secret(found[2], Secrecy.OPAQUE) else found[0]


def _is_reference(text: str) -> bool:
    return text == MASK or (
        text.startswith(("$", "{{", "%", "<", "((")) and not could_be_secret(text, Secrecy.ANY)
    )


def _code(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" if could_be_secret(found[2], Secrecy.OPAQUE) else found[0]


def _scheme(found: re.Match[str]) -> str:
    word = found[3]
    if found[1].lower() == "basic":
        is_secret = _is_basic(word)
    else:
        is_secret = could_be_secret(word, Secrecy.LIKELY) or (word.isdigit() and len(word) >= _LONG_NUMBER)
    return f"{found[1]}{found[2]}{MASK}" if is_secret else found[0]


def _is_basic(word: str) -> bool:
    """Tell if a word is the base64 of a user and a password, or random."""
    try:
        decoded = base64.b64decode(word.replace("%3D", "="), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    return b":" in decoded or could_be_secret(word, Secrecy.OPAQUE)


def _without_shown(found: re.Match[str]) -> str:
    """Mask a token, all but the part that only identifies it."""
    shown = found.groupdict().get("shown")
    return MASK if shown is None else f"{shown}{MASK}"


def _without_secret(found: re.Match[str]) -> str:
    """Mask the password of a command, unless it is a reference to one."""
    secret, begin, end = found["secret"], *found.span("secret")
    quote = secret[0] if secret[0] in "'\"" and secret[-1] == secret[0] and len(secret) > 1 else ""
    # A shell replaces nothing between single quotes, but a text may be a template as a whole.
    judged = secret.replace("$", "s") if quote == "'" and secret[1] not in "${<" else secret
    if secret == MASK or not could_be_secret(judged, Secrecy.ANY, bare=not quote):
        return found[0]
    before, after = found[0][: begin - found.start()], found[0][end - found.start() :]
    return f"{before}{quote}{MASK}{quote}{after}"


class SecretPattern(NamedTuple):
    """A pattern with its replacement; each text that it matches contains, in lower case, one of the signs."""

    signs: frozenset[str]
    pattern: re.Pattern[str]
    replacement: _Replacement


def _compiled(sign: Sign, flags: int, replacement: _Replacement) -> SecretPattern:
    return SecretPattern(frozenset(sign.sign.split("|")), re.compile(sign.pattern, flags), replacement)


RULES = (
    tuple(
        SecretPattern(frozenset(signs), pattern, replacement)
        for signs, pattern, replacement in (
            (("-----begin",), _PEM, MASK),
            (("private-lines",), *_PUTTY),
            (("eyj",), _JWT, _jwt),
            (("annals_",), *_ANNALS),
        )
    )
    + tuple(_compiled(sign, re.ASCII, _without_shown) for sign in TOKENS)
    + tuple(
        SecretPattern(frozenset(signs), pattern, replacement)
        for signs, pattern, replacement in (
            *(((sign,), pattern, replacement) for sign, pattern, replacement in _URLS),
            *_HASHES,
            (("sig=", "signature=", "security-token="), _SIGNATURE, rf"\1{MASK}"),
            (("sharedaccesssignature",), _SAS, rf"\1{MASK}"),
            (("?code=", "&code=", "?key=", "&key="), _CODE, _code),
            (("basic", "bearer"), _SCHEME, _scheme),
            ((":5432:", ":*:"), _PGPASS, rf"\1{MASK}"),
        )
    )
)
COMMAND_RULES = tuple(_compiled(sign, 0, _without_secret) for sign in COMMANDS)
