"""Whole clips through a scorer that knows colours only."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mive.errors import EngineError, MatteError, MediaError, RequestError
from mive.evaluate.metrics.report import Scores, score_clip, size_class
from mive.media.mattes import Mattes
from mive.request import FrameRange

Array = np.ndarray[Any, Any]

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
SIDE = 40
LEFT, RIGHT = np.zeros((2, SIDE, 2 * SIDE), dtype=np.float32)
LEFT[10:30, 10:30] = 1
RIGHT[5:35, 45:75] = 1
MATTES = np.stack([LEFT, RIGHT])


def frame(left: tuple[int, ...], right: tuple[int, ...], mattes: Array = MATTES) -> Array:
    """A grey frame with a square of 20 and one of 30 pixels."""
    picture = np.full((SIDE, 2 * SIDE, 3), GREY, dtype=np.uint8)
    for colour, matte in zip((left, right), mattes, strict=True):
        picture[matte > 0] = colour
    return picture


def score(edited: list[Array], embedder: Any, **changes: Any) -> Scores:
    """Red and green squares that should have become blue and red."""
    arguments: dict[str, Any] = {
        "source_frames": [frame(RED, GREEN)] * len(edited),
        "mattes": [MATTES] * len(edited),
        "captions": ["blue", "red"],
        "source_captions": ["red", "green"],
        "global_caption": "",
        "global_source_caption": "",
    } | changes
    return score_clip(edited_frames=edited, embedder=embedder, **arguments)


def test_a_perfect_edit_scores_one(embedder: Any) -> None:
    result = score([frame(BLUE, RED)] * 3, embedder)
    assert (result.ltf, result.ltc, result.gtc) == pytest.approx((1, 1, 1))
    assert (result.ia, result.cia, result.fa, result.bp) == (1, 1, 1, 0)
    assert [row.leak for row in result.instances] == [0, 0]
    assert result.global_caption == "blue and red"
    assert result.global_source_caption == "red and green"
    assert result.notes == ()
    assert not result.cia_trivial


def test_a_swapped_edit_scores_zero(embedder: Any) -> None:
    result = score([frame(RED, BLUE)] * 3, embedder, source_captions=["red", "blue"])
    assert (result.ltf, result.ia, result.cia, result.bp) == (0, 0, 0, 0)
    assert [row.leak for row in result.instances] == [1, 1]


def test_an_instance_that_took_the_other_caption_shows_in_its_row(embedder: Any) -> None:
    result = score([frame(BLUE, BLUE), frame(BLUE, RED)], embedder)
    assert result.cia == 0.75
    assert [(row.id, row.cia, row.leak) for row in result.instances] == [(1, 1, 0), (2, 0.5, 0.5)]


def test_every_crop_is_a_square_and_the_frame_goes_in_whole(embedder: Any) -> None:
    score([frame(BLUE, RED)], embedder)
    assert embedder.seen == [(SIDE, 2 * SIDE, 3), (20, 20, 3), (30, 30, 3)]


def test_background_damage_is_measured_outside_all_mattes_only(embedder: Any) -> None:
    damaged = frame(BLUE, RED)
    background = ~MATTES.any(axis=0)
    damaged[background] += 10
    assert score([damaged, frame(BLUE, RED)], embedder).bp == 5


def test_soft_edges_are_not_background(embedder: Any) -> None:
    soft = np.maximum(MATTES, np.float32(0.01))
    result = score([frame(GREEN, GREEN)], embedder, mattes=[soft])
    assert result.bp is None
    assert "BP is missing" in " ".join(result.notes)


def test_instances_without_a_source_caption_do_not_count_in_ia(embedder: Any) -> None:
    half = score([frame(BLUE, GREEN)] * 2, embedder, source_captions=["red", ""])
    assert (half.ia, half.fa) == (1, None)
    assert [row.ia for row in half.instances] == [1, None]
    assert [note.split(":")[0] for note in half.notes] == [
        "The frame has no source caption, or it equals the caption",
        "Instance 2 has no source caption of its own",
    ]
    none = score([frame(BLUE, RED)], embedder, source_captions=())
    assert (none.ia, none.fa, none.cia) == (None, None, 1)


def test_an_instance_that_should_stay_as_it_is_cannot_be_judged_by_ia(embedder: Any) -> None:
    assert score([frame(RED, RED)], embedder, captions=["red", "red"]).instances[0].ia is None


def test_global_captions_given_are_the_ones_used(embedder: Any) -> None:
    captions = {"global_caption": "grey", "global_source_caption": "green"}
    result = score([frame(BLUE, RED)], embedder, source_captions=(), **captions)
    assert result.fa == 1
    assert result.global_caption == "grey"
    mean = frame(BLUE, RED).mean(axis=(0, 1))
    assert result.gtf == pytest.approx(mean.sum() / np.linalg.norm(mean) / 3**0.5)


def test_one_instance_has_a_trivial_cia_and_says_so(embedder: Any) -> None:
    alone = {"mattes": [MATTES[:1]], "captions": ["blue"], "source_captions": ["red"]}
    result = score([frame(RED, GREEN)], embedder, **alone)
    assert (result.cia, result.cia_trivial, result.ia) == (1, True, 0)
    assert "CIA cannot be anything but 1" in " ".join(result.notes)


def test_one_frame_has_no_temporal_scores(embedder: Any) -> None:
    result = score([frame(BLUE, RED)], embedder)
    assert (result.gtc, result.ltc) == (None, None)
    assert result.cia == 1


def test_an_instance_that_leaves_counts_while_it_is_there(embedder: Any) -> None:
    gone = np.stack([LEFT, np.zeros_like(RIGHT)])
    edited = [frame(BLUE, BLUE), frame(BLUE, GREY, gone)]
    result = score(edited, embedder, mattes=[MATTES, gone], source_frames=edited)
    assert [row.frames for row in result.instances] == [2, 1]
    assert [row.area for row in result.instances] == [400, 900]
    assert result.cia == (0.5 + 1) / 2
    assert result.instances[1].ltc is None


def test_an_instance_never_there_has_no_scores(embedder: Any) -> None:
    gone = np.stack([LEFT, np.zeros_like(RIGHT)])
    row = score([frame(BLUE, GREY, gone)], embedder, mattes=[gone]).instances[1]
    assert (row.frames, row.area, row.size, row.ltf, row.cia, row.leak) == (0, *[None] * 5)


def test_scores_by_size_are_means_over_the_instances_of_that_size(embedder: Any) -> None:
    big = np.zeros((2, 120, 240), dtype=np.float32)
    big[0, :100, :100] = big[1, :40, 200:] = 1
    edited = np.full((120, 240, 3), GREY, dtype=np.uint8)
    edited[big[0] > 0], edited[big[1] > 0] = BLUE, GREEN
    by_size = score([edited], embedder, source_frames=[edited], mattes=[big]).by_size
    assert {size: (of.count, of.ia) for size, of in by_size.items()} == {
        "small": (0, None),
        "medium": (1, 0),
        "large": (1, 1),
    }


@pytest.mark.parametrize(
    ("area", "size"),
    [(1, "small"), (1023.5, "small"), (1024, "medium"), (9216, "medium"), (9216.5, "large")],
)
def test_size_classes_are_cocos(area: float, size: str) -> None:
    assert size_class(area) == size


def test_ten_bit_source_and_float_edit_are_compared_in_the_same_codes(embedder: Any) -> None:
    deep = [frame(RED, GREEN).astype(np.uint16) * 257]
    edited = frame(BLUE, RED).astype(np.float32) / 255
    result = score([edited], embedder, source_frames=deep)
    assert result.bp == pytest.approx(0, abs=1e-4)
    assert result.cia == 1


def test_the_mattes_of_an_edit_go_in_as_they_are(embedder: Any) -> None:
    layers = [lambda index: LEFT.copy(), lambda index: RIGHT.copy()]
    mattes = Mattes([7, 3], layers, FrameRange(4, 5), [])
    result = score([frame(BLUE, RED)] * 2, embedder, mattes=mattes, ids=mattes.ids)
    assert [row.id for row in result.instances] == [7, 3]
    assert result.cia == 1


def test_the_report_is_json(embedder: Any) -> None:
    result = score([frame(BLUE, BLUE)] * 2, embedder)
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["cia"] == 0.5
    assert data["instances"][1]["leak"] == 1
    assert data["by_size"]["small"]["count"] == 2


def test_frames_are_read_side_by_side_and_let_go(embedder: Any) -> None:
    read: list[weakref.ref[Array]] = []

    def frames() -> Iterator[Array]:
        for _ in range(12):
            fresh = frame(RED, GREEN)
            read.append(weakref.ref(fresh))
            yield fresh
            del fresh
            assert sum(reference() is not None for reference in read) <= 2, "frames pile up"

    assert score([frame(BLUE, RED)] * 12, embedder, source_frames=frames()).frames == 12
    assert len(read) == 12


@pytest.mark.parametrize(("source", "edited"), [(3, 2), (2, 4), (0, 1)])
def test_other_numbers_of_frames(source: int, edited: int, embedder: Any) -> None:
    frames = {"source_frames": [frame(RED, GREEN)] * source, "mattes": [MATTES] * source}
    with pytest.raises(MediaError, match=f"source has {source} frames, the edited clip {edited}.*--frames"):
        score([frame(BLUE, RED)] * edited, embedder, **frames)


def test_no_frames_at_all(embedder: Any) -> None:
    with pytest.raises(MediaError, match="no frames"):
        score([], embedder)


def test_another_size(embedder: Any) -> None:
    with pytest.raises(MediaError, match=r"80x40 pixels in the source, 79x40 .*Scale .* to 80x40"):
        score([frame(BLUE, RED)[:, :-1]], embedder)


@pytest.mark.parametrize(
    ("mattes", "message"),
    [
        ([MATTES], "2 frames, its mattes 1"),
        ([MATTES[:, :-1]] * 2, "80x40 pixels, its mattes 80x39"),
        ([MATTES[:1]] * 2, "1 mattes and 2 captions"),
    ],
)
def test_mattes_that_do_not_fit(mattes: list[Array], message: str, embedder: Any) -> None:
    with pytest.raises(MatteError, match=message):
        score([frame(BLUE, RED)] * 2, embedder, mattes=mattes)


def test_captions_that_do_not_pair_up(embedder: Any) -> None:
    with pytest.raises(RequestError, match="2 captions, 1 source captions and 2 instance ids"):
        score([frame(BLUE, RED)], embedder, source_captions=["red"])


def test_a_background_that_is_not_finite(embedder: Any) -> None:
    broken = frame(BLUE, RED).astype(np.float32) / 255
    broken[0, 0] = np.nan
    with pytest.raises(MediaError, match=r"Frame 0 .* not finite"):
        score([broken], embedder)


def test_embeddings_that_are_not_finite(embedder: Any) -> None:
    embedder.images = lambda images: np.full((len(images), 3), np.nan, np.float32)
    with pytest.raises(EngineError, match="embeddings of frame 0 are not finite"):
        score([frame(BLUE, RED)], embedder)


def test_a_caption_that_the_scorer_cannot_read_to_its_end_is_named(embedder: Any) -> None:
    long = "red " * 20
    result = score([frame(BLUE, RED)], embedder, global_caption=long)
    assert any("only the beginning" in note and long in note for note in result.notes)
