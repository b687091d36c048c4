"""Names, prints and messages: the known answers of plugin_bridge/LINK.md, and the twin in tests/hosts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.bridge.plugin import ROOT
from tests.hosts import link

from mive_bridge import messages, names, prints
from mive_bridge.images import Format, Seen
from mive_bridge.messages import Malformed, Message, Refused

KNOWN = {
    "captions": "1: a red ball\n2: 50% blue", "source": "clip", "mattes": "alpha", "frames": "0-9",
    "preset": "standard", "seed": "7", "strength": "1.250",
}  # fmt: skip

sizes = st.integers(1, 70)
images = st.one_of(
    st.tuples(sizes, sizes).flatmap(lambda shape: arrays(np.uint8, (*shape, 4))),
    st.tuples(sizes, sizes).flatmap(lambda shape: arrays(np.uint16, (*shape, 3))),
    st.tuples(sizes, sizes).flatmap(lambda shape: arrays(np.float32, shape)),
)


def test_the_known_answers_of_the_protocol() -> None:
    image = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    edit, seen = names.edit_key(KNOWN), names.fingerprint(image)
    answers = (edit, seen, names.frame_key(edit, 3, {"source": seen}), prints.thumbprint(image)[:8])
    written = Path(ROOT / "plugin_bridge" / "LINK.md").read_text()
    assert all(f"`{answer}`" in written for answer in answers)


@given(images)
def test_names_are_those_of_the_twin(image: np.ndarray) -> None:
    assert names.fingerprint(image) == link.fingerprint(image)
    assert prints.thumbprint(image) == link.thumbprint(image)
    assert Format.parse(link.format_text(image)).shape == image.shape


@given(st.dictionaries(st.from_regex(r"\A[a-z0-9_]{1,9}\Z"), st.text(st.characters(exclude_categories=["Cc", "Cs"]))))
def test_messages_are_those_of_the_twin(fields: dict[str, str]) -> None:
    data = messages.encode(Message("order", fields))
    assert data == link.Message("order", fields).encode()
    assert messages.decode(data[4:]).fields == link.decode(data[4:]).fields == fields


def test_values_may_hold_lines_and_percent_signs() -> None:
    message = Message("order", {"captions": "1: 50%\r\n2: %0A"})
    assert messages.decode(messages.encode(message)[4:]) == message


@pytest.mark.parametrize(
    "text",
    [
        "", "order", "Order\n", "order\n\n", "order\nid\n", "order\nid 1\nid 2\n", "order\nID 1\n",
        "order\na %41\n", "order\na %2\n", "order\na b\rc\n", "order\na \x1b\n", "order\na \x85\n", "\n",
    ],
)  # fmt: skip
def test_what_is_no_message(text: str) -> None:
    with pytest.raises(Malformed):
        messages.decode(text.encode())


@given(st.binary(max_size=200))
def test_garbage_is_no_message_or_one_that_can_be_said_again(data: bytes) -> None:
    try:
        message = messages.decode(data)
    except Malformed:
        return
    assert messages.decode(messages.encode(message)[4:]) == message


def test_a_text_for_the_user_is_one_line_that_fits() -> None:
    assert messages.plain("one\ntwo\t three\x07", 500) == "one two three"
    assert messages.plain("ä" * 300, 501).encode() == ("ä" * 250).encode()


@pytest.mark.parametrize(
    "text", ["", "0x4:rgba:byte", "4x2:rgba", "4x2:rgba:half", "99999x1:rgb:byte", "-4x2:rgb:byte"]
)
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(Refused):
        Format.parse(text)


def seen(image: np.ndarray) -> dict[str, Seen]:
    return {"source": Seen.parse(link.fingerprint(image), link.thumbprint(image))}


def test_proxies_and_other_depths_look_alike_and_other_pictures_do_not() -> None:
    image = np.zeros((64, 64, 4), np.uint8)
    image[8:40, 8:40] = (200, 100, 50, 255)
    deep, proxy = image.astype(np.uint16) * 257, image[::2, ::2].copy()
    other = image[::-1].copy()
    assert prints.alike(seen(image), seen(image))
    assert prints.alike(seen(image), seen(deep))
    assert prints.alike(seen(image), seen(proxy))
    assert not prints.alike(seen(image), seen(other[::2, ::2]))
    assert not prints.alike(seen(image), seen(np.maximum(image, 1))), "the same format, but other pixels"
    assert not prints.alike(seen(image), seen(deep[..., :3])), "other channels"


def test_a_grade_is_no_other_picture_but_another_picture_is() -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.random((8, 8, 3)), np.ones((8, 8, 1))).astype(np.float32)
    other = np.kron(rng.random((8, 8, 3)), np.ones((8, 8, 1))).astype(np.float32)
    graded = (0.1 + 0.6 * picture**1.4).astype(np.float32)
    black, flat = np.zeros_like(picture), np.full_like(picture, 0.3)
    look = prints.thumbprint
    assert not prints.shows_another(look(graded), look(picture))
    assert not prints.shows_another(look(black), look(flat))
    assert prints.shows_another(look(other), look(picture))
    assert prints.shows_another(look(black), look(picture))
