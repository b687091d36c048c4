"""The names of edits and frames: known answers, and which parameters are part of them.

The fake bridge computes every name, fingerprint and print by itself and refuses a plugin that says otherwise.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hosts import link
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.ofx_host import Content
from tests.plugin.conftest import REPOSITORY, OpenHost
from tests.plugin.shots import analysed, effect_on

KNOWN = {
    "captions": "1: a red ball\n2: 50% blue", "source": "clip", "mattes": "alpha", "frames": "0-9",
    "preset": "standard", "seed": "7", "strength": "1.250",
}  # fmt: skip


def test_known_answers_are_those_of_the_document() -> None:
    image = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    edit, content = link.edit_key(KNOWN), link.fingerprint(image)
    frame = link.frame_key(edit, 3, {"source": content})
    text = (REPOSITORY / "plugin_bridge" / "LINK.md").read_text()
    answers = re.findall(r"^\| [^|]+ \| `([0-9a-fx:rgbyte]+)` \|$", text, re.MULTILINE)
    assert answers == [edit, content, frame, link.thumbprint(image)[:8]]
    assert edit == "79e2b698e58fa426765ed6970e39398a50e19ce65e2462c492f0644257932b74"


def test_the_plugin_gives_the_known_answer(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host(), seed=7, strength=1.25)
    effect.set("captions", "1: a red ball\n2: 50% blue")
    effect.press("analyse")
    assert list(bridge.edits) == ["79e2b698e58fa426765ed6970e39398a50e19ce65e2462c492f0644257932b74"]


@pytest.mark.parametrize(
    ("count", "digest"), [(0, 0xEF46DB3751D8E999), (3, 0x44BC2CF5AD770999), (1000, 0x53C289A550B16C0F)]
)
def test_xxh64_agrees_with_its_specification(count: int, digest: int) -> None:
    assert link.xxh64({0: b"", 3: b"abc", 1000: b"q" * 1000}[count]) == digest


NAMES = st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("C",)))


@given(st.dictionaries(NAMES, TEXTS))
def test_messages_survive_the_way(fields: dict[str, str]) -> None:
    fields = {**fields, "captions": "1: 100%\n2: %0A"}
    assert link.decode(link.Message("order", fields).encode()[4:]).fields == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [("captions", "1: a green ball"), ("mattes", "/m.png"), ("media", "/clip.mov"), ("frameRange", "0-8"),
     ("preset", 0), ("seed", 1), ("strength", 1.001)],
)  # fmt: skip
def test_what_changes_pixels_makes_another_edit(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, name: str, value: object
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.set(name, value)
    assert effect.status == "Not analysed: press Analyse."
    assert "Not analysed" in effect.render(2).message
    effect.press("analyse")
    assert len(bridge.edits) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("server", "farm:7433"), ("token", "/token"), ("mode", 0), ("onMiss", 1), ("strength", 1.0002)]
)
def test_what_does_not_is_the_same_edit(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, name: str, value: object
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.set(name, value)
    assert effect.status == "Done: 10 of 10 frames."
    assert effect.render(2).message == ""
    assert len(bridge.edits) == 1


def test_coming_back_to_old_parameters_finds_the_old_edit(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.set("seed", 5)
    effect.set("seed", 0)
    assert effect.status == "Done: 10 of 10 frames."
    assert effect.render(9).message == ""
