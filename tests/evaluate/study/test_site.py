"""A study's site: what is in it, and that nothing in it tells the methods apart."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.evaluate.study.conftest import METHODS, write_run

from mive.errors import MediaError, OutputError, RequestError
from mive.evaluate.study.answers import load_key
from mive.evaluate.study.plan import StudyKey, plan_study
from mive.evaluate.study.site import build_site, key_path
from mive.evaluate.study.videos import write_video
from mive.media import ClipInfo, open_clip, open_writer
from mive.request import FrameRange


@pytest.fixture(scope="module")
def site(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "study"
    build_site(plan_study(run, seed=1, title="Edits & <more>"), folder)
    return folder


@pytest.fixture(scope="module")
def key(site: Path) -> StudyKey:
    return load_key(key_path(site))


def test_no_byte_and_no_name_of_the_site_tells_a_method(run: Path, site: Path, key: StudyKey) -> None:
    assert set(key.methods) == set(METHODS)
    secrets = [b"quagga", b"dodo", b"MIVE, full", b"no_ipr", str(run).encode(), b"results/"]
    for path in sorted(site.rglob("*")):
        told = str(path.relative_to(site)).encode() + (path.read_bytes() if path.is_file() else b"")
        assert [secret for secret in secrets if secret.lower() in told.lower()] == [], path
    assert key_path(site).parent == site.parent, "the key lies beside the site"


def test_hidden_names_differ_everywhere_and_stand_in_no_order(run: Path) -> None:
    places = []
    for seed in range(40):
        key = plan_study(run, seed=seed, title="").key
        names = [n for clip in key.clips for n in (clip.id, clip.source, clip.mattes, *clip.videos)]
        assert len(set(names)) == len(names)
        assert all(list(clip.videos) == sorted(clip.videos) for clip in key.clips)
        places += [list(clip.videos.values()).index("full") for clip in key.clips]
    assert {places.count(place) > 15 for place in range(3)} == {True}, "of 80 draws, each place about 27 times"


def test_a_seed_draws_the_same_names_and_another_draws_others(run: Path, key: StudyKey) -> None:
    assert plan_study(run, seed=1, title="Edits & <more>").key == key
    other = plan_study(run, seed=2, title="Edits & <more>").key
    assert other.study != key.study
    assert not {name for clip in other.clips for name in clip.videos} & {n for clip in key.clips for n in clip.videos}


def test_only_clips_of_all_methods_are_shown(key: StudyKey, run: Path) -> None:
    assert [clip.name for clip in key.clips] == ["one", "three"]
    assert plan_study(run, seed=1, title="").left_out == 1


def test_the_page_knows_captions_and_videos_and_nothing_from_elsewhere(site: Path, key: StudyKey) -> None:
    page = (site / "index.html").read_text()
    assert "Edits &amp; &lt;more&gt;" in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    data = json.loads(found[1])
    one, three = data["clips"]
    assert one["before"] == "a red square, a green square, a blue square on grey"
    assert one["after"] == "<1>a green square</1>, a green square, a blue square on grey"
    assert three["after"] == "<1>a green square</1>, <2>a blue square</2>, <3>a red square</3> on grey"
    assert three["instances"][2] == {"colour": "#416ee6", "before": "a blue square", "after": "a red square"}
    assert (one["frames"], one["rate"], one["aspect"]) == (3, 8, 2)
    assert [question["name"] for question in data["questions"]] == ["temporal", "faithfulness", "leakage"]
    named = {f"{name}.mp4" for clip in data["clips"] for name in (clip["source"], clip["mattes"], *clip["videos"])}
    assert {path.name for path in (site / "videos").iterdir()} == named
    for path in site.glob("*.*"):
        assert not re.search(r"(?:https?:)?//\w|@import", re.sub(r"(?m)^\s*//.*$", "", path.read_text())), path


def test_every_video_plays_everywhere_and_shows_its_method(site: Path, key: StudyKey, run: Path) -> None:
    for clip in key.clips:
        for name in (clip.source, clip.mattes, *clip.videos):
            with av.open(site / "videos" / f"{name}.mp4") as video:
                (stream,) = video.streams
                context = stream.codec_context
                assert isinstance(context, av.VideoCodecContext)
                assert (context.name, context.pix_fmt, stream.frames) == ("h264", "yuv420p", 3)
                assert context.width % 2 == context.height % 2 == 0
        for name, method in clip.videos.items():
            shown = next(open_clip(site / "videos" / f"{name}.mp4").read()).astype(float)
            meant = next(open_clip(run / "results" / method / f"{clip.name}.mkv").read()).astype(float)
            # Halved chroma blurs the squares' edges only.
            assert np.median(np.abs(shown - meant)) < 3
            assert np.abs(shown - meant).mean() < 8


def test_mattes_are_coloured_and_numbered(site: Path, key: StudyKey) -> None:
    clip = open_clip(site / "videos" / f"{key.clips[1].mattes}.mp4")
    assert (clip.info.width, clip.info.height) == (480, 240)
    frame = next(clip.read()).astype(int)
    red = frame[5 * 5 : 7 * 5, 5 * 5 : 8 * 5]
    assert (red[..., 0] > red[..., 1] + 60).all(), "the first instance's corner"
    third = frame[6 * 5 : 36 * 5, 60 * 5 : 90 * 5]
    assert (third.min(axis=2) > 220).any(), "a white digit"
    outside = frame[200:, 420:]
    assert outside.std() < 2, "the ground stays pale"


@pytest.mark.parametrize(("size", "even"), [((47, 95), (94, 46)), ((48, 96), (96, 48))])
def test_odd_and_deep_clips_fit_every_browser(tmp_path: Path, size: tuple[int, int], even: tuple[int, int]) -> None:
    source = tmp_path / "deep.mkv"
    with open_writer(source, ClipInfo(source, size[1], size[0], 2, Fraction(8), "u16"), FrameRange(0, 1)) as writer:
        for _ in range(2):
            writer.write(np.full((*size, 3), 30_000, np.uint16))
    write_video(source, tmp_path / "out.mp4")
    found = open_clip(tmp_path / "out.mp4")
    assert (found.info.width, found.info.height, found.info.depth) == (*even, "u8")
    assert abs(int(next(found.read()).mean()) - 117) <= 1


@pytest.mark.parametrize(
    ("methods", "clips", "message"),
    [
        (["full"], None, "there are 1 methods to compare: full"),
        (None, "nine", 'no clip "nine"'),
        (None, "0-7", "clips 0-7 were asked for"),
        (None, "one,two", "not every method has scores for the clip two"),
        (None, " , ", "names no clip"),
        (["full", "unheard"], None, "unheard: 0 clips"),
    ],
)
def test_mistakes_are_told(run: Path, methods: list[str] | None, clips: str | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        plan_study(run, methods, clips, seed=0, title="")


def test_clips_and_methods_can_be_chosen(run: Path) -> None:
    key = plan_study(run, ["full", "quagga_net"], "2,one,0-1", seed=0, title="").key
    assert [clip.name for clip in key.clips] == ["two", "one", "three"]
    assert list(key.methods.items()) == [("full", "MIVE, full method"), ("quagga_net", "quagga_net")]


def test_an_earlier_study_is_not_overwritten(run: Path, site: Path) -> None:
    before = key_path(site).read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        build_site(plan_study(run, seed=9, title=""), site)
    assert key_path(site).read_bytes() == before


def test_a_video_that_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    run = write_run(tmp_path, clips=("one",))
    (run / "results" / "full" / "one.mkv").unlink()
    with pytest.raises(MediaError):
        build_site(plan_study(run, seed=0, title=""), tmp_path / "site")
    assert {path.name for path in tmp_path.iterdir()} == {"suite", "run"}
