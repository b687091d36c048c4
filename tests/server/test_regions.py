"""Shared memory: private, bounded, gone when it should be, and never the end of the server."""

from __future__ import annotations

import _posixshmem
import contextlib
import errno
import mmap
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.place import ANNA, BEN, LINUX

from mive.errors import MiveError, OutputError, RequestError
from mive.server import regions as module
from mive.server.errors import NoSharedMemory, QuotaExceeded, RegionNotFound
from mive.server.regions import Region, Regions
from mive.v1 import media_pb2

SIZE = 1 << 20


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    regions = Regions(tmp_path, limit_bytes=4 * SIZE, owner_regions=3)
    yield regions
    regions.close_all()


@contextlib.contextmanager
def client(region: Region) -> Iterator[int]:
    """A descriptor of the region as a process of the same user gets it."""
    memory = _posixshmem.shm_open(region.name, os.O_RDWR, mode=0o600)
    try:
        yield memory
    finally:
        os.close(memory)


def part(region: Region, offset: int = 0, size: int = SIZE) -> media_pb2.RegionSlice:
    return media_pb2.RegionSlice(region_id=region.region_id, offset=offset, size=size)


def is_there(region: Region) -> bool:
    try:
        with client(region):
            return True
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("way", ["descriptor", "mapping"])
def test_client_and_server_see_the_same_bytes(regions: Regions, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(module, "_read", getattr(module, f"_read_{way}"))
    monkeypatch.setattr(module, "_write", getattr(module, f"_write_{way}"))
    region = regions.open(ANNA, SIZE)
    with client(region) as memory, mmap.mmap(memory, SIZE) as mapped:
        assert mapped[:] == bytes(SIZE)
        mapped[100:105] = b"plate"
        copy = regions.read(ANNA, part(region, 100, 5))
        mapped[100:105] = b"later"
        assert bytes(copy) == b"plate", "what was read is a copy"
        regions.write(ANNA, part(region, SIZE - 4, 4), b"edit")
        assert mapped[-4:] == b"edit"
        assert bytes(regions.read(ANNA, part(region)))[-5:] == b"\0edit"


@LINUX
def test_only_the_servers_user_may_open_it(regions: Regions) -> None:
    region = regions.open(ANNA, SIZE)
    status = Path("/dev/shm" + region.name).stat()
    assert (status.st_mode & 0o777, status.st_size) == (0o600, SIZE)
    assert status.st_blocks * 512 >= SIZE, "its memory is there, so that no client is killed where it runs out"


def test_names_are_random_and_short_enough(regions: Regions) -> None:
    first, second = regions.open(ANNA, 1), regions.open(ANNA, 1)
    assert first.name != second.name
    assert first.region_id not in first.name
    assert all(len(region.name) <= 30 and region.name.startswith("/") for region in (first, second))


def test_a_closed_region_is_gone(regions: Regions, tmp_path: Path) -> None:
    region = regions.open(ANNA, SIZE)
    assert is_there(region)
    regions.close(ANNA, region.region_id)
    assert not is_there(region)
    assert list(tmp_path.iterdir()) == []
    calls: list[Callable[[], object]] = [
        lambda: regions.close(ANNA, region.region_id),
        lambda: regions.read(ANNA, part(region)),
        lambda: regions.write(ANNA, part(region), b"x"),
    ]
    for call in calls:
        with pytest.raises(RegionNotFound):
            call()


def test_a_region_may_be_closed_while_it_is_read(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    region, read = regions.open(ANNA, SIZE), module._read_descriptor

    def close_first(memory: int, offset: int, into: memoryview) -> bool:
        regions.close(ANNA, region.region_id)
        return read(memory, offset, into)

    regions.write(ANNA, part(region), b"plate")
    monkeypatch.setattr(module, "_read", close_first)
    assert bytes(regions.read(ANNA, part(region, 0, 5))) == b"plate"
    assert not is_there(region)


def test_all_regions_are_gone_when_the_server_ends(regions: Regions, tmp_path: Path) -> None:
    opened = [regions.open(ANNA, SIZE), regions.open(BEN, SIZE)]
    regions.close_all()
    assert not any(map(is_there, opened))
    assert list(tmp_path.iterdir()) == []


def test_nobody_reads_writes_or_closes_anothers_region(regions: Regions) -> None:
    region = regions.open(ANNA, SIZE)
    calls: list[Callable[[], object]] = [
        lambda: regions.close(BEN, region.region_id),
        lambda: regions.check(BEN, part(region)),
        lambda: regions.read(BEN, part(region)),
        lambda: regions.write(BEN, part(region), b"x"),
    ]
    texts = set()
    for call in calls:
        with pytest.raises(RegionNotFound) as caught:
            call()
        texts.add(caught.value.what)
    with pytest.raises(RegionNotFound) as caught:
        regions.close(BEN, "no such region")
    assert texts == {caught.value.what}
    assert is_there(region)


@pytest.mark.parametrize(
    ("offset", "size", "field"),
    [
        (0, 0, "size"),
        (0, SIZE + 1, "size"),
        (0, 2**64 - 1, "size"),
        (1, SIZE, "offset"),
        (SIZE, 1, "offset"),
        (2**64 - 1, 1, "offset"),
        (2**64 - 1, SIZE, "offset"),
        (2**63, 2**63, "size"),
    ],
)
def test_slices_beyond_the_region_are_refused(regions: Regions, offset: int, size: int, field: str) -> None:
    region = regions.open(ANNA, SIZE)
    with pytest.raises(RequestError) as caught:
        regions.read(ANNA, part(region, offset, size), "clip.frames.frames.region")
    assert caught.value.field == f"clip.frames.frames.region.{field}"
    with pytest.raises(RequestError):
        regions.write(ANNA, part(region, offset, size), b"x")


def test_any_slice_is_read_or_refused(regions: Regions) -> None:
    region = regions.open(ANNA, 5000)
    number = st.integers(0, 6000) | st.integers(0, 2**64 - 1)

    @given(number, number)
    def check(offset: int, size: int) -> None:
        good = size > 0 and offset + size <= 5000
        with contextlib.nullcontext() if good else pytest.raises(RequestError):
            assert len(regions.read(ANNA, part(region, offset, size))) == size

    check()


def test_frames_must_fit_their_slice(regions: Regions) -> None:
    region = regions.open(ANNA, SIZE)
    with pytest.raises(RequestError, match="10 bytes for 11"):
        regions.write(ANNA, part(region, 0, 10), b"x" * 11)


@LINUX
@pytest.mark.parametrize("left", [0, 1, 4096, SIZE - 1])
def test_a_client_that_shrinks_its_region_harms_nobody(regions: Regions, left: int) -> None:
    region = regions.open(ANNA, SIZE)
    with client(region) as memory:
        os.ftruncate(memory, left)
    with pytest.raises(RequestError, match="has been shrunk"):
        regions.read(ANNA, part(region))
    regions.write(ANNA, part(region), b"x" * SIZE)
    assert bytes(regions.read(ANNA, part(region))) == b"x" * SIZE
    other = regions.open(ANNA, SIZE)
    assert len(regions.read(ANNA, part(other))) == SIZE


def test_sizes_and_numbers_are_limited(regions: Regions) -> None:
    for size in (0, 4 * SIZE + 1, 2**63, 2**64 - 1):
        with pytest.raises(RequestError, match=f"a region of {size} bytes"):
            regions.open(ANNA, size)
    opened = [regions.open(ANNA, 4 * SIZE) for _ in range(3)]
    with pytest.raises(QuotaExceeded, match="3 regions"):
        regions.open(ANNA, 1)
    regions.open(BEN, 1)
    regions.close(ANNA, opened[0].region_id)
    regions.open(ANNA, 1)


def test_shared_memory_may_be_off(tmp_path: Path) -> None:
    with pytest.raises(NoSharedMemory):
        Regions(tmp_path, limit_bytes=0, owner_regions=3).open(ANNA, 1)


@pytest.mark.parametrize("place", ["os.ftruncate", "_posixshmem.shm_open", "fcntl.flock"])
def test_too_little_memory_is_told_without_the_name(
    regions: Regions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    names = []

    def fail(*arguments: object) -> None:
        names.extend(path.name for path in tmp_path.iterdir())
        raise OSError(errno.ENOSPC, "No space left on device", f"/{names[0]}")

    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises(OutputError, match="no shared memory left") as caught:
            regions.open(ANNA, SIZE)
    assert names
    assert names[0] not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert list(tmp_path.iterdir()) == []
    assert not is_there(Region("", f"/{names[0]}", 1))
    for _ in range(3):
        regions.open(ANNA, SIZE)


def test_no_text_tells_a_name(regions: Regions) -> None:
    """Not even when a client gives the name where the id belongs."""
    region = regions.open(ANNA, SIZE)
    named = media_pb2.RegionSlice(region_id=region.name, offset=0, size=1)
    texts = [repr(region)]
    calls: list[Callable[[], object]] = [
        lambda: regions.read(ANNA, named),
        lambda: regions.close(ANNA, region.name),
        lambda: regions.read(ANNA, part(region, SIZE)),
        lambda: regions.write(ANNA, part(region, 0, 1), b"xx"),
    ]
    for call in calls:
        with pytest.raises(MiveError) as caught:
            call()
        texts.append("".join(traceback.format_exception(caught.value)))
    assert not any(region.name.strip("/") in text for text in texts)


SERVER = """
import sys, time
from pathlib import Path
from mive.server.regions import Regions
region = Regions(Path(sys.argv[1]), limit_bytes=1 << 20, owner_regions=1).open("a1", 1 << 20)
print(region.name, flush=True)
time.sleep(60)
"""


def test_what_a_killed_server_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    program, paths = [sys.executable, "-c", SERVER, str(tmp_path)], {"PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=os.environ | paths)
    try:
        assert server.stdout is not None
        region = Region("", server.stdout.readline().strip(), 1 << 20)
        Regions(tmp_path, limit_bytes=0, owner_regions=0)
        assert is_there(region)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    assert is_there(region)
    (tmp_path / "notes.txt").touch()
    Regions(tmp_path, limit_bytes=0, owner_regions=0)
    assert not is_there(region)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@LINUX
def test_open_files_stay_flat(regions: Regions) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        region = regions.open(ANNA, 4096)
        regions.write(ANNA, part(region, 0, 1), b"%d" % (number % 10))
        assert bytes(regions.read(ANNA, part(region, 0, 1))) == b"%d" % (number % 10)
        regions.close(ANNA, region.region_id)
    assert len(os.listdir("/proc/self/fd")) == before
