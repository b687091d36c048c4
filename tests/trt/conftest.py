"""A bundle with random weights and a short clip to edit with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.networks import sd15

from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.request import EditRequest, Instance, Settings
from mive_trt import plugin_library
from mive_trt.executors import VARIABLE
from mive_trt.flavour import installed
from mive_trt.plugin_library import Plugins, find_plugins


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder."""
    return sd15.save_sd15(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def edit(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> EditRequest:
    """Two frames, two instances, two steps."""
    scene = random_scene(1, (96, 64), count=(2, 2), scale=(0.15, 0.2), spacing=1.1)
    toy = write_clip(scene, tmp_path_factory.mktemp("toy"), 2)
    return EditRequest(
        clip=str(toy.videos[0]),
        mattes=str(toy.mattes),
        instances=(Instance(id=1, caption="a green cube"), Instance(id=2, caption="a yellow ball")),
        bundle=str(saved),
        settings=Settings(
            preset="draft", steps=2, inversion_steps=2, model_size=64, guidance=2.0, device="cpu", precision="fp32",
        ),
    )  # fmt: skip


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime stands in for TensorRT."""
    monkeypatch.setenv(VARIABLE, "onnxruntime")


@pytest.fixture(autouse=True)
def only_the_tests_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT takes one library a process, which is not to be another than that of `plugins`."""
    monkeypatch.setattr(plugin_library, "_PLACES", ())


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The library of plugins, built for these sources and registered with TensorRT."""
    pytest.importorskip("tensorrt_rtx_bindings")
    pytest.importorskip("triton")
    from tests.trt.plugin_host import library

    monkeypatch.setenv(plugin_library.VARIABLE, str(library()))
    found, obstacle = find_plugins(installed())
    assert found is not None, obstacle
    return found
