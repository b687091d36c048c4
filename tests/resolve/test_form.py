"""What the user writes: read strictly, and turned into the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive_resolve.captions import parse_captions
from mive_resolve.form import Form, arguments, default_folder, output, read_form
from mive_resolve.refusal import Refusal
from mive_resolve.shot import Shot

SHOT = Shot("Shot 1", "/footage/shot.mov", 10, 29, 86500, 1)


def test_captions_keep_their_order_and_lose_their_spaces() -> None:
    assert parse_captions(" 2 :  a cup: red \n\n1:a ball\n") == {2: "a cup: red", 1: "a ball"}
    assert list(parse_captions("2: b\n1: a")) == [2, 1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "There are no captions"),
        ("\n  \n", "There are no captions"),
        ("a red ball", "line 1: there is no colon"),
        ("1: a\nball: b", 'line 2: "ball" is no id'),
        ("0: a", '"0" is no id from 1 to 65535'),
        ("01: a", '"01" is no id'),
        ("65536: a", '"65536" is no id'),
        ("-1: a", '"-1" is no id'),
        ("²: a", "is no id"),
        ("1:  ", "line 1: instance 1 has no caption"),
        ("1: a\n1: b", "line 2: instance 1 has a caption already"),
        ("1: " + "ä" * 201, "too long"),
        ("1: a\x07b", "control characters"),
        ("\n".join(f"{n}: a" for n in range(1, 66)), "There are 65 instances"),
    ],
)
def test_captions_that_are_wrong_say_where_and_what_would_be_right(text: str, why: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_captions(text)
    assert why in refusal.value.what
    assert refusal.value.fix


texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=50)


@given(st.dictionaries(st.integers(1, 65535), texts, min_size=1, max_size=20))
def test_captions_that_are_written_down_are_read_again(captions: dict[int, str]) -> None:
    assert parse_captions("\n".join(f"{number}: {text}" for number, text in captions.items())) == captions


@given(st.text(max_size=60))
def test_no_text_is_more_than_captions_or_a_refusal(text: str) -> None:
    try:
        captions = parse_captions(text)
    except Refusal:
        return
    assert captions
    assert all(number > 0 and caption == caption.strip() != "" for number, caption in captions.items())


def test_the_command_says_all_of_it(form: Form, tmp_path: Path) -> None:
    edit = read_form(replace(form, preset="draft", seed=" 7 ", strength="1.25", server="render7:7433"))
    assert arguments(edit, SHOT, Path("/out.mov")) == [
        "render", "/footage/shot.mov", "--frames", "10-29", "--mattes", str(tmp_path / "mattes"),
        "--edit", "1=a red ball", "--edit", "2=a cup", "--preset", "draft", "--seed", "7",
        "--set", "guidance_factor=1.25", "--server", "render7:7433", "--bridge", "-o", "/out.mov", "--json",
    ]  # fmt: skip


def test_what_is_left_open_is_not_in_the_command(form: Form) -> None:
    words = arguments(read_form(form), SHOT, Path("/out.mov"))
    assert {"--seed", "--set", "--server"}.isdisjoint(words)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"captions": "1"}, "Captions, line 1"),
        ({"mattes": " "}, "Mattes: it is empty"),
        ({"mattes": "mattes"}, "does not say where it begins"),
        ({"mattes": "/nowhere/mattes.mkv"}, "there is no /nowhere/mattes.mkv"),
        ({"mattes": "/nowhere/mattes.####.png"}, "there is no /nowhere/mattes.####.png"),
        ({"seed": "7.5"}, 'Seed: "7.5"'),
        ({"seed": "-1"}, 'Seed: "-1"'),
        ({"seed": "2147483648"}, "from 0 to 2147483647"),
        ({"strength": "1,5"}, 'Strength: "1,5"'),
        ({"strength": "-1"}, 'Strength: "-1"'),
        ({"strength": "nan"}, 'Strength: "nan"'),
        ({"strength": "100.1"}, "from 0 to 100"),
        ({"server": "render7"}, 'Server: "render7"'),
        ({"folder": ""}, "Folder: it is empty"),
    ],
)
def test_fields_that_are_wrong(form: Form, change: dict[str, str], why: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read_form(replace(form, **change))
    assert why in refusal.value.what


@pytest.mark.parametrize("name", ["m.####.png", "m.%04d.png", "m.@@@@.png", "m.$F4.png"])
def test_mattes_may_be_a_sequence_and_a_home_a_tilde(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    edit = read_form(replace(form, mattes=f"{tmp_path}/mattes/{name}", folder="~/made"))
    assert edit.mattes == tmp_path / "mattes" / name
    assert edit.folder == tmp_path / "made"


def test_no_edited_clip_replaces_another(tmp_path: Path) -> None:
    first = output(tmp_path, SHOT)
    assert first == tmp_path / "shot_mive_10-29_v001.mov"
    first.touch()
    assert output(tmp_path, SHOT) == tmp_path / "shot_mive_10-29_v002.mov"
    assert output(tmp_path, replace(SHOT, clip="/a/plate.####.exr")).name == "plate_mive_10-29_v001.mov"


def test_edited_clips_lie_beside_their_source_where_that_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert default_folder(replace(SHOT, clip=str(tmp_path / "shot.mov"))) == tmp_path / "MIVE"
    monkeypatch.setattr("mive_resolve.form.os.access", lambda path, mode: False)
    assert default_folder(SHOT) == Path("/home/anna/MIVE")
