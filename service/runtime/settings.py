"""Settings: a flag wins over the environment, the environment over the file, the file over the default."""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.runtime.web_origins import web_origins

DEFAULT_FILE = "annals.toml"
FILE_VARIABLE = "ANNALS_CONFIG"
PREFIX = "ANNALS_"

# Variables that are no settings: of this module, of the commands of users, of tests and scripts.
_OTHER_VARIABLES = frozenset({FILE_VARIABLE, "ANNALS_URL", "ANNALS_KEY", "ANNALS_FAILPOINT"})
_OTHER_PREFIXES = ("ANNALS_TEST_", "ANNALS_TIMESCALEDB_")

# Most days that a deletion may ask for, if the operator sets no other number.
RESTORE_DAYS_ASKED = 365

# Events of executions up to which figures are computed from the rows, if the operator sets no other number.
EXACT_ROWS = 100_000

Origin = Literal["flag", "environment", "file", "default"]


class SettingsError(Exception):
    """A setting is wrong; the message names the setting, its source and the values that it may have."""


# The value of a rate that is not limited.
OFF = "off"


def _rate(value: str) -> str:
    if value != OFF:
        # Imported here, since the library takes 40 ms of each command that the command line starts.
        from service.runtime.rate_limits import rate_of

        rate_of(value)
    return value


def _origins(value: str) -> str:
    web_origins(value)
    return value


def _at_least(characters: int) -> AfterValidator:
    def checked(key: SecretStr) -> SecretStr:
        if len(key) < characters:
            raise ValueError(f"a key has at least {characters} characters, and this one has {len(key)}")
        return key

    return AfterValidator(checked)


Rate = Annotated[str, AfterValidator(_rate)]


class Settings(BaseSettings):
    """Settings of the operator; a test compares the table in the docs with these descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL to use; without it the embedded one is started under the data directory",
    )
    data_dir: Path = Field(
        default=Path("annals-data"),
        description="folder for the repositories (`git/`) and the embedded PostgreSQL (`postgres/`)",
    )
    operator_key: Annotated[SecretStr, _at_least(32)] | None = Field(
        default=None,
        description="the operator's key, 32 characters or more; without it one is made and printed once",
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, description="port to listen on; 0 picks a free one"
    )
    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/[^\s]*)?$")] | None = Field(
        default=None, description="how clients reach this server, for `git_url`; default: from host and port"
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="addresses, comma-separated, whose X-Forwarded-For is believed; default: nobody's",
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] | None = Field(
        default=None,
        description="origins, comma-separated, whose pages may call every address in browsers, such as "
        "`https://editor.example.org`; default: none, beside those of each subscription",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="API processes")
    threads: Annotated[int, Field(ge=2, le=100)] = Field(
        default=6,
        description="threads of an API process that one subscription alone may have; others find four more",
    )
    failed_logins: Rate = Field(
        default="10/minute",
        description="failed logins of an address that are answered by 401, further ones by 429; `off`: all",
    )
    key_rate: Rate = Field(
        default=OFF, description="calls of an API key, such as `600/minute`; further ones are answered by 429"
    )
    subscription_rate: Rate = Field(
        default=OFF,
        description="calls of all keys of a subscription together, such as `100/second`; further ones: 429",
    )
    require_timescaledb: bool | None = Field(
        default=None,
        description="refuse a database without TimescaleDB; default: true with DATABASE_URL, else false",
    )
    git_processes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=4,
        description="clones and fetches of one subscription that an API process serves at a time; more wait; "
        "all subscriptions together have twice as many",
    )
    git_timeout: Annotated[int, Field(ge=1)] = Field(
        default=3600, description="seconds after which a clone or fetch is ended"
    )
    tails: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20,
        description="live tails of the execution log that an API process serves at once; "
        "of one subscription three quarters of them",
    )
    tails_of_session: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="live tails that a session of the pages follows at once by one API process"
    )
    tail_seconds: Annotated[int, Field(ge=1, le=43_200)] = Field(
        default=900, description="seconds after which a live tail ends, until its reader goes on"
    )
    restore_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=30, description="days for which what was deleted can be restored"
    )
    max_restore_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None,
        description="most days that a deletion may ask for with `restore_days`; "
        f"default: {RESTORE_DAYS_ASKED}, or ANNALS_RESTORE_DAYS if that is more",
    )
    jobs: bool = Field(
        default=True,
        description="whether `annals serve` runs the scheduled jobs and the sequencer of logs;"
        " else `annals jobs run` does",
    )
    archive_url: str | None = Field(
        default=None,
        description="where rows go before retention drops them: a folder, or `s3://bucket/prefix`; "
        "default: nowhere, they are dropped",
    )
    archive_format: Literal["ndjson", "parquet"] = Field(
        default="ndjson",
        description="what archives are written as: `ndjson`, or `parquet`, which takes `annals[parquet]`",
    )
    archive_rows_per_second: Annotated[int, Field(ge=0)] = Field(
        default=10_000,
        description="rows that jobs read a second for the archive, which leaves others their time; "
        "0: as fast as it can",
    )
    max_stream_bytes: Annotated[int, Field(ge=1024 * 1024, le=4 * 1024**3)] = Field(
        default=4 * 1024**3,
        description="bytes of a stream of events, decompressed; at most 4 GiB",
    )
    exact_rows: Annotated[int, Field(ge=0)] = Field(
        default=EXACT_ROWS,
        description="events of executions in whole days up to which figures are computed from the rows; "
        "of more, from figures by days, whose percentiles may be wrong by 5 percent",
    )
    purge_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=30, description="days for which a closed subscription is kept before it is purged"
    )
    min_free_mb: Annotated[int, Field(ge=0)] = Field(
        default=1024,
        description="mebibytes that should be free on each disk; with less, `/readyz` and the doctor warn",
    )
    metrics_key: Annotated[SecretStr, _at_least(16)] | None = Field(
        default=None,
        description="bearer key that `/metrics` asks for, 16 characters or more; default: none, all may read",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="log lines; auto: console on a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level that is logged"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `load` alone: it merges the sources itself, to know the source of each value."""
        return (init_settings,)

    @field_validator("max_restore_days")
    @classmethod
    def _at_least_the_default(cls, most: int | None, info: ValidationInfo) -> int | None:
        if most is not None and most < info.data.get("restore_days", most):
            raise ValueError("is less than ANNALS_RESTORE_DAYS, which a deletion gets if it asks for none")
        return most

    @property
    def longest_restore_days(self) -> int:
        """Most days that a deletion may ask for."""
        return self.max_restore_days or max(RESTORE_DAYS_ASKED, self.restore_days)

    @property
    def timescaledb_is_required(self) -> bool:
        """Tell if the start fails without TimescaleDB."""
        if self.require_timescaledb is None:
            return self.database_url is not None
        return self.require_timescaledb

    @property
    def reachable_url(self) -> str:
        """URL by which clients reach the server: `public_url`, or else one made of host and port."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Origins whose pages may call every address."""
        return frozenset(() if self.cors_origins is None else web_origins(self.cors_origins))

    @property
    def git_dir(self) -> Path:
        """Folder of the repositories."""
        return self.data_dir.absolute() / "git"


def variable(name: str) -> str:
    """Environment variable of a setting."""
    return "DATABASE_URL" if name == "database_url" else PREFIX + name.upper()


def unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the nearest that is one, if one is near."""
    known = {variable(name) for name in Settings.model_fields} | _OTHER_VARIABLES
    # Compared without the prefix, which all have in common.
    by_end = {name.removeprefix(PREFIX): name for name in known}
    found: dict[str, str | None] = {}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name not in known and not name.startswith(_OTHER_PREFIXES):
            near = get_close_matches(name.upper().removeprefix(PREFIX), by_end, n=1, cutoff=0.7)
            found[name] = by_end[near[0]] if near else None
    return found


def secret_variables() -> list[str]:
    """Variables whose values are secrets."""
    return [
        variable(name) for name, field in Settings.model_fields.items() if _may_be_secret(field.annotation)
    ]


def _may_be_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_may_be_secret(part) for part in get_args(annotation))


def load(
    flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[Settings, dict[str, Origin]]:
    """Read the settings, and the source of each value; a flag that is None was not given.

    Raises SettingsError.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    sources: tuple[tuple[Origin, Mapping[str, Any]], ...] = (
        ("file", _from_file(environ)),
        ("environment", _from_environment(environ)),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    )
    for origin, source in sources:
        for name, value in source.items():
            values[name] = value
            origins[name] = origin
    try:
        by_alias = {("DATABASE_URL" if name == "database_url" else name): v for name, v in values.items()}
        return Settings(**by_alias), origins
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(problem, origins) for problem in error.errors())) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {name: environ.get(variable(name), "") for name in Settings.model_fields}
    return {name: value for name, value in found.items() if value}


def _from_file(environ: Mapping[str, str]) -> dict[str, Any]:
    named = environ.get(FILE_VARIABLE)
    path = Path(named or DEFAULT_FILE)
    if not named and not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} can't be read: {error}") from None
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(
            f"the settings file {path} has unknown settings: {', '.join(unknown)}; "
            f"known are {', '.join(Settings.model_fields)}"
        )
    return values


def _explain(problem: Any, origins: Mapping[str, Origin]) -> str:
    name = str(problem["loc"][0])
    field = "database_url" if name == "DATABASE_URL" else name
    # The value itself is left out: it may be a secret.
    message = problem["msg"].removeprefix("Value error, ")
    return f"{field} (from the {origins[field]}; {variable(field)}): {message}"


def git_url(public_url: str, subscription_id: object) -> str:
    """URL of a subscription's repository on a server that clients reach at `public_url`."""
    return f"{public_url.rstrip('/')}/git/{subscription_id}.git"
