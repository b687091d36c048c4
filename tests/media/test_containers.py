"""One file asked for is one file read: no playlist, reference or address leads anywhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media.conftest import Frames
from tests.playlists import Trap, reference_files, reference_paths

from mive.errors import MediaError
from mive.media import ClipInfo, open_clip, open_mattes
from mive.media.beside import Beside
from mive.media.containers import FORMATS, open_container
from mive.media.holding import video_holding
from mive.media.matte_tracks import IdTrack
from mive.media.told import Warnings
from mive.request import FrameRange, Instance

INFO = ClipInfo(Path("clip.mov"), 64, 48, 3, Fraction(24))
WHOLE = FrameRange(0, 2)
Video = Callable[..., Path]


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    if not Trap.works_here():
        pytest.skip("only Linux tells who opens files")
    trap = Trap(tmp_path / "secret")
    yield trap
    trap.close()


def as_clip(path: Path) -> None:
    list(open_clip(path).read())


def as_id_matte(path: Path) -> None:
    open_mattes(str(path), [Instance(id=1, caption="a cup")], INFO, WHOLE)


def as_own_matte(path: Path) -> None:
    open_mattes(None, [Instance(id=1, caption="a cup", matte=str(path))], INFO, WHOLE)


def as_sound(path: Path) -> None:
    info = ClipInfo(path, 64, 48, 3, Fraction(24), has_audio=True)
    with av.open(os.devnull, "w", format="matroska") as output:
        tracks = Beside(info, WHOLE, output, video_holding(".mkv", "ffv1"), Warnings())
        tracks.finish()
        tracks.close()


ROLES = [as_clip, as_id_matte, as_own_matte, as_sound]


def test_the_trap_notices_what_ffmpeg_follows_by_itself(trap: Trap, tmp_path: Path) -> None:
    files = {path.name: str(path) for path in reference_files(tmp_path, trap)}
    followed = set()
    trap.opened()
    for name, path in [
        *files.items(),
        *((path, path) for path in reference_paths(trap) if path not in ("pipe:0", "fd:")),
    ]:
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            av.open(path, timeout=0.5, options={"enable_drefs": "1", "use_absolute_path": "1"}).close()
        if trap.opened():
            followed.add(name)
    assert {"relative.ffconcat", "clip.mov", "list.m3u8", "ids.png", "reference.mov", "subtitles.idx"} <= followed
    assert len(followed) >= 20, followed


@pytest.mark.parametrize("role", ROLES)
def test_no_file_leads_to_another_file_or_a_socket(trap: Trap, tmp_path: Path, role: Callable[[Path], None]) -> None:
    files = reference_files(tmp_path, trap)
    assert len(files) >= 20
    trap.opened()
    for path in files:
        # There is no sound in that one, whether it is followed or not.
        if (role, path.name) == (as_sound, "reference.mov"):
            role(path)
        else:
            with pytest.raises(MediaError, match=path.name) as told:
                role(path)
            assert told.value.expected
            assert told.value.fix
        assert trap.opened() == [], path


@pytest.mark.parametrize("role", ROLES)
def test_no_name_is_an_address_or_a_pattern(trap: Trap, role: Callable[[Path], None]) -> None:
    trap.opened()
    for name in reference_paths(trap):
        with pytest.raises(MediaError):
            role(Path(name))
        assert trap.opened() == [], name


def test_a_playlist_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "clip.mov").write_text("ffconcat version 1.0\nfile secret.mov\n")
    with pytest.raises(MediaError) as told:
        open_clip(tmp_path / "clip.mov")
    assert "such as a playlist" in told.value.what
    assert "MP4, MOV, MKV" in told.value.expected
    assert "Name the media file itself" in told.value.fix


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    for folder in ("folder.mov", "images"):
        (tmp_path / folder).mkdir()
    for pipe in ("pipe.mov", "images/0000.png"):
        os.mkfifo(tmp_path / pipe)
    for path in (tmp_path / "pipe.mov", tmp_path / "images", Path("/dev/zero")):
        with pytest.raises(MediaError, match="no plain file"):
            open_clip(path)
    with pytest.raises(MediaError, match="no plain file"):
        open_container(tmp_path / "folder.mov")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".exr", ".tif", ".dpx", ".bmp", ".tga"])
def test_images_begin_as_images_do(tmp_path: Path, suffix: str, write_image: Video) -> None:
    picture = write_image(tmp_path / f"picture{suffix}", np.zeros((8, 8, 3), np.uint8))
    assert next(open_clip(picture).read()).shape == (8, 8, 3)
    picture.write_text("#EXTM3U\nsecret.ts\n" * 40)
    with pytest.raises(MediaError, match="Cannot open"):
        open_clip(picture)


def test_an_image_under_the_name_of_another_format_is_read(tmp_path: Path, write_image: Video) -> None:
    write_image(tmp_path / "a.jpg", np.full((8, 8, 3), 90, np.uint8)).rename(tmp_path / "a.png")
    assert next(open_clip(tmp_path / "a.png").read()).mean() == pytest.approx(90, abs=2)


def test_a_made_up_image_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    """OpenImageIO makes a picture of any size from such a name."""
    path = tmp_path / "x.null?RES=900x900&a=.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(MediaError, match="Cannot open"):
        open_clip(path)


CONTAINERS = [
    *((".mov", "prores_ks", "yuv422p10le"), (".mp4", "libx264", "yuv420p"), (".m4v", "libx264", "yuv420p")),
    *((".mkv", "ffv1", "bgr0"), (".webm", "libvpx-vp9", "yuv420p"), (".mxf", "mpeg2video", "yuv422p")),
    *((".avi", "mjpeg", "yuvj420p"), (".ts", "libx264", "yuv420p"), (".m2ts", "libx264", "yuv420p")),
    *((".mpg", "mpeg2video", "yuv420p"), (".vob", "mpeg2video", "yuv420p"), (".nut", "ffv1", "bgr0")),
    *(
        (".flv", "libx264", "yuv420p"),
        (".gif", "gif", "rgb8"),
        (".apng", "apng", "rgb24"),
        (".3gp", "mpeg4", "yuv420p"),
    ),
    *((".wmv", "wmv2", "yuv420p"), (".y4m", "wrapped_avframe", "yuv420p"), (".h264", "libx264", "yuv420p")),
    *((".ivf", "libvpx-vp9", "yuv420p"), (".m2v", "mpeg2video", "yuv420p"), (".mjpeg", "mjpeg", "yuvj420p")),
    *((".gxf", "mpeg2video", "yuv420p"), (".ogv", "libvpx", "yuv420p")),
    *((".webp", "libwebp", "bgra"), (".jp2", "jpeg2000", "rgb24"), (".ppm", "ppm", "rgb24")),
]


@pytest.mark.parametrize(("suffix", "codec", "pixel_format"), CONTAINERS, ids=[case[0] for case in CONTAINERS])
def test_containers_that_editors_use_are_read_whatever_they_are_called(
    suffix: str, codec: str, pixel_format: str, tmp_path: Path, noise: Callable[..., Frames], write_video: Video
) -> None:
    count = 1 if suffix in (".webp", ".jp2", ".ppm") else 6
    size = (720, 576) if suffix == ".gxf" else (320, 240)
    path = write_video(tmp_path / f"clip{suffix}", noise(count, *size), codec, pixel_format, Fraction(25))
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    bare = path.rename(tmp_path / "clip")
    with open_container(bare) as container:
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(found) == count
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))
    assert open_clip(bare).info.frames == count


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *(
            (".wav", "pcm_s24le"),
            (".w64", "pcm_s16le"),
            (".aiff", "pcm_s16be"),
            (".caf", "pcm_s16le"),
            (".au", "pcm_s16be"),
        ),
        *((".flac", "flac"), (".mp3", "libmp3lame"), (".aac", "aac"), (".ac3", "ac3")),
        *((".opus", "libopus"), (".m4a", "aac"), (".mka", "aac")),
    ],
)
def test_sound_is_read(suffix: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"sound{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo")
        for _ in range(10):
            frame = av.AudioFrame(format=stream.codec_context.format.name, layout="stereo", samples=1024)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate = 48000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_container(path) as opened:
        assert next(opened.decode(audio=0)).sample_rate == 48000
    with pytest.raises(MediaError, match="no video"):
        open_clip(path)


def test_palettes_are_read_as_they_were(tmp_path: Path) -> None:
    from PIL import Image

    ids = np.arange(48, dtype=np.uint8).reshape(6, 8) % 5
    for suffix in ("png", "tif", "bmp"):
        picture = Image.new("P", (8, 6))
        picture.putdata(ids.ravel().tolist())
        picture.putpalette(bytes(range(30, 45)))
        picture.save(tmp_path / f"ids.{suffix}")
        assert np.array_equal(IdTrack(tmp_path / f"ids.{suffix}", "mattes").read(0), ids)


def test_the_list_holds_names_that_ffmpeg_knows_and_no_list_of_files() -> None:
    known = {name for names in av.formats_available for name in names.split(",")}
    assert set(FORMATS) <= known
    assert not {"concat", "hls", "dash", "imf", "image2", "sdp", "rtsp", "vobsub", "svg_pipe", "mlv"} & set(FORMATS)


def test_no_file_stays_open(tmp_path: Path, noise: Callable[..., Frames], write_video: Video) -> None:
    path = write_video(tmp_path / "clip.mkv", noise())
    (tmp_path / "list.mov").write_text("ffconcat version 1.0\n")
    before = len(os.listdir("/proc/self/fd")) if Trap.works_here() else 0
    for _ in range(5):
        list(open_clip(path).read())
        with pytest.raises(MediaError):
            open_clip(tmp_path / "list.mov")
    assert not Trap.works_here() or len(os.listdir("/proc/self/fd")) == before
