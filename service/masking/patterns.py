"""Secrets known by their shape, in any place: tokens of known services, PEM keys, URL credentials.

Every pattern is linear: a repetition is possessive, bounded, or cannot begin again inside its own match.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

MASK = "[masked]"

_Replacement = str | Callable[[re.Match[str]], str]

# No letter or digit comes before a token that only two letters identify, unless it ends an escape.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"

# The forms that the issuers document, a little shorter: tokens get cut, and their lengths change.
_TOKENS = re.compile(
    "|".join(
        (
            r"A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{12,}",  # AWS access key ids
            r"AIza[\w-]{20,}|GOCSPX-[\w-]{16,}|ya29\.[\w.-]{16,}|1//0[\w-]{20,}",  # Google
            r"gh[oprsu]_\w{16,}|github_pat_\w{16,}",
            r"gl(?:agent|cbt|dt|pat|ptt|rt|soat|sa|c)[-_][\w-]{16,}",  # GitLab, Grafana
            r"xox[a-z][-.][\w.-]{8,}|xapp-[\w-]{8,}",  # Slack
            r"(?:sk|rk)_(?:live|test)_\w{8,}|whsec_[\w+/=]{16,}",  # Stripe
            r"npm_[A-Za-z0-9]{20,}|pypi-A[\w-]{20,}|hf_[A-Za-z0-9]{20,}|dckr_pat_[\w-]{16,}",
            r"sk-(?:ant|proj|svcacct|admin|or)-[\w-]{8,}|gsk_\w{20,}|xai-\w{20,}|" + _START + r"sk-\w{20,}",
            r"SG\.[\w-]{16,}+\.[\w-]{16,}+",  # SendGrid
            r"hv[bsr]\.[\w-]{16,}|dp\.[a-z]{2,5}\.\w{20,}",  # Vault, Doppler
            r"dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{16,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}",
            r"ATATT3[\w=-]{16,}|PMAK-[\w-]{16,}|NRAK-\w{16,}|lin_api_\w{16,}|ntn_\w{16,}",
            r"AGE-SECRET-KEY-1[0-9A-Z]{16,}",
        )
    ),
    re.ASCII,
)
# The kind of the key, which is no secret, stays visible.
_ANNALS = (re.compile(r"(annals_[0-9A-Fa-f]{32}_)[\w-]++", re.ASCII), rf"\1{MASK}")
# A JWT begins with `{"` in base64. Each run of characters is read once, with or without a second part.
_JWT = re.compile(r"eyJ[\w-]*+((?:\.[\w-]*+)++)?", re.ASCII)
_PEM = re.compile(
    r"-----BEGIN(?:[ +_]|%20)(?:[A-Z0-9]{1,20}(?:[ +_]|%20)){0,4}PRIVATE(?:[ +_]|%20)KEY"
    r"(?:(?s:.)*?-----END[A-Z0-9 +_%]{0,60}-----|(?s:.)*+)"
)
# Passwords in URLs may contain forbidden characters. So a password ends at the last @ before the path, or
# else before any space.
_USER = r"[^\s:/?#@\"'<>\[\]\\]*+"
_URLS: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (
        re.compile(
            rf"(:\\?/\\?/{_USER}:)"
            r"(?:[^\s\"'<>/?#\\]*(?=@)|(?!\d{1,5}[/?#])(?:[^\s\"'<>@:]|:(?!\\?/\\?/))*+(?=@))"
        ),
        rf"\1{MASK}",
    ),
    # A URL within a JSON pointer, as when a refusal names a key that is a URL.
    (re.compile(rf"(:~1~1{_USER}:)[^\s\"'<>/?#\\]*(?=@)"), rf"\1{MASK}"),
    # A long name alone before the host is a token.
    (re.compile(r"(://)\w{20,}+(?=@)", re.ASCII), rf"\1{MASK}"),
    (re.compile(r"((?i:%3a%2f%2f)[\w.+-]*+(?i:%3a))(?:[^\s&%]|%(?!40))*+(?=%40)"), rf"\1{MASK}"),
    (re.compile(r"(hooks\.slack\.com/[a-z]{1,20}/)[\w/]++"), rf"\1{MASK}"),
    (re.compile(r"(/api/webhooks/\d{1,20}/)[\w-]++"), rf"\1{MASK}"),
)
_TELEGRAM = (re.compile(r"\d{8,10}:AA[\w-]{30,}", re.ASCII), MASK)
# The signatures of Azure's SAS, and of the signed URLs of AWS and Google.
_SIGNATURE = re.compile(r"([?&;](?:[Xx]-(?:Amz|Goog)-)?[Ss]ig(?:nature)?=)[^&\s\"'<>\\]++")
_SCHEME = re.compile(r"\b(basic|bearer)((?:\s|%20|\+){1,8})([\w.~+/=%-]++)", re.IGNORECASE | re.ASCII)
_LONGEST_WORD = 20
_USER_OPTION = re.compile(r"((?<!\S)(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"']{1,100}:)[^\s\"']++")


def _jwt(found: re.Match[str]) -> str:
    return MASK if found[1] else found[0]


def _scheme(found: re.Match[str]) -> str:
    word = found[3]
    # "Bearer authentication" and "basic plan" are prose: words in one case, without digits.
    if len(word) < _LONGEST_WORD and word.rstrip(".").isalpha() and word[1:].rstrip(".").islower():
        return found[0]
    return f"{found[1]}{found[2]}{MASK}"


_TOKEN_SIGNS = (
    *("akia", "asia", "abia", "acca", "aiza", "gocspx-", "ya29.", "1//0", "github_pat_"),
    *("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "glagent", "glcbt", "gldt", "glffct", "glft", "glimt", "gloas"),
    *(
        "glpat-",
        "glptt-",
        "glrt-",
        "glsoat-",
        "glsa_",
        "glc_",
        "xox",
        "xapp-",
        "k_live_",
        "k_test_",
        "whsec_",
    ),
    *("npm_", "pypi-", "hf_", "dckr_", "sk-", "gsk_", "xai-", "sg.", "hvb.", "hvr.", "hvs.", "dp."),
    *("dapi", "doo_v1_", "dop_v1_", "dor_v1_", "shpat_", "shpca_", "shppa_", "shpss_"),
    *("atatt3", "pmak-", "nrak-", "lin_api_", "ntn_", "age-secret-key"),
)


class SecretPattern(NamedTuple):
    """A pattern with its replacement; each text that it matches contains, in lower case, one of the signs."""

    signs: frozenset[str]
    pattern: re.Pattern[str]
    replacement: _Replacement


RULES = tuple(
    SecretPattern(frozenset(signs), pattern, replacement)
    for signs, pattern, replacement in (
        (("-----begin",), _PEM, MASK),
        (("eyj",), _JWT, _jwt),
        (("annals_",), *_ANNALS),
        (_TOKEN_SIGNS, _TOKENS, MASK),
        ((":aa",), *_TELEGRAM),
        (("@",), *_URLS[0]),
        (("@",), *_URLS[2]),
        (("~1~1",), *_URLS[1]),
        (("%40",), *_URLS[3]),
        (("hooks.slack.com",), *_URLS[4]),
        (("/webhooks/",), *_URLS[5]),
        (("sig",), _SIGNATURE, rf"\1{MASK}"),
        (("basic", "bearer"), _SCHEME, _scheme),
        (("-u",), _USER_OPTION, rf"\1{MASK}"),
    )
)
