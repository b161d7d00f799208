"""No secret gets into a log: found by name and by shape, in values and in texts; nothing else is touched."""

import base64
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.masking.names import SIGNS, Secrecy, secrecy
from service.masking.patterns import MASK, RULES
from service.masking.quick_search import QuickSearch
from service.masking.texts import masked_text
from service.masking.values import masked, masked_patch

# Put together at run time: scanners of source code look for the same shapes.
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (
        b'{"alg":"HS256","typ":"JWT"}',
        b'{"sub":"1234567890"}',
        b"signature of 32 bytes, as it were",
    )
)
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
HEX = "0123456789abcdef"
RUN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"

SHAPES = {
    "jwt": JWT,
    "pem": f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}\n-----END RSA PRIVATE KEY-----",
    "pem of openssh": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY_BODY}\n-----END OPENSSH PRIVATE KEY-----",
    "pgp": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{KEY_BODY}\n-----END PGP PRIVATE KEY BLOCK-----",
    "gitlab feature flags": "glffct-" + RUN[:20],
    "gitlab feed": "glft-" + RUN[:20],
    "gitlab incoming mail": "glimt-" + RUN[:25],
    "gitlab oauth": "gloas-" + HEX * 4,
    "google key": "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "google oauth": "GOCSPX-" + RUN[:28],
    "google token": "ya29." + RUN,
    "github": "ghp_" + RUN + "abcd",
    "github app": "ghs_" + RUN + "abcd",
    "github fine-grained": "github_pat_" + RUN + "_" + RUN,
    "gitlab": "glpat-" + RUN[:20],
    "slack": "xoxb-" + "123456789012-1234567890123-" + RUN[:24],
    "slack app": "xapp-" + "1-A012345678-1234567890123-" + HEX,
    "stripe": "sk_live_" + RUN[:24],
    "stripe restricted": "rk_test_" + RUN[:24],
    "npm": "npm_" + RUN + "abcd",
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + RUN,
    "openai": "sk-" + RUN + RUN[:16],
    "openai project": "sk-proj-" + RUN + "_" + RUN,
    "anthropic": "sk-ant-" + "api03-" + RUN + "-" + RUN,
    "hugging face": "hf_" + RUN + "ab",
    "sendgrid": "SG." + RUN[:22] + "." + RUN + "abcdefghijk",
    "vault": "hvs." + RUN,
    "databricks": "dapi" + HEX + HEX,
    "digitalocean": "dop_v1_" + HEX * 4,
    "telegram": "123456789:AA" + RUN + "x",
}
ANNALS_ID = "annals_" + HEX * 2
ANNALS_SECRET = RUN + "-_abcdefghi"

# The place of a secret, §, in a text, and of its mask, ¤, in the masked text.
PLACES = [
    ("password=§", "password=¤"),
    ("PASSWORD = § next", "PASSWORD = ¤ next"),
    ("password: §, then", "password: ¤, then"),
    ("the password:§.", "the password:¤"),
    ("password='§' next", "password='¤' next"),
    ("host=h user=u password=§ dbname=d", "host=h user=u password=¤ dbname=d"),
    ("Server=s;Uid=u;Pwd=§;Database=d", "Server=s;Uid=u;Pwd=¤;Database=d"),
    ('{"password": "§", "a": 1}', '{"password": "¤", "a": 1}'),
    ('{"a":{"clientSecret":"§"},"b":1}', '{"a":{"clientSecret":"¤"},"b":1}'),
    ('{"token":"§\\"§","b":1}', '{"token":"¤","b":1}'),
    (
        '{"credentials":{"user":"u","password":["§"]},"b":1}',
        '{"credentials":{"user":"u","password":["¤"]},"b":1}',
    ),
    ('{"pin_code":12345,"b":1}', '{"pin_code":"¤","b":1}'),
    ('{"log":"{\\"password\\":\\"§\\",\\"b\\":1}"}', '{"log":"{\\"password\\":\\"¤\\",\\"b\\":1}"}'),
    ('{"log":"a\\npassword=§\\nb"}', '{"log":"a\\npassword=¤"}'),
    ('{"name":"API_KEY","value":"§"}', '{"name":"API_KEY","value":"¤"}'),
    ('{"password": "§', '{"password": "¤"'),
    ("{'api_key': '§', 'a': 1}", "{'api_key': '¤', 'a': 1}"),
    ("[(b'x-api-key', b'§'), (b'a', b'b')]", "[(b'x-api-key', b'¤'), (b'a', b'b')]"),
    ("headers['x-api-key'] = '§'", "headers['x-api-key'] = '¤'"),
    ("Config(secret='§', a=1)", "Config(secret='¤', a=1)"),
    ("Config(secret=§)", "Config(secret=¤)"),
    ("https://h/p?access_token=§&x=1#f", "https://h/p?access_token=¤&x=1#f"),
    (
        "to=https%3A%2F%2Fh%2F%3Faccess_token%3D§%26x%3D1&y=2",
        "to=https%3A%2F%2Fh%2F%3Faccess_token%3D¤%26x%3D1&y=2",
    ),
    ("access%5Ftoken=§&x=1", "access%5Ftoken=¤&x=1"),
    ("p%61ssword=§&x=1", "p%61ssword=¤&x=1"),
    ("%7B%22password%22%3A%22§%22%7D", "%7B%22password%22%3A%22¤%22%7D"),
    ('{"p\\u0061ssword": "§"}', '{"p\\u0061ssword": "¤"}'),
    ("postgres://u:§@h:5432/d?x=1", "postgres://u:¤@h:5432/d?x=1"),
    ("postgres://u:§@§@h/d", "postgres://u:¤@h/d"),
    ("redis://:§@h/0", "redis://:¤@h/0"),
    ("/postgres:~1~1u:§@h~1d: is unknown", "/postgres:~1~1u:¤@h~1d: is unknown"),
    ("https:\\/\\/u:§@h\\/p", "https:\\/\\/u:¤@h\\/p"),
    ("postgres%3A%2F%2Fu%3A§%40h%2Fd", "postgres%3A%2F%2Fu%3A¤%40h%2Fd"),
    ("Authorization: Bearer §", "Authorization: Bearer ¤"),
    (f"Authorization: Bearer {'0123456789' * 3}", "Authorization: Bearer ¤"),
    ("Authorization: Basic §\nHost: h", "Authorization: ¤\nHost: h"),
    ("curl -H 'Authorization: Token §' https://h", "curl -H 'Authorization: ¤' https://h"),
    ("curl -u ana:§ https://h", "curl -u ana:¤ https://h"),
    ("Cookie: a=§; b=§\r\nHost: h", "Cookie: ¤\r\nHost: h"),
    ("Set-Cookie: session=§; Path=/", "Set-Cookie: ¤"),
    ("sent bearer § to h", "sent bearer ¤ to h"),
    ("login --password § --user u", "login --password ¤ --user u"),
    ("login --api-key=§ --user u", "login --api-key=¤ --user u"),
    ("API key: §", "API key: ¤"),
    ("connection string = §", "connection string = ¤"),
    ("passphrase: § and § again\nnext", "passphrase: ¤\nnext"),
    ("<password>§</password><a>b</a>", "<password>¤</password><a>b</a>"),
    ("token: |\n  §\n  §\nnext: 1", "token: ¤\nnext: 1"),
    ("aws_secret_access_key = §/§+§=", "aws_secret_access_key = ¤"),
    ("AccountName=n;AccountKey=§==;EndpointSuffix=e", "AccountName=n;AccountKey=¤;EndpointSuffix=e"),
    ("Endpoint=sb://h/;SharedAccessKey=§=", "Endpoint=sb://h/;SharedAccessKey=¤"),
    ("https://h/c?sv=1&sig=§%3D&se=2", "https://h/c?sv=1&sig=¤&se=2"),
    ("https://h/o?X-Amz-Signature=§&a=1", "https://h/o?X-Amz-Signature=¤&a=1"),
    ("https://hooks.slack.com/services/T0/B0/§", "https://hooks.slack.com/services/¤"),
    (f"key {ANNALS_ID}_§!", f"key {ANNALS_ID}_¤!"),
    (f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY} §", "¤"),
    ('{"contrase\\u00f1a": "§"}', '{"contrase\\u00f1a": "¤"}'),
    ("PASSWORT=§ contraseña=§", "PASSWORT=¤ contraseña=¤"),
]

SECRET_NAMES = [
    *("password", "Password", "PASSWORD", "passwd", "pwd", "db_password", "dbPassword", "DB_PASSWORD"),
    *("PGPASSWORD", "user.password", "password1", "pass", "passphrase", "secret", "secrets"),
    *("client_secret", "clientSecret", "secretKey", "aws_secret_access_key", "token", "tokens"),
    *("accessToken", "refresh-token", "id_token", "csrfToken", "x-amz-security-token"),
    *("authorization", "Authorization", "Proxy-Authorization", "auth", "authHeader", "auth_token"),
    *("cookie", "cookies", "Cookie", "Set-Cookie", "set_cookie", "credential", "credentials", "creds"),
    *("apikey", "api_key", "apiKey", "API-Key", "X-Api-Key", "api.key", "private_key", "privateKey"),
    *("access_key", "signing_key", "encryptionKey", "connectionString"),
    *("connection_string", "JSESSIONID", "PHPSESSID", "AccountKey"),
    *("SharedAccessSignature", "ANNALS_OPERATOR_KEY", "jwt", "bearer", "otp", "recovery_codes"),
    *("password_hash", "Passwort", "contraseña"),
]
OTHER_NAMES = [
    *("author", "authored_by", "authorized", "authority", "key", "keys", "keyboard", "monkey", "name"),
    *("id", "description", "token_count", "token_type", "tokenizer", "tokenUrl", "token_expires_at"),
    *("secret_rotation_days", "secret_name", "secretKeyRef", "secretary", "password_changed_at"),
    *("password_policy", "sort_key", "primary_key", "public_key", "routing_key", "idempotency_key"),
    *("partition_key", "key_id", "api_key_id", "auth_type", "passed", "compass", "bypass"),
    *("passenger", "subscription_id", "resource_id", "session", "description", "position", "signal"),
    *("accessKeyId", "session_id", "sessionId", "secret_id", "clientToken", "nextPageToken", "httpTokens"),
    *("authorizationInfo", "authorization.k8s.io/decision", "sessionCredentialFromConsole"),
    *("trafficMirrorSessionId", "api_key_created", "PasswordUpdated", "apiKeyName", "tokenCount"),
    *("comment", "connection", "InvalidTokenError", "config", "code"),
]

PROSE = [
    "Bearer authentication required",
    "the basic plan: nothing",
    "max_tokens=4096, tokens: 1532, token_count: 3",
    "author: ana, key: foo, keyboard=us, sort_key=name",
    "KeyError: 'abc'",
    "InvalidTokenError: not before 12:30",
    "http://host:8080/path?email=a@b.c",
    "mail ana@example.org at 10:30",
    "git@github.com:owner/repository.git",
    "https://packages.example/@types/node",
    "task-01a20d6a-0ce9-7158-8a31-61b024ac6af6",
    "50e3454a56e1b1f8b2f7b6a3c1d0e9f8a7b6c5d4",
    "2026-11-24T11:56:23.935440Z",
    "workflows/01a20d6a-0dfd-71de-9f73-fcd9eca9737f: v2 — Order ETL",
    '{"password": true, "token": null, "cookies": [], "secret": ""}',
    "password=null",
    "Token::new(x)",
    "the secret is out, the password was changed and no token was needed",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
]


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_is_known_by_its_shape(name: str) -> None:
    secret = SHAPES[name]
    assert masked_text(secret) == MASK
    assert masked_text(f"before {secret} after") == f"before {MASK} after"
    assert masked([{"a": f"x,{secret},y"}]) == [{"a": f"x,{MASK},y"}]
    escaped = orjson.dumps({"a": f"line\n{secret}"}).decode()
    assert masked_text(escaped) == orjson.dumps({"a": f"line\n{MASK}"}).decode()


def test_of_an_own_key_the_id_stays() -> None:
    assert masked_text(f"{ANNALS_ID}_{ANNALS_SECRET}") == f"{ANNALS_ID}_{MASK}"


@pytest.mark.parametrize(("text", "left"), PLACES)
def test_a_secret_is_known_by_what_stands_around_it(text: str, left: str) -> None:
    found = masked_text(text.replace("§", "hunter2"))
    assert found == left.replace("¤", MASK)
    assert masked_text(found) == found


@pytest.mark.parametrize("text", PROSE)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked_text(text) is text


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_say_secret(name: str) -> None:
    assert secrecy(name) is not Secrecy.NONE
    assert masked({"a": [{name: "hunter2"}]}) == {"a": [{name: MASK}]}
    assert masked_text(f"{name}=hunter2 x") in (f"{name}={MASK} x", f"{name}={MASK}")
    assert "hunter2" not in masked_text(f'{{"{name}": "hunter2"}}')


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_that_do_not(name: str) -> None:
    value = {name: "value", "a": [{name: 1}]}
    assert masked(value) is value
    assert masked_text(f"{name}=value") == f"{name}=value"


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        "",
        [],
        {},
        MASK,
        0,
        1.5,
        "required",
        "Success",
        "***",
        "${{ secrets.X }}",
        "{{ $env.X }}",
        "vault:a/b#c",
        "!Ref X",
        "arn:aws:x:y:1:secret:z",
        "$PASSWORD",
    ],
)
def test_under_a_secret_name_stays_what_says_nothing(value: Any) -> None:
    assert masked({"password": value}) == {"password": value}


@pytest.mark.parametrize("value", ["x", "hunter2", 12345, "4711", "correct horse"])
def test_under_the_name_of_a_password_nothing_else_stays(value: Any) -> None:
    assert masked({"password": value}) == {"password": MASK}
    assert masked({"password": [value]}) == {"password": [MASK]}
    assert masked({"password": {"value": value}}) == {"password": {"value": MASK}}


def test_plurals_may_count() -> None:
    usage = {"tokens": 1532, "max_tokens": 4096, "api_keys": {"used": 3, "left": [1, 2.5]}}
    assert masked(usage) is usage
    assert masked({"tokens": ["hunter2", 1]}) == {"tokens": [MASK, 1]}


def test_an_entry_of_a_list_of_settings_names_its_value() -> None:
    entries = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "HOST", "value": "h"}]
    assert masked(entries) == [{"name": "DB_PASSWORD", "value": MASK}, {"name": "HOST", "value": "h"}]


def test_keys_that_are_secrets_are_masked_and_stay_apart() -> None:
    first, second = SHAPES["github"], SHAPES["gitlab"]
    found = masked({first: 1, second: 2, MASK: 3, "x": 4})
    assert found == {f"{MASK} 1": 1, f"{MASK} 2": 2, MASK: 3, "x": 4}
    assert masked(found) == found


def test_too_deep_is_masked_unread() -> None:
    value: Any = "hunter2"
    for _ in range(5000):
        value = [value]
    text = str(orjson.dumps(masked(value)))
    assert MASK in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "path", ["/password", "/a/client_secret/0", "/credentials/value", "/x/api~1key", "/token"]
)
def test_a_path_says_that_a_value_is_secret(path: str) -> None:
    operations = [{"op": "replace", "path": path, "value": "hunter2"}]
    assert masked_patch(operations) == [{"op": "replace", "path": path, "value": MASK}]


def test_a_patch_is_masked_as_the_values_and_keys_in_it() -> None:
    github = SHAPES["github"]
    assert masked_patch(
        [
            {"op": "add", "path": "", "value": {"password": "hunter2", "n": 1}},
            {"op": "add", "path": f"/a~0/{github}", "value": 1},
            {"op": "move", "from": f"/{github}/x", "path": "/b"},
            {"op": "replace", "path": "/tokens", "value": 5},
            {"op": "replace", "path": "/password_policy/minimum", "value": "8"},
            {"op": "remove", "path": "/password"},
        ]
    ) == [
        {"op": "add", "path": "", "value": {"password": MASK, "n": 1}},
        {"op": "add", "path": f"/a~0/{MASK}", "value": 1},
        {"op": "move", "from": f"/{MASK}/x", "path": "/b"},
        {"op": "replace", "path": "/tokens", "value": 5},
        {"op": "replace", "path": "/password_policy/minimum", "value": "8"},
        {"op": "remove", "path": "/password"},
    ]


def test_members_that_no_operation_has_are_masked_as_well() -> None:
    github = SHAPES["github"]
    made = {"op": "test", "path": "/a", "value": 1, "said": "password=hunter2", "from": {"token": "hunter2"}}
    assert masked_patch([made | {github: 1}]) == [
        {"op": "test", "path": "/a", "value": 1, "said": f"password={MASK}", "from": {"token": MASK}, MASK: 1}
    ]


PAIRS = [
    ({"env": [{"name": "DB_PASSWORD", "value": "old"}]}, "/env/0/value"),
    ({"env": [{"key": "DB_PASSWORD", "value": "old"}]}, "/env/0/value"),
    ({"Environment": [{"Name": "DB_PASSWORD", "Value": "old"}]}, "/Environment/0/Value"),
    ({"headers": [{"header": "X-Api-Key", "value": "old"}]}, "/headers/0/value"),
    ({"headers": [["X-Api-Key", "old"]]}, "/headers/0/1"),
    ({"args": ["serve", "--password", "old"]}, "/args/2"),
    ({"args": ["sshpass", "-p", "old", "ssh", "h"]}, "/args/2"),
    ({"kind": "Secret", "data": {"a": "old"}}, "/data/a"),
    ({"password": {"value": "old"}}, "/password/value"),
]


@pytest.mark.parametrize(("document", "path"), PAIRS)
def test_a_value_that_changes_alone_is_judged_by_the_documents(document: Any, path: str) -> None:
    operations = [{"op": "replace", "path": path, "value": "hunter2"}]
    hidden = [{"op": "replace", "path": path, "value": MASK}]
    # The name may stand in either of them.
    assert masked_patch(operations, (document, {})) == hidden
    assert masked_patch(operations, (None, document)) == hidden


def test_a_value_whose_name_is_written_by_another_operation_is_masked() -> None:
    operations = [
        {"op": "replace", "path": "/env/0/value", "value": "swordfish"},
        {"op": "replace", "path": "/env/0/name", "value": "DB_PASSWORD"},
    ]
    assert masked_patch(operations)[0]["value"] == MASK


def test_a_value_whose_name_nobody_knows_has_to_look_like_a_secret() -> None:
    operations = [
        {"op": "replace", "path": "/env/0/value", "value": "hunter2"},
        {"op": "replace", "path": "/env/1/value", "value": "example"},
    ]
    assert [operation["value"] for operation in masked_patch(operations)] == [MASK, "example"]


@pytest.mark.parametrize(
    "path", ["/a/https://u:§@h/x", "/a/https:~1~1u:§@h~1x", "/https://hooks.slack.com/services/T0/B0/§"]
)
def test_a_path_that_holds_a_secret_is_masked(path: str) -> None:
    [found] = masked_patch([{"op": "remove", "path": path.replace("§", "hunter2")}])
    assert "hunter2" not in found["path"]


def test_a_posted_patch_is_judged_by_the_states_beside_it() -> None:
    named = {"env": [{"name": "DB_PASSWORD", "value": "old"}]}
    changes = [{"op": "replace", "path": "/env/0/value", "value": "swordfish"}]
    found = masked({"old_values": named, "new_values": {}, "changes": changes})
    assert found["changes"][0]["value"] == MASK


def test_a_patch_without_secrets_is_not_copied() -> None:
    operations = [{"op": "replace", "path": "/a/b~1c", "value": {"n": [1, "x"]}}]
    assert masked_patch(operations)[0] is operations[0]


# Texts for planted secrets: more than letters, and not in the documents below by chance.
PLANTED = st.text("abcXYZ0189", min_size=6, max_size=12).map(lambda text: f"Zq7{text}qZ")
PLAIN_KEYS = st.sampled_from([*OTHER_NAMES, "", "a", "b", "ünï", "a b", "0", "😀"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_KEYS | TEXT, inner, max_size=4),
    max_leaves=20,
)
# No part of these could be a secret: they have to stay as they are.
HARMLESS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([*PROSE[:5], "x", "é", "😀", "\n", "a=b; c: d"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_KEYS, inner, max_size=4),
    max_leaves=30,
)
STEPS = st.lists(PLAIN_KEYS | st.integers(0, 3), max_size=6)
# With the characters that begin and end names, values and strings.
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("password", "token", "key", "api", "secret_", "max_", "cookie", "authorization", "-u ", "--"),
            *(
                "=",
                ":",
                "=>",
                "&",
                "?",
                ",",
                ";",
                " ",
                "\n",
                "\r",
                "\\",
                '"',
                "'",
                "`",
                "(",
                "[",
                "{",
                "}",
                "]",
                ")",
            ),
            *("<", ">", "%22", "%3D", "%26", "%61", "\\u0061", "|", "@", "://", "u:", "x", "1", "null", MASK),
            *(
                "Bearer ",
                "Basic ",
                "b'",
                '\\"',
                "-----BEGIN PRIVATE KEY-----",
                "eyJ",
                ".",
                JWT,
                SHAPES["github"],
            ),
        ]
    )
    | TEXT,
    max_size=14,
).map("".join)


def wrapped(value: Any, steps: list[str | int], beside: list[Any]) -> Any:
    """Wrap the value in the steps, with others beside it."""
    for number, step in enumerate(reversed(steps)):
        other = beside[number % len(beside)] if beside else None
        value = {"before": other, step: value} if isinstance(step, str) else [*([other] * step), value]
    return value


def text_of(value: Any) -> str:
    return orjson.dumps(value).decode()


@given(st.sampled_from(SECRET_NAMES), PLANTED, STEPS, st.lists(HARMLESS, max_size=3))
def test_under_a_secret_name_a_secret_is_found_at_any_depth(
    name: str, secret: str, steps: list[str | int], beside: list[Any]
) -> None:
    for hidden in (secret, [secret], {"value": secret}, [{"value": [secret]}]):
        found = masked(wrapped({"x": 1, name: hidden}, steps, beside))
        assert secret not in repr(found)
        assert found != wrapped({"x": 1, name: hidden}, steps, beside)


@given(st.sampled_from(sorted(SHAPES)), TEXT, TEXT, STEPS, st.lists(VALUES, max_size=3))
def test_a_secret_shape_is_found_in_any_text_at_any_depth(
    name: str, before: str, after: str, steps: list[str | int], beside: list[Any]
) -> None:
    secret = SHAPES[name]
    text = f"{before} {secret}{after}"
    assert secret not in text_of(masked(wrapped(text, steps, beside)))
    assert secret not in text_of(masked(wrapped({text: 1}, steps, beside)))


@given(st.sampled_from(SECRET_NAMES), PLANTED, TEXT)
def test_an_assignment_is_found_in_any_text(name: str, secret: str, before: str) -> None:
    for text in (f"{name}={secret}", f'"{name}": "{secret}"', f"?{name}={secret}&x=1", f"{name}: {secret}"):
        assert secret not in masked_text(f"{before} {text}")


@given(HARMLESS)
def test_a_value_without_secrets_is_returned_as_it_is(value: Any) -> None:
    assert masked(value) is value


@given(VALUES)
def test_masking_twice_changes_nothing_more(value: Any) -> None:
    found = masked(value)
    assert masked(found) == found


@given(FRAGMENTS)
@example('token="a' + "\\")
def test_masking_a_text_twice_changes_nothing_more(text: str) -> None:
    found = masked_text(text)
    assert masked_text(found) == found


ALL_SIGNS = sorted({*SIGNS, "%", "\\u"}.union(*(rule.signs for rule in RULES)))
SEARCH = QuickSearch(ALL_SIGNS)


@given(
    FRAGMENTS
    | st.lists(
        st.sampled_from([*ALL_SIGNS, *SHAPES.values(), "\ud800", "é", "\0"]) | st.text(max_size=3), max_size=9
    ).map("".join)
)
@example("".join(ALL_SIGNS))
@example("\ud800token")
def test_the_quick_search_finds_what_a_search_for_each_text_finds(text: str) -> None:
    for read in (text, text.lower(), text * 9):
        assert SEARCH.found_in(read) == [sign for sign in ALL_SIGNS if sign in read]


@given(VALUES)
def test_the_structure_stays(value: Any) -> None:
    def compared(old: Any, new: Any) -> None:
        if new == MASK:
            return
        assert type(old) is type(new)
        if isinstance(old, dict):
            assert len(old) == len(new)
            for (key, item), (shown, kept) in zip(old.items(), new.items(), strict=True):
                assert key == shown or "[masked" in shown
                compared(item, kept)
        elif isinstance(old, list):
            assert len(old) == len(new)
            for item, kept in zip(old, new, strict=True):
                compared(item, kept)
        elif not isinstance(old, str):
            assert old == new

    compared(value, masked(value))


REPEATED = [
    *(
        "passw",
        "password ",
        "password=",
        "token=(",
        "token=()",
        "token='",
        "token=\\'",
        'token="\\"',
        "token=,",
    ),
    *("token=a,b", "p%61", "%61", "\\u0061", "eyJ", "_eyJ", "eyJa.", "://a:", "://a:b@", "@", "sk-", "SG."),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY",
        "bearer ",
        "bearer",
        "key key ",
        "-u a:",
        "--token ",
    ),
    *(
        "<token>",
        "('token','",
        "cookie:a\\",
        'cookie: "',
        "'",
        "\\",
        "%3a%2f%2fa%3a",
        "?sig=",
        "token: |\n ",
        "a ",
    ),
    *(
        "12345678:AA",
        'token={"',
        'token=["a\\"',
        '"token":"a",',
        "authorization: x\n",
        "token   ",
        '{"name":"token",',
    ),
]


def seconds(call: Callable[[], object]) -> float:
    """Measure the shortest of three runs, as other work on the machine only adds."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        call()
        taken.append(time.thread_time() - started)
    return min(taken)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("unit", REPEATED)
def test_the_time_grows_with_the_text_not_with_its_square(unit: str) -> None:
    whole = unit * (2**13 // len(unit))
    once, more = seconds(lambda: masked_text(whole)), seconds(lambda: masked_text(whole * 4))
    # Four times the text takes sixteen times as long where time is quadratic; tiny times are too noisy.
    assert more < 9 * max(once, 0.002)


def test_eight_megabytes_take_about_four_times_as_long_as_two() -> None:
    document = {
        "steps": [{"id": f"n{number}", "url": "https://h/a?b=c", "password": "x"} for number in range(30_000)]
    }
    half = {"steps": document["steps"][:7500]}
    assert seconds(lambda: masked(document)) < 9 * seconds(lambda: masked(half))


# -- what looks like a time, an id or a hash, and is none ---------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            "P4ssw0rd!",
            "P0stgres!2024",
            "PT4ssword",
            "12:34hunter2x",
            "2024-01-01 my-Secret-9",
            "sha256:hunter2",
        ),
        f"AKIA{RUN[:16].upper()}/{RUN}{RUN[:8]}",
    ],
)
def test_a_password_that_begins_like_a_time_or_an_id_is_masked(text: str) -> None:
    assert masked({"password": text}) == {"password": MASK}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "P3D",
            "PT15M",
            "P1Y2M3DT4H5M6S",
            "12:34",
            "12:34:56.123 UTC",
            "2024-01-01",
            "2024-01-01T10:00:00Z",
        ),
        *("2024-01-01 10:00:00.123+02:00", f"sha256:{HEX * 4}"),
        f"AKIA{RUN[:16].upper()}/20130524/us-east-1/s3/aws4_request",
    ],
)
def test_times_ids_and_hashes_stay(text: str) -> None:
    assert masked({"password_expiry": text, "token": text}) == {"password_expiry": text, "token": text}


def test_a_secret_key_is_no_path_for_its_slashes() -> None:
    key = f"{RUN[:2]}/{RUN[:32]}/{RUN[3:7]}"
    assert masked_text(f"aws_secret_access_key = {key}") == f"aws_secret_access_key = {MASK}"
    assert masked({"secretAccessKey": key}) == {"secretAccessKey": MASK}


@pytest.mark.parametrize("name", ["\u017fecret", "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44"])
def test_a_name_in_other_letters_of_the_same_form_is_the_same_name(name: str) -> None:
    assert masked({name: "qW3eR5tY7uI9oP1a"}) == {name: MASK}


@pytest.mark.parametrize("step", ["\u00b2", "9" * 5000, "-", "1.5"])
def test_a_step_that_is_no_index_leads_nowhere(step: str) -> None:
    operations = [{"op": "add", "path": f"/command/{step}", "value": "x"}]
    assert masked_patch(operations, [{"command": ["--password", "x"]}]) == operations
