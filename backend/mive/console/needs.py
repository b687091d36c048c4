"""What only some installations have."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from mive.errors import BundleError


def require_models() -> None:
    """Checks for the packages that run models, which a plain ``pip install mive`` leaves out.

    Raises:
        BundleError: one is not installed.
    """
    _require(("torch", "diffusers", "transformers", "safetensors"), "models cannot run without it")


def require_server() -> None:
    """Checks for the packages that ``mive-server`` is made of, which a plain ``pip install mive`` leaves out.

    Raises:
        BundleError: one is not installed.
    """
    names = ("grpc_health", "grpc_reflection", "grpc_status", "prometheus_client", "pydantic_settings")
    _require(names, "the server cannot run without it")
    require_models()


def _require(names: Sequence[str], why: str) -> None:
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise BundleError(
            f"{', '.join(missing)} is not installed, and {why}",
            expected="an installation with models",
            fix='pip install "mive[server]"',
        )
