"""Reading VIPSeg's folders, and choosing videos as the paper does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.evaluate.dataset.conftest import BALL, CUP, GRASS

from mive.errors import MediaError, RequestError
from mive.evaluate.dataset.survey import Region, Survey, centre, frequent_classes, kept_survey, survey, unfit
from mive.evaluate.dataset.vipseg import Vipseg
from mive.media import open_clip
from mive.media.image import read_image
from mive.request import FrameRange


def a_survey(*classes: str, fewest: int = 9, frames: int = 12, side: int = 512, stuff: str = "") -> Survey:
    regions = [
        Region(id=place, value=0, class_name=name, thing=name != stuff, fewest=fewest)
        for place, name in enumerate(classes, start=1)
    ]
    return Survey(name="v", width=side + 1, height=side, frames=frames, regions=tuple(regions))


def test_mask_values(vipseg: Path) -> None:
    data = Vipseg(vipseg)
    assert data.category(0) is None
    assert data.category(200) is None, "an instance of stuff is VIPSeg's known mistake"
    named = {value: data.category(value) for value in (GRASS, 100 * BALL, 100 * CUP + 7, CUP)}
    assert [one and one.words for one in named.values()] == ["grass", "ball", "bottle or cup", "bottle or cup"]
    assert [data.is_instance(value) for value in named] == [False, True, True, False]


def test_splits(vipseg: Path) -> None:
    data = Vipseg(vipseg)
    assert len(data.names()) == 7
    assert data.names(["val"]) == ["2_yard", "5_leaves", "7_small"]
    assert len(data.names(["val", "train"])) == 7
    with pytest.raises(RequestError, match="test split are not published"):
        data.names(["test"])
    with pytest.raises(RequestError, match='Perhaps "train" is meant'):
        data.names(["trian"])


def test_the_720p_form_lies_one_folder_deeper(vipseg: Path, tmp_path: Path) -> None:
    inner = tmp_path / "VIPSeg_720P"
    shutil.copytree(vipseg / "imgs" / "2_yard", inner / "images" / "2_yard")
    shutil.copytree(vipseg / "panomasks" / "2_yard", inner / "panomasks" / "2_yard")
    shutil.copy(vipseg / "panoVIPSeg_categories.json", inner)
    shutil.copy(vipseg / "val.txt", tmp_path)
    assert Vipseg(inner).names(["val"]) == ["2_yard"]
    with pytest.raises(RequestError, match=r"Give .*VIPSeg_720P instead"):
        Vipseg(tmp_path)


def test_what_is_not_vipseg(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no folders imgs and panomasks"):
        Vipseg(tmp_path)
    for name in ("imgs", "panomasks"):
        (tmp_path / name).mkdir()
    with pytest.raises(RequestError, match="no panoVIPSeg_categories"):
        Vipseg(tmp_path)
    (tmp_path / "panoVIPSeg_categories.json").write_text('[{"id": 1}]')
    with pytest.raises(RequestError, match="Copy the file again"):
        Vipseg(tmp_path)


def test_a_survey_has_things_first_and_no_void(vipseg: Path) -> None:
    data = Vipseg(vipseg)
    found = survey(data, data.video("1_kitchen"))
    assert [(one.id, one.value, one.class_name, one.thing) for one in found.regions] == [
        (1, 100 * BALL, "ball", True),
        (2, 100 * CUP, "bottle or cup", True),
        (3, 100 * CUP + 1, "bottle or cup", True),
        (4, GRASS, "grass", False),
    ]
    mask = centre(data.video("1_kitchen").mask(3))
    ids = found.ids(mask)
    assert ids.shape == (512, 512)
    assert {value: int(ids[mask == value][0]) for value in (0, 200, GRASS, 100 * CUP + 1)} == {
        0: 0, 200: 0, GRASS: 4, 100 * CUP + 1: 3,
    }  # fmt: skip


def test_every_reason_to_leave_a_video_out(vipseg: Path) -> None:
    data = Vipseg(vipseg)
    surveys = [survey(data, data.video(name)) for name in data.names()]
    frequent = frequent_classes(surveys)
    assert {one.name: unfit(one, frequent) for one in surveys} == {
        "1_kitchen": None,
        "2_yard": None,
        "3_balls": "only one of the 40 most frequent classes",
        "4_short": "fewer than 12 frames",
        "5_leaves": "an instance is not in all frames",
        "6_empty": "no instances",
        "7_small": "smaller than 512 x 512",
    }


def test_a_survey_is_kept_until_the_video_is_another(vipseg: Path, tmp_path: Path) -> None:
    root = tmp_path / "VIPSeg"
    shutil.copytree(vipseg, root)
    kept = kept_survey(tmp_path, Vipseg(root), "2_yard")
    path = tmp_path / "2_yard.json"
    path.write_text(path.read_text().replace('"box"', '"seen before"'))
    assert kept_survey(tmp_path, Vipseg(root), "2_yard") != kept
    (root / "panomasks" / "2_yard" / "00000010.png").unlink()
    again = kept_survey(tmp_path, Vipseg(root), "2_yard")
    assert (again.frames, again.things[1].class_name) == (12, "box")


def test_a_single_class_stays_if_it_is_rare() -> None:
    everyday = [a_survey(*[f"class {number:02d}"] * 2) for number in range(40)]
    rare = a_survey("gun")
    frequent = frequent_classes([*everyday, rare])
    assert len(frequent) == 40
    assert unfit(rare, frequent) is None
    assert unfit(everyday[0], frequent) == "only one of the 40 most frequent classes"
    assert unfit(a_survey("class 00", "class 01"), frequent) is None


def test_stuff_may_come_and_go() -> None:
    one = a_survey("cat", "dog", "sky", stuff="sky")
    gone = one.regions[2].model_copy(update={"fewest": 0})
    assert unfit(one.model_copy(update={"regions": (*one.regions[:2], gone)}), frozenset()) is None


def test_broken_videos_are_told(vipseg: Path, tmp_path: Path) -> None:
    root = tmp_path / "VIPSeg"
    shutil.copytree(vipseg, root)
    data = Vipseg(root)
    first = sorted((root / "panomasks" / "2_yard").iterdir())[1]
    (root / "imgs" / "1_kitchen" / "00000010.jpg").unlink()
    with pytest.raises(MediaError, match=r"00000010\.png has no image"):
        data.video("1_kitchen")
    cv2.imwrite(str(first), np.zeros((9, 9), np.uint16))
    with pytest.raises(MediaError, match="is 9 x 9, and the first 768 x 576"):
        survey(data, data.video("2_yard"))
    cv2.imwrite(str(first), np.full((9, 9, 3), (1, 2, 3), np.uint8))
    with pytest.raises(MediaError, match="not panomasksRGB"):
        survey(data, data.video("2_yard"))


def test_real_footage_in_the_same_layout(shared: Callable[[str], Path], tmp_path: Path, vipseg: Path) -> None:
    clip = open_clip(shared("clips/cups") / "cups.mp4")
    values = np.array([GRASS, 100 * CUP, 100 * BALL, 100 * CUP + 1, 100 * CUP + 2], np.uint16)
    for folder in ("imgs", "panomasks"):
        (tmp_path / folder / "cups").mkdir(parents=True)
    for number, frame in enumerate(clip.read(FrameRange(10, 23)), start=11):
        ids = read_image(shared("clips/cups") / "mattes" / f"{number:04}.png").grey()
        assert ids is not None
        cv2.imwrite(str(tmp_path / "imgs" / "cups" / f"{number:04}.jpg"), frame[..., ::-1])
        cv2.imwrite(str(tmp_path / "panomasks" / "cups" / f"{number:04}.png"), values[ids])
    shutil.copy(vipseg / "panoVIPSeg_categories.json", tmp_path)
    data = Vipseg(tmp_path)
    found = survey(data, data.video("cups"))
    assert (found.width, found.height, found.frames) == (1280, 720, 14)
    assert unfit(found, frozenset()) == "an instance is not in all frames", "the cup covers the ball"
    for number in (23, 24):
        (tmp_path / "panomasks" / "cups" / f"{number:04}.png").unlink()
    assert unfit(survey(data, data.video("cups")), frozenset()) is None
