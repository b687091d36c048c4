"""Inputs of requests: what workers open by path is what was sent, and is kept for as long as it is needed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.fakes import FakeClock
from tests.server.place import (
    ANNA,
    BEN,
    COUNT,
    HEIGHT,
    LINUX,
    WIDTH,
    Place,
    a_video,
    frame_format,
    ids,
    matte_sources,
    noise,
    raw_clip,
    raw_frames,
    some_clip,
)

from mive.errors import MiveError, OutputError, RequestError
from mive.media import ClipInfo, Pixels, open_clip, open_mattes, open_writer
from mive.request import FrameRange
from mive.server.errors import QuotaExceeded, UploadNotFound
from mive.server.raw_inputs import file_bytes
from mive.server.work import Call, CallEnded
from mive.v1 import edit_pb2, media_pb2
from mive.wire.chunks import upload_id_of
from mive.wire.formats import FrameLimits, pack
from mive.wire.request import Source, request_from_message
from mive.wire.runs import encode_runs


def test_a_file_is_there_under_the_name_its_client_gave(place: Place, tmp_path: Path) -> None:
    data = a_video(tmp_path / "clip.mkv").read_bytes()
    path = place.name(media_pb2.ClipSource(files=place.files({"My shot, v2.mkv": data})))
    assert path.name == "My shot, v2.mkv"
    assert np.array_equal(list(open_clip(path).read()), noise(frame_format()))
    assert path.samefile(place.uploads.path(ANNA, upload_id_of(data))), "it takes no room of its own"


def test_several_files_are_a_sequence(place: Place, tmp_path: Path) -> None:
    info = ClipInfo(tmp_path, WIDTH, HEIGHT, COUNT, Fraction(24), is_sequence=True, first_number=100)
    with open_writer(tmp_path / "shot.####.png", info, FrameRange(0, COUNT - 1)) as writer:
        for frame in noise(frame_format()):
            writer.write(frame)
    images = {path.name: path.read_bytes() for path in reversed(sorted(tmp_path.glob("*.png")))}
    clip = open_clip(place.name(media_pb2.ClipSource(files=place.files(images))))
    assert (clip.info.frames, clip.info.first_number) == (COUNT, 100)
    assert np.array_equal(list(clip.read()), noise(frame_format()))
    # One numbered image alone is a clip of one frame.
    name = max(images)
    clip = open_clip(place.name(media_pb2.ClipSource(files=place.files({name: images[name]}))))
    assert clip.info.frames == 1


def test_a_file_on_another_disk_is_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", other_disk)
    path = place.name(media_pb2.ClipSource(files=place.files({"a.mov": b"data"})))
    assert path.read_bytes() == b"data"
    assert path.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["../x.png"], 0),
        (["a/b.png"], 0),
        (["a\\b.png"], 0),
        ([".png"], 0),
        ([".."], 0),
        ([""], 0),
        (["a\0.png"], 0),
        (["a\n.png"], 0),
        (["a\u202e.png"], 0),
        (["shot"], 0),
        (["shot."], 0),
        (["shot.p g"], 0),
        (["a" * 252 + ".png"], 0),
        (["ä" * 126 + ".png"], 0),
        (["a.1.png", "a.2.png", "a.1.png"], 2),
        (["a.1.png", "A.1.PNG"], 1),
        (["\u00e4.1.png", "a\u0308.1.png"], 1),
        (["a.mov", "b.mov"], 0),
        (["raw.json", "00000000.npy"], 0),
    ],
)
def test_names_that_are_no_names_are_refused(place: Place, names: list[str], index: int) -> None:
    upload_id = place.upload(b"data")
    files = [media_pb2.UploadedFile(upload_id=upload_id, name=name) for name in names]
    with pytest.raises(RequestError) as caught:
        place.name(media_pb2.MatteSource(files=media_pb2.UploadedFiles(files=files)), "instances[1].matte")
    assert caught.value.field == f"instances[1].matte.files.files[{index}].name"
    assert place.staged() == []


def test_any_name_is_refused_or_stays_in_its_folder(place: Place) -> None:
    upload_id, root = place.upload(b"data"), place.folder / "inputs" / ANNA

    @given(st.text(max_size=20).map(lambda text: text + ".png") | st.text(max_size=300))
    @settings(deadline=None, max_examples=200)
    def check(name: str) -> None:
        files = media_pb2.UploadedFiles(files=[media_pb2.UploadedFile(upload_id=upload_id, name=name)])
        try:
            path = place.name(media_pb2.ClipSource(files=files))
        except RequestError:
            return
        assert path.name == name
        assert path.parent.parent == root

    check()


def test_numbers_of_files_are_limited(place: Place) -> None:
    place.inputs = place.server(frames=2)
    for files in ({}, {f"a.{number}.png": b"data" for number in range(3)}):
        with pytest.raises(RequestError, match=f"{len(files)} files"):
            place.name(media_pb2.ClipSource(files=place.files(files)))


def test_uploads_must_be_there_complete_and_the_owners(place: Place) -> None:
    source = media_pb2.ClipSource(files=place.files({"a.mov": b"data"}))
    with pytest.raises(UploadNotFound) as caught:
        place.name(source, owner=BEN)
    assert caught.value.field == "clip.files.files[0].upload_id"
    with place.uploads.begin(ANNA, upload_id_of(b"later"), 5, 0) as writer:
        writer.write(0, b"lat")
    source.files.files[0].upload_id = upload_id_of(b"later")
    with pytest.raises(RequestError, match="3 of the upload's 5 bytes"):
        place.name(source)
    source.files.files[0].upload_id = "../../x"
    with pytest.raises(RequestError, match="no SHA-256"):
        place.name(source)
    assert place.staged() == []


def test_the_same_submission_names_the_same_paths(place: Place) -> None:
    sources: dict[str, Callable[[str], Source]] = {
        "files": lambda owner: media_pb2.ClipSource(files=place.files({"a.mov": b"data"}, owner)),
        "frames": lambda owner: some_clip(place, owner),
        "runs": lambda owner: media_pb2.MatteSource(runs=encode_runs(ids())),
    }
    for make in sources.values():
        path = place.name(make(ANNA), "mattes")
        before = place.staged()
        place.inputs = place.server()
        assert place.name(make(ANNA), "mattes") == path
        assert place.staged() == before
        assert place.name(make(BEN), "mattes", BEN) == Path(str(path).replace(ANNA, BEN))
    assert place.name(some_clip(place, timecode="")) != place.name(some_clip(place))


def test_a_job_outlives_the_uploads_it_was_made_of(place: Place) -> None:
    files, clip = media_pb2.ClipSource(files=place.files({"a.mov": b"data"})), some_clip(place)
    paths = [place.name(source) for source in (files, clip)]
    place.clock.seconds += 61
    assert place.uploads.sweep() == 2
    assert paths[0].read_bytes() == b"data"
    assert np.array_equal(list(open_clip(paths[1]).read()), noise(frame_format()))
    assert [place.name(source) for source in (files, clip)] == paths, "and can be submitted again"


def test_what_no_job_needs_is_swept(place: Place) -> None:
    needed = [
        place.name(media_pb2.ClipSource(files=place.files({"a.mov": b"data"}))),
        place.name(media_pb2.MatteSource(runs=encode_runs(ids())), "mattes"),
    ]
    lost = place.name(media_pb2.ClipSource(files=place.files({"b.mov": b"data"})))
    place.clock.seconds += 61
    fresh = place.name(some_clip(place))
    in_use = [*map(str, needed), "clip.mov", "", str(place.folder / "inputs" / ANNA), f"{place.folder}/inputs/x/y"]
    place.inputs = place.server()
    assert place.inputs.sweep(in_use, 60) == 1
    assert not lost.exists()
    assert all(path.exists() for path in (*needed, fresh))
    place.clock.seconds += 61
    assert place.inputs.sweep([], 60) == 3
    assert place.staged() == []


def test_the_quota_counts_what_is_kept(place: Place) -> None:
    clip = some_clip(place)
    size = sum(file_bytes(path.stat().st_size) for path in place.name(clip).iterdir())
    place.inputs = place.server(owner_bytes=size + file_bytes(4))
    place.name(clip)
    place.name(media_pb2.ClipSource(files=place.files({"a.mov": b"data"})))
    with pytest.raises(QuotaExceeded):
        place.name(media_pb2.ClipSource(files=place.files({"b.mov": b"d"})))
    with pytest.raises(QuotaExceeded):
        place.name(some_clip(place, timecode=""))
    place.name(media_pb2.ClipSource(files=place.files({"b.mov": b"data"}, BEN)), owner=BEN)
    place.clock.seconds += 61
    place.inputs.sweep([], 60)
    place.name(clip)
    place.name(media_pb2.ClipSource(files=place.files({"b.mov": b"data"})))
    with pytest.raises(QuotaExceeded):
        place.name(media_pb2.ClipSource(files=place.files({"c.mov": b"d"})))


@LINUX
def test_a_refused_input_takes_nothing_of_the_quota(place: Place) -> None:
    place.inputs = place.server(owner_bytes=20_000)
    layout = frame_format()
    region, where = place.region(b"".join(pack(frame, layout) for frame in noise(layout)))
    os.truncate(f"/dev/shm{region.name}", 0)
    for _ in range(5):
        with pytest.raises(RequestError):
            place.name(raw_clip(raw_frames(layout, region=where)))
    place.name(some_clip(place))


@pytest.mark.parametrize("most", [0, 100, 700])
def test_a_full_disk_leaves_nothing(place: Place, most: int) -> None:
    place.inputs = place.server(owner_bytes=20_000)
    clip = some_clip(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(OutputError, match="no space left to write the uploaded clip") as caught:
            place.name(clip)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(place.folder) not in caught.value.message()
    assert place.staged() == []
    assert np.array_equal(list(open_clip(place.name(clip)).read()), noise(frame_format()))


def test_what_nobody_waits_for_any_longer_is_not_written(place: Place) -> None:
    """The call ends after the first frame: no other is read, and nothing of it stays or counts."""
    place.inputs = place.server(owner_bytes=20_000)
    source, call = some_clip(place), Call()
    read = place.inputs._raw._from_uploads

    def ending(*arguments: object) -> Iterator[Pixels]:
        for frame in read(*arguments):  # type: ignore[arg-type]
            yield frame
            assert not call._over.is_set(), "it goes on"
            call.end()

    place.inputs._raw._from_uploads = ending  # type: ignore[method-assign]
    with pytest.raises(CallEnded):
        place.inputs.name_source(ANNA, call)(source, "clip")
    assert place.staged() == []
    with pytest.raises(CallEnded):
        place.inputs.name_source(ANNA, call)(source, "clip")
    place.inputs._raw._from_uploads = read  # type: ignore[method-assign]
    assert place.name(source).exists()


def test_what_does_not_fit_on_the_disk_is_not_begun(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    source = some_clip(place)
    usage = shutil.disk_usage(place.folder)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=(64 << 20) + 10_000))
    with pytest.raises(OutputError, match="no space left for the uploaded clip"):
        place.name(source)
    with pytest.raises(OutputError, match="no space left for the upload"):
        place.uploads.begin(ANNA, upload_id_of(b"x"), 10_001, 0)
    assert place.staged() == []
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    assert place.name(source).exists()


def test_what_a_killed_server_was_writing_is_removed(place: Place) -> None:
    path = place.name(some_clip(place))
    half = path.parents[1] / ".77.abcd.part" / "uploaded clip"
    shutil.copytree(path, half)
    place.inputs = place.server()
    assert [folder.name for folder in path.parents[1].iterdir()] == [path.parent.name]


def test_many_threads_may_submit_the_same(place: Place) -> None:
    place.inputs = place.server(owner_bytes=3 * (COUNT + 1) * file_bytes(1))
    clip, paths = some_clip(place), []
    threads = [threading.Thread(target=lambda: paths.append(place.name(clip))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 2
    assert len({Path(name).parts[1] for name in place.staged()}) == 1
    for timecode in ("", "02:00:00:00"):
        place.name(some_clip(place, timecode=timecode))
    with pytest.raises(QuotaExceeded):
        place.name(some_clip(place, timecode="03:00:00:00"))


def test_clients_see_the_names_they_gave(place: Place) -> None:
    video = place.name(media_pb2.ClipSource(files=place.files({"shot, v2.mov": b"no video"})))
    with pytest.raises(MiveError) as caught:
        open_clip(video)
    assert place.inputs.redact(caught.value.what).startswith("Cannot open shot, v2.mov:")
    clip, matte = place.name(some_clip(place)), place.name(media_pb2.MatteSource(runs=encode_runs(ids())), "mattes")
    text = f"Frame 3 of {clip} and {matte}/00000003.npy in {clip.parent}, nothing of /data/inputs"
    told = "Frame 3 of uploaded clip and uploaded matte/00000003.npy in the upload, nothing of /data/inputs"
    assert place.inputs.redact(text) == told


def test_manifests_keep_inputs_of_one_name_apart(place: Place) -> None:
    paths = [str(place.name(media_pb2.ClipSource(files=place.files({"matte.png": data})))) for data in (b"1", b"2")]
    told = json.loads(place.inputs.redact(json.dumps(dict.fromkeys(paths, "hash")), apart=True))
    assert len(told) == 2
    assert all(name.endswith("/matte.png") and len(name) == 8 + len("/matte.png") for name in told)


def test_folders_may_have_any_name(tmp_path: Path, clock: FakeClock) -> None:
    place = Place(tmp_path.resolve() / 'Ä "data" [1]\\(x)', clock)
    path = place.name(media_pb2.ClipSource(files=place.files({"a.mov": b"data"})))
    for text in (str(path), json.dumps(str(path))[1:-1], json.dumps(str(path), ensure_ascii=False)[1:-1]):
        assert place.inputs.redact(text) == "a.mov"
    place.clock.seconds += 61
    assert place.inputs.sweep([str(path)], 60) == 0


def test_a_request_names_what_it_brings_along(place: Place, tmp_path: Path) -> None:
    message = edit_pb2.EditRequest(clip=some_clip(place))
    message.mattes.CopyFrom(matte_sources(place, ids())["uploaded runs"])
    message.instances.add(id=1, caption="a green cup")
    message.instances.add(id=2, caption="a ball").matte.runs.CopyFrom(encode_runs(ids()))
    request = request_from_message(message, name_source=place.inputs.name_source(ANNA, Call()))
    clip = open_clip(request.clip)
    assert len(open_mattes(request.mattes, request.instances, clip.info, FrameRange(0, 2))) == COUNT
    assert request == request_from_message(message, name_source=place.inputs.name_source(ANNA, Call()))


def test_a_source_must_be_given(place: Place) -> None:
    for source in (media_pb2.ClipSource(), media_pb2.MatteSource()):
        with pytest.raises(RequestError, match="no source"):
            place.name(source)


def test_whatever_arrives_is_taken_or_refused_with_a_reason(place: Place) -> None:
    place.inputs = place.server(frames=20, owner_bytes=1 << 20, frame=FrameLimits(64, 1 << 16))
    sources: list[Source] = [some_clip(place), *matte_sources(place, ids()).values()]
    sources.append(media_pb2.MatteSource(files=place.files({"a.png": b"data"})))
    wire = [(type(source), source.SerializeToString()) for source in sources]

    @given(st.sampled_from(wire), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
    @settings(deadline=None, max_examples=300)
    def check(source: tuple[type[Source], bytes], changes: list[tuple[int, int]]) -> None:
        kind, data = source[0], bytearray(source[1])
        for index, value in changes:
            data[index % len(data)] = value
        refusal = None
        try:
            assert place.name(kind.FromString(bytes(data)), "mattes").exists()
        except DecodeError:
            return
        except MiveError as error:
            refusal = error
        assert refusal is None or (refusal.what and refusal.expected and refusal.fix)

    check()
    assert not [name for name in os.listdir(place.folder / "inputs" / ANNA) if name.startswith(".")]
