"""When programs are made, loaded, kept and made again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mive.errors import EngineError, OutOfMemory
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import hash_bundle
from mive.request import Settings
from mive_trt.buckets import Bucket
from mive_trt.executor import Export, Port, Unusable
from mive_trt.library import Library
from mive_trt.ort import OnnxExecutor, OnnxStore

SMALL, LARGE = Bucket(1, 2, 8, 8), Bucket(2, 2, 8, 8)


class Loaded:
    """A program that does nothing."""

    inputs: Mapping[str, Port] = {}

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {}


class Fakes:
    """An executor and a store that write down what is asked of them.

    Attributes:
        asked: the keys of the files.
        discarded: those that were.
        clears: how often shared memory was given up.
        faults: what the next loads raise.
    """

    def __init__(self, *faults: EngineError) -> None:
        self.asked: list[str] = []
        self.discarded: list[str] = []
        self.faults = list(faults)
        self.loads = self.clears = 0

    def file(self, key: str, export: Export) -> Path:
        self.asked.append(key)
        return Path(key)

    def discard(self, key: str) -> None:
        self.discarded.append(key)

    def load(self, file: Path) -> Loaded:
        self.loads += 1
        if self.faults:
            raise self.faults.pop(0)
        return Loaded()

    def clear(self) -> None:
        self.clears += 1


@pytest.fixture(scope="module")
def bundle(saved: Path) -> Bundle:
    return load_bundle(saved)


@pytest.fixture(scope="module")
def hashes(saved: Path) -> dict[str, str]:
    return hash_bundle(saved)


def library(bundle: Bundle, hashes: Mapping[str, str], fakes: Fakes, **changes: Any) -> Library:
    return Library(bundle, hashes, changes.get("mode", "literal"), changes.get("attention", "all"), fakes, fakes)


def test_a_program_is_loaded_once(bundle: Bundle, hashes: dict[str, str]) -> None:
    fakes = Fakes()
    programs = library(bundle, hashes, fakes)
    assert programs.get("unet", SMALL) is programs.get("unet", SMALL)
    assert programs.get("unet", LARGE) is not programs.get("unet", SMALL)
    assert (fakes.loads, len(set(fakes.asked))) == (2, 2)


def test_an_unusable_program_is_made_again(bundle: Bundle, hashes: dict[str, str]) -> None:
    fakes = Fakes(Unusable("it is of another version"))
    assert isinstance(library(bundle, hashes, fakes).get("unet", SMALL), Loaded)
    assert (fakes.loads, fakes.discarded) == (2, [fakes.asked[0]])


def test_one_that_stays_unusable_is_an_error(bundle: Bundle, hashes: dict[str, str]) -> None:
    fakes = Fakes(Unusable("for another GPU"), Unusable("for another GPU", fix="Build it here"))
    with pytest.raises(EngineError, match=r"for another GPU\. Build it here") as caught:
        library(bundle, hashes, fakes).get("unet", SMALL)
    assert type(caught.value) is EngineError


def test_an_old_driver_makes_nothing_again(bundle: Bundle, hashes: dict[str, str]) -> None:
    fakes = Fakes(EngineError("the driver is too old"))
    with pytest.raises(EngineError, match="driver"):
        library(bundle, hashes, fakes).get("unet", SMALL)
    assert (fakes.loads, fakes.discarded) == (1, [])


def test_a_program_takes_the_place_of_others_where_memory_is_short(bundle: Bundle, hashes: dict[str, str]) -> None:
    fakes = Fakes()
    programs = library(bundle, hashes, fakes)
    first = programs.get("unet", SMALL)
    fakes.faults = [OutOfMemory("full")]
    programs.get("unet", LARGE)
    assert fakes.clears == 1
    assert programs.get("unet", SMALL) is not first
    assert fakes.discarded == []


def test_a_program_that_does_not_fit_alone_is_told(bundle: Bundle, hashes: dict[str, str]) -> None:
    with pytest.raises(OutOfMemory, match="full"):
        library(bundle, hashes, Fakes(OutOfMemory("full"))).get("unet", SMALL)


def test_the_key_holds_what_shapes_a_program_and_no_more(bundle: Bundle, hashes: dict[str, str]) -> None:
    plain = library(bundle, hashes, Fakes())
    bounded = library(bundle, hashes, Fakes(), mode="bounded")
    single = library(bundle, hashes, Fakes(), attention="frame")
    weights = library(bundle, {**hashes, "unet/config.json": "0"}, Fakes())

    def differs(other: Library) -> list[str]:
        kinds = ("unet", "controlnet", "vae_decoder")
        return [kind for kind in kinds if plain.key(kind, SMALL) != other.key(kind, SMALL)]

    assert differs(library(bundle, hashes, Fakes())) == []
    assert differs(bounded) == ["unet"]
    assert differs(single) == ["controlnet"]
    assert differs(weights) == ["unet"]
    assert plain.key("unet", SMALL) != plain.key("unet", LARGE)


@pytest.mark.usefixtures("without_gpu")
def test_engines_on_one_bundle_share_its_programs(saved: Path, hashes: dict[str, str]) -> None:
    own, other = load_bundle(saved), load_bundle(saved)
    settings = Settings(model_size=64).resolved({})
    bounded = Settings(model_size=64, lambda_s="bounded").resolved({})
    cpu = torch.device("cpu")
    assert Library.of(own, hashes, settings, cpu) is Library.of(own, hashes, settings, cpu)
    assert Library.of(own, hashes, settings, cpu) is not Library.of(own, hashes, bounded, cpu)
    assert Library.of(own, hashes, settings, cpu) is not Library.of(other, hashes, settings, cpu)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store, exports = OnnxStore(tmp_path / "onnx"), []

    def export(folder: Path, broken: bool = False) -> Path:
        exports.append(folder)
        (folder / "unet.onnx").write_bytes(b"onnx")
        if broken:
            raise EngineError("interrupted")
        return folder / "unet.onnx"

    with pytest.raises(EngineError):
        store.file("key", lambda folder: export(folder, broken=True))
    assert list((tmp_path / "onnx").iterdir()) == []
    assert store.file("key", export).read_bytes() == b"onnx"
    assert store.file("key", export) == tmp_path / "onnx" / "key" / "unet.onnx"
    assert len(exports) == 2
    store.discard("key")
    store.file("key", export)
    assert len(exports) == 3


def test_onnxruntime_tells_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "unet.onnx").write_bytes(b"no graph")
    with pytest.raises(Unusable, match=r"unet\.onnx.*Delete it"):
        OnnxExecutor().load(tmp_path / "unet.onnx")
