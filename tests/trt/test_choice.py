"""Which engine an edit gets, and what it is told where that is not the one it asked for."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec

import pytest
import torch

from mive.engines.choice import Choice, choose_engine, engine_dtype
from mive.errors import EngineError, RequestError
from mive.request import ResolvedSettings, Settings
from mive_trt.executors import VARIABLE

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def settings(**changes: object) -> ResolvedSettings:
    return Settings(model_size=64, **changes).resolved({})  # type: ignore[arg-type]


def test_torch_needs_nothing() -> None:
    assert choose_engine("torch", settings(ipr="dense_diffusion"), CPU) == Choice("torch")


@pytest.mark.usefixtures("without_gpu")
def test_trt_is_had_where_it_can_run() -> None:
    assert choose_engine("trt", settings(), CPU) == Choice("trt")


def test_trt_without_a_gpu_is_an_error_and_nothing_slower() -> None:
    with pytest.raises(EngineError, match=r"NVIDIA GPU.*--engine torch"):
        choose_engine("trt", settings(), CPU)


def test_auto_says_what_it_chose_and_why() -> None:
    choice = choose_engine("auto", settings(), CPU)
    assert choice.name == "torch"
    assert "auto chose the torch engine" in choice.why
    assert "NVIDIA GPU" in choice.why


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ipr", "dense_diffusion"),
        ("flow_attention", "old_qk"),
        ("frame_attention", "pooled"),
        ("nps_passes", "joint"),
        ("control_caption", "empty"),
        ("precision", "bf16"),
    ],
)
def test_what_programs_do_not_have(name: str, value: str) -> None:
    asked = settings(**{name: value})
    with pytest.raises(EngineError, match=f'{name} "{value}".*--engine torch') as caught:
        choose_engine("trt", asked, CPU)
    assert caught.value.field == f"settings.{name}"
    choice = choose_engine("auto", asked, CPU)
    assert (choice.name, value in choice.why) == ("torch", True)


@pytest.mark.usefixtures("without_gpu")
def test_auto_takes_trt_where_it_can_run() -> None:
    choice = choose_engine("auto", settings(), CPU)
    assert choice.name == "trt"
    assert "auto chose TensorRT" in choice.why


@pytest.mark.usefixtures("without_gpu")
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_onnx(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name.startswith("onnx") else find(name, package)

    monkeypatch.setattr("mive_trt.executors.find_spec", without_onnx)
    with pytest.raises(EngineError, match=r"onnx.*pip install \"mive\[server,trt\]\""):
        choose_engine("trt", settings(), CPU)


@pytest.mark.usefixtures("without_gpu")
def test_the_stand_in_runs_on_cpus_only() -> None:
    with pytest.raises(EngineError, match=f"{VARIABLE}"):
        choose_engine("trt", settings(), CUDA)


def test_an_unknown_stand_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "onyx")
    with pytest.raises(RequestError, match=r"onyx.*tensorrt or onnxruntime"):
        choose_engine("trt", settings(), CPU)


def test_programs_are_float32_on_a_cpu_that_would_take_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mive.engines.devices.cpu_bf16", lambda: True)
    assert engine_dtype(Choice("torch"), settings(), CPU) == torch.bfloat16
    assert engine_dtype(Choice("trt"), settings(), CPU) == torch.float32
    assert engine_dtype(Choice("trt"), settings(), CUDA) == torch.float16


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx_bindings") is None, reason="needs TensorRT for RTX")
def test_a_gpu_that_this_tensorrt_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with pytest.raises(EngineError, match=r"compute capability 9\.0.*8\.9.*--engine torch"):
        choose_engine("trt", settings(), CUDA)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    assert choose_engine("trt", settings(), CUDA).name == "trt"


def test_without_tensorrt_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineError("TensorRT is not installed", fix='pip install "mive[server,trt]"')

    monkeypatch.setattr("mive_trt.executors.installed", missing)
    assert "not installed" in choose_engine("auto", settings(), CUDA).why
