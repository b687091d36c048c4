"""The eight scores, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.evaluate.metrics import scores

X, Y, Z = np.eye(3, dtype=np.float32)
EVERYWHERE = np.ones((1, 3), dtype=bool)


def at(degrees: float) -> np.ndarray[Any, Any]:
    """The unit vector in the plane of X and Y at an angle from X."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0], np.float32)


def test_gtc_is_the_mean_cosine_of_consecutive_frames() -> None:
    frames = np.stack([at(0), at(60), at(60)])
    assert scores.gtc(frames) == pytest.approx((0.5 + 1) / 2)
    assert scores.gtc(frames[:1]) is None


def test_gtf_is_the_mean_cosine_to_the_caption() -> None:
    assert scores.gtf(np.stack([at(0), at(60), at(90)]), at(0)) == pytest.approx(0.5)


def test_fa_counts_frames_that_are_strictly_more_like_the_target() -> None:
    frames = np.stack([at(10), at(80), at(45), at(0)])
    assert scores.fa(frames, target=X, source=Y) == 0.5
    assert scores.fa(frames, target=X, source=X) == 0


def test_ltc_leaves_out_pairs_with_an_absent_instance() -> None:
    crops = np.stack([[X, X], [X, Y], [X, X], [at(60), X]])
    present = np.array([[1, 1], [1, 0], [1, 1], [1, 1]], dtype=bool)
    score, by_instance = scores.ltc(crops, present)
    assert by_instance == pytest.approx(((1 + 1 + 0.5) / 3, 1))
    assert score == pytest.approx((2.5 / 3 + 1) / 2)


def test_ltc_of_an_instance_never_seen_twice_in_a_row_is_missing() -> None:
    present = np.array([[1, 1], [0, 1], [1, 1]], dtype=bool)
    assert scores.ltc(np.stack([[X, Y]] * 3), present) == (1, (None, 1))


def test_ltf_is_a_mean_over_frames_then_over_instances() -> None:
    crops = np.stack([[X, Y], [at(60), Z], [at(60), Z]])
    present = np.array([[1, 1], [1, 0], [1, 0]], dtype=bool)
    score, by_instance = scores.ltf(crops, present, np.stack([X, Y]))
    assert by_instance == pytest.approx((2 / 3, 1))
    assert score == pytest.approx(5 / 6)


def test_ia_is_the_share_of_visible_instances_averaged_over_frames() -> None:
    targets, sources = np.stack([X, X]), np.stack([Y, Y])
    crops = np.stack([[X, Y], [X, X], [Y, Y]])
    present = np.array([[1, 1], [1, 0], [0, 0]], dtype=bool)
    assert scores.ia(crops, present, targets, sources) == (0.75, (1, 0))
    assert scores.ia(crops, present, targets, targets).score == 0, "as much alike is not more"


def test_cia_of_a_leak_is_what_equation_8_gives() -> None:
    # Rows: instance 1 is right, 2 looks like 3, 3 is right. S = [[1, 0, 0], [0, 0, 1], [0, 0, 1]].
    crops = np.stack([X, 0.6 * Y + 0.8 * Z, Z])[None]
    score, by_instance = scores.cia(crops, EVERYWHERE, np.stack([X, Y, Z]))
    assert score == pytest.approx(2 / 3)
    assert by_instance == (1, 0, 1)


def test_cia_is_one_for_a_perfect_edit_and_zero_for_a_swapped_one() -> None:
    captions = np.stack([X, Y, Z])
    assert scores.cia(captions[None], EVERYWHERE, captions).score == 1
    assert scores.cia(captions[None, [1, 2, 0]], EVERYWHERE, captions).score == 0


def test_cia_takes_each_frame_by_itself() -> None:
    captions = np.stack([X, Y])
    crops = np.stack([[X, Y], [Y, X], [X, X]])
    score, by_instance = scores.cia(crops, np.ones((3, 2), bool), captions)
    assert score == pytest.approx((1 + 0 + 0.5) / 3)
    assert by_instance == pytest.approx((2 / 3, 1 / 3))


def test_cia_counts_leaks_from_an_instance_out_of_sight() -> None:
    crops, present = np.stack([[Y, Z]]), np.array([[True, False]])
    assert scores.cia(crops, present, np.stack([X, Y])) == (0, (0, None))


def test_cia_does_not_hold_a_shared_caption_against_anyone() -> None:
    crops = np.stack([[at(20), at(30), Z]])
    assert scores.cia(crops, EVERYWHERE, np.stack([X, X, Z])).score == 1


def test_nothing_visible_means_no_local_scores() -> None:
    crops, present, captions = np.zeros((2, 2, 3), "f4"), np.zeros((2, 2), bool), np.stack([X, Y])
    assert scores.ltf(crops, present, captions) == (None, (None, None))
    assert scores.cia(crops, present, captions) == (None, (None, None))


def test_bp_is_the_mean_distance_of_background_pixels_only() -> None:
    source = np.zeros((2, 2, 3), np.uint8)
    edited = source.copy()
    edited[0, 0] = 255
    edited[1, 1] = (3, 0, 0)
    background = np.array([[False, True], [True, True]])
    assert scores.bp(source, edited, background) == pytest.approx(1 / 3)
    assert scores.bp(edited, source, background) == scores.bp(source, edited, background)
    assert scores.bp(source, edited, np.zeros((2, 2), bool)) is None


@pytest.mark.parametrize(("dtype", "white"), [("u1", 255), ("u2", 65535), ("f4", 1)])
def test_bp_counts_in_8_bit_codes_whatever_the_type(dtype: str, white: int) -> None:
    everywhere = np.ones((4, 4), bool)
    black = np.zeros((4, 4, 3), np.uint8)
    assert scores.bp(np.full((4, 4, 3), white, dtype), black, everywhere) == pytest.approx(255)


def test_bp_of_an_untouched_background_is_exactly_zero() -> None:
    frame = np.random.default_rng(0).integers(0, 65535, (9, 9, 3), np.uint16)
    assert scores.bp(frame, frame.copy(), np.ones((9, 9), bool)) == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.data())
def test_order_of_frames_and_instances_is_irrelevant(
    seed: int, frames: int, instances: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)

    def vectors(*shape: int) -> np.ndarray[Any, Any]:
        drawn = random.normal(size=(*shape, 4))
        return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float32)

    crops, captions, sources = vectors(frames, instances), vectors(instances), vectors(instances)
    whole, present = vectors(frames), random.random((frames, instances)) < 0.7
    f = data.draw(st.permutations(range(frames)))
    i = data.draw(st.permutations(range(instances)))
    there, moved = present, present[f][:, i]
    shuffled = crops[f][:, i]
    assert scores.gtf(whole[f], captions[0]) == scores.gtf(whole, captions[0])
    assert scores.gtc(whole[::-1]) == scores.gtc(whole)
    pairs = [
        (scores.ltc(crops[:, i], there[:, i]), scores.ltc(crops, there)),
        (scores.ltc(crops[::-1], there[::-1])[:1] * 2, scores.ltc(crops, there)[:1] * 2),
        (scores.ltf(shuffled, moved, captions[i]), scores.ltf(crops, there, captions)),
        (scores.cia(shuffled, moved, captions[i]), scores.cia(crops, there, captions)),
        (
            scores.ia(shuffled, moved, captions[i], sources[i]),
            scores.ia(crops, there, captions, sources),
        ),
    ]
    for ours, theirs in pairs:
        assert ours[0] == theirs[0]
