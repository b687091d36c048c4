"""Engines that TensorRT for RTX really builds, without a GPU, and how they are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.trt.small import write_flow, write_ipr

from mive.errors import EngineError, OutputError
from mive_trt.build import build_engine
from mive_trt.flavour import Flavour, capability_names, installed
from mive_trt.tensorrt import EngineStore

pytestmark = pytest.mark.skipif(not find_spec("tensorrt_rtx_bindings"), reason="TensorRT for RTX is not installed")

ADA, BLACKWELL, HOPPER = (8, 9), (12, 0), (9, 0)


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    return installed()


@pytest.fixture
def store(flavour: Flavour, tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", [ADA], flavour)


@pytest.mark.parametrize("write", [write_ipr, write_flow], ids=["IPR", "flow"])
def test_both_nodes_build_for_every_gpu_without_plugins(
    flavour: Flavour, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    gpus = [(8, 0), (8, 6), ADA, BLACKWELL]
    assert set(gpus) <= set(capability_names(flavour))
    built = build_engine(flavour, write(tmp_path / "node.onnx"), gpus, lambda *how: told.append(how))
    assert len(built.plan) > 10_000
    assert built.plugins == 0
    # The body's operators, where a plugin would be one layer.
    assert built.layers > 10
    assert told[-1][1] == told[-1][2]


def test_a_gpu_that_cannot_be_built_for_is_refused_by_name(flavour: Flavour, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"9\.0") as caught:
        build_engine(flavour, write_ipr(tmp_path / "node.onnx"), [HOPPER])
    assert "--engine torch" in caught.value.fix


def test_a_file_that_is_no_program_is_refused(flavour: Flavour, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no program")
    with pytest.raises(EngineError, match=r"bad\.onnx"):
        build_engine(flavour, tmp_path / "bad.onnx", [ADA])


def exporter(calls: list[Path]) -> Callable[[Path], Path]:
    def export(folder: Path) -> Path:
        calls.append(folder)
        return write_flow(folder / "unet.onnx")

    return export


def test_an_engine_is_built_once(store: EngineStore) -> None:
    calls: list[Path] = []
    first = store.file("key", exporter(calls))
    assert store.file("key", exporter(calls)) == first
    assert len(calls) == 1
    (kept,) = store.kept()
    assert (kept.path, kept.size) == (first, first.stat().st_size)
    assert kept.facts["gpus"] == ["8.9"]
    # Nothing of the export stays.
    assert sorted(path.name for path in store.folder.iterdir()) == [first.name, f"{first.name}.json"]


def test_an_engine_for_more_gpus_serves_each(flavour: Flavour, store: EngineStore) -> None:
    calls: list[Path] = []
    both = EngineStore(store.folder, [BLACKWELL, ADA], flavour)
    path = both.file("key", exporter(calls))
    assert store.file("key", exporter(calls)) == path
    other = EngineStore(store.folder, [(8, 6)], flavour)
    assert other.file("key", exporter(calls)) != path
    assert len(calls) == 2


def test_an_engine_of_another_version_is_built_again(flavour: Flavour, store: EngineStore) -> None:
    calls: list[Path] = []
    store.file("key", exporter(calls))
    newer = EngineStore(store.folder, [ADA], flavour._replace(version="99.0"))
    newer.file("key", exporter(calls))
    assert len(calls) == 2


def test_what_is_discarded_is_built_again(store: EngineStore) -> None:
    calls: list[Path] = []
    path = store.file("key", exporter(calls))
    store.discard("key")
    assert not path.exists()
    assert store.kept() == []
    assert store.file("key", exporter(calls)).exists()
    assert len(calls) == 2


def test_the_least_recently_used_engines_go(flavour: Flavour, tmp_path: Path) -> None:
    calls: list[Path] = []
    size = EngineStore(tmp_path / "one", [ADA], flavour).file("key", exporter(calls)).stat().st_size
    store = EngineStore(tmp_path / "two", [ADA], flavour, limit=2 * size + 1000)
    old, used = store.file("old", exporter(calls)), store.file("used", exporter(calls))
    os.utime(old, (1, 1))
    os.utime(used, (2, 2))
    new = store.file("new", exporter(calls))
    assert (old.exists(), used.exists(), new.exists()) == (False, True, True)
    assert store.clean() == 2
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(flavour: Flavour, tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file")
    store = EngineStore(tmp_path / "engines", [ADA], flavour)
    with pytest.raises(OutputError, match="engines"):
        store.file("key", exporter([]))
