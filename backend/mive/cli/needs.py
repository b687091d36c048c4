"""What only some installations have."""

from __future__ import annotations

from importlib.util import find_spec

from mive.errors import BundleError


def require_models() -> None:
    """Checks for the packages that run models, which a plain ``pip install mive`` leaves out.

    Raises:
        BundleError: one is not installed.
    """
    missing = [name for name in ("torch", "diffusers", "transformers", "safetensors") if find_spec(name) is None]
    if missing:
        raise BundleError(
            f"{', '.join(missing)} is not installed, and models cannot run without it",
            expected="an installation with models",
            fix='pip install "mive[server]"',
        )
