"""Secret names, whose values are masked: `db_password`, `X-Api-Key`, `clientSecret`.

A name is split into words, whatever the spelling. A value masked in vain costs a reader a word; a secret that
is missed costs a customer a password. So any part of a name makes it secret, except for endings that name a
fact *about* a secret (`token_count`, `password_changed_at`, `secret_name`).
"""

import re
from enum import IntEnum
from functools import lru_cache


class Secrecy(IntEnum):
    """The part of the value under a name that is masked."""

    NONE = 0
    # With a number, a plural is a count as often as a list: `tokens: 1532` is kept, `tokens: ["…"]` is not.
    ALL_BUT_NUMBERS = 1
    ALL = 2


# Names repeat in documents. Longer names are not remembered, so that nobody can fill the memory with them.
_LONGEST_REMEMBERED = 100
# In a text too long for a name, only the two ends are searched, where a reader would look.
_LONGEST_READ = 500

# Borders between words, including those of camelCase, and digits: `s3SecretKey2` is `s_secret_key`.
_BORDERS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W\d_]+")

# Most keys are not secret (`sort_key`, `public_key`, `routing_key`); keys of these kinds are.
_KEY_KINDS = (
    "access|account|admin|annals|api|app|application|auth|client|consumer|crypto?|decryption|deploy|encrypt|encryption"
    "|hmac|integration|jwt|license|master|operator|private|root|sas|secret|server|service|session|shared|sign|signing"
    "|ssh|ssl|storage|subscription|symmetric|tls|webhook|write"
)

# Matched against words between underscores (`_x_api_key_`); `_?` is where people write two words as one.
_SECRET = re.compile(
    "|".join(
        (
            r"pass_?w(?:or)?d|pass_?phrase|pass_?code|pass_?key|_(?:pass|pw)_|pwd_",
            r"passwort|kennwort|contrase[nñ]a|_senha_|mot_?de_?passe|парол|密码|パスワード",
            r"_secret(?!ar)|secrets?_|credential|_creds?_",
            r"tokens?_|_jwts?_|_bearer_",
            # `authorization_code` is secret; `author`, `authored_by` and `authorized` are not.
            r"authori[sz]ation_|_auth_$|auth_?(?:header|data|code)s?_",
            r"cookies?_",
            rf"(?:{_KEY_KINDS})_?keys?_|api_?key|key_?material_",
            r"session_?(?:id|key)s?_|sess_?ids?_",
            r"connection_?strings?_|conn_?str(?:ing)?s?_",
            r"(?:access|amz|goog)_?signatures?_|_sig_$",
            r"(?:backup|mfa|one_?time|otp|pin|recovery|security|verification)_?codes?_|_t?otps?_",
            r"(?:seed|recovery)_?phrase|_mnemonics?_|_cvv_|_cvc_",
        )
    )
)

# Every secret name, in lower case, contains one of these: a quick search that precedes the slow one.
SIGNS = (
    *(
        "pass",
        "pw",
        "secret",
        "cred",
        "token",
        "jwt",
        "bearer",
        "auth",
        "cookie",
        "key",
        "sess",
        "conn",
        "sig",
    ),
    *("code", "otp", "phrase", "mnemonic", "cvv", "cvc", "kennwort", "contrase", "senha"),
    *("парол", "密码", "パスワード"),
)

# Endings that name a fact about the secret. `hash` and `hint` are not here: both disclose a part of it.
_ABOUT = re.compile(
    "_(?:"
    r"count|counts|length|size|limit|limits|budget|usage|used|number_of|minimum|maximum|min|max|total"
    r"|days|hours|minutes|seconds|ms|ttl|age|expiry|expires|expiration|expired|lifetime|at|in|date|time|timestamp"
    r"|type|kind|format|algorithm|alg|strength|policy|rotation|status|version|scope|scopes|issuer|audience|provider"
    r"|name|names|field|column|location|ref|refs|reference|path|file|filename|manager|store|enabled|required"
    r"|error|exception|invalid|missing|failed|failure|warning|found"
    # The secret id of an AppRole, a session id and the id of an access key are each half of a secret.
    r"|(?<!secret_)(?<!session_)(?<!access_key_)ids?"
    r"|(?<=token_)(?:ur[il]|endpoint)|(?<=authorization_)(?:ur[il]|endpoint)"
    ")_$"
)
_PLURAL = re.compile(r"(?:tokens|secrets|cookies|credentials|passwords|keys)_")


def secrecy(name: str) -> Secrecy:
    """Return the part of the value under a name that is secret."""
    if len(name) <= _LONGEST_REMEMBERED:
        return _remembered(name)
    if len(name) > _LONGEST_READ:
        name = f"{name[: _LONGEST_READ // 2]}_{name[-_LONGEST_READ // 2 :]}"
    return _secrecy(name)


def _secrecy(name: str) -> Secrecy:
    words = f"_{_BORDERS.sub('_', name).strip('_').lower()}_"
    if not _SECRET.search(words) or _ABOUT.search(words):
        return Secrecy.NONE
    return Secrecy.ALL_BUT_NUMBERS if _PLURAL.search(words) else Secrecy.ALL


_remembered = lru_cache(maxsize=4096)(_secrecy)
