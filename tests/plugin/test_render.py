"""What the effect shows, to the bit: edited pixels inside, the source's outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.hosts.fake_bridge import FakeBridge, noise
from tests.hosts.link import Pixels, format_text
from tests.hosts.ofx_host import FILTER, GENERAL, Content
from tests.hosts.ofx_images import ImageFaults, Layout
from tests.plugin.conftest import OpenHost
from tests.plugin.shots import analysed, as_depth, edited, effect_on

LAYOUTS = {
    "plain": Layout(),
    "negative": Layout(negative_rows=True),
    "padded": Layout(padding=12, origin=(-7, 3)),
    "negative_padded": Layout(negative_rows=True, padding=4, origin=(5, -9)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("depth", ["byte", "short", "float"])
@pytest.mark.parametrize("context", [FILTER, GENERAL])
def test_edited_pixels_inside_and_the_source_s_outside(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, context: str, depth: str, layout: str
) -> None:
    host = open_host(temporal_access=True, layout=LAYOUTS[layout], output_layout=LAYOUTS["plain"])
    if layout != "plain":
        host.traits.output_layout = Layout(padding=8, origin=LAYOUTS[layout].origin)
    shot = _in_depth(footage, depth)
    effect = analysed(effect_on(shot, host, context))
    for frame in (0, 9, 4):
        shown = effect.render(frame)
        assert shown.status == 0
        np.testing.assert_array_equal(shown.pixels, edited(shot(frame), frame))
    assert not np.array_equal(shown.pixels, shot(4))


def test_rgb_without_alpha(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    def shot(time: float) -> Pixels:
        return np.ascontiguousarray(footage(time)[..., :3])

    def mattes(time: float) -> Pixels:
        return np.ascontiguousarray(footage(time)[..., 3])

    host = open_host(temporal_access=True)
    effect = host.create(FILTER, {"Source": shot, "Mattes": mattes}, {"captions": "1: a red ball"})
    np.testing.assert_array_equal(analysed(effect).render(5).pixels, edited(shot(5), 5))
    assert format_text(bridge.edit.puts[5].images["source"]) == "64x48:rgb:byte"


def test_rgb_without_any_mattes_is_told(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(lambda time: np.ascontiguousarray(footage(time)[..., :3]), open_host())
    assert "There are no mattes." in effect.render(0).message


@pytest.mark.parametrize("depth", ["byte", "short", "float"])
def test_premultiplied_sources_get_premultiplied_edits(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, depth: str
) -> None:
    more = {"image": {"OfxImageEffectPropPreMultiplication": "OfxImageAlphaPremultiplied"}}
    shot = _in_depth(footage, depth)
    effect = analysed(effect_on(shot, open_host(temporal_access=True, properties=more)))
    np.testing.assert_array_equal(effect.render(1).pixels, edited(shot(1), 1, premultiplied=True))
    assert bridge.edit.puts[1].premultiplied


@pytest.mark.parametrize("depth", ["byte", "float"])
def test_two_matte_clips_go_to_the_bridge_as_they_are(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, depth: str
) -> None:
    ids = (np.arange(24 * 32, dtype=np.uint8) % 3).reshape(24, 32)
    channels = footage(8)
    shot = _in_depth(footage, depth)
    clips = {"Source": shot, "Mattes": lambda time: ids, "Mattes2": lambda time: channels}
    effect = open_host(temporal_access=True).create(GENERAL, clips, {"captions": "1: x\n5: y", "mattes": "/not/used"})
    np.testing.assert_array_equal(analysed(effect).render(2).pixels, edited(shot(2), 2))
    assert bridge.edit.fields["mattes"] == "clips"
    put = bridge.edit.puts[2].images
    np.testing.assert_array_equal(put["source"], shot(2))
    np.testing.assert_array_equal(put["mattes"], ids)
    np.testing.assert_array_equal(put["mattes2"], channels)


def test_the_second_matte_clip_alone_is_told(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    clips = {"Source": footage, "Mattes2": footage}
    effect = open_host().create(GENERAL, clips, {"captions": "1: x"})
    assert "Mattes2 is connected, but Mattes is not." in effect.render(0).message


def test_a_host_that_knows_no_connected_property_has_no_matte_clip(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    host = open_host(temporal_access=True, properties={"clip": {"OfxImageClipPropConnected": None}})
    analysed(effect_on(footage, host, mattes="/shots/mattes"))
    assert bridge.edit.fields["mattes"] == "file /shots/mattes"


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_a_proxy_shows_the_edit_at_its_own_size_and_depth(
    open_host: OpenHost, bridge: FakeBridge, dtype: type, white: int
) -> None:
    full = _gradients(96, 128)

    def shot(time: float) -> Pixels:
        return (full(time) * (white / 255)).astype(dtype)

    effect = analysed(effect_on(shot, open_host(temporal_access=True)))
    half = _gradients(48, 64)
    effect.contents = {"Source": half}
    effect = effect.recreated()
    shown = effect.render(3, scale=0.5)
    assert shown.message == ""
    np.testing.assert_array_equal(shown.pixels, edited(half(3), 3))


def test_another_source_under_the_same_parameters_is_never_pasted_over(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    for other in (lambda time: footage(9 - time), lambda time: _half(footage(9 - time)), _nudged(footage)):
        effect.contents = {"Source": other}
        effect = effect.recreated()
        shown = effect.render(2)
        assert "have changed since they were analysed" in shown.message
        np.testing.assert_array_equal(shown.pixels, other(2))


def test_frames_outside_the_range_are_the_source_without_a_word(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True), frameRange="3-5"))
    for frame in range(10):
        shown = effect.render(frame)
        expected = edited(footage(frame), frame) if 3 <= frame <= 5 else footage(frame)
        assert shown.message == ""
        np.testing.assert_array_equal(shown.pixels, expected)
    assert sorted(bridge.edit.puts) == [3, 4, 5]


def test_off_is_the_source_itself(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    assert not effect.is_identity(2)
    effect.set("mode", 2)
    assert effect.is_identity(2)
    np.testing.assert_array_equal(effect.render(2).pixels, footage(2))


def test_a_fraction_of_a_frame_is_not_mistaken_for_the_frame(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    def blended(time: float) -> Pixels:
        return ((footage(time) // 2) + (footage(min(time + 1, 9)) // 2)) if time % 1 else footage(time)

    effect = analysed(effect_on(blended, open_host(temporal_access=True)))
    shown = effect.render(2.25)
    assert "have changed" in shown.message
    np.testing.assert_array_equal(shown.pixels, blended(2.25))


@pytest.mark.parametrize("field", ["OfxFieldLower", "OfxFieldUpper"])
def test_fields_pass_with_a_word(open_host: OpenHost, footage: Content, bridge: FakeBridge, field: str) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    shown = effect.render(2, field=field)
    assert "Interlaced clips cannot be edited." in shown.message
    np.testing.assert_array_equal(shown.pixels, footage(2))


def test_a_part_of_the_frame_is_all_that_is_written(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    window = {"OfxImageEffectPropRenderWindow": [8, 8, 24, 40]}
    shown = effect.render(2, more=window).pixels
    expected = np.full_like(shown, 0xCD)
    expected[8:40, 8:24] = edited(footage(2), 2)[8:40, 8:24]
    np.testing.assert_array_equal(shown, expected)


def test_a_clip_behind_a_file_has_the_file_s_frame_numbers(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    path = {"instance": {"OfxImageEffectPropSrcFilePath": "/shots/a.mov"}}
    effect = analysed(effect_on(footage, open_host(properties=path)))
    assert bridge.edit.fields["source"] == "file /shots/a.mov"
    shown = effect.render(2, more={"OfxImageEffectPropSrcFrame": 7})
    np.testing.assert_array_equal(shown.pixels, edited(footage(2), 7))
    np.testing.assert_array_equal(effect.render(2).pixels, edited(footage(2), 2))


@pytest.mark.parametrize(
    "faults",
    [{"OfxImagePropData": 0}, {"OfxImagePropBounds": [0, 0, 0, 0]}, {"OfxImagePropBounds": None},
     {"OfxImagePropBounds": [5, 5, -5, -5]}, {"OfxImagePropBounds": [-(2**31), -(2**31), 2**31 - 1, 2**31 - 1]},
     {"OfxImagePropRowBytes": 4}, {"OfxImagePropRowBytes": None}, {"OfxImageEffectPropPixelDepth": "OfxBitDepthHalf"},
     {"OfxImageEffectPropComponents": "OfxImageComponentYUVA"}],
    ids=str,
)  # fmt: skip
def test_images_that_make_no_sense_are_not_touched(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, faults: dict[str, Any]
) -> None:
    host = open_host(faults={"Source": ImageFaults(faults)})
    shown = effect_on(footage, host).render(2)
    assert shown.status == 0
    assert not shown.pixels.any()

    host = open_host(faults={"Output": ImageFaults(faults)})
    assert effect_on(footage, host).render(2).status == 1


@pytest.mark.parametrize(
    "function",
    ["clipGetImage", "clipGetHandle", "getPropertySet", "getParamSet", "paramGetHandle", "paramGetValue", "propGetIntN",
     "propGetDouble", "propGetString", "propGetPointer", "abort"],
)  # fmt: skip
def test_a_host_function_that_fails_harms_nobody(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, function: str
) -> None:
    host = open_host(temporal_access=True)
    effect = analysed(effect_on(footage, host))
    host.traits.failing[function] = 4
    shown = effect.render(2)
    pictures = (footage(2), edited(footage(2), 2), np.zeros_like(footage(2)))
    assert shown.status == 1 or any(np.array_equal(shown.pixels, picture) for picture in pictures)
    effect.press("analyse")
    effect.open_panel()


def test_pixels_that_are_no_numbers_are_the_source_s_own(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    strange = _in_depth(footage, "float")(0)
    strange[::3, ::2] = np.nan
    strange[1::3, ::2] = np.inf
    strange[2::3, ::2] = -np.inf
    effect = analysed(effect_on(lambda time: strange, open_host(temporal_access=True)))
    shown = effect.render(0).pixels
    outside = noise(0, strange.shape, strange.dtype)[..., 3] == 0
    assert shown[outside].tobytes() == strange[outside].tobytes()


def _in_depth(shot: Content, depth: str) -> Content:
    return lambda time: as_depth(shot(time), depth)  # type: ignore[arg-type]


def _gradients(height: int, width: int) -> Content:
    """Smooth frames that look alike at every size."""

    def frame(time: float) -> Pixels:
        y, x = np.mgrid[0:height, 0:width]
        channels = (x * 255 / width, y * 255 / height, np.full_like(x, 25 * time), (x + y) * 255 / (height + width))
        return np.stack(channels, axis=2).astype(np.uint8)

    return frame


def _half(frame: Pixels) -> Pixels:
    return np.ascontiguousarray(frame[::2, ::2])


def _nudged(shot: Content) -> Content:
    """One sample of one pixel differs."""

    def frame(time: float) -> Pixels:
        copy = shot(time).copy()  # type: ignore[union-attr]
        copy[20, 30, 1] ^= 1
        return copy

    return frame
