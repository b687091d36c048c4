"""From VIPSeg to a suite: what is asked, what waits for a person, and what a rerun does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.evaluate.dataset.conftest import ModelServer, Reply, model_server

from mive.errors import EngineError, OutputError, RequestError
from mive.evaluate.bench.results import RunFolder
from mive.evaluate.bench.suite import load_suite
from mive.evaluate.dataset.build import ANSWERS, REVIEW_FILE, BuildInfo, Outcome, Step, run_build
from mive.evaluate.dataset.models import open_asker
from mive.evaluate.dataset.review import read_review
from mive.evaluate.dataset.survey import centre
from mive.evaluate.dataset.vipseg import Vipseg
from mive.media import open_clip, open_mattes
from mive.request import FrameRange

SPLITS = ("some",)
"""Two videos that fit, and one that does not; the masks of more of them take longer to read."""


class Build:
    """One build with a server for both models."""

    def __init__(self, vipseg: Path, out: Path, server: ModelServer) -> None:
        self.vipseg, self.out, self.server = vipseg, out, server
        self.splits = SPLITS
        self.steps: list[Step] = []

    def __call__(self, models: bool = True, limit: int | None = None, seed: int = 0) -> Outcome:
        answers = self.out / ANSWERS
        vlm = open_asker("vlm", f"{self.server.url}#eyes", answers) if models else None
        llm = open_asker("llm", f"{self.server.url}#words", answers) if models else None
        info = BuildInfo(seed=seed, splits=self.splits)
        return run_build(Vipseg(self.vipseg), self.out, info, limit, vlm, llm, self.steps.append)

    @property
    def review(self) -> Path:
        return self.out / REVIEW_FILE

    def correct(self, before: str, after: str) -> None:
        text = self.review.read_text()
        assert before in text
        self.review.write_text(text.replace(before, after, 1))


@pytest.fixture
def build(vipseg: Path, tmp_path: Path, server: ModelServer) -> Build:
    return Build(vipseg, tmp_path / "suite", server)


@pytest.fixture(scope="module")
def first_build(vipseg: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A build that went well; for reading only."""
    out = tmp_path_factory.mktemp("built") / "suite"
    with model_server() as server:
        return out, Build(vipseg, out, server)()


@pytest.fixture
def built(first_build: tuple[Path, Outcome], build: Build) -> Build:
    """A copy of it to go on with."""
    shutil.copytree(first_build[0], build.out)
    return build


def test_a_suite_that_the_benchmark_reads(first_build: tuple[Path, Outcome]) -> None:
    out, outcome = first_build
    assert outcome.written == ["1_kitchen", "2_yard"]
    assert (outcome.videos, outcome.chosen, sum(outcome.left_out.values())) == (3, 2, 1)
    assert (outcome.waiting, outcome.reviewed) == ([], 0)
    suite = load_suite(out)
    clip = suite.clips[0]
    assert clip.source_caption == "a ball and a bottle or cup and a bottle or cup and a grass in a picture"
    assert [one.source_caption for one in clip.instances] == ["a ball", "a bottle or cup", "a bottle or cup"]
    assert len({one.caption for one in clip.instances}) == 3
    assert [one.caption for one in clip.about.instances if one.class_name == "grass"] == [""]
    assert "0 of 2 clips were reviewed" in suite.about.description


def test_pixels_and_mattes_are_the_centre(first_build: tuple[Path, Outcome], vipseg: Path) -> None:
    clip = load_suite(first_build[0]).clips[1]
    source = open_clip(clip.source)
    assert (source.info.width, source.info.height, source.info.frames, source.info.rate) == (512, 512, 13, 5)
    video = Vipseg(vipseg).video("2_yard")
    frames = list(source.read())
    assert np.array_equal(frames[4], centre(video.image(4)))
    layers = open_mattes(str(clip.mattes), clip.instances, source.info, FrameRange(0, 12)).read(4)
    mask = centre(video.mask(4))
    for layer, value in zip(layers, (7500, 7700), strict=True):
        assert layer.any()
        assert np.array_equal(layer == 1, mask == value)


def test_every_frame_is_described_and_the_fullest_is_summarised(build: Build, server: ModelServer) -> None:
    described = 0

    def says(question: str, answer: str) -> str:
        nonlocal described
        if question.startswith("Describe"):
            described += 1
            return "the fullest [1] [2]" if described == 5 else answer.replace("[2]", "")
        return answer

    server.says = says
    build.splits = ("yard",)
    build()
    assert described == 13
    asked = [body["messages"][0]["content"] for body in server.requests if body["model"] == "words"]
    assert "Description: the fullest [1] [2]\n" in asked[0]


def test_a_rerun_asks_nothing_and_changes_nothing(built: Build, server: ModelServer) -> None:
    files = {path: path.stat().st_mtime_ns for path in built.out.rglob("source.mkv")}
    review = built.review.read_bytes()
    assert built().written == ["1_kitchen", "2_yard"]
    assert built.review.read_bytes() == review
    assert {path: path.stat().st_mtime_ns for path in files} == files
    built.review.unlink()
    built()
    assert server.requests == [], "the answers are kept apart from the review"
    assert built.review.read_bytes() == review


def test_what_the_model_cannot_do_waits_for_a_person(build: Build, server: ModelServer) -> None:
    server.says = lambda question, answer: answer.replace("</1>", "") if question.startswith("Summ") else answer
    build.splits = ("yard",)
    outcome = build()
    assert outcome.written == []
    assert not (build.out / "suite.json").exists()
    row = read_review(build.review)[0]
    assert row.text == "A picture of a ball [1] and a box [2] and a grass [3]."
    assert "no summary with all tags" in row.note
    build.correct(row.text, "<1>A football</1> lies beside <2>a crate</2>.")
    outcome = build()
    assert outcome.written == ["2_yard"], "targets are proposed for what the person wrote"
    clip = load_suite(build.out).clips[0]
    assert [one.source_caption for one in clip.instances] == ["A football", "a crate"]
    assert clip.instances[1].caption.endswith(" crate")


def test_candidates_that_do_not_come_are_a_persons(build: Build, server: ModelServer) -> None:
    server.says = lambda question, answer: "I cannot." if 'object "a box"' in question else answer
    build.splits = ("yard",)
    outcome = build()
    [problem] = outcome.waiting
    assert (problem.clip, problem.instance, problem.what) == ("2_yard", "2", "there is no target")
    line = build.review.read_text().splitlines()[problem.line - 1]
    assert "no candidates: it is no JSON object" in line
    build.correct(line, "2_yard\t2\tbox\ta gift")
    build.correct("2_yard\tcaption\t\t", "2_yard\tcaption\t\tThere is ")
    outcome = build(models=False)
    assert outcome.written == ["2_yard"]
    clip = load_suite(build.out).clips[0]
    assert clip.instances[1].caption == "a gift"
    assert clip.source_caption.startswith("There is ")


def test_what_a_person_writes_while_models_think_stays(build: Build, server: ModelServer) -> None:
    def says(question: str, answer: str) -> str:
        if question.startswith("Summ"):
            build.correct("2_yard\tcaption\t\t", "2_yard\tcaption\t\t<1>a ball</1> on <2>a box</2>")
        return answer

    build.splits = ("yard",)
    build(models=False)
    server.says = says
    assert {problem.what for problem in build().waiting} == {"there is no target"}
    assert build().written == ["2_yard"]
    assert load_suite(build.out).clips[0].source_caption == "a ball on a box"


def test_a_clip_that_is_dropped_leaves_the_suite(built: Build) -> None:
    built.correct("a picture\t\t", "a picture\tdrop\t")
    outcome = built()
    assert (outcome.dropped, outcome.written) == (["1_kitchen"], ["2_yard"])
    built.correct("a picture\t\t", "a picture\tok\t")
    assert built().reviewed == 1
    suite = load_suite(built.out)
    assert [clip.name for clip in suite.clips] == ["2_yard"]
    assert "1 of 1 clips were reviewed" in suite.about.description


def test_an_instance_that_the_clip_does_not_have(built: Build) -> None:
    built.review.write_text(built.review.read_text() + "2_yard\t9\tcat\t-\n")
    outcome = built()
    assert [str(problem) for problem in outcome.waiting] == [
        f"line {len(built.review.read_text().splitlines())}: 2_yard, instance 9: the mattes have no such instance. "
        "Remove the row; the clip has 1, 2, 3."
    ]


def test_without_models_a_person_fills_all_blanks(build: Build) -> None:
    outcome = build(models=False)
    assert outcome.written == []
    assert {"there is no caption", "there is no target"} == {problem.what for problem in outcome.waiting}
    build.correct("2_yard\tcaption\t\t", "2_yard\tcaption\t\t<1>a ball</1> and <2>a box</2>")
    build.correct("2_yard\t1\tball\t", "2_yard\t1\tball\ta plum")
    build.correct("2_yard\t2\tbox\t", "2_yard\t2\tbox\t-")
    assert build(models=False).written == ["2_yard"]
    assert [one.caption for one in load_suite(build.out).clips[0].instances] == ["a plum"]


def test_a_build_goes_on_where_the_server_went_away(build: Build, server: ModelServer) -> None:
    served = 0

    def says(question: str, answer: str) -> str:
        nonlocal served
        served += 1
        if served == 20:
            server.first = [Reply(429, b"quota used up", {"Retry-After": "86400"})]
        return answer

    server.says = says
    with pytest.raises(EngineError, match="quota used up"):
        build()
    assert (build.out / "1_kitchen" / "clip.json").exists()
    asked = len(server.requests)
    assert build().written == ["1_kitchen", "2_yard"]
    questions = 12 + 13 + 2 + 4  # the two cups are called the same, so that they are one question
    assert asked < len(server.requests) == questions + 1, "only the one that failed was asked twice"


def test_an_interrupted_build_leaves_nothing_half_done(
    build: Build, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: Step) -> None:
        build.steps.append(step)
        if step.name == "1_kitchen" and step.stage == "clip":
            raise KeyboardInterrupt

    answers = build.out / ANSWERS
    vlm, llm = (open_asker(role, f"{server.url}#{role}", answers) for role in ("vlm", "llm"))
    with pytest.raises(KeyboardInterrupt):
        run_build(Vipseg(build.vipseg), build.out, BuildInfo(seed=0, splits=SPLITS), None, vlm, llm, stop)
    assert {row.clip for row in read_review(build.review)} == {"1_kitchen"}
    assert not list(build.out.rglob("*.partial"))
    assert build().written == ["1_kitchen", "2_yard"]


def test_a_limit_draws_clips_and_a_higher_one_adds_to_them(build: Build) -> None:
    first = build(models=False, limit=1)
    assert (first.chosen, first.left_out["beyond the limit"]) == (1, 1)
    drawn = {row.clip for row in read_review(build.review)}
    build(models=False, limit=2)
    assert drawn < {row.clip for row in read_review(build.review)}


def test_a_folder_is_one_seed(build: Build) -> None:
    build(models=False)
    with pytest.raises(RequestError, match="begun with another seed: 0"):
        build(models=False, seed=1)


def test_two_builds_do_not_work_on_one_folder(build: Build) -> None:
    with RunFolder(build.out / "build").claim("build"), pytest.raises(OutputError, match="another build"):
        build(models=False)


def test_broken_videos_are_left_out_and_told(vipseg: Path, build: Build, tmp_path: Path) -> None:
    root = tmp_path / "VIPSeg"
    shutil.copytree(vipseg, root)
    build.vipseg = root
    (root / "panomasks" / "1_kitchen" / "00000013.png").write_bytes(b"not a picture")
    (root / "imgs" / "2_yard" / "00000013.jpg").write_bytes(b"not a picture")
    outcome = build()
    assert list(outcome.unreadable) == ["1_kitchen"]
    assert "00000013.png" in outcome.unreadable["1_kitchen"]
    [problem] = outcome.waiting
    assert problem.clip == "2_yard"
    assert "00000013.jpg" in problem.what
    shutil.copy(vipseg / "imgs" / "2_yard" / "00000013.jpg", root / "imgs" / "2_yard")
    assert build().written == ["2_yard"]


def test_another_seed_draws_other_targets(built: Build, vipseg: Path, tmp_path: Path) -> None:
    other = Build(vipseg, tmp_path / "other", built.server)
    shutil.copytree(built.out / ANSWERS, other.out / ANSWERS)
    other.splits = ("yard",)
    other(seed=1)
    first, second = ([row.text for row in read_review(one.review) if row.clip == "2_yard"] for one in (built, other))
    assert first != second
    assert built.server.requests == []
