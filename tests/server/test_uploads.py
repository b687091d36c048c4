"""Uploads: whole or resumable, named by their bytes, nobody else's business, within limits."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.fakes import FakeClock
from tests.server.place import ANNA, BEN

from mive.errors import OutputError, RequestError
from mive.server.errors import QuotaExceeded, UploadBusy, UploadNotFound, UploadTaken
from mive.server.upload_files import BLOCK, UploadState
from mive.server.uploads import PAUSE_SECONDS, Uploads
from mive.wire.chunks import CHUNK_BYTES, upload_id_of

MOST = 64 << 20

Make = Callable[..., Uploads]


def some_bytes(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


def send(uploads: Uploads, data: bytes, owner: str = ANNA, *, first: int = 0, last: int | None = None) -> UploadState:
    """Streams the bytes ``first`` to ``last``, and ends properly."""
    with uploads.begin(owner, upload_id_of(data), len(data), first) as writer:
        for offset in range(first, len(data) if last is None else last, CHUNK_BYTES):
            writer.write(offset, data[:last][offset : offset + CHUNK_BYTES])
        return writer.finish()


def on_disk(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Make:
    """``make()``: uploads on the same folder, as after another start of the server."""

    def uploads(**changes: float) -> Uploads:
        limits = {"upload_bytes": MOST, "owner_bytes": 0, "keep_seconds": 60, **changes}
        return Uploads(tmp_path, clock=clock, steady=clock, **limits)  # type: ignore[arg-type]

    return uploads


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 1])
def test_what_was_sent_is_there(make: Make, size: int) -> None:
    uploads, data = make(), some_bytes(size)
    upload_id = upload_id_of(data)
    assert send(uploads, data) == UploadState(upload_id, size, size, True)
    assert uploads.path(ANNA, upload_id).read_bytes() == data
    assert uploads.path(ANNA, upload_id).stat().st_mode & 0o777 == 0o600
    assert make().status(ANNA, upload_id).complete, "it outlives the server"


def test_bytes_that_are_there_need_not_be_sent_again(make: Make) -> None:
    uploads, data = make(), some_bytes(100)
    send(uploads, data)
    with uploads.begin(ANNA, upload_id_of(data), 100, 0) as writer:
        assert writer.state.complete
        with pytest.raises(RequestError, match="overlaps"):
            writer.write(0, data)
        assert writer.finish().complete
    with pytest.raises(RequestError, match="a size of 99 bytes"):
        uploads.begin(ANNA, upload_id_of(data), 99, 0)


@pytest.mark.parametrize("ending", ["broken", "finished early", "broken, restarted", "killed, restarted"])
def test_a_broken_stream_goes_on_where_it_was(make: Make, ending: str) -> None:
    uploads, data = make(), some_bytes(3 * CHUNK_BYTES)
    upload_id = upload_id_of(data)
    writer = uploads.begin(ANNA, upload_id, len(data), 0)
    writer.write(0, data[:1000])
    if ending == "finished early":
        assert writer.finish() == UploadState(upload_id, len(data), 1000, False)
    elif "broken" in ending:
        writer.abort()
    if "restarted" in ending:
        uploads = make()
    assert uploads.status(ANNA, upload_id) == UploadState(upload_id, len(data), 1000, False)
    with pytest.raises(RequestError, match="1000 of the upload's") as caught:
        uploads.path(ANNA, upload_id, "clip.files.files[0].upload_id")
    assert caught.value.field == "clip.files.files[0].upload_id"
    for wrong in (0, 999, 1001, 2**63):
        with pytest.raises(RequestError, match="the stream begins at") as caught:
            uploads.begin(ANNA, upload_id, len(data), wrong)
        assert caught.value.field == "header.offset"
    assert send(uploads, data, first=1000).complete
    assert uploads.path(ANNA, upload_id).read_bytes() == data


def test_a_stream_that_broke_after_the_last_byte_needs_none(make: Make) -> None:
    make().begin(ANNA, upload_id_of(b"all"), 3, 0).write(0, b"all")
    assert not make().status(ANNA, upload_id_of(b"all")).complete, "the hash was not compared"
    assert send(make(), b"all", first=3).complete


def test_other_bytes_than_the_id_names_are_removed(make: Make, tmp_path: Path) -> None:
    uploads = make(owner_bytes=BLOCK)
    writer = uploads.begin(ANNA, upload_id_of(b"good"), 3, 0)
    writer.write(0, b"bad")
    with pytest.raises(RequestError, match="not those that the upload's id names"):
        writer.finish()
    writer.abort()
    assert on_disk(tmp_path) == []
    with pytest.raises(UploadNotFound):
        uploads.status(ANNA, upload_id_of(b"good"))
    assert send(uploads, b"good").complete, "their room is free again"


def test_bytes_that_changed_on_the_disk_are_noticed(make: Make, tmp_path: Path) -> None:
    data = some_bytes(2000)
    send(make(), data, last=1000)
    (part,) = tmp_path.rglob("2000")
    part.write_bytes(some_bytes(1000, seed=1))
    with pytest.raises(RequestError, match="not those"):
        send(make(), data, first=1000)
    assert send(make(), data).complete


@pytest.mark.parametrize(
    ("upload_id", "size", "offset", "field"),
    [
        ("", 1, 0, "upload_id"),
        ("../" + "a" * 61, 1, 0, "upload_id"),
        ("A" * 64, 1, 0, "upload_id"),
        ("a" * 64 + "\n", 1, 0, "upload_id"),
        ("a" * 64, 0, 0, "size"),
        ("a" * 64, MOST + 1, 0, "size"),
        ("a" * 64, 2**63, 0, "size"),
        ("a" * 64, 2**64 - 1, 2**64 - 1, "size"),
        ("a" * 64, 10, 1, "offset"),
        ("a" * 64, 10, 2**64 - 1, "offset"),
    ],
)
def test_wrong_headers_leave_nothing(
    make: Make, tmp_path: Path, upload_id: str, size: int, offset: int, field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        make().begin(ANNA, upload_id, size, offset)
    assert caught.value.field == f"header.{field}"
    assert list(tmp_path.iterdir()) == []


@given(
    st.integers(1, 3000),
    st.lists(st.tuples(st.integers(0, 3000) | st.integers(0, 2**64 - 1), st.integers(0, 3000)), max_size=8),
)
@settings(deadline=None, max_examples=50)
def test_chunks_that_are_not_the_next_change_nothing(size: int, chunks: list[tuple[int, int]]) -> None:
    data = some_bytes(size)
    with tempfile.TemporaryDirectory() as folder:
        uploads = Uploads(Path(folder), upload_bytes=MOST, owner_bytes=0, keep_seconds=60, clock=time.time)
        with uploads.begin(ANNA, upload_id_of(data), size, 0) as writer:
            for offset, length in chunks:
                before, good = writer.state, offset == writer.state.received and 1 <= length <= size - offset
                with contextlib.nullcontext() if good else pytest.raises(RequestError):
                    writer.write(offset, data[offset : offset + length] if good else b"x" * length)
                assert good or writer.state == before
            received = writer.state.received
        assert send(uploads, data, first=received).complete


def test_nobody_sees_that_another_has_the_same_bytes(make: Make, tmp_path: Path) -> None:
    uploads, data = make(), some_bytes(100)
    send(uploads, data)
    for call in (uploads.status, uploads.path):
        with pytest.raises(UploadNotFound) as caught:
            call(BEN, upload_id_of(data))
    with pytest.raises(UploadNotFound) as other:
        uploads.status(BEN, upload_id_of(b"never sent"))
    known, unknown = upload_id_of(data)[:12], upload_id_of(b"never sent")[:12]
    assert caught.value.message().replace(known, "") == other.value.message().replace(unknown, "")
    with pytest.raises(RequestError):
        uploads.begin(BEN, upload_id_of(data), 100, 50)
    assert not uploads.begin(BEN, upload_id_of(data), 100, 0).state.complete
    assert on_disk(tmp_path) == [f"{ANNA}/{upload_id_of(data)}", f"{BEN}/{upload_id_of(data)}.part/100"]


def test_owners_are_never_paths(make: Make) -> None:
    for owner in ("", "..", "a/b", "A", "a" * 129):
        with pytest.raises(ValueError, match="owner"):
            make().status(owner, "a" * 64)


def test_the_quota_can_be_filled_but_not_passed(make: Make, tmp_path: Path) -> None:
    uploads = make(owner_bytes=4 * BLOCK)
    send(uploads, some_bytes(2 * BLOCK))
    with pytest.raises(QuotaExceeded, match=f"take {2 * BLOCK} bytes"):
        uploads.begin(ANNA, upload_id_of(b"x"), 2 * BLOCK + 1, 0)
    send(uploads, some_bytes(2 * BLOCK, seed=1), last=BLOCK + 1)
    for full in (uploads, make(owner_bytes=4 * BLOCK)):
        with pytest.raises(QuotaExceeded, match=f"take {4 * BLOCK} bytes"):
            full.begin(ANNA, upload_id_of(b"y"), 1, 0)
    assert len(on_disk(tmp_path)) == 2
    assert send(uploads, b"others have their own", BEN).complete


def test_bytes_that_never_arrive_take_no_room(make: Make) -> None:
    """100 uploads that declare a whole quota each and send nothing leave room for one that is sent."""
    uploads = make(owner_bytes=128 * BLOCK)
    for seed in range(100):
        uploads.begin(ANNA, upload_id_of(some_bytes(9, seed)), 28 * BLOCK, 0).abort()
    assert uploads.used(ANNA) == 100 * BLOCK, "a name and a folder each"
    assert send(uploads, some_bytes(28 * BLOCK)).complete
    assert uploads.used(ANNA) == make(owner_bytes=128 * BLOCK).used(ANNA) == 128 * BLOCK


def test_a_stream_that_passes_the_quota_keeps_what_has_arrived(make: Make) -> None:
    uploads, data = make(owner_bytes=4 * BLOCK), some_bytes(3 * BLOCK)
    with uploads.begin(ANNA, upload_id_of(data), len(data), 0) as writer:
        writer.write(0, data[:BLOCK])
        send(uploads, b"another stream of the same token")
        send(uploads, some_bytes(2 * BLOCK, seed=1))
        with pytest.raises(QuotaExceeded):
            writer.write(BLOCK, data[BLOCK:])
    assert uploads.status(ANNA, upload_id_of(data)).received == BLOCK
    uploads.delete(ANNA, upload_id_of(some_bytes(2 * BLOCK, seed=1)))
    assert send(uploads, data, first=BLOCK).complete


def test_uploads_are_listed_and_deleted_by_their_owner_alone(make: Make, tmp_path: Path) -> None:
    uploads = make()
    names = sorted(upload_id_of(data) for data in (b"one", b"two", b"three"))
    for data in (b"one", b"two", b"three"):
        send(uploads, data, last=1 if data == b"two" else None)
    send(uploads, b"four", BEN)
    assert [state.upload_id for state in uploads.list(ANNA, 9)] == names
    assert [state.upload_id for state in uploads.list(ANNA, 1, names[0])] == names[1:2]
    assert {state.received for state in uploads.list(ANNA, 9)} == {1, 3, 5}
    with pytest.raises(UploadNotFound):
        uploads.delete(BEN, names[0])
    for name in names:
        uploads.delete(ANNA, name)
    assert (uploads.used(ANNA), uploads.list(ANNA, 9)) == (0, [])
    assert on_disk(tmp_path) == [f"{BEN}/{upload_id_of(b'four')}"]


def test_an_upload_is_not_deleted_from_under_its_stream(make: Make, clock: FakeClock) -> None:
    uploads, upload_id = make(), upload_id_of(b"slow")
    writer = uploads.begin(ANNA, upload_id, 4, 0)
    writer.write(0, b"sl")
    with pytest.raises(UploadBusy):
        uploads.delete(ANNA, upload_id)
    clock.seconds += PAUSE_SECONDS
    uploads.delete(ANNA, upload_id)
    with pytest.raises(UploadTaken):
        writer.write(2, b"ow")


def test_the_wall_clock_decides_nothing(tmp_path: Path) -> None:
    """An hour or a month forwards takes no stream over; and the house's time passes by itself."""
    house, steady = FakeClock(), FakeClock(5.0)
    uploads = Uploads(tmp_path, upload_bytes=MOST, owner_bytes=0, keep_seconds=60, clock=house, steady=steady)
    writer = uploads.begin(ANNA, upload_id_of(b"all"), 3, 0)
    writer.write(0, b"al")
    house.seconds += 31 * 86400
    with pytest.raises(UploadBusy):
        uploads.begin(ANNA, upload_id_of(b"all"), 3, 2)
    writer.write(2, b"l")
    assert writer.finish().complete


@pytest.mark.parametrize("stray", ["notes.txt", "UPPER/" + "a" * 64, f"{ANNA}/notes", f"{ANNA}/{'c' * 64}.part/what"])
def test_what_is_not_ours_stops_no_sweep(make: Make, clock: FakeClock, tmp_path: Path, stray: str) -> None:
    uploads = make()
    send(uploads, b"old")
    (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / stray).write_text("of somebody else")
    clock.seconds += 61
    assert uploads.sweep() >= 1
    with pytest.raises(UploadNotFound):
        uploads.status(ANNA, upload_id_of(b"old"))
    assert uploads.list(ANNA, 9) == [] or "part" in stray


def test_what_is_swept_makes_room(make: Make, clock: FakeClock) -> None:
    uploads = make(owner_bytes=2 * BLOCK)
    send(uploads, b"old")
    send(uploads, b"half sent", last=4)
    clock.seconds += 61
    assert uploads.sweep() == 2
    send(uploads, some_bytes(2 * BLOCK))
    with pytest.raises(QuotaExceeded):
        send(uploads, b"x")


def test_what_nobody_asks_for_is_swept(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    uploads, kept, lost = make(), b"asked for", b"not asked for"
    for data in (kept, lost, b"half sent"):
        send(uploads, data, last=4 if data == b"half sent" else None)
    link = tmp_path.parent / "link"
    os.link(uploads.path(ANNA, upload_id_of(lost)), link)
    clock.seconds += 59
    uploads.status(ANNA, upload_id_of(kept))
    assert uploads.sweep() == 0
    clock.seconds += 2
    assert make().sweep() == 2
    assert uploads.status(ANNA, upload_id_of(kept)).complete
    for data in (lost, b"half sent"):
        with pytest.raises(UploadNotFound):
            uploads.status(ANNA, upload_id_of(data))
    assert link.read_bytes() == lost, "a job that needs it has it still"
    clock.seconds += 61
    uploads.sweep()
    assert list(tmp_path.iterdir()) == []


def test_a_stream_is_not_swept_from_under_its_writer(make: Make, clock: FakeClock) -> None:
    uploads = make()
    with uploads.begin(ANNA, upload_id_of(b"slow"), 4, 0) as writer:
        writer.write(0, b"sl")
        clock.seconds += 61
        assert uploads.sweep() == 0
        writer.write(2, b"ow")
        assert writer.finish().complete


def test_a_second_stream_waits_until_the_first_one_pauses(make: Make, clock: FakeClock) -> None:
    uploads, upload_id = make(), upload_id_of(b"twice")
    first = uploads.begin(ANNA, upload_id, 5, 0)
    first.write(0, b"tw")
    clock.seconds += PAUSE_SECONDS - 0.1
    with pytest.raises(UploadBusy) as caught:
        uploads.begin(ANNA, upload_id, 5, 2)
    assert caught.value.retry_after == PAUSE_SECONDS
    clock.seconds += 0.1
    second = uploads.begin(ANNA, upload_id, 5, 2)
    with pytest.raises(UploadTaken):
        first.write(2, b"i")
    with pytest.raises(UploadTaken):
        first.finish()
    first.abort()
    second.write(2, b"ice")
    assert second.finish().complete
    with uploads.begin(BEN, upload_id, 5, 0):
        assert uploads.status(ANNA, upload_id).complete, "another owner is never in the way"


def test_another_size_begins_anew(make: Make, tmp_path: Path) -> None:
    uploads = make(owner_bytes=2 * BLOCK)
    with uploads.begin(ANNA, upload_id_of(b"right"), 2 * BLOCK, 0) as writer:
        writer.write(0, b"rig")
    with pytest.raises(RequestError, match="begins at 3"):
        uploads.begin(ANNA, upload_id_of(b"right"), 5, 3)
    assert uploads.status(ANNA, upload_id_of(b"right")).received == 3
    assert send(uploads, b"right").complete
    assert on_disk(tmp_path) == [f"{ANNA}/{upload_id_of(b'right')}"]
    send(uploads, b"the rest of the quota")


def test_what_a_kill_left_behind_is_no_hindrance(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    """A server may be killed before the first byte, or between the new name and the end of the old one."""
    empty, named = upload_id_of(b"empty"), upload_id_of(b"named")
    (tmp_path / ANNA / f"{empty}.part").mkdir(parents=True)
    send(make(), b"named")
    (tmp_path / ANNA / f"{named}.part").mkdir()
    with pytest.raises(UploadNotFound):
        make().status(ANNA, empty)
    assert make().status(ANNA, named).complete
    assert send(make(owner_bytes=2 * BLOCK), b"empty").complete
    for place in (tmp_path / ANNA).iterdir():
        os.utime(place, (clock(), clock()))
    clock.seconds += 61
    make().sweep()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["os.pwrite", "os.fsync", "pathlib.Path.replace", "mive.server.upload_files.flush"])
def test_a_full_disk_leaves_nothing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    uploads = make(owner_bytes=BLOCK)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises(OutputError, match="no space left to write the upload") as caught:
            send(uploads, b"data")
    assert str(tmp_path) not in caught.value.message()
    assert on_disk(tmp_path) == []
    assert send(uploads, b"data").complete


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(make: Make, tmp_path: Path) -> None:
    uploads, data = make(), some_bytes(3 * CHUNK_BYTES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES + 1000, hard))
    try:
        with pytest.raises(OutputError, match="no space left"):
            send(uploads, data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert on_disk(tmp_path) == []
    assert send(uploads, data).complete


def test_a_folder_that_may_not_be_written_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = make(owner_bytes=BLOCK)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.open", refuse)
        with pytest.raises(OutputError, match="not allowed"):
            send(uploads, b"data")
    assert send(uploads, b"data").complete


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_small_uploads(make: Make, clock: FakeClock, tmp_path: Path, count: int) -> None:
    uploads, files = make(owner_bytes=count * BLOCK), len(os.listdir("/proc/self/fd"))
    for number in range(count):
        assert send(uploads, b"image %d" % number).complete
    assert len(os.listdir("/proc/self/fd")) == files
    with pytest.raises(QuotaExceeded):
        send(uploads, b"one more")
    clock.seconds += 61
    assert uploads.sweep() == count
    assert list(tmp_path.iterdir()) == []


@given(
    st.binary(max_size=70) | st.just(b"a" * 64),
    st.integers(0, MOST) | st.integers(0, 2**64 - 1),
    st.just(0) | st.integers(0, 2**64 - 1),
)
@settings(deadline=None, max_examples=200)
def test_any_header_is_taken_or_refused(upload_id: bytes, size: int, offset: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        uploads = Uploads(Path(folder), upload_bytes=MOST, owner_bytes=MOST, keep_seconds=60, clock=time.time)
        good = re.fullmatch(b"[0-9a-f]{64}", upload_id) and 1 <= size <= MOST and offset == 0
        with contextlib.nullcontext() if good else pytest.raises(RequestError):
            uploads.begin(ANNA, upload_id.decode("latin-1"), size, offset).abort()
        assert good or on_disk(Path(folder)) == []
