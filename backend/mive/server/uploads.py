"""Uploads: named by the hash of their bytes, each owner's apart, resumable, kept for a while."""

from __future__ import annotations

import hashlib
import heapq
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mive.base.atomic import output_error
from mive.errors import RequestError
from mive.server.clocks import CLOCKS, Clock
from mive.server.errors import QuotaExceeded, UploadBusy, UploadNotFound, UploadTaken
from mive.server.files import make_folder
from mive.server.loops import going_on
from mive.server.quota import Quota
from mive.server.space import require_space
from mive.server.upload_files import UploadFiles, UploadState, charge_of
from mive.v1 import mive_pb2
from mive.wire.chunks import CHUNK_BYTES, Cursor, begin_upload, check_upload_id

PAUSE_SECONDS: Final = 5.0
"""A stream that has sent nothing for so long may be broken, and gives way to another one."""

_WHAT = Path("the upload")


class Uploads:
    """The uploads of all owners; threads may use it at once, but only one process.

    Whoever asks for an upload keeps it: its time begins anew.

    Args:
        folder: is made.
        upload_bytes: of one upload at most.
        owner_bytes: of all uploads of one owner at most, as far as they have arrived; 0 is no limit.
        keep_seconds: how long an upload is kept that nobody asks for.
        clock: what is kept is kept by, see `mive.server.house`.
        steady: what streams are timed by.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        upload_bytes: int,
        owner_bytes: int,
        keep_seconds: float,
        clock: Clock,
        steady: Clock = CLOCKS.steady,
    ) -> None:
        make_folder(folder, "the uploads' folder")
        self.upload_bytes = upload_bytes
        self.keep_seconds = keep_seconds
        self.clock = clock
        self.steady = steady
        self._files = UploadFiles(folder)
        fix = "Send less, delete uploads with DeleteUpload, or wait until earlier ones are no longer kept"
        self._quota = Quota(owner_bytes, self._measure, "the uploads", fix)
        self._writers: dict[tuple[str, str], UploadWriter] = {}
        self._lock = threading.Lock()

    def begin(
        self, owner: str, upload_id: str, size: int, offset: int, go_on: Callable[[], None] = lambda: None
    ) -> UploadWriter:
        """Take an upload's bytes from ``offset`` on; one that is complete already needs none.

        One stream sends an upload at a time. A second one is refused while the first is active, and takes over when
        that has sent nothing for `PAUSE_SECONDS`, as after a connection that broke unnoticed.
        Another size than before begins the upload anew, at 0.

        Args:
            go_on: called while what had arrived before is read again, a second for some gigabytes; raises to give up.

        Raises:
            RequestError: id, size or offset are wrong.
            QuotaExceeded: the owner's uploads would be too large.
            UploadBusy: another stream is sending it.
            OutputError: the disk is full, or may not be written.
        """
        check_upload_id(upload_id, "header.upload_id")
        header = mive_pb2.UploadHeader(upload_id=upload_id, size=size, offset=offset)
        try:
            with self._lock:
                writer = self._begin(owner, header)
            writer._resume(go_on)
        except OSError as error:
            raise output_error(error, _WHAT) from error
        return writer

    def status(self, owner: str, upload_id: str, field: str = "upload_id") -> UploadState:
        """How much of an upload has arrived.

        Args:
            field: where the request names it.

        Raises:
            RequestError: the id is no SHA-256.
            UploadNotFound: nothing has arrived.
        """
        check_upload_id(upload_id, field)
        with self._lock:
            state = self._files.find(owner, upload_id)
            if state is None:
                raise UploadNotFound(upload_id, field)
            self._files.touch(owner, state, self.clock())
            return state

    def path(self, owner: str, upload_id: str, field: str = "upload_id") -> Path:
        """The file of a complete upload. It may be gone after ``keep_seconds``, unless there is another link to it.

        Raises:
            RequestError: the id is no SHA-256, or bytes are missing.
            UploadNotFound: nothing has arrived.
        """
        state = self.status(owner, upload_id, field)
        if not state.complete:
            raise RequestError(
                f"{state.received} of the upload's {state.size} bytes have arrived",
                expected="a complete upload",
                fix="Send the rest, and wait for the answer",
                field=field,
            )
        return self._files.whole(owner, upload_id)

    def list(self, owner: str, most: int, after: str = "") -> list[UploadState]:
        """The owner's uploads by their ids, finished or not.

        Args:
            most: how many.
            after: only greater ids.
        """
        states = (state for state, _ in self._files.states(owner) if state.upload_id > after)
        return heapq.nsmallest(most, states, key=lambda state: state.upload_id)

    def used(self, owner: str) -> int:
        """Bytes that the owner's uploads count."""
        return self._quota.used(owner)

    def delete(self, owner: str, upload_id: str) -> None:
        """Remove an upload. Jobs that were submitted with it keep its bytes.

        Raises:
            RequestError: the id is no SHA-256.
            UploadNotFound: nothing has arrived.
            UploadBusy: a stream is sending it.
        """
        check_upload_id(upload_id, "upload_id")
        with self._lock:
            key = (owner, upload_id)
            writer = self._writers.get(key)
            if writer is not None and not writer._give_way():
                raise UploadBusy(PAUSE_SECONDS)
            self._writers.pop(key, None)
            state = self._files.find(owner, upload_id)
            if state is None:
                raise UploadNotFound(upload_id, "upload_id")
            self._remove(owner, state)

    def sweep(self) -> int:
        """Remove what nobody has asked for in ``keep_seconds``, finished or not, and say how many there were."""
        before, count = self.clock() - self.keep_seconds, 0
        for owner in self._files.owners():
            with going_on("old uploads could not be removed"), self._lock:
                for state, used in self._files.states(owner):
                    if used < before and (owner, state.upload_id) not in self._writers:
                        self._remove(owner, state)
                        count += 1
        return count

    def _begin(self, owner: str, header: mive_pb2.UploadHeader) -> UploadWriter:
        key = (owner, header.upload_id)
        older = self._writers.get(key)
        if older is not None and not older._give_way():
            raise UploadBusy(PAUSE_SECONDS)
        self._writers.pop(key, None)
        state = self._files.find(owner, header.upload_id)
        if state is not None and state.complete:
            return self._there_already(owner, header, state)
        resumed = state is not None and state.size == header.size
        received = state.received if state is not None and resumed else 0
        cursor = begin_upload(header, received=received, most=self.upload_bytes)
        if state is not None and not resumed:
            self._remove(owner, state)
        descriptor = self._open(owner, UploadState(header.upload_id, header.size, received, False), resumed)
        writer = self._writers[key] = UploadWriter(self, owner, header.upload_id, cursor, descriptor)
        return writer

    def _open(self, owner: str, state: UploadState, resumed: bool) -> int:
        # What is declared and does not fit is told before it is sent, but only what arrives is counted.
        left = charge_of(state.size) - (state.charge if resumed else 0)
        self._quota.check(owner, left)
        require_space(self._files.folder, left, _WHAT.name)
        self._quota.take(owner, 0 if resumed else state.charge)
        try:
            return self._files.open_part(owner, state)
        except OSError:
            if not resumed:
                self._remove(owner, state)
            raise

    def _there_already(self, owner: str, header: mive_pb2.UploadHeader, state: UploadState) -> UploadWriter:
        if header.size != state.size:
            raise RequestError(
                f"a size of {header.size} bytes",
                expected=f"{state.size} bytes, as many as those with this id are",
                fix="Declare the size of the bytes that the id is the SHA-256 of",
                field="header.size",
            )
        self._files.touch(owner, state, self.clock())
        return UploadWriter(self, owner, state.upload_id, Cursor(state.size, received=state.size), None)

    def _end(self, owner: str, state: UploadState, *, remove: bool) -> None:
        """A stream has ended."""
        with self._lock:
            del self._writers[owner, state.upload_id]
            if remove:
                self._remove(owner, state)
            else:
                self._files.touch(owner, state, self.clock())

    def _remove(self, owner: str, state: UploadState) -> None:
        self._quota.give_back(owner, state.charge)
        self._files.remove(owner, state)

    def _measure(self, owner: str) -> int:
        return sum(state.charge for state, _ in self._files.states(owner))


class UploadWriter:
    """One stream's way to an upload. It ends with `finish` or `abort`, or as a context; what has arrived is kept."""

    def __init__(self, uploads: Uploads, owner: str, upload_id: str, cursor: Cursor, descriptor: int | None) -> None:
        self._uploads = uploads
        self._owner = owner
        self._upload_id = upload_id
        self._cursor = cursor
        self._descriptor = descriptor
        self._complete = descriptor is None
        self._taken = False
        self._used = uploads.steady()
        self._digest = hashlib.sha256()
        self._lock = threading.Lock()

    def __enter__(self) -> UploadWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    @property
    def state(self) -> UploadState:
        """How much has arrived."""
        return UploadState(self._upload_id, self._cursor.size, self._cursor.received, self._complete)

    def write(self, offset: int, data: bytes) -> None:
        """Take a chunk.

        Raises:
            RequestError: it is not the next one, or too large.
            UploadTaken: another stream goes on with the upload.
            QuotaExceeded: the owner's uploads would be too large; what has arrived is kept.
            OutputError: the disk is full, or may not be written; what had arrived is removed, to give room.
        """
        with self._lock:
            self._check()
            self._accept(offset, len(data))
            assert self._descriptor is not None, "the stream has ended"
            try:
                _write_at(self._descriptor, data, offset)
                # Or it would bear the time of the wall clock, by which nothing is judged here.
                os.utime(self._descriptor, (now := self._uploads.clock(), now))
            except OSError as error:
                self._close(remove=True)
                raise output_error(error, _WHAT) from error
            self._digest.update(data)
            self._used = self._uploads.steady()

    def finish(self) -> UploadState:
        """Take note of the stream's end, and say what has arrived; that may be less than all, and can be resumed.

        Raises:
            RequestError: all bytes have arrived, and are not those that the id names; they are removed.
            UploadTaken: another stream goes on with the upload.
            OutputError: the disk is full, or may not be written; what had arrived is removed.
        """
        with self._lock:
            self._check()
            if self._descriptor is not None and self._cursor.complete:
                self._complete_file(self._descriptor)
            self._close()
            return self.state

    def abort(self) -> None:
        """End without an answer, as when the stream broke. Does nothing after `finish`."""
        with self._lock:
            self._close()

    def _accept(self, offset: int, length: int) -> None:
        before = self.state.charge
        self._cursor.accept(offset, length)
        try:
            self._uploads._quota.take(self._owner, self.state.charge - before)
        except QuotaExceeded:
            self._cursor.received -= length
            raise

    def _complete_file(self, descriptor: int) -> None:
        if self._digest.hexdigest() != self._upload_id:
            self._close(remove=True)
            raise RequestError(
                "the bytes that arrived are not those that the upload's id names",
                expected="bytes whose SHA-256 is the id",
                fix="Read the file again and send it from the start; it may have changed, or a chunk was wrong",
                field="header.upload_id",
            )
        try:
            os.fsync(descriptor)
            self._uploads._files.complete(self._owner, self.state)
        except OSError as error:
            self._close(remove=True)
            raise output_error(error, _WHAT) from error
        self._complete = True

    def _resume(self, go_on: Callable[[], None]) -> None:
        """Reads what had arrived before, for the hash."""
        with self._lock:
            try:
                for offset in range(0, 0 if self._complete else self._cursor.received, CHUNK_BYTES):
                    assert self._descriptor is not None
                    go_on()
                    self._digest.update(os.pread(self._descriptor, CHUNK_BYTES, offset))
            except BaseException as error:
                self._close(remove=isinstance(error, OSError))
                raise

    def _give_way(self) -> bool:
        """Leaves the upload to another stream if this one has paused for long; False where it has not."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._uploads.steady() - self._used < PAUSE_SECONDS:
                return False
            self._taken = True
            self._close_file()
            return True
        finally:
            self._lock.release()

    def _check(self) -> None:
        if self._taken:
            raise UploadTaken

    def _close(self, *, remove: bool = False) -> None:
        if self._descriptor is not None:
            self._close_file()
            self._uploads._end(self._owner, self.state, remove=remove)

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
