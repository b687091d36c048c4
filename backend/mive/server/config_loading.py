"""Reads a server's configuration: one TOML file, whose every value an environment variable or a flag can replace."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from mive.base.validation import Model, did_you_mean
from mive.errors import RequestError
from mive.server.config import ServerConfig

PREFIX: Final = "MIVE_SERVER__"
"""Of the environment variables; two underscores also stand between a section and a name: MIVE_SERVER__LOG__LEVEL."""

_FLAGS: Final = {
    "devices": "device",
    "server_paths": "server-path",
    "metrics_listen": "metrics",
    "auth.tokens_file": "tokens-file",
}
"""Those of ``mive-server`` that are not called like their key."""


def load_config(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> ServerConfig:
    """The configuration: flags before environment variables, those before the file, then defaults.

    Args:
        path: a TOML file; None where there is none.
        overrides: values of flags by key, such as "log.level"; None is a flag not given.

    Raises:
        RequestError: naming file, variable or flag, the key, what is expected and the fix.
    """
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    _check_variables()
    if path is not None and not path.is_file():
        raise RequestError(
            f"there is no configuration file {path}", expected="a TOML file", fix="Correct the path, or make the file"
        )
    try:
        loaded = _loader(path)(**_nested(flags))
    except RequestError as error:
        raise _located(error, path, flags) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RequestError(
            f"the configuration file {path} cannot be read: {error}",
            expected="a readable TOML file",
            fix="Correct it there",
        ) from error
    return ServerConfig(**{name: getattr(loaded, name) for name in loaded.model_fields_set})


def keys(model: type[Model] = ServerConfig, above: str = "") -> Iterator[str]:
    """All that can be set: "listen", "log.level" and so on."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Model):
            yield from keys(info.annotation, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _loader(path: Path | None) -> type[ServerConfig]:
    class Loader(ServerConfig, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

    return Loader


def _nested(flags: Mapping[str, object]) -> dict[str, Any]:
    """``{"log.level": "debug"}`` as ``{"log": {"level": "debug"}}``."""
    nested: dict[str, Any] = {}
    for key, value in flags.items():
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return nested


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _check_variables() -> None:
    """Refuses variables that would have no effect; a mistyped one may be what should have made the server safe."""
    known = {_variable(key): key for key in keys()}
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            key = variable[len(PREFIX) :].lower().replace("__", ".")
            raise RequestError(
                f"there is no such field (environment variable {variable})",
                expected=f"{PREFIX}SECTION__NAME, such as {_variable('log.level')}",
                fix=did_you_mean(key, list(known.values())) or "Unset it",
                field=key,
            )


def _located(error: RequestError, path: Path | None, flags: Mapping[str, object]) -> RequestError:
    """The error with the place that its value came from."""
    key = re.sub(r"\[\d+\]", "", error.field or "")
    place = f" (file {path})" if path is not None else ""
    if _variable(key) in map(str.upper, os.environ):
        place = f" (environment variable {_variable(key)})"
    if key in flags:
        place = f" (flag --{_FLAGS.get(key) or re.sub('[._]', '-', key)})"
    return RequestError(f"{error.what}{place}", expected=error.expected, fix=error.fix, field=error.field)
