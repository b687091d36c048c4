"""Runs: what they score, how they go on, and what stops them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluate.bench.conftest import AFTER, BEFORE, Array, ColourJudge, Painter, with_ideals, write_squares

from mive.errors import BundleError, RequestError
from mive.evaluate.bench.results import Result, RunFolder, RunInfo
from mive.evaluate.bench.runner import Told, run_suite
from mive.evaluate.bench.suite import Suite, load_suite
from mive.request import Settings


def run(suite: Suite, folder: RunFolder, *makers: Painter) -> list[Told]:
    return list(run_suite(suite.clips, makers, folder, ColourJudge(), pause=0.01))


def scores(told: list[Told], clip: str) -> dict[str, Any]:
    (found,) = (one.result.scores for one in told if one.result.clip == clip)
    assert found is not None
    return found


def test_a_perfect_edit_scores_one_and_a_swapped_one_zero(squares: Suite, tmp_path: Path) -> None:
    told = run(squares, RunFolder(tmp_path / "a"), Painter("perfect", AFTER))
    for clip in squares.clips:
        good = scores(told, clip.name)
        assert (good["ia"], good["cia"], good["bp"]) == (1, 1, 0)
        assert good["ltf"] == pytest.approx(1)
    swapped = run(squares, RunFolder(tmp_path / "b"), Painter("swapped", ("blue", "green")))
    assert (scores(swapped, "two")["cia"], scores(swapped, "two")["ia"]) == (0, 0)


def test_the_cia_of_a_leak_is_equation_8s(squares: Suite, tmp_path: Path) -> None:
    # Captions green, blue, red; the third took the first's green: S = [[1,0,0],[0,1,0],[1,0,0]], diagonal 1, 1, 0.
    told = run(squares, RunFolder(tmp_path / "out"), Painter("leaky", ("green", "blue", "green")))
    assert scores(told, "three")["cia"] == pytest.approx(2 / 3)


def test_the_order_of_instances_changes_nothing(squares: Suite, tmp_path: Path) -> None:
    colours = ("green", "red", "red")
    before = scores(run(squares, RunFolder(tmp_path / "a"), Painter("p", colours)), "three")
    path = squares.folder / "three" / "clip.json"
    about = json.loads(path.read_text())
    about["instances"] = about["instances"][::-1]
    path.write_text(json.dumps(about))
    turned = load_suite(squares.folder)
    after = scores(run(turned, RunFolder(tmp_path / "b"), Painter("p", colours[::-1])), "three")
    for name in ("gtc", "gtf", "fa", "ltc", "ltf", "ia", "cia", "bp"):
        assert before[name] == after[name]


def test_the_global_captions_are_the_suites(squares: Suite, tmp_path: Path) -> None:
    found = scores(run(squares, RunFolder(tmp_path / "out"), Painter("p", AFTER)), "two")
    assert found["global_caption"] == squares.clips[2].target_caption
    assert found["global_source_caption"] == squares.clips[2].source_caption


def test_an_edit_is_held_against_the_ideal(squares: Suite, tmp_path: Path) -> None:
    suite, folder = with_ideals(squares), RunFolder(tmp_path / "out")
    perfect, untouched = run(suite, folder, Painter("perfect", AFTER)), run(suite, folder, Painter("not", BEFORE))
    best, worst = (scores(told, "two")["ideal"] for told in (perfect, untouched))
    assert (best["psnr"], best["delta_e"], best["ssim"]) == (100, 0, pytest.approx(1))
    # Red for green and green for blue: two of three channels are as wrong as can be.
    assert worst["psnr"] == pytest.approx(1.76, abs=0.01)
    assert best["share"] is best["ceiling"]["psnr"] is None, "no VAE was given"
    assert [row["ideal"]["psnr"] for row in scores(perfect, "two")["instances"]] == [100, 100]


def test_the_ceiling_of_a_clip_is_measured_once_for_all_methods(squares: Suite, tmp_path: Path) -> None:
    seen = []

    class Dimmed:
        """In place of a VAE: a round trip that costs a tenth of the light."""

        def frames(self, frames: Iterable[Array]) -> Iterator[Array]:
            for frame in frames:
                seen.append(frame.shape)
                yield frame * np.float32(0.9 / 255)

    suite, painters = with_ideals(squares), [Painter("perfect", AFTER), Painter("not", BEFORE)]
    told = list(
        run_suite(suite.clips, painters, RunFolder(tmp_path), ColourJudge(), round_trip=Dimmed())  # type: ignore[arg-type]
    )
    assert len(seen) == sum(3 for _ in suite.clips)
    for one in told:
        assert one.result.scores is not None
        ideal = one.result.scores["ideal"]
        # A channel of three is a tenth too dark: 10 log10(3 / 0.01).
        assert ideal["ceiling"]["psnr"] == pytest.approx(24.77, abs=0.01)
        assert ideal["share"] == pytest.approx(ideal["psnr"] / 24.77, rel=1e-3)


def test_a_clip_whose_ideal_comes_later_is_scored_again(squares: Suite, tmp_path: Path) -> None:
    folder, painter = RunFolder(tmp_path / "out"), Painter("p", AFTER)
    assert scores(run(squares, folder, painter), "two")["ideal"] is None
    assert scores(run(with_ideals(squares), folder, painter), "two")["ideal"]["psnr"] == 100


def test_what_is_done_is_not_done_again(squares: Suite, tmp_path: Path) -> None:
    folder, painter = RunFolder(tmp_path / "out"), Painter("p", AFTER)
    first = run(squares, folder, painter)
    assert [told.fresh for told in first] == [True] * 3
    again = run(squares, folder, painter)
    assert [told.fresh for told in again] == [False] * 3
    assert [told.result.to_json() for told in again] == [told.result.to_json() for told in first]
    assert [(told.done, told.total) for told in again] == [(1, 3), (2, 3), (3, 3)]
    assert painter.made == ["one", "three", "two"]


def test_whatever_decides_a_result_makes_a_new_one(squares: Suite, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    run(squares, folder, Painter("p", AFTER))
    other = Painter("p", BEFORE)
    run(squares, folder, other)
    assert len(other.made) == 3
    path = squares.folder / "two" / "clip.json"
    path.write_text(path.read_text().replace("a blue square", "a red square"))
    run(load_suite(squares.folder), folder, other)
    assert other.made[3:] == ["two"]
    folder.video("p", "one").unlink()
    run(load_suite(squares.folder), folder, other)
    assert other.made[4:] == ["one"]


def test_a_failing_clip_is_kept_with_its_error_and_tried_again_by_the_next_run(squares: Suite, tmp_path: Path) -> None:
    folder, painter = RunFolder(tmp_path / "out"), Painter("p", AFTER, fails=["three"])
    told = run(squares, folder, painter)
    failed = folder.load("p", squares.clips[1])
    assert failed is not None
    assert failed.error is not None
    assert "ZeroDivisionError: no paint" in failed.error["what"]
    assert "Traceback" in failed.error["traceback"]
    assert [one.result.scores is None for one in told] == [False, True, False]
    painter.fails = ()
    assert [one.result.error for one in run(squares, folder, painter)] == [None] * 3
    assert painter.made == ["one", "three", "two", "three"]


def test_mattes_that_cannot_be_read_fail_their_clip_only(squares: Suite, tmp_path: Path) -> None:
    (squares.folder / "three" / "mattes" / "0001.png").unlink()
    told = run(squares, RunFolder(tmp_path / "out"), Painter("p", AFTER))
    errors = {one.result.clip: one.result.error for one in told}
    assert errors["one"] is errors["two"] is None
    assert errors["three"] is not None
    assert "the frames 1 of the clip have none" in errors["three"]["what"]


def test_a_model_that_cannot_be_used_stops_the_run(squares: Suite, tmp_path: Path) -> None:
    painter = Painter("p", AFTER)

    def fail(*arguments: object) -> None:
        raise BundleError("no such model")

    painter.make = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(BundleError):
        run(squares, RunFolder(tmp_path / "out"), painter)


def test_a_stopped_run_leaves_whole_results_and_goes_on(squares: Suite, tmp_path: Path) -> None:
    folder, painter = RunFolder(tmp_path / "out"), Painter("p", AFTER)
    make = painter.make

    def stop(*arguments: object) -> object:
        if len(painter.made) == 1:
            raise KeyboardInterrupt
        return make(*arguments)  # type: ignore[arg-type]

    painter.make = stop  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(squares, folder, painter)
    assert [folder.load("p", clip) is not None for clip in squares.clips] == [True, False, False]
    painter.make = make  # type: ignore[method-assign]
    assert [told.fresh for told in run(squares, folder, painter)] == [False, True, True]


def test_a_clip_that_another_process_works_on_comes_last(squares: Suite, tmp_path: Path) -> None:
    folder, painter = RunFolder(tmp_path / "out"), Painter("p", AFTER)
    with folder.claim("one") as mine:
        assert mine
        told: list[Told] = []
        thread = threading.Thread(target=lambda: told.extend(run(squares, folder, painter)))
        thread.start()
        while len(painter.made) < 2:
            thread.join(0.01)
        with folder.claim("one") as second:
            assert not second
        assert painter.made == ["three", "two"]
    thread.join()
    assert [one.result.clip for one in told] == ["three", "two", "one"]


def test_two_runs_at_once_share_the_work(tmp_path: Path) -> None:
    suite, folder = write_squares(tmp_path / "suite"), RunFolder(tmp_path / "out")
    painters = [Painter("p", AFTER), Painter("p", AFTER)]
    threads = [threading.Thread(target=run, args=(suite, folder, painter)) for painter in painters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(painters[0].made + painters[1].made) == ["one", "three", "two"]


def test_one_folder_holds_one_kind_of_results(squares: Suite, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    info = RunInfo(suite=str(squares.folder), bundle="tiny", judge="tiny", settings=Settings(preset="draft"))
    folder.start(info)
    moved = info.model_copy(update={"suite": "/elsewhere"})
    folder.start(moved)
    assert folder.info() == moved
    with pytest.raises(RequestError, match="another judge: tiny"):
        folder.start(info.model_copy(update={"judge": "big"}))
    with pytest.raises(RequestError, match="another settings"):
        folder.start(info.model_copy(update={"settings": Settings()}))


def test_results_are_json(squares: Suite, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    one_frame = write_squares(tmp_path / "short", frames=1)
    (told, *_) = run(one_frame, folder, Painter("p", AFTER))
    text = (tmp_path / "out" / "results" / "p" / "one.json").read_text()
    assert Result.from_json(text).to_json() == told.result.to_json()
    written = json.loads(text)
    assert written["seconds"]["sampling"] == 3
    assert (written["scores"]["gtc"], written["scores"]["cia"]) == (None, 1)
