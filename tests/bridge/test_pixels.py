"""Pixels on their way: sources, matte clips, frames in the cache, frames in other sizes and depths."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import MatteError
from mive_bridge.frames import FrameCache
from mive_bridge.images import PAGE, Format
from mive_bridge.mattes import ids_of, kind_of, over
from mive_bridge.pixels import MARGIN, box_of, straight

FORM = Format(80, 60, "rgba", "byte")


def test_colours_are_divided_by_alpha_and_rounded() -> None:
    image = np.array([[[10, 20, 30, 60], [7, 0, 0, 0], [200, 5, 5, 100]]], np.uint8)
    assert straight(image, premultiplied=False).tolist() == [[[10, 20, 30], [7, 0, 0], [200, 5, 5]]]
    # 10 · 255 / 60 = 42.5; where there is no alpha, 1 stands for it; more than white is white.
    assert straight(image, premultiplied=True).tolist() == [[[43, 85, 128], [255, 0, 0], [255, 13, 13]]]


@given(st.integers(0, 65535), st.integers(1, 65535))
def test_what_was_multiplied_comes_back_within_what_rounding_lost(colour: int, alpha: int) -> None:
    product = (colour * alpha + 32767) // 65535
    image = np.array([[[product, product, product, alpha]]], np.uint16)
    back = int(straight(image, premultiplied=True)[0, 0, 0])
    assert abs(back - colour) <= 65535 / alpha / 2 + 1


@pytest.mark.parametrize(
    ("samples", "ids"),
    [
        (np.array([[0, 1, 200]], np.uint8), [0, 1, 200]),
        (np.array([[0, 257, 514]], np.uint16), [0, 1, 2]),
        (np.array([[0, 257, 300]], np.uint16), [0, 257, 300]),
        (np.array([[0, 1 / 255, 200 / 255]], np.float32), [0, 1, 200]),
        (np.array([[0, 1, 300]], np.float32), [0, 1, 300]),
    ],
)
def test_samples_of_a_matte_are_ids(samples: np.ndarray, ids: list[int]) -> None:
    for image in (samples, np.repeat(samples[..., None], 3, 2)):
        kind = kind_of([image])
        assert kind.ids
        assert ids_of(image, kind).tolist() == [ids]


def test_one_frame_that_is_not_grey_makes_a_clip_coverage() -> None:
    grey, red = np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 4), np.uint8)
    red[0, 0, 0] = 255
    grey[..., 3] = 7
    assert kind_of([grey]).ids
    assert not kind_of([grey, red, grey]).ids


def test_one_frame_above_white_makes_all_samples_ids_themselves() -> None:
    low, high = np.ones((2, 2), np.float32), np.full((2, 2), 2, np.float32)
    assert ids_of(low, kind_of([low])).max() == 255
    assert ids_of(low, kind_of([low, high])).max() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 70000])
def test_values_that_are_no_matte(value: float) -> None:
    with pytest.raises(MatteError, match="neither ids nor coverage"):
        kind_of([np.full((2, 2), value, np.float32)])


def test_two_id_mattes_lie_on_each_other() -> None:
    lower, upper = np.array([[1, 1, 0]], np.uint16), np.array([[0, 2, 2]], np.uint16)
    assert over(lower, upper).tolist() == [[1, 2, 2]]
    with pytest.raises(MatteError, match=r"3x1 and 3x2"):
        over(lower, np.zeros((2, 3), np.uint16))


def masked(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_what_is_edited_is_kept_with_a_margin() -> None:
    assert box_of(masked(0, 0, 0, 0)) == (0, 0, 0, 0)
    assert box_of(masked(40, 50, 41, 52)) == (50 - MARGIN, 40 - MARGIN, 80, 60)


@pytest.fixture
def cache(tmp_path: Path) -> FrameCache:
    return FrameCache(tmp_path / "frames", 10**6)


@pytest.mark.parametrize("mask", [masked(0, 0, 0, 0), masked(5, 7, 9, 30), masked(0, 0, 60, 80), masked(2, 40, 60, 80)])
def test_a_frame_comes_back_from_the_disk_and_covers_what_was_there(cache: FrameCache, mask: np.ndarray) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cache.save("a", colour, mask, FORM, "look")
    target = np.full((60, 80, 4), 99, np.uint8)
    assert cache.copy("a", target, FORM)
    assert np.array_equal(target[..., 3], mask * np.uint8(255))
    assert np.array_equal(target[mask][:, :3], colour[mask])
    facts = FrameCache(cache.folder, 10**6).facts("a")
    assert facts is not None
    assert (facts.format, facts.source) == (FORM, "look")


def test_a_frame_of_another_depth_is_rounded_as_files_are(cache: FrameCache) -> None:
    colour = np.random.default_rng(0).random((60, 80, 3), np.float32)
    cache.save("a", colour, masked(0, 0, 60, 80), Format(80, 60, "rgba", "float"), "")
    target = np.empty((60, 80, 4), np.uint8)
    assert cache.copy("a", target, FORM)
    assert np.array_equal(target[..., :3], np.floor(colour.astype(np.float64) * 255 + 0.5).astype(np.uint8))
    assert (target[..., 3] == 255).all()


def test_a_proxy_is_the_means_of_what_it_covers_and_edited_where_any_of_it_is(cache: FrameCache) -> None:
    colour = np.random.default_rng(0).random((60, 80, 3), np.float32)
    mask = masked(11, 20, 30, 41)
    cache.save("a", colour, mask, Format(80, 60, "rgba", "float"), "")
    target = np.empty((30, 40, 4), np.float32)
    assert cache.copy("a", target, Format(40, 30, "rgba", "float"))
    edited = mask.reshape(30, 2, 40, 2).any(axis=(1, 3))
    assert np.array_equal(target[..., 3] > 0, edited)
    means = colour.reshape(30, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(target[edited][:, :3] - means[edited]).max() < 1e-6


def test_the_longest_unused_frames_go_first(tmp_path: Path) -> None:
    size = PAGE + 60 * 80 * 4
    cache = FrameCache(tmp_path, 3 * size)
    colour, mask = np.zeros((60, 80, 3), np.uint8), masked(0, 0, 60, 80)
    for name in ("a", "b", "c"):
        cache.save(name, colour, mask, FORM, "")
    cache.copy("a", np.empty((60, 80, 4), np.uint8), FORM)
    cache.save("d", colour, mask, FORM, "")
    assert [name in cache for name in "abcd"] == [True, False, True, True]
    assert cache.bytes == 3 * size == sum(path.stat().st_size for path in tmp_path.iterdir())
    for age, name in enumerate("dca"):
        os.utime(tmp_path / f"{name}.frame", (1000 - age, 1000 - age))
    later = FrameCache(tmp_path, 2 * size)
    later.save("e", colour, mask, FORM, "")
    assert [name in later for name in "acde"] == [False, False, True, True]


def test_a_frame_larger_than_the_limit_is_kept_until_the_next(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, 1)
    for name in ("a", "b"):
        cache.save(name, np.zeros((60, 80, 3), np.uint8), masked(0, 0, 60, 80), FORM, "")
        assert name in cache
    assert "a" not in cache


@pytest.mark.parametrize("damage", [b"", b"x" * 5000, None])
def test_a_damaged_frame_is_none(cache: FrameCache, damage: bytes | None) -> None:
    cache.save("a", np.zeros((60, 80, 3), np.uint8), masked(5, 5, 20, 20), FORM, "")
    path = cache.folder / "a.frame"
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert not cache.copy("a", np.empty((60, 80, 4), np.uint8), FORM)
    assert "a" not in cache
    assert not path.exists()


def test_what_a_killed_bridge_left_half_written_is_removed(cache: FrameCache) -> None:
    part = cache.folder / ".a.frame.1234.part"
    part.write_bytes(b"x" * 100)
    assert FrameCache(cache.folder, 10**6).bytes == 0
    assert part.exists(), "another bridge may be writing it"
    os.utime(part, (1000, 1000))
    FrameCache(cache.folder, 10**6)
    assert not part.exists()
