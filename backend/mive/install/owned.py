"""Folders and files that MIVE installs, renews and removes, and nothing else of the user's.

An installed folder holds a record of its files. A folder without one, or with files that the record does not
name, is the user's: it is neither replaced nor removed. Single files carry a mark instead.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mive import __version__
from mive.base.atomic import file_aside
from mive.errors import MiveError, OutputError

RECORD: Final = "mive-install.json"
MARK: Final = '# Installed by "mive plugin install"; "mive plugin uninstall" removes it.'

State = Literal["installed", "renewed", "unchanged", "removed", "absent"]


@dataclass(frozen=True)
class Record:
    """What was installed in a folder."""

    mive: str
    """The version that did it."""
    files: tuple[str, ...]
    """By path in the folder, the record itself included."""
    parents: tuple[str, ...]
    """Folders that were made for it, outermost first."""


@dataclass(frozen=True)
class Change:
    """What was done to one path."""

    path: Path
    state: State
    before: str | None = None
    """The version that was there."""


def read_record(folder: Path) -> Record | None:
    """The record of a folder that MIVE installed; ``None`` for all others."""
    try:
        values = json.loads((folder / RECORD).read_bytes())
        return Record(str(values["mive"]), tuple(map(str, values["files"])), tuple(map(str, values["parents"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put_folder(target: Path, files: Mapping[str, bytes]) -> Change:
    """Installs a folder of files, or renews it; who has an old file open keeps it.

    The new folder is complete before it takes the old one's place by renaming.

    Args:
        files: the contents by path in the folder, with ``/``.

    Raises:
        MiveError: what is there is not MIVE's.
        OutputError: it cannot be written.
    """
    old = _own(target)
    if old is not None and old.mive == __version__ and _holds(target, files, old):
        return Change(target, "unchanged", old.mive)
    parents = old.parents if old else _missing(target.parent)
    names = sorted([*files, RECORD])
    record = {"mive": __version__, "files": names, "parents": list(parents)}
    everything = {**files, RECORD: json.dumps(record, indent=2).encode()}
    stage = _aside(target, "partial")
    try:
        for name, contents in everything.items():
            _write(stage / name, contents)
        _swap(stage, target)
    except OSError as error:
        raise _failure(error, target) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        _prune(parents)
    return Change(target, "renewed" if old else "installed", old.mive if old else None)


def take_folder(target: Path) -> Change:
    """Removes an installed folder, and the parents that were made for it if nothing else is in them.

    Raises:
        MiveError: it is not MIVE's, or holds files that are not.
        OutputError: it cannot be removed.
    """
    old = _own(target)
    if old is None:
        return Change(target, "absent")
    aside = _aside(target, "old")
    try:
        os.rename(target, aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise _failure(error, target) from error
    _prune(old.parents)
    return Change(target, "removed", old.mive)


def put_file(target: Path, text: str) -> Change:
    """Installs one file, which must hold :data:`MARK`, or renews it.

    Raises:
        MiveError: another file is there.
        OutputError: it cannot be written.
    """
    assert MARK in text
    there = _own_text(target)
    if there == text:
        return Change(target, "unchanged")
    try:
        with file_aside(target, durable=False) as stage:
            _write(stage, text.encode())
    except OSError as error:
        raise _failure(error, target) from error
    return Change(target, "installed" if there is None else "renewed")


def take_file(target: Path) -> Change:
    """Removes an installed file.

    Raises:
        MiveError: it is not MIVE's.
        OutputError: it cannot be removed.
    """
    if _own_text(target) is None:
        return Change(target, "absent")
    try:
        target.unlink()
    except OSError as error:
        raise _failure(error, target) from error
    return Change(target, "removed")


def _own(target: Path) -> Record | None:
    """The record of what is there; ``None`` where nothing is."""
    if not os.path.lexists(target):
        return None
    record = None if target.is_symlink() else read_record(target)
    if record is None:
        raise _foreign(target)
    there = {path.relative_to(target) for path in target.rglob("*") if path.is_symlink() or not path.is_dir()}
    # Python keeps what it compiled of an installed script beside it.
    names = {path.as_posix() for path in there if "__pycache__" not in path.parts}
    if others := sorted(names - set(record.files)):
        raise MiveError(
            f"{target} holds files that MIVE did not install: {', '.join(others[:5])}",
            expected="only what its install record names",
            fix="Move them elsewhere first",
        )
    return record


def _own_text(target: Path) -> str | None:
    if not os.path.lexists(target):
        return None
    try:
        text = target.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    if MARK not in text:
        raise _foreign(target)
    return text


def _foreign(target: Path) -> MiveError:
    return MiveError(
        f"{target} was not installed by MIVE",
        expected="nothing there, or what an earlier install wrote",
        fix="Move it elsewhere, or remove it yourself",
    )


def _holds(target: Path, files: Mapping[str, bytes], record: Record) -> bool:
    if set(record.files) != {*files, RECORD}:
        return False
    try:
        return all((target / name).read_bytes() == contents for name, contents in files.items())
    except OSError:
        return False


def _swap(stage: Path, target: Path) -> None:
    """Puts a complete folder in another's place. Between the two renames neither is there, for microseconds."""
    aside = _aside(target, "old")
    there = os.path.lexists(target)
    if there:
        os.rename(target, aside)
    try:
        os.rename(stage, target)
    except BaseException:
        if there:
            os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _aside(target: Path, suffix: str) -> Path:
    """A name beside the target that hosts do not take for a bundle."""
    return target.parent / f".{target.name}.{secrets.token_hex(4)}.{suffix}"


def _write(path: Path, contents: bytes) -> None:
    """Readable by everyone, whatever the umask: a system folder is for all users."""
    missing = _missing(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in missing:
        Path(name).chmod(0o755)
    path.write_bytes(contents)
    path.chmod(0o755 if contents.startswith(b"\x7fELF") else 0o644)


def _missing(folder: Path) -> tuple[str, ...]:
    return tuple(str(place) for place in reversed((folder, *folder.parents)) if not place.exists())


def _prune(folders: tuple[str, ...]) -> None:
    for name in reversed(folders):
        try:
            Path(name).rmdir()
        except OSError:
            return


def _failure(error: OSError, target: Path) -> OutputError:
    denied = isinstance(error, PermissionError)
    return OutputError(
        f"{target} cannot be changed: {error.strerror}",
        expected="a folder that you may write to",
        fix="Use sudo, with the full path of mive, or install for yourself without --system"
        if denied
        else "Free the folder, or name another with --to DIR",
    )
