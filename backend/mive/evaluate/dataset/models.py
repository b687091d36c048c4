"""The two models by what a user writes: ``http://HOST/v1#MODEL`` for an endpoint, else a hub id or a folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from mive.errors import RequestError
from mive.evaluate.dataset.answers import Asker
from mive.evaluate.dataset.chat import Chat
from mive.evaluate.dataset.endpoint import Endpoint

KEYS: Final = {"vlm": "MIVE_VLM_KEY", "llm": "MIVE_LLM_KEY"}
"""The environment variables that hold the endpoints' keys, by role."""


def is_endpoint(spec: str) -> bool:
    """Whether a model is reached over HTTP rather than run here."""
    return urlsplit(spec).scheme in ("http", "https")


def open_asker(role: str, spec: str, folder: Path) -> Asker:
    """Something to ask a model with; the model itself is opened when an answer is not kept yet.

    Args:
        role: "vlm", which is shown pictures, or "llm".
        spec: as the user wrote it.
        folder: where answers are kept.

    Raises:
        RequestError: an address is not complete.
    """
    parts = urlsplit(spec)
    if is_endpoint(spec) and (not parts.fragment or not parts.hostname or parts.username is not None):
        raise RequestError(
            f'the address "{parts.scheme}://{parts.hostname or ""}/…" does not say which model of which server',
            expected="http://HOST:PORT/v1#MODEL, without a key in it",
            fix=f"Write the model's name after a #; a key goes into the environment variable {KEYS[role]}",
            field=role,
        )
    return Asker(parts.fragment if is_endpoint(spec) else spec, partial(_open, role, spec), folder)


def _open(role: str, spec: str) -> Chat:
    if is_endpoint(spec):
        base, _, name = spec.partition("#")
        return Endpoint(base, name, os.environ.get(KEYS[role], ""), KEYS[role])
    from mive.evaluate.dataset.local import LocalChat

    return LocalChat(spec, "image-text-to-text" if role == "vlm" else "text-generation")
