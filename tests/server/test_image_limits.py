"""Images that declare what they do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from mive.errors import MediaError
from mive.media import open_clip
from mive.request import EditRequest, Instance
from mive.server.image_limits import check_images, limit_images


@pytest.fixture
def limited() -> Iterator[None]:
    names = ("limits:resolution", "limits:imagesize_MB")
    before = [oiio.get_int_attribute(name) for name in names]
    limit_images(100)
    yield
    for name, value in zip(names, before, strict=True):
        oiio.attribute(name, value)


def an_image(path: Path, side: int = 8, shown: int | None = None) -> Path:
    picture = oiio.ImageBuf(np.zeros((8, side, 3), np.float32))
    if shown is not None:
        picture.set_full(0, shown, 0, shown, 0, 1)
    assert picture.write(str(path)), picture.geterror()
    return path


def a_request(path: Path, *, matte: Path | None = None) -> EditRequest:
    instance = Instance(id=1, caption="a cube", matte=matte and str(matte))
    return EditRequest(clip=str(path), mattes="/nowhere/mattes.mkv", instances=(instance,))


@pytest.mark.parametrize("suffix", [".png", ".exr", ".tif", ".dpx", ".bmp", ".tga", ".jpg"])
@pytest.mark.usefixtures("limited")
def test_large_images_are_refused_by_their_headers(tmp_path: Path, suffix: str) -> None:
    assert next(open_clip(an_image(tmp_path / f"small{suffix}")).read()).shape == (8, 8, 3)
    with pytest.raises(MediaError, match="101"):
        open_clip(an_image(tmp_path / f"large{suffix}", side=101))


def test_a_few_pixels_in_a_large_picture_are_refused_wherever_they_come(tmp_path: Path) -> None:
    for number in range(3):
        an_image(tmp_path / f"shot.{number:04}.exr", shown=100_000 if number == 2 else None)
    small = an_image(tmp_path / "small.exr")
    with pytest.raises(MediaError, match="100000") as caught:
        check_images(a_request(tmp_path / "shot.####.exr"), 16_384)
    assert caught.value.field == "clip"
    with pytest.raises(MediaError, match="100000") as caught:
        check_images(a_request(small, matte=tmp_path / "shot.0002.exr"), 16_384)
    assert caught.value.field == "instances[0].matte"
    check_images(a_request(small), 16_384)


def test_what_cannot_be_opened_is_left_to_those_who_open_it(tmp_path: Path) -> None:
    (tmp_path / "garbage.exr").write_bytes(b"v/1\x01" + bytes(range(256)))
    for path in (tmp_path / "garbage.exr", tmp_path / "not there.png", tmp_path, Path("/nowhere/clip.mov")):
        check_images(a_request(path), 10)
