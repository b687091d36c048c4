"""``mive-trt`` as a user types it, on a machine without a GPU."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mive_trt.buckets import Bucket, edit_buckets
from mive_trt.cli import main

pytestmark = pytest.mark.skipif(not find_spec("tensorrt_rtx_bindings"), reason="TensorRT for RTX is not installed")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path / "cache"))
    # Room for a table's rows.
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "cache"


def test_check_says_what_can_be_built_and_that_nothing_can_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["tensorrt"].startswith("TensorRT for RTX")
    assert {"8.6", "8.9", "12.0"} <= set(told["builds_for"])
    assert told["gpu"] is not None or "no NVIDIA GPU" in told["obstacle"]
    assert told["plugins"] == (told["plugins_obstacle"] == "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--gpu", "ada"], 2, "compute capability"),
        (["--gpu", "9.0"], 6, "9.0"),
        (["--gpu", "9.0", "--no-plugins"], 6, "9.0"),
        (["--gpu", "8.9", "--clip-size", "large"], 2, "WIDTHxHEIGHT"),
        (["--gpu", "8.9", "--precision", "bf16"], 2, "fp16 or fp32"),
        (["--gpu", "8.9", "--bundle", "nowhere"], 4, "nowhere"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    words: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", *words]) == code
    err = capfd.readouterr().err
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_build_list_clean(saved: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every engine that edits with one frame need, for two kinds of GPU, in half precision."""
    words = ["build", "--bundle", str(saved), "--frames", "1", "--gpu", "8.6", "--gpu", "12.0", "--json"]
    assert main(words) == 0
    made = [Path(path) for path in json.loads(capfd.readouterr().out)["engines"]]
    assert len(made) == 5
    assert {path.parent for path in made} == {cache / "engines"}
    before = [path.stat().st_ino for path in made]
    assert main(words) == 0
    capfd.readouterr()
    assert [path.stat().st_ino for path in made] == before

    assert main(["list", "--json"]) == 0
    kept = json.loads(capfd.readouterr().out)["engines"]
    assert sorted(each["program"] for each in kept) == ["controlnet", "controlnet", "unet", "unet", "vae_decoder"]
    assert {each["precision"] for each in kept} == {"float16"}
    assert main(["list"]) == 0
    assert "8.6, 12.0" in capfd.readouterr().out
    assert main(["clean"]) == 0
    assert "Removed 5 engines." in capfd.readouterr().out
    assert main(["list"]) == 0
    assert "No engines are kept." in capfd.readouterr().out


def test_the_programs_of_an_edit() -> None:
    one = edit_buckets(16, 1, 64, 64)
    assert one["controlnet"] == [Bucket(1, 16, 64, 64), Bucket(2, 16, 64, 64)]
    assert one["unet"] == [*one["controlnet"], Bucket(8, 1, 64, 64)]
    assert one["vae_decoder"] == [Bucket(4, 1, 64, 64)]
    assert Bucket(4, 10, 8, 8) in edit_buckets(10, 2, 8, 8)["unet"]
    assert Bucket(2, 1, 8, 8) in edit_buckets(10, 2, 8, 8)["unet"]
