"""Names of secrets: `db_password`, `X-Api-Key`, `clientSecret`, and what a string under each has to look like.

A name is split into words, whatever its spelling, and its end decides: `token` names a secret, `token_count`
a fact about one. No name masks by itself. The closer it is to a password, the less the string has to look
like a secret (`service.masking.candidates`).
"""

import re
import unicodedata
from enum import IntEnum
from functools import lru_cache


class Secrecy(IntEnum):
    """The strings that are masked under a name, from none to all."""

    NONE = 0
    # The name holds a word such as "secret", but ends in another one: long random strings.
    OPAQUE = 1
    # Tokens, keys, credentials: strings that no person would choose as a name.
    LIKELY = 2
    # Secrets and private keys: words, too, but no paths or names in several words.
    STRONG = 3
    # Passwords and one-time codes: all but references, placeholders and words that state a fact.
    ANY = 4
    # The content of a Kubernetes Secret.
    WHOLE = 5


# Names repeat in documents. Longer names are not remembered, so that nobody can fill the memory with them.
_LONGEST_REMEMBERED = 100
# In a text too long for a name, only the two ends are searched, where a reader would look.
_LONGEST_READ = 500

# Borders between words, including those of camelCase, and digits: `s3SecretKey2` is `s_secret_key`.
_BORDERS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W\d_]+")

# Most keys are not secret (`sort_key`, `public_key`, `routing_key`); keys of these kinds are.
_KEY_KINDS = (
    "access|account|admin|annals|api|app|application|auth|click_?house|client|consumer|crypto?|decryption|deploy|encrypt|encryption"
    "|fastly|fernet|hmac|ingest(?:ion)?|integration|jwt|license|licence|master|operator|pre_?shared|private|root|sas|secret|secret_access|sensitive_props"
    "|server|service|shared|shared_access|sign|signing|ssh|ssl|storage|subscription|symmetric|tls|webhook"
    "|write|wrapping"
)

# Matched at the end of the words between underscores (`_x_api_key_`), `_?` where people write two words as one.
_ENDS = (
    (
        Secrecy.ANY,
        (
            r"pass_?w(?:or)?ds?|pass_?phrases?|pass_?codes?|_pass|_pw|_psw|pswd|pwd|pw_?hash"
            r"|(?:ansible|become|bind|db|key|ldap|login|mail|my|require|root|smtp|ssh|store|sudo|trust|user|wrong)_?pass"
            r"|passwort|kennwort|contrase[nñ]a|_senha|mot_?de_?passe|пароль|密码|パスワード"
            r"|(?:backup|device|mfa|one_?time|otp|pin|recovery|security|sms|user|verification|authentication)_?codes?"
            r"|_t?otps?|snmp_?community|community_?string|(?:seed|recovery)_?phrase|_mnemonics?|_cvv|_cvc"
        ),
    ),
    (
        Secrecy.STRONG,
        (
            r"_?secrets?|secret_?strings?|secret_?binary|_psks?|secret_key_base"
            r"|(?:private|secret|secret_access|pre_?shared|shared_access|account|master|encryption|fernet|symmetric)_?keys?"
            r"|(?:private|client)_key_data|key_?material|key_content|master_?auth"
        ),
    ),
    (
        Secrecy.LIKELY,
        (
            r"_?tokens?|_jwts?|_bearer|authori[sz]ation|_auth|auth_?(?:header|data|code)s?|authori[sz]ation_?codes?"
            rf"|credentials?|_creds?|cookies?|(?:{_KEY_KINDS})_?keys?|api_?keys?"
            r"|sonar_login|(?:client|oauth|a?ml|saml)_?assertions?|saml_?response|code_?verifier|(?:j|php)_?sess_?ids?|connect_sid"
            r"|_?salt|app_?certificate|connection_?strings?|conn_?str(?:ing)?s?|(?:access|amz|goog)_?signatures?|_signature|_sig"
        ),
    ),
)
_END = tuple((how, re.compile(f"(?:{pattern})_$")) for how, pattern in _ENDS)
_ANYWHERE = re.compile(
    "|".join(
        (
            r"pass_?w(?:or)?d|pass_?phrase|_pass_|pwd_|_secrets?_|credential|tokens?_|_jwts?_|_bearer_",
            rf"_auth_|authori[sz]ation_|cookies?_|(?:{_KEY_KINDS})_?keys?_|api_?key|routing_key_|sonar_login_|http_header_value",
        )
    )
)

# Every secret name, in lower case, contains one of these: a quick search that precedes the slow one.
SIGNS = (
    *(
        "pass",
        "pw",
        "psw",
        "psk",
        "secret",
        "cred",
        "token",
        "jwt",
        "bearer",
        "auth",
        "cookie",
        "key",
        "sess",
    ),
    *("conn", "sig", "code", "otp", "phrase", "mnemonic", "cvv", "cvc", "kennwort", "contrase", "senha"),
    *("assertion", "saml", "salt", "sonar", "communit", "appcertificate", "app_certificate"),
    *("httpheadervalue", "парол", "密码", "パスワード"),
)

# Words after a name that leave its meaning: `password_2`, `passwordConfirmation`, `secret_value`, `token_prod`.
_SAME = re.compile(
    "(?:_(?:"
    "value|val|plain|plaintext|clear|cleartext|raw|text|data|b|base|encoded|old|new|current|previous|next"
    "|confirm|confirmation|again|repeat|repeated|verify|prod|production|dev|test|staging|live|sandbox|hash|pem|der"
    "|primary|secondary|default|to|is|was"
    "))+_$"
)
# Words at the end that name a fact about a secret. `hint` is not here: it discloses a part of it.
_ABOUT = re.compile(
    "_(?:"
    "count|counts|length|len|size|limit|limits|budget|usage|used|number|minimum|maximum|min|max|total|quota|rate"
    "|days|hours|minutes|seconds|ms|ttl|age|expiry|expires|expiration|expired|lifetime|lifespan|at|in|on|by|date"
    "|time|timestamp|since|until|after|before|from|last|first"
    "|types?|kinds?|formats?|algorithms?|alg|algo|strength|policy|policies|rotation|status|state|mode|level|version"
    "|versions|scopes?|issuer|audience|provider|providers|class|category|protocol|flow|grant|usage|spec|stage|style"
    "|names?|fields?|columns?|locations?|refs?|references?|paths?|files?|filenames?|dirs?|folder|manager|store|stores"
    "|enabled|disabled|required|optional|supported|allowed|granted|valid|validity|verified|present|exists|set|unset"
    "|errors?|exceptions?|invalid|missing|failed|failure|failures|warning|warnings|found|mismatch|violation"
    "|info|infos|information|details?|decision|decisions|reasons?|context|results?|outcome|events?|actions?|operation"
    "|created|create|updated|update|changed|changes?|rotated|revoked|deleted|removed|reset|resets|generated|issued"
    "|methods?|mechanisms?|schemes?|requirements?|requirement|complexity|history|reuse|prevention|protection|review"
    "|ids?|uids?|uuids?|guids?|identifiers?|sids?|arns?|ur[il]s?|endpoints?|labels?|titles?|descriptions?|comment"
    "|help|prompts?|placeholder|index|position|order|groups?|roles?|owners?|users?|username|email|domains?|realm|hosts?"
    "|prefix|suffix|patterns?|regex|rules?|templates?|config|configs|configuration|settings|options?|parameters?|params?"
    "|backend|engine|encoder|encoding|hasher|validator|handler|service|services|server|header|headers|variables?"
    "|bucket|mount|selector|filters?|digest|fingerprints?|thumbprints?|checksum|sha|tag|tags|accessor|arn|link|page"
    # The registered claims of a JSON Web Token (RFC 7519), and whom a credential belongs to.
    "|jti|iss|sub|aud|exp|nbf|iat|kid|azp|amr|acr|aaguid|clients?|tenant|subject|principal|organi[sz]ation|serial|devices?"
    "|env|var|secure|encrypted|ciphertext|cipher|success|succeeded|fail|deny|denied|allow|check|checks|checked|test|tests|prevented|enforced|package|module"
    ")_$"
)
# Names that only look like those of secrets: pages of lists, words of texts, keys against repetition.
_HARMLESS = re.compile(
    r"(?:_(?:client|client_request|request|idempotency|next|next_page|page|continuation|continue|sync|delta|pagination"
    r"|start|starting|resume|last|prev|previous|bos|eos|pad|unk|sep|mask|cls|special|stop|http|max|min|total|prompt"
    r"|completion|input|output|hashed|cached|session_from|elevated|correlation)_tokens?"
    r"|_token_hash(?:es)?|_hashed_\w{1,40}"
    r"|^_(?:is|has|use|uses|require|requires|enable|enables|allow|allows|existing|persist|automount|update|no|needs"
    r"|show|force|skip)_\w{1,100}"
    # An id of an access key names it, and opens nothing.
    r"|access_key|key_id|(?:amz|goog)_credential|_signingkey|_session_?(?:name|key))_$"
)
# `accessKey` alone is the id of a key as often as a secret: the store decides by what it looks like.
_ACCESS_KEY = re.compile(r"_access_keys?_$")
# Session cookies of web servers end in "id", but are no ids.
_SESSION_COOKIE = re.compile(
    r"(?:j|php)_?sess(?:ion)?_?id_$|aspsession|connect_sid_$|_x_\w{1,40}_session_$|fastlane_session_$|api_session_id_$"
)


def secrecy(name: str) -> Secrecy:
    """Return the strings that are masked under a name."""
    if len(name) <= _LONGEST_REMEMBERED:
        return _remembered(name)
    if len(name) > _LONGEST_READ:
        name = f"{name[: _LONGEST_READ // 2]}_{name[-_LONGEST_READ // 2 :]}"
    return _secrecy(name)


def is_about(name: str) -> bool:
    """Tell if a name ends in a word for a fact, such as `id` or `type`."""
    return _remembered_fact(name) if len(name) <= _LONGEST_REMEMBERED else _is_about(name)


def _is_about(name: str) -> bool:
    return _ABOUT.search(_words(name)) is not None


_remembered_fact = lru_cache(maxsize=4096)(_is_about)


def _words(name: str) -> str:
    if not name.isascii():
        # Letters of full width, and others that are only written differently, spell the same name.
        name = unicodedata.normalize("NFKC", name)
    return f"_{_BORDERS.sub('_', name).strip('_').lower()}_"


def _secrecy(name: str) -> Secrecy:
    words = _words(name)
    if _SESSION_COOKIE.search(words):
        return Secrecy.LIKELY
    if _HARMLESS.search(words) and not _ACCESS_KEY.search(words):
        return Secrecy.NONE
    ends = _SAME.sub("_", words)
    for how, pattern in _END:
        if pattern.search(words) or pattern.search(ends):
            return how
    if not _ANYWHERE.search(words) or _ABOUT.search(words):
        return Secrecy.NONE
    return Secrecy.OPAQUE


_remembered = lru_cache(maxsize=4096)(_secrecy)
