"""What requests bring along, staged on the disk where workers open it by path.

::

    OWNER/KEY/shot.mov             one uploaded file
    OWNER/KEY/uploaded images/     several, under the names that the client gave
    OWNER/KEY/uploaded clip/       raw frames, see `mive.media.raw`
    OWNER/KEY/uploaded matte/

KEY depends on nothing but what was sent, so a request that is submitted again names the same paths.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from google.protobuf.message import Message

from mive.base.atomic import ASIDE, folder_aside, keep_aside, output_errors, remove_asides
from mive.errors import RequestError
from mive.media.hashing import hashed
from mive.media.raw import HEADER, write_raw, write_runs
from mive.server.clocks import Clock
from mive.server.file_names import check_names
from mive.server.files import OWNER, make_folder, owner_folder
from mive.server.loops import going_on
from mive.server.quota import Claim, Quota
from mive.server.raw_inputs import InputLimits, RawInput, RawInputs, file_bytes
from mive.server.regions import Regions
from mive.server.roots import Roots
from mive.server.space import require_space
from mive.server.uploads import Uploads
from mive.server.work import Call
from mive.v1 import media_pb2
from mive.wire.request import NameSource, Source

_KEY: Final = re.compile("[0-9a-f]{64}")

Fill = Callable[[Path, Claim], str | None]
"""Fills a folder; returns its key where only the content tells."""


class Inputs:
    """The inputs of all owners; threads may use it at once, but only one process.

    Args:
        folder: is made, in the data folder, of which clients may name no path, since other owners' files lie there.
            What a killed process left half written is removed.
        uploads, regions: where the bytes come from.
        roots: folders below which clients may name paths; none turns paths off, ``/`` allows all.
        limits: what a request may bring along.
        clock: what is kept is kept by, see `mive.server.house`.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        uploads: Uploads,
        regions: Regions,
        *,
        roots: Iterable[Path] | None,
        limits: InputLimits,
        clock: Clock,
    ) -> None:
        make_folder(folder, "the inputs' folder")
        self._folder = folder.resolve()
        for owner in self._folder.iterdir():
            remove_asides(owner)
        self._uploads = uploads
        self._raw = RawInputs(uploads, regions, limits)
        self._roots = Roots(roots, closed=self._folder.parent)
        self._limits = limits
        fix = "Send less, or wait until earlier ones are no longer needed and kept"
        self._quota = Quota(limits.owner_bytes, self._measure, "the inputs of jobs", fix)
        self._clock = clock
        self._lock = threading.Lock()
        self._staged_path = _pattern(self._folder)

    def name_source(self, owner: str, call: Call) -> NameSource:
        """A function that stages an owner's sources and gives their paths, for `request_from_message`.

        It blocks, for as long as it takes to write the frames to the disk, but holds no more than one of them.

        Args:
            call: that they are staged for. When it ends, so does this, and what was written goes.

        Raises:
            RequestError: the source is wrong in any way, naming the field.
            UploadNotFound, RegionNotFound: its bytes are not the owner's.
            QuotaExceeded: the owner's inputs would be too large.
            OutputError: the disk is full, or may not be written.
            CallEnded: nobody waits any longer.
        """
        return partial(self._name, owner, call)

    def sweep(self, in_use: Iterable[str], keep_seconds: float) -> int:
        """Remove what nobody has submitted in so many seconds and no unfinished job needs.

        Args:
            in_use: all paths that unfinished jobs' requests name; those of other places do no harm.

        Returns:
            How many inputs were removed.
        """
        needed = {found.group(0).rstrip("/") for path in in_use if (found := self._staged_path.match(path))}
        before, count = self._clock() - keep_seconds, 0
        for folder in self._folder.glob("*/*/"):
            if str(folder) in needed or not _KEY.fullmatch(folder.name) or not re.fullmatch(OWNER, folder.parent.name):
                continue
            with going_on("an old input could not be removed"), self._lock, contextlib.suppress(FileNotFoundError):
                if folder.stat().st_mtime < before:
                    self._remove(folder)
                    count += 1
        return count

    def keep(self, paths: Iterable[str]) -> bool:
        """Keep what was staged for longer, from now on; False where some of it is gone. Other paths do no harm."""
        folders = {found.group(0).rstrip("/") for path in paths if (found := self._staged_path.match(path))}
        return all([self._known(Path(folder)) is not None for folder in folders])

    def redact(self, text: str, *, apart: bool = False) -> str:
        """The text with staged paths as their clients know them: "shot.mov", "uploaded clip".

        Args:
            text: plain, or JSON.
            apart: keep as much of the path as tells inputs of the same name apart, as manifests need it.
        """

        def known(found: re.Match[str]) -> str:
            if apart:
                return found["key"][:8] + found["end"]
            return "" if found["end"] else "the upload"

        return self._staged_path.sub(known, text)

    def _name(self, owner: str, call: Call, source: Source, field: str) -> str:
        match source.WhichOneof("source"):
            case "path":
                return self._roots.check(source.path, f"{field}.path")
            case "files":
                return str(self._files(owner, call, source.files, f"{field}.files"))
            case None:
                raise RequestError(
                    "no source is given",
                    expected="uploaded files, frames, or a path",
                    fix="Set one of them",
                    field=field,
                )
        if isinstance(source, media_pb2.ClipSource):
            return str(self._clip(owner, call, source.frames, f"{field}.frames"))
        return str(self._matte(owner, call, source, field))

    def _files(self, owner: str, call: Call, message: media_pb2.UploadedFiles, at: str) -> Path:
        names = check_names(message, self._limits.frames, at)

        def fill(folder: Path, claim: Claim) -> None:
            places = [f"{at}.files[{index}].upload_id" for index in range(len(names))]
            uploads = [
                self._uploads.path(owner, file.upload_id, place)
                for file, place in zip(message.files, places, strict=True)
            ]
            claim.take(sum(file_bytes(path.stat().st_size) for path in uploads))
            into = folder if len(names) == 1 else folder / "uploaded images"
            into.mkdir(exist_ok=True)
            for path, name in zip(call.each(uploads), names, strict=True):
                _link(path, into / name)

        return self._staged(owner, call, _key(message), fill, "the uploaded files")

    def _clip(self, owner: str, call: Call, message: media_pb2.RawClip, at: str) -> Path:
        in_memory = message.frames.HasField("region")

        def fill(folder: Path, claim: Claim) -> str | None:
            raw = self._raw.clip(owner, message, claim.take, at)
            return _store(raw, folder / "uploaded clip", call, keyed=in_memory)

        return self._staged(owner, call, None if in_memory else _key(message), fill, "the uploaded clip")

    def _matte(self, owner: str, call: Call, source: media_pb2.MatteSource, field: str) -> Path:
        kind = source.WhichOneof("source")
        at, in_memory = f"{field}.{kind}", source.frames.HasField("region")

        def fill(folder: Path, claim: Claim) -> str | None:
            if kind == "frames":
                raw = self._raw.matte(owner, source.frames, claim.take, at, ids=field == "mattes")
            elif kind == "runs":
                raw = self._raw.runs([(source.runs, at)], claim.take)
            else:
                raw = self._raw.uploaded_runs(owner, source.uploaded_runs, claim.take, at)
            return _store(raw, folder / "uploaded matte", call, keyed=in_memory)

        # An ID matte and a soft one of the same frames are not checked alike.
        key = None if in_memory else _key(source, b"ids" if field == "mattes" else b"")
        return self._staged(owner, call, key, fill, "the uploaded matte")

    def _staged(self, owner: str, call: Call, key: str | None, fill: Fill, what: str) -> Path:
        """The path of an input, which is filled aside unless it is there."""
        parent = owner_folder(self._folder, owner)
        if key is not None and (known := self._known(parent / key)):
            return known
        make_folder(parent, what)
        claim = Claim(self._quota, owner, lambda size: require_space(parent, size, what))
        try:
            with output_errors(what), folder_aside(parent) as aside:
                call.check()
                key = fill(aside, claim) or key
                assert key is not None
                claim.settle(_size(aside))
                kept = keep_aside(aside, parent / key, each=call.check)
        except BaseException:
            claim.cancel()
            raise
        if not kept:
            claim.cancel()
        known = self._known(parent / key)
        assert known is not None, "an input that was staged just now is not swept"
        return known

    def _known(self, folder: Path) -> Path | None:
        """What a folder holds, which is kept from now on; None where there is no such folder."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            os.utime(folder, (now := self._clock(), now))
            return next(folder.iterdir(), None)
        return None

    def _remove(self, folder: Path) -> None:
        self._quota.give_back(folder.parent.name, _size(folder))
        # Whoever stages the same again must not find half of it.
        removed = folder.with_name(f".{secrets.token_hex(8)}{ASIDE}")
        folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _measure(self, owner: str) -> int:
        folder = owner_folder(self._folder, owner)
        return sum(map(_size, folder.iterdir())) if folder.is_dir() else 0


def _key(message: Message, kind: bytes = b"") -> str:
    """The hash of what a request declares; uploads are named by their content."""
    return hashlib.sha256(
        b"\0".join((message.DESCRIPTOR.full_name.encode(), kind, message.SerializeToString(deterministic=True)))
    ).hexdigest()


def _store(raw: RawInput, folder: Path, call: Call, *, keyed: bool) -> str | None:
    """Writes frames, and hashes them on the way where that is to be their key."""
    digest = hashlib.sha256()
    folder.mkdir()
    write, frames = write_runs if raw.runs else write_raw, call.each(raw.frames)
    write(folder, raw.info, hashed(frames, digest) if keyed else frames)
    digest.update((folder / HEADER).read_bytes())
    return digest.hexdigest() if keyed else None


def _link(path: Path, into: Path) -> None:
    """A link costs nothing and outlives the upload; other disks, and some file systems, need a copy."""
    try:
        os.link(path, into)
    except OSError:
        shutil.copyfile(path, into)


def _size(folder: Path) -> int:
    return sum(file_bytes(Path(place, name).stat().st_size) for place, _, names in os.walk(folder) for name in names)


def _pattern(folder: Path) -> re.Pattern[str]:
    """Staged paths up to the name that the client knows, in plain text and in JSON."""
    texts = {str(folder), json.dumps(str(folder))[1:-1], json.dumps(str(folder), ensure_ascii=False)[1:-1]}
    places = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    return re.compile(rf"(?:{places})/{OWNER}/(?P<key>[0-9a-f]{{64}})(?P<end>/?)")
