"""Requests in files, and the paths in them."""

from __future__ import annotations

from pathlib import Path

from mive.errors import RequestError
from mive.networks.bundle_files import BUNDLES_FOLDER
from mive.request import EditRequest


def read_request(path: Path) -> EditRequest:
    """The request in a JSON file; relative paths in it start from the file's folder.

    Raises:
        RequestError: the file is missing or wrong.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"the request {path} cannot be read: {error.strerror}",
            expected="a JSON file",
            fix="Check the path",
        ) from error
    try:
        return EditRequest.from_json(text)
    except RequestError as error:
        if error.field is not None:
            raise
        raise RequestError(f"{path} is {error.what}", expected=error.expected, fix=error.fix) from error


def anchored(request: EditRequest, folder: Path) -> EditRequest:
    """The request with absolute paths, so that its manifest is of use from anywhere.

    Args:
        folder: where relative paths start.
    """
    root = folder.absolute()
    placed = request.with_sources(lambda path: str(root / path))
    if "bundle" not in request.model_fields_set:
        return placed
    return placed.model_copy(update={"bundle": _bundle(request.bundle, root)})


def _bundle(name: str, root: Path) -> str:
    """A shipped bundle and a hub id stay as they are."""
    shipped = (BUNDLES_FOLDER / name).is_dir()
    return str(root / name) if not shipped and (root / name).is_dir() else name
