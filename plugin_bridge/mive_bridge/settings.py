"""What a user can decide about the bridge: ``bridge.toml`` in MIVE's configuration folder, and two variables."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field

from mive.base.places import config_folder, default_cache
from mive.base.validation import Model, Number
from mive.errors import RequestError

_GIGABYTE: Final = 10**9


class Settings(Model):
    """All of it; everything has a default."""

    start_server: bool = Field(default=False, description="whether a server is started here where none is named")
    cache_gigabytes: Number = Field(default=20.0, gt=0, description="the size of the edited frames that are kept")
    idle_minutes: Number = Field(default=10.0, gt=0, description="the time after which an idle bridge ends")
    ca: Path | None = Field(default=None, description="the certificate of the authority of render servers (PEM)")
    cert: Path | None = Field(default=None, description="the client's own certificate (PEM)")
    key: Path | None = Field(default=None, description="its private key (PEM)")

    @property
    def cache_bytes(self) -> int:
        """The limit of the cache."""
        return int(self.cache_gigabytes * _GIGABYTE)

    @property
    def idle_seconds(self) -> float:
        """Seconds until an idle bridge ends."""
        return self.idle_minutes * 60

    @classmethod
    def load(cls) -> Self:
        """From the file, where there is one, and ``MIVE_BRIDGE_START_SERVER``.

        Raises:
            RequestError: the file cannot be read or holds what is no setting.
        """
        path = settings_path()
        fields: dict[str, Any] = {}
        try:
            fields = tomllib.loads(path.read_text())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{path} cannot be read: {error}", expected="a TOML file", fix="Correct it, or remove it"
            ) from error
        for name in ("ca", "cert", "key"):
            if isinstance(text := fields.get(name), str):
                fields[name] = Path(text).expanduser()
        if wish := os.environ.get("MIVE_BRIDGE_START_SERVER"):
            fields["start_server"] = wish == "1"
        try:
            return cls(**fields)
        except RequestError as error:
            what = f"{path}, {error.field}: {error.what}"
            raise RequestError(what, expected=error.expected, fix=error.fix) from error


def settings_path() -> Path:
    """``$MIVE_BRIDGE_CONFIG``, else ``mive/bridge.toml`` in the user's configuration folder."""
    if chosen := os.environ.get("MIVE_BRIDGE_CONFIG"):
        return Path(chosen)
    return config_folder() / "mive" / "bridge.toml"


def cache_folder() -> Path:
    """The bridge's in MIVE's cache folder; absolute, since a bridge in the background leaves its folder."""
    return default_cache().absolute() / "bridge"
