"""Judge if a string could be a secret, given how much the name before it promises.

References to secrets (`${{ secrets.X }}`, `vault:path#key`, ARNs), placeholders, words that state a fact
(`Success`, `required`), paths, dates, versions and addresses are none.
"""

import math
import re
from collections import Counter
from functools import lru_cache

from service.masking.names import Secrecy, secrecy

# The beginning decides: no secret of one line is longer.
_LONGEST_READ = 256
_LONGEST_REMEMBERED = 100

# Parts that stand for a value known elsewhere: of shells, templates and languages of expressions.
_REFERENCE = re.compile(
    r"\$\{\{[^{}]{0,200}\}\}|\$\{[^{}]{0,200}(?:\}|\Z)|=?\{\{.{0,300}?(?:\}\}|\Z)|\$\([^()]{0,200}\)|<%.{0,200}?%>"
    r"|\(\([\w.:/-]{1,200}\)\)|%\([\w.]{1,100}\)s|#\{[^{}]{0,200}\}|\$\$?\.[\w.\[\]*'$-]{1,200}"
    r"|(?<![\w$])\$(?:env:|Env:)?[A-Za-z_]\w{0,100}(?!\w)(?![!#%&*@^~])|%[A-Za-z_]\w{1,60}%",
    re.DOTALL,
)
# Whole strings that point to a secret, or hold it encrypted or hashed with a key.
_POINTER = re.compile(
    r"arn:[\w-]{1,20}:.*|!(?:Ref|GetAtt|Sub|vault|secret|env|reference)\b.*|@Microsoft\.KeyVault\(.*"
    r"|(?:vault|ref\+\w{1,20}|op|ssm|ssm-secure|awssm|gcpsm|sm|akv|secret|secretref|env|file|k8s|keyring|bws):\S*"
    r"|ENC\[.*|\{cipher\}.*|\$ANSIBLE_VAULT;.*|hmac-sha\d{1,3}:[0-9a-f]{1,128}|projects/[^/]{1,60}/secrets/.*"
    r"|resolve:.*|(?:data|var|local|module|each|self|random_\w{1,30}|aws_\w{1,60}|azurerm_\w{1,60}|google_\w{1,60})\.[\w.\[\]\"'-]{1,200}",
    re.DOTALL,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:\\?/\\?/\S*|https?:.*|mailto:.*|urn:.*|data:.*")
# Masks, and texts that ask for a value.
_PLACEHOLDER = re.compile(
    r"[*•.xX#_?\s-]{2,}|.{0,20}\*{3,}.{0,20}|[\w-]{0,12}(?:\.{3}|…)[\w-]{0,8}|[\[<({][\w .*-]{0,40}[\])>}]|<[^<>]{1,80}>"
    r"|(?i:hidden_due_to_\w+|redacted|filtered|masked|hidden|removed|sensitive|\(sensitive value\)|\(known after apply\))"
    r"|(?i:your|enter|insert|replace)[-_ ].{0,60}|(?i:.{0,60}[-_ ](?:here|goes_here))"
    r"|(?i:todo|tbd|placeholder|example|dummy|changeit\??)|[\[\](){}<>,;:.|/\\+=&!?'\"`-]{1,8}",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"[+-]?(?:\d+(?:[.,]\d+)*|0[xX][0-9a-fA-F]{1,40})(?:\s?(?:%|[kKMGTmn]?[bBsihd]|ms|min|days?|hours?))?",
    re.ASCII,
)
_DIGITS = re.compile(r"\d{3,}", re.ASCII)
_CLOCK = (
    r"\d{1,2}:\d{2}(?::\d{2}(?:[.,:]\d{1,9})?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|[A-Z]{2,5}|[+-]\d{2}:?(?:\d{2})?))?"
)
_SPAN = r"P(?=T?\d)(?:\d{1,9}[YMWD]){0,4}(?:T(?:\d{1,9}(?:[.,]\d{1,9})?[HMS]){1,3})?"
_TIME = re.compile(rf"\"?\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}(?:[T ]{_CLOCK})?\"?|{_CLOCK}|{_SPAN}")
_VERSION = re.compile(r"[vV]?\d{1,4}(?:\.[\w-]{1,20}){0,5}|[\^~<>=]{1,2}\s?\d[\w.-]{0,20}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ADDRESS = re.compile(
    r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){0,5}(?::\d{1,5})?|\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"
)
_IDENTITY = re.compile(
    r"A(?:KIA|SIA|BIA|CCA|IDA|ROA|GPA|NPA|NVA)[0-9A-Z]{12,}(?:(?:/|%2[Ff])\d{8}(?:/|%2[Ff]).*)?|LTAI\w{12,24}|(?:pk|pub)_(?:live|test)_\w+|S-1-[\d-]+"
)
_OBJECT = re.compile(r"[\w$]{1,60}(?:\.[\w$]{1,60}){0,8}@[0-9a-f]{4,16}|[A-Za-z_]\w{2,40}\{.*", re.DOTALL)
_PUBLIC = re.compile(
    r"(?:-----BEGIN (?:CERTIFICATE|PUBLIC KEY)|ssh-(?:rsa|ed25519|dss) |(?:sha\d{1,3}[:=-]|SHA\d{1,3}:)(?=[\w+/=-]{27})).*",
    re.DOTALL,
)
# Expressions of programs, where a value is not quoted: os.environ["X"], settings.api_key, get("x"), $1, :name, ?.
_CODE = re.compile(
    r"[A-Za-z_][\w]{0,60}(?:(?:\.|->|::|\?\.)[A-Za-z_]\w{0,60}){1,8}(?:[(\[].*|[;,!)]{0,3})?"
    r"|[A-Za-z_]\w{0,60}[(\[].*|[:$@%?]\w{0,40}[;,)]{0,2}|&\w{1,40}|\*\w{1,40}|[A-Z]\w{0,40}[!;?]",
    re.DOTALL,
)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\]?(?:[\w.@${}*-]{1,80}[/\\]){1,20}[\w.@${}*-]{0,80}")
_TOP = re.compile(r"/[a-z]{2,12}")
# A secret key of AWS: its slashes make no path of it.
_SECRET_KEY = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9+/]{40}")
_FACTS = frozenset(
    """
    null none nil undefined true false yes no on off ok n/a na empty unknown unset missing absent default
    auto automatic manual required optional preferred enabled disabled enable disable allow allowed deny
    denied granted success successful succeeded failure failed fail error invalid valid expired active
    inactive pending revoked rotated created updated deleted changed reset sent received verified unverified
    correct incorrect wrong weak strong medium high low public private internal external inherit inherited
    always never basic bearer digest simple kerberos negotiate ntlm ntlmv2 oauth oauth1 oauth2 openid oidc
    saml saml2 jwt mtls tls ssl sigv4 sigv4a ldap pam iam aws_iam radius certificate cert publickey
    keyboard-interactive password passwd passphrase secret secrets token tokens key keys api_key apikey
    cookie credentials credential header query body string text number integer int boolean bool object array
    file env local session global memory redis username user email login otp totp mfa webauthn sms push
    hardware software rotate write read none. lax strict read-only readonly admin root service system not
    see must should is was are has have needs cannot will field char varchar opaque securestring identifier
    expected unexpected found current aes rsa ecdsa ed25519 hmac hs256 rs256 es256 sha sha1 sha256 sha512
    md5 bcrypt argon2 argon2id scrypt pbkdf2 success. false. true. two-factor nonempty usernamepassword str
    bytes uuid list dict optional[str] auth application client server web html form plain login cram-md5
    external anonymous nothing via using in on to
    sha1withrsa sha256withrsa sha384withrsa sha512withrsa sha256withecdsa sha384withecdsa
    """.split()  # noqa: SIM905 - a list of words is read as text
)
_TECHNICAL = re.compile(
    r"(?:aes|sha|md|rsa|oauth|ntlm|ntlmv|saml|hs|rs|es|ps|ed|ecdsa|hmac|http|tls|tlsv|ssl|ipv|utf|base|s|ec|k|v|ver|x|db|tls1|sigv|kv|pkcs|pg|mp|p)\W?\d{1,5}[a-z]{0,2}",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?:basic|bearer|token|ssws|digest|apikey|api-key|negotiate|aws4-hmac-sha256|key|splunk|bot)\s+(\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_PIECES = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_FUNCTION_WORDS = frozenset(
    """
    a an and are at be been before by can cannot did do does for from had has have if in into is it least
    must need needs no not of on or should than that the this to was were when will with within without you
    your password passwords token tokens secret key login user username
    """.split()  # noqa: SIM905 - a list of words is read as text
)
_SPECIAL = frozenset("!@#$%^&*~+=?,;<>|(){}[]'\"`\\ñéüö")
_LETTERS_ALONE = 20
# Random base64 of this length has more bits a character than words with numbers have.
_TOKEN_LENGTH = 32
_TOKEN_ENTROPY = 4.3
# Rows of the keyboard and the alphabet are what people type where anything will do.
_SEQUENCE = re.compile(r"abcdef|qwert|asdfg|zxcvb|12345", re.IGNORECASE)
# A text with as many is a sentence.
_MOST_FUNCTION_WORDS = 2


def could_be_secret(text: str, how: Secrecy, *, bare: bool = False) -> bool:
    """Tell if a string under a name of this secrecy could be a secret; `bare` if it stands unquoted in a text."""
    if how is Secrecy.NONE:
        return False
    if how is Secrecy.WHOLE:
        return text != ""
    if len(text) <= _LONGEST_REMEMBERED:
        return _remembered(text, how, bare)
    return _judge(text, how, bare)


def _judge(text: str, how: Secrecy, bare: bool) -> bool:
    text = text[:_LONGEST_READ].strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1]
    left = _REFERENCE.sub(" ", text)
    if left != text:
        # Beside a reference there may be a scheme or a comment, and rarely a secret.
        return how >= Secrecy.LIKELY and any(map(_is_opaque, left.split()))
    if _says_nothing(text):
        return False
    if bare and _CODE.fullmatch(text) and not _has_glued(text.split("(")[0]):
        return False
    if scheme := _SCHEME.fullmatch(text):
        return how >= Secrecy.LIKELY and _is_credential(scheme[1])
    if how is Secrecy.OPAQUE:
        return _is_opaque(text)
    if how is Secrecy.ANY:
        return _is_password(text)
    return _is_likely(text) or (how is Secrecy.STRONG and _is_word(text))


def _is_credential(text: str) -> bool:
    """Tell if the text after the scheme of a header could be a secret; `Bearer authentication` has none."""
    is_word = any(map(str.isspace, text)) or not any(map(str.isdigit, text)) or _says_nothing(text)
    return not is_word or _is_likely(text) or _is_opaque(text)


_remembered = lru_cache(maxsize=8192)(_judge)


def _says_nothing(text: str) -> bool:
    """Tell if a string cannot be a secret under any name."""
    if text.lower().rstrip(".,;:!)") in _FACTS or not text:
        return True
    return any(
        pattern.fullmatch(text) is not None
        for pattern in (_POINTER, _URL, _PLACEHOLDER, _TIME, _IDENTITY, _OBJECT, _PUBLIC)
    )


def _is_password(text: str) -> bool:
    if _NUMBER.fullmatch(text):
        return _DIGITS.fullmatch(text) is not None
    words = text.split()
    if len(words) > 1:
        return (
            sum(word.strip(".,:;?!\"'()").lower() in _FUNCTION_WORDS for word in words) < _MOST_FUNCTION_WORDS
        )
    # A path with a slash at its beginning, or in words alone, is where a password lies; `PWD=/root` is the
    # folder of a command.
    if _SECRET_KEY.fullmatch(text):
        return True
    return not (_TOP.fullmatch(text) or (_PATH.fullmatch(text) and (text[0] in "/~." or _is_name(text))))


def _is_word(text: str) -> bool:
    return len(text) > 4 and _WORD.fullmatch(text) is not None and len(_CAMEL.findall(text)) == 1


def _is_likely(text: str) -> bool:
    """Tell if no person would choose the text as a name or a word."""
    if len(text) < 6 or any(pattern.fullmatch(text) for pattern in (_NUMBER, _VERSION, _ADDRESS, _TECHNICAL)):
        return False
    if any(map(str.isspace, text)):
        # Cookies, parameters and DSNs have several parts.
        return any(
            _is_likely(part.rpartition("=")[2]) for part in re.split(r"[\s;,&]+", text[:300]) if "=" in part
        )
    if _UUID.fullmatch(text) or (_SEQUENCE.match(text) and not _NUMBER.fullmatch(text)):
        return True
    if "=" in text.rstrip("=") and not _is_opaque(text):
        return any(
            _is_likely(part.rpartition("=")[2]) for part in re.split(r"[;,&]+", text[:300]) if "=" in part
        )
    if _SECRET_KEY.fullmatch(text):
        return True
    if _PATH.fullmatch(text) and _is_name(text):
        return False
    pieces = _PIECES.findall(text)
    letters = [piece for piece in pieces if not piece.isdigit()]
    if not letters:
        return False
    if all(piece.isalpha() for piece in letters):
        if _is_name(text):
            return (
                len(pieces) == 1
                and len(text) > _LETTERS_ALONE
                and _entropy(text) > 3.6
                and not _is_camel(text)
            )
        return (len(text) >= 8 and _is_mixed(text)) or (
            any(map(str.isdigit, pieces)) and not _SPECIAL.isdisjoint(text)
        )
    if secrecy(text) is not Secrecy.NONE and (len(pieces) > 1 or len(_CAMEL.findall(text)) > 2):
        return _is_opaque(text)
    glued = sum(len(piece) for piece in pieces if _is_glued(piece) or _is_mixed(piece))
    size = sum(map(len, pieces))
    if len(text) >= _TOKEN_LENGTH and _entropy(text) > _TOKEN_ENTROPY and _is_opaque(text):
        return True
    return 2 * glued >= size or (not _SPECIAL.isdisjoint(text) and any(map(str.isdigit, text)))


def _is_glued(piece: str) -> bool:
    """Tell if letters and digits alternate in a piece, other than in `sha256`."""
    return not piece.isalpha() and not piece.isdigit() and not _TECHNICAL.fullmatch(piece) and len(piece) > 3


def _is_random(piece: str) -> bool:
    """Tell if a piece is more than a word or a number; `ORDER-190319131123` has no such piece."""
    return _is_mixed(piece) or not (piece.isalpha() or piece.isdigit())


def _has_glued(text: str) -> bool:
    return any(map(_is_glued, _PIECES.findall(text)))


def _is_name(text: str) -> bool:
    """Tell if a text consists of words and short numbers."""
    return all(
        (piece.isdigit() and len(piece) < 7)
        or _TECHNICAL.fullmatch(piece)
        or (piece.isalpha() and not _is_mixed(piece))
        or (len(piece) < 9 and not piece.isalpha() and len(text) > 2 * len(piece))
        for piece in _PIECES.findall(text)
    )


def _is_camel(text: str) -> bool:
    parts = _CAMEL.findall(text)
    return len(parts) > 1 and sum(map(len, parts)) / len(parts) > 3


def _is_mixed(piece: str) -> bool:
    """Tell if upper and lower case alternate as they do not in camelCase: more than once every three letters."""
    if piece.islower() or piece.isupper():
        return False
    parts = _CAMEL.findall(piece)
    return len(piece) > 5 and len(piece) / max(1, len(parts)) < 3


def _is_opaque(text: str) -> bool:
    """Tell if a text is long and random."""
    if (
        len(text) < 16
        or any(map(str.isspace, text))
        or _UUID.fullmatch(text)
        or (_PATH.fullmatch(text) and _is_name(text))
    ):
        return False
    if not any(map(str.isdigit, text)) and not _is_mixed(text):
        return False
    pieces = _PIECES.findall(text)
    if not pieces or 2 * max(map(len, pieces)) < 16 or not any(map(_is_random, pieces)):
        return False
    words = sum(
        len(part) for piece in pieces for part in _CAMEL.findall(piece) if part.isalpha() and len(part) > 3
    )
    return words * 2 < len(text) and _entropy(text[:200]) > 2.8


def _entropy(text: str) -> float:
    """Return the bits of information that a character of the text has."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
