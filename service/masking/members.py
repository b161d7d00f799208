"""Secrecy of the members of objects and lists, as their neighbours and parents decide it.

`{"name": "DB_PASSWORD", "value": "…"}`, `["--password", "…"]`, the data of a Kubernetes Secret: the same
decision for a value in its document and for the value of an operation whose path leads there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from service.masking.names import Secrecy, is_about, secrecy

# Members that name the value beside them, and members that are such a value.
_NAMING = frozenset(
    (
        *("name", "Name", "key", "Key", "keyName", "label", "displayName", "@name", "@key"),
        *("header", "header_name", "macro", "variable", "variable_name", "env", "field", "field_name"),
        *("parameter", "param", "ParameterKey", "ParameterName"),
        *("property", "attribute", "option", "setting"),
    )
)
_NAMED = frozenset(
    (
        *("value", "Value", "val", "values", "@value", "string_value", "stringValue", "ParameterValue"),
        *("default", "defaultValue", "default_value", "content", "text", "data", "plaintext", "secure_value"),
        *("new", "newValue", "new_value", "currentValue", "old", "oldValue", "old_value", "previousValue"),
    )
)
# Pairs of their own: Sysmon's registry events, Node-RED's rules, JSON Patch within a document.
_PAIRS = (("TargetObject", "Details"), ("p", "to"), ("path", "value"), ("type", "value"))
# Below a secret name these hold the secret itself: {"password": {"value": "…"}}.
_INHERITING = _NAMED | {"plain", "raw", "secret", "string", "S", "body", ""}
_SECRET_DATA = frozenset(("data", "stringData"))
# Parts of a private JSON Web Key.
_JWK = frozenset(("d", "p", "q", "dp", "dq", "qi", "k"))
# Ids that are half of a secret, and the members that tell: AppRole of Vault, tokens of Consul and Nomad,
# credentials of devices.
_HALVES = {
    "secret_id": "role_id",
    "SecretID": "AccessorID",
    "secretId": "roleId",
    "credentialsId": "credentialsType",
}
_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "private-token")
)
# Members whose secrecy others decide.
_DECIDED = frozenset(
    (*_NAMED, *_SECRET_DATA, *_JWK, *_HALVES, *(named for _, named in _PAIRS), "result", "code", "key")
)
# Nobody guesses a random token from its hash; a password is guessed.
_HASHES = frozenset(("hash", "hashed", "digest", "sha256"))
_LONGEST_OPTION = 64
_PAIR = 2
_TITLE_BLANKS = 2
_OPTION_ENDS = ("-H", "--header")


class Siblings(NamedTuple):
    """The facts about an object that decide over its members."""

    named: Secrecy
    inherited: Secrecy
    is_secret: bool


def siblings(value: Mapping[Any, Any], inherited: Secrecy) -> Siblings:
    """Look at the members of an object that decide over others."""
    named = Secrecy.NONE
    if _has_named(value):
        for naming in _of_both(value, _NAMING):
            name = value[naming]
            if isinstance(name, str):
                how = secrecy(name)
                # Three words are a title rather than a name.
                is_title = how > Secrecy.LIKELY and name.count(" ") >= _TITLE_BLANKS
                named = max(named, Secrecy.LIKELY if is_title else how)
        # An entry of an Azure answer that lists the keys of an account, and a secure parameter of AWS.
        if value.get("type") == "SecureString" or ("keyName" in value and "permissions" in value):
            named = Secrecy.ANY
    return Siblings(named, inherited, value.get("kind") == "Secret")


def _has_named(value: Mapping[Any, Any]) -> bool:
    # The set reads all keys of an object, so of a large one each of the few is looked up.
    if len(value) < len(_NAMED):
        return not _NAMED.isdisjoint(value)
    return any(key in value for key in _NAMED)


def _of_both(value: Mapping[Any, Any], names: frozenset[str]) -> Iterator[str]:
    """Yield the members of an object that are among the names, by reading the smaller of both."""
    if len(value) < len(names):
        return (key for key in value if key in names)
    return (name for name in names if name in value)


def member(value: Mapping[Any, Any], key: Any, around: Siblings) -> Secrecy:
    """Return the secrecy of a member of an object."""
    if not isinstance(key, str):
        return around.inherited
    if around.inherited is Secrecy.WHOLE or (around.is_secret and key in _SECRET_DATA):
        return Secrecy.WHOLE
    how = secrecy(key)
    if key in _NAMED:
        how = max(how, around.named)
    for naming, named in _PAIRS:
        if key == named and isinstance(name := value.get(naming), str) and _is_pair(value, naming):
            how = max(how, _last(name))
            if naming == "path" and is_pair_value(name.rpartition("/")[2]):
                how = max(how, Secrecy.LIKELY)
    if key in _JWK and value.get("kty") is not None:
        how = Secrecy.WHOLE
    if key in _HALVES and _HALVES[key] in value:
        how = Secrecy.ANY
    if key == "code" and "redirect_uri" in value:
        # The code of OAuth that is exchanged for a token.
        how = max(how, Secrecy.LIKELY)
    if key == "key" and isinstance(value.get("username", value.get("secret")), str):
        # Half of the credentials of an API.
        how = max(how, Secrecy.LIKELY)
    if key == "result" and "length" in value:
        # A random password of Terraform.
        how = Secrecy.LIKELY
    if around.inherited >= Secrecy.LIKELY:
        if key in _INHERITING:
            how = max(how, around.inherited)
        elif not is_about(key) and not (around.inherited is Secrecy.LIKELY and key in _HASHES):
            how = max(how, Secrecy.LIKELY)
    return how


def _is_pair(value: Mapping[Any, Any], naming: str) -> bool:
    if naming == "type":
        # {"type": "password", "value": "…"}; {"type": "token", "value": "count"} is of a parser.
        return secrecy(value[naming]) is Secrecy.ANY
    return naming != "path" or "op" in value


def _last(name: str) -> Secrecy:
    """Return the secrecy of the last step of a path or of a registry key."""
    return max(secrecy(step) for step in name.replace("\\", "/").replace(".", "/").split("/")[-2:])


def is_decided_alone(key: str) -> bool:
    """Tell if no other member of an object has a say over this one."""
    return key not in _DECIDED


def is_pair_value(key: str) -> bool:
    """Tell if a member is usually the value of a name beside it."""
    return key in _NAMED


def item(values: Sequence[Any], index: int, inherited: Secrecy) -> Secrecy:
    """Return the secrecy of an item of a list: of an option's value, of a header, or as the list itself."""
    if inherited is Secrecy.WHOLE or index == 0 or not isinstance(values[index], str):
        return inherited
    before = values[index - 1]
    if not isinstance(before, str) or len(before) > _LONGEST_OPTION:
        return inherited
    if before.startswith("-") and "=" not in before and before not in _OPTION_ENDS:
        return max(inherited, secrecy(before.lstrip("-")))
    if before.lower() in _HEADERS:
        return max(inherited, secrecy(before))
    if len(values) == _PAIR:
        # Two words are a name with its value, or the methods of a login: `["password", "any_phone"]`.
        return max(inherited, min(secrecy(before), Secrecy.LIKELY))
    return inherited


def judged_late(value: Mapping[Any, Any]) -> list[Any]:
    """List the members of an object that others make secret, for a reader that stops before the end."""
    around = siblings(value, Secrecy.NONE)
    return [key for key in value if isinstance(key, str) and member(value, key, around) > secrecy(key)]
