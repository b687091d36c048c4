"""No output is, holds or lies in anything that is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mive.errors import OutputError
from mive.media import open_clip, open_writer
from mive.media.origin import Origin, require_apart
from mive.request import FrameRange


@pytest.fixture
def shot(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """A folder with plates, mattes, a matte video, a request and a bundle."""
    for name in ("plate", "mattes"):
        (tmp_path / name).mkdir()
        for number in (1001, 1002):
            write_image(tmp_path / name / f"{name}.{number}.png", np.zeros((24, 32, 3), np.uint8))
    for name in ("cup.mkv", "edit.json", "bundle/bundle.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "link").symlink_to(tmp_path / "mattes")
    os.link(tmp_path / "cup.mkv", tmp_path / "cup again.mkv")
    return tmp_path


def write(shot: Path, out: str) -> Any:
    clip = open_clip(shot / "plate")
    inputs = tuple(shot / name for name in ("plate", "mattes", "cup.mkv", "edit.json", "bundle"))
    return open_writer(shot / out, clip.info, FrameRange(0, 1), None, Origin(clip, inputs))


@pytest.mark.parametrize(
    "out",
    [
        pytest.param("mattes", id="the folder of mattes"),
        pytest.param("mattes/mattes.####.png", id="the mattes by pattern"),
        pytest.param("mattes/edited.####.exr", id="beside the mattes"),
        pytest.param("mattes/new/out.mov", id="below the mattes"),
        pytest.param("link/out.mov", id="through a link"),
        pytest.param("cup.mkv", id="a matte video"),
        pytest.param("cup again.mkv", id="the same file by another name"),
        pytest.param("plate", id="the plates"),
        pytest.param("plate/edited", id="below the plates"),
        pytest.param("bundle/out.mp4", id="in the bundle"),
        pytest.param(".", id="the folder that holds all"),
        pytest.param("mattes/../mattes/x.mp4", id="a way round"),
    ],
)
def test_an_output_that_touches_an_input_is_refused_before_anything_is_written(shot: Path, out: str) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in shot.rglob("*") if path.is_file()}

    before = contents()
    with pytest.raises(OutputError, match="read") as caught:
        write(shot, out)
    assert "another name or folder" in caught.value.fix
    assert contents() == before


@pytest.mark.parametrize("out", ["edited", "edited/out.mov", "plate_edited", "mattes.mov", "edited.####.png", "v1.2"])
def test_an_output_beside_the_inputs_is_written(shot: Path, out: str) -> None:
    with write(shot, out) as writer:
        for _ in range(2):
            writer.write(np.zeros((24, 32, 3), np.uint8))
    assert (shot / out).exists() or (shot / "edited.1001.png").exists()


def test_a_request_and_a_manifest_are_inputs_too(tmp_path: Path) -> None:
    (tmp_path / "out.mov.manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="written over"):
        require_apart([tmp_path / "out.mov.manifest.json"], [tmp_path / "out.mov.manifest.json"])


def test_hashes_in_a_name_are_part_of_it(shot: Path) -> None:
    with write(shot, "edited/take#3.####.png") as writer:
        for _ in range(2):
            writer.write(np.zeros((24, 32, 3), np.uint8))
    assert sorted(path.name for path in (shot / "edited").iterdir()) == ["take#3.1001.png", "take#3.1002.png"]
