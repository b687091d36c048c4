"""Captions are one `id: caption` a line, and nothing else."""

from __future__ import annotations

import pytest
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.ofx_host import Content
from tests.plugin.conftest import OpenHost
from tests.plugin.shots import effect_on


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1: a red ball", "1: a red ball"),
        ("  2 :  a blue cube \r\n\n 1: 50% glass: clear\n", "2: a blue cube\n1: 50% glass: clear"),
        ("65535: ein grüner Würfel 緑", "65535: ein grüner Würfel 緑"),
    ],
)
def test_captions_go_to_the_bridge_in_order_and_without_blanks(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, text: str, kept: str
) -> None:
    effect = effect_on(footage, open_host())
    effect.set("captions", text)
    effect.press("analyse")
    assert bridge.edit.fields["captions"] == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "captions: there are none."),
        (" \n\n", "captions: there are none."),
        ("a red ball", "captions, line 1: there is no colon."),
        ("1: a red ball\na blue cube", "captions, line 2: there is no colon."),
        ("0: x", 'captions, line 1: "0" is no id from 1 to 65535.'),
        ("-1: x", '"-1" is no id'),
        ("1.5: x", '"1.5" is no id'),
        ("01: x", '"01" is no id'),
        ("65536: x", '"65536" is no id'),
        ("99999999999999999999: x", "is no id"),
        (": x", '"" is no id'),
        ("1:", "captions, line 1: instance 1 has no caption."),
        ("1: x\n1: y", "captions, line 2: instance 1 has a caption already."),
        ("1: x\ty\x07", "captions, line 1: the caption holds control characters"),
        ("1: " + "x" * 401, "the caption has 401 bytes. Expected at most 400."),
        ("\n".join(f"{i}: x" for i in range(1, 66)), "there are 65 instances. Expected at most 64."),
    ],
)
def test_what_is_wrong_stands_in_the_status_line_and_on_the_picture(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, text: str, said: str
) -> None:
    effect = effect_on(footage, open_host())
    effect.set("captions", text)
    assert said in effect.status
    effect.press("analyse")
    assert said in effect.status
    shown = effect.render(0)
    assert shown.status == 0
    assert said in shown.message
    assert bridge.edits == {}


def test_a_correction_clears_the_status(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host())
    effect.set("captions", "1 a red ball")
    effect.set("captions", "1: a red ball")
    assert effect.status == "Not analysed: press Analyse."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("frameRange", "9-0", 'frameRange: "9-0". Expected first-last, such as 0-99.'),
        ("frameRange", "0-9-12", "Expected first-last"),
        ("frameRange", "a-b", "Expected first-last"),
        ("frameRange", "99999999999", "Expected first-last"),
        ("media", "clip\x01.mov", "media: the path holds control characters"),
        ("mattes", "m\x7f", "mattes: the path holds control characters"),
        ("seed", -1, "seed: it is negative."),
        ("strength", float("nan"), "strength: it is out of range."),
        ("strength", 1e300, "strength: it is out of range."),
    ],
)
def test_other_parameters_are_checked_too(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, name: str, value: object, said: str
) -> None:
    effect = effect_on(footage, open_host())
    effect.set(name, value)
    assert said in effect.status
    assert said in effect.render(0).message


def test_a_clip_of_unknown_length_needs_a_frame_range(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = effect_on(footage, open_host(clip_range=None, missing=("OfxTimeLineSuite",)))
    effect.press("analyse")
    assert effect.status.startswith("frameRange: the host does not say which frames the clip has.")
    effect.set("frameRange", "3")
    effect.press("analyse")
    assert bridge.edit.fields["frames"] == "3-3"
