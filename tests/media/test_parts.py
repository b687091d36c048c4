"""The picture of a file is the beauty, by its name, or the part that was asked for; never just the first."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from mive.errors import MediaError
from mive.media import open_clip
from mive.media.asked import Reading
from mive.media.told import Warnings

RGB, RGBA = ("R", "G", "B"), ("R", "G", "B", "A")
BEAUTY = 0.5
"""The value of the beauty's pixels; every other channel has another."""


def write_parts(path: Path, parts: Sequence[tuple[str, Sequence[str], float]], kind: Any = oiio.HALF) -> Path:
    """An image of parts (name, channels, value of all pixels)."""
    specs = []
    for name, channels, _ in parts:
        spec = oiio.ImageSpec(8, 6, len(channels), kind)
        spec.channelnames = tuple(channels)
        if name:
            spec.attribute("oiio:subimagename", name)
        specs.append(spec)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs)) if len(specs) > 1 else output.open(str(path), specs[0])
    for place, (_, channels, value) in enumerate(parts):
        assert not place or output.open(str(path), specs[place], "AppendSubimage")
        assert output.write_image(np.full((6, 8, len(channels)), value, np.float32)), output.geterror()
    output.close()
    return path


def layered(*layers: str) -> list[str]:
    return [f"{layer}.{channel}" for layer in layers for channel in "RGB"]


def value(path: Path, layer: str | None = None) -> float:
    (frame,) = open_clip(path, Reading(layer=layer)).read()
    assert frame.shape == (6, 8, 3)
    return float(frame[0, 0, 0])


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([("", RGB, BEAUTY)], id="unnamed"),
        pytest.param([("whatever", RGBA, BEAUTY)], id="the only part, whatever its name"),
        pytest.param([("N", RGB, 1.0), ("C", RGB, BEAUTY)], id="C after normals"),
        pytest.param([("depth", ("Z",), 7.0), ("rgba", RGBA, BEAUTY)], id="rgba after depth"),
        pytest.param([("albedo", RGB, 1.0), ("Beauty", RGBA, BEAUTY), ("P", ("X", "Y", "Z"), 3.0)], id="Beauty"),
        pytest.param([("N", RGB, 1.0), ("ViewLayer.Combined", RGBA, BEAUTY)], id="a part of Blender's"),
        pytest.param([("N", layered("N"), 1.0), ("rgba", layered("rgba"), BEAUTY)], id="named twice, as by Nuke"),
        pytest.param([("", ["beauty.red", "beauty.green", "beauty.blue"], BEAUTY)], id="channels in words"),
        pytest.param([("", layered("diffuse"), BEAUTY)], id="the only layer"),
        pytest.param([("", ("Y",), BEAUTY)], id="grey"),
    ],
)
def test_the_beauty_is_found_by_its_name(tmp_path: Path, parts: Any) -> None:
    assert value(write_parts(tmp_path / "s.exr", parts)) == BEAUTY


def test_a_layer_of_one_part_is_found_too(tmp_path: Path) -> None:
    names = ("ViewLayer.Combined.R", "ViewLayer.Combined.G", "ViewLayer.Combined.B", "ViewLayer.Depth.Z")
    assert value(write_parts(tmp_path / "s.exr", [("", names, BEAUTY)])) == BEAUTY


@pytest.mark.parametrize(
    ("parts", "listed"),
    [
        pytest.param([("", ("Z",), 7.0)], "Z", id="a lone Z"),
        pytest.param([("", ("A",), 1.0)], "A", id="a lone matte"),
        pytest.param([("depth", ("Z",), 7.0), ("N", RGB, 1.0)], "depth: Z; N: R, G, B", id="normals and depth"),
        pytest.param([("", layered("diffuse", "specular"), 0.1)], "diffuse.R", id="two layers"),
        pytest.param([("left", RGB, 0.1), ("right", RGB, 0.2)], "left: R, G, B; right", id="stereo"),
        pytest.param([("a.rgba", RGBA, 0.1), ("b.rgba", RGBA, 0.2)], "a.rgba", id="two beauties"),
        pytest.param([("", ("u", "v"), 0.1)], "u, v", id="motion"),
    ],
)
def test_what_is_not_to_be_told_is_refused_with_all_that_is_there(tmp_path: Path, parts: Any, listed: str) -> None:
    with pytest.raises(MediaError, match=listed) as caught:
        open_clip(write_parts(tmp_path / "s.exr", parts))
    assert ("--layer" in caught.value.fix) == any(set("RGB") <= {c.rpartition(".")[2] for c in p[1]} for p in parts)


@pytest.mark.parametrize(
    ("layer", "wanted"), [("N", 0.25), ("n", 0.25), ("rgba", 0.5), ("right.rgba", 0.75), ("left.RGBA", 0.5)]
)
def test_a_part_can_be_asked_for(tmp_path: Path, layer: str, wanted: float) -> None:
    parts = [("N", RGB, 0.25), ("left.rgba", RGBA, 0.5), ("right.rgba", RGBA, 0.75)]
    path = write_parts(tmp_path / "s.exr", parts)
    if layer == "rgba":
        with pytest.raises(MediaError, match="several layers"):
            value(path, layer)
    else:
        assert value(path, layer) == wanted
    with pytest.raises(MediaError, match='no part or layer "specular"'):
        value(path, "specular")


def test_pages_are_told(tmp_path: Path) -> None:
    path = write_parts(tmp_path / "s.tif", [("", RGB, 0.2), ("", RGB, 0.4), ("", RGB, 0.6)], oiio.FLOAT)
    warnings = Warnings()
    open_clip(path, Reading(warnings=warnings))
    assert [("2 pages" in text, "--layer" in text) for text in warnings] == [(True, True)]
    assert value(path, "3") == pytest.approx(0.6)


def test_offsets_mean_something_in_exr_only(tmp_path: Path, write_image: Any) -> None:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for suffix in ("png", "tif"):
        spec = oiio.ImageSpec(8, 6, 3, oiio.UINT8)
        spec.x, spec.y, spec.full_width, spec.full_height = 3, 2, 20, 10
        output = oiio.ImageOutput.create(str(tmp_path / f"s.{suffix}"))
        output.open(str(tmp_path / f"s.{suffix}"), spec)
        output.write_image(pixels)
        output.close()
        (frame,) = open_clip(tmp_path / f"s.{suffix}").read()
        assert np.array_equal(frame, pixels)


def test_half_beside_wider_channels_stays_half(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(8, 6, 4, oiio.FLOAT)
    spec.channelnames = ("R", "G", "B", "Z")
    spec.channelformats = (oiio.TypeHalf, oiio.TypeHalf, oiio.TypeHalf, oiio.TypeFloat)
    output = oiio.ImageOutput.create(str(tmp_path / "s.exr"))
    assert output.open(str(tmp_path / "s.exr"), spec)
    output.write_image(np.full((6, 8, 4), 0.5, np.float32))
    output.close()
    assert open_clip(tmp_path / "s.exr").info.bits == 16


@pytest.mark.parametrize(
    ("name", "header", "said", "rate"),
    [
        ("s.dpx", {"dpx:FrameRate": 25.0}, None, Fraction(25)),
        ("s.dpx", {"dpx:TemporalFrameRate": 23.976}, None, Fraction(24000, 1001)),
        ("s.dpx", {"dpx:TemporalFrameRate": 59.94}, None, Fraction(60000, 1001)),
        ("s.dpx", {"dpx:FrameRate": 0.0}, None, None),
        ("s.dpx", {"dpx:FrameRate": 25.0}, Fraction(30), Fraction(30)),
        ("s.exr", {}, None, None),
        ("s.png", {}, Fraction(25), Fraction(25)),
        ("s.tif", {}, None, None),
    ],
)
def test_a_rate_is_read_or_said_or_known_to_be_a_guess(
    tmp_path: Path, write_image: Any, name: str, header: dict[str, float], said: Fraction | None, rate: Fraction | None
) -> None:
    pixels = np.zeros((6, 8, 3), np.float32 if name.endswith("exr") else np.uint16)
    path = write_image(tmp_path / name, pixels, **{key.replace(":", "__"): value for key, value in header.items()})
    info = open_clip(path, Reading(rate=said)).info
    assert (info.rate, info.rate_guessed) == (rate or 24, rate is None)
