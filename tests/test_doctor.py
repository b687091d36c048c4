"""The doctor: true facts with everything installed, and clear ones with things missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mive import doctor

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "diffusers", "transformers", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import mive.doctor, mive.manifest, mive.request
print(mive.doctor.find_devices())
print(mive.doctor.find_package("torch", "torch", "get torch").fix != "")
"""


def part(folder: Path, *files: str) -> None:
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(b"1234")


def test_this_machine(tmp_path: Path) -> None:
    report = doctor.examine(cache=tmp_path / "not" / "yet")
    packages = {package.name: package for package in report.packages}
    assert packages["numpy"].version
    assert packages["numpy"].fix == ""
    assert report.cache.free > 0
    assert report.cache.writable
    assert {encoder.name for encoder in report.encoders} >= {"libx264", "prores_ks", "ffv1"}
    assert json.loads(json.dumps(report.to_dict()))["mive"] == report.mive


def test_the_processor_is_always_among_torchs_devices() -> None:
    pytest.importorskip("torch")
    cpu = doctor.find_devices()[-1]
    assert cpu.name == "cpu"
    assert cpu.memory is None or cpu.memory > 2**20


@pytest.mark.parametrize(("major", "slow"), [(7, "compute capability 8.0"), (8, "")])
def test_a_gpu_without_the_kernels_is_told(monkeypatch: pytest.MonkeyPatch, major: int, slow: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    card = SimpleNamespace(major=major, name="a card", total_memory=2**34)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CC", "gcc")
    gpu = doctor.find_devices()[0]
    assert gpu.description == "a card"
    assert slow in gpu.slow
    assert bool(gpu.slow) == bool(slow)


def test_request_manifest_and_doctor_need_no_torch() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WITHOUT_TORCH]
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert lines.stdout.split() == ["()", "True"]


def test_a_missing_package_says_how_to_get_it() -> None:
    package = doctor.find_package("no-such-distribution", "nothing", 'pip install "mive[server]"')
    assert package.version is None
    assert package.fix == 'pip install "mive[server]"'


def test_an_installed_package_that_does_not_import() -> None:
    package = doctor.find_package("pytest", "pytest.no_such_module", "unused")
    assert package.version
    assert "no_such_module" in package.fault
    assert package.fix == "pip install --force-reinstall pytest"


def test_a_whole_bundle_has_sizes_and_lacks_nothing(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    part(tiny, "bundle.json")
    for name in ("unet", "vae", "text_encoder", "controlnet", "depth", "clip"):
        part(tiny / name, "config.json", "model.safetensors")
    part(tiny / "tokenizer", "tokenizer_config.json")
    part(tiny / "scheduler", "scheduler_config.json")
    (bundle,) = doctor.find_bundles(tmp_path)
    assert bundle.missing == ()
    assert bundle.fix == ""
    assert bundle.parts["unet"] == 8


def test_a_damaged_bundle_lists_what_it_lacks(tmp_path: Path) -> None:
    part(tmp_path / "other", "bundle.json")
    part(tmp_path / "other" / "unet", "config.json")
    other, tiny = doctor.find_bundles(tmp_path)
    assert "unet/*.safetensors" in other.missing
    assert "unet/config.json" not in other.missing
    assert "bundle.json" in tiny.missing
    problems = dict(doctor.examine(cache=tmp_path, bundles=tmp_path).problems())
    assert f"the bundle tiny is not in {tmp_path / 'tiny'}" in problems
    assert any(text.startswith("the bundle other lacks unet/*.saf") for text in problems)


def test_parts_that_lie_elsewhere_are_not_missing(tmp_path: Path) -> None:
    part(tmp_path / "other" / "unet", "config.json", "model.safetensors")
    text = json.dumps({"base": "owner/name", "parts": {"clip": "owner/clip"}})
    (tmp_path / "other" / "bundle.json").write_text(text)
    other, _ = doctor.find_bundles(tmp_path)
    assert other.missing == ()
    assert other.elsewhere["vae"] == "owner/name"
    assert other.elsewhere["clip"] == "owner/clip"
    assert "unet" not in other.elsewhere


def test_a_broken_bundle_json_is_a_problem(tmp_path: Path) -> None:
    part(tmp_path / "tiny", "bundle.json")
    problems = doctor.examine(cache=tmp_path, bundles=tmp_path).problems()
    assert any("bundle.json is wrong" in what and "pip" in fix for what, fix in problems)


def test_a_cache_path_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    report = doctor.examine(cache=path)
    assert not report.cache.writable
    assert any("MIVE_CACHE" in fix for _, fix in report.problems())
