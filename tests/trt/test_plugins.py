"""Engines with plugins, built by TensorRT for RTX without a GPU: its own bindings see the library as it is meant."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from tests.trt.small import write_flow, write_ipr

from mive.errors import EngineError
from mive_trt import plugin_library, tensorrt
from mive_trt.buckets import Bucket
from mive_trt.build import WithPlugins, build_engine
from mive_trt.device import TensorRtExecutor
from mive_trt.executor import Unusable
from mive_trt.export import export_program
from mive_trt.flavour import Capability, Flavour, installed
from mive_trt.nodes import DOMAIN, FLOW, IPR, PLUGIN_VERSION
from mive_trt.plugin_library import Plugins, compiling_obstacle, find_plugins
from mive_trt.tensorrt import EngineStore

pytestmark = [
    pytest.mark.skipif(not find_spec("tensorrt_rtx_bindings"), reason="TensorRT for RTX is not installed"),
    pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed"),
]

ADA = (8, 9)
ALL: tuple[Capability, ...] = ((8, 0), (8, 6), ADA, (12, 0))

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    return installed()


def packed(plan: bytes) -> int:
    """Copies of compiled kernels in a plan."""
    return plan.count(f"MIVEKRN{PLUGIN_VERSION}".encode())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("write", [write_ipr, write_flow], ids=["IPR", "flow"])
def test_a_node_is_one_layer_and_its_engine_holds_the_kernels(
    write: Write, dtype: torch.dtype, flavour: Flavour, plugins: Plugins, tmp_path: Path
) -> None:
    program = write(tmp_path / "node.onnx", dtype)
    built = build_engine(flavour, program, ALL, plugins=WithPlugins(plugins, ALL))
    assert (built.layers, built.plugins) == (1, 1)
    one = build_engine(flavour, program, [ADA], plugins=WithPlugins(plugins, [ADA]))
    assert packed(built.plan) == len(ALL) * packed(one.plan) > 0
    assert plugins.failure() == ""


@pytest.mark.parametrize("write", [write_ipr, write_flow], ids=["IPR", "flow"])
def test_bodies_are_built_in_where_plugins_are_not_wanted(
    write: Write, flavour: Flavour, plugins: Plugins, tmp_path: Path
) -> None:
    """Though they are registered."""
    built = build_engine(flavour, write(tmp_path / "node.onnx"), [ADA])
    assert built.plugins == packed(built.plan) == 0
    assert built.layers > 10


def test_tensorrt_s_own_bindings_know_the_creators(flavour: Flavour, plugins: Plugins) -> None:
    registry = flavour.trt.get_plugin_registry()
    fields = {IPR: [("bounded", flavour.trt.PluginFieldType.INT32)], FLOW: []}
    for op, known in fields.items():
        creator = registry.get_creator(op, PLUGIN_VERSION, DOMAIN)
        assert (creator.name, creator.plugin_version, creator.plugin_namespace) == (op, PLUGIN_VERSION, DOMAIN)
        assert [(field.name, field.type) for field in creator.field_names] == known
        assert creator.interface_info.kind == "PLUGIN CREATOR_V3ONE"


def test_tensorrt_s_own_bindings_make_a_plugin(flavour: Flavour, plugins: Plugins) -> None:
    trt = flavour.trt
    creator = trt.get_plugin_registry().get_creator(FLOW, PLUGIN_VERSION, DOMAIN)
    made = creator.create_plugin("node", trt.PluginFieldCollection([]), trt.TensorRTPhase.BUILD)
    kinds = trt.PluginCapabilityType
    core, build = made.get_capability_interface(kinds.CORE), made.get_capability_interface(kinds.BUILD)
    assert (core.plugin_name, core.plugin_namespace) == (FLOW, DOMAIN)
    assert (build.num_outputs, build.metadata_string) == (1, FLOW)
    assert made.interface_info.kind == "PLUGIN"


def test_an_engine_without_kernels_is_no_plugin(flavour: Flavour, plugins: Plugins) -> None:
    trt = flavour.trt
    creator = trt.get_plugin_registry().get_creator(FLOW, PLUGIN_VERSION, DOMAIN)
    assert creator.create_plugin("layer", trt.PluginFieldCollection([]), trt.TensorRTPhase.RUNTIME) is None
    assert plugins.failure() == "there are no compiled kernels"


def test_kernels_that_were_not_compiled_are_missed_by_name(flavour: Flavour, plugins: Plugins, tmp_path: Path) -> None:
    program = write_flow(tmp_path / "node.onnx")
    with pytest.raises(EngineError, match=r"no kernels were compiled for FlowAttention;0:2,2,24,8"):
        build_engine(flavour, program, [ADA], plugins=WithPlugins(plugins, []))


def test_a_node_that_becomes_no_plugin_is_noticed(flavour: Flavour, plugins: Plugins, tmp_path: Path) -> None:
    program = write_flow(tmp_path / "node.onnx")
    model = onnx.load(program)
    (node,) = model.graph.node
    node.attribute.remove(next(a for a in node.attribute if a.name == "plugin_namespace"))
    onnx.save(model, program)
    with pytest.raises(EngineError, match=r"plugins of 0 nodes.*Expected 1 plugins"):
        build_engine(flavour, program, [ADA], plugins=WithPlugins(plugins, [ADA]))


def test_engines_with_and_without_plugins_are_different_engines(
    flavour: Flavour, plugins: Plugins, tmp_path: Path
) -> None:
    def export(folder: Path) -> Path:
        return write_flow(folder / "unet.onnx")

    plain = EngineStore(tmp_path, [ADA], flavour)
    rich = EngineStore(tmp_path, [ADA], flavour, plugins=plugins)
    paths = plain.file("key", export), rich.file("key", export)
    assert paths[0] != paths[1]
    assert (plain.file("key", export), rich.file("key", export)) == paths
    assert sorted(kept.facts["plugins"] for kept in plain.kept()) == [0, 1]
    rich.discard("key")
    assert [path.exists() for path in paths] == [True, False]


def test_an_engine_with_plugins_is_not_loaded_without_the_library(
    flavour: Flavour, plugins: Plugins, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path, [ADA], flavour, plugins=plugins)
    path = store.file("key", lambda folder: write_flow(folder / "unet.onnx"))
    anything: Any = None
    executor = TensorRtExecutor(flavour.trt, flavour.logger, anything, None, "it is nowhere")
    with pytest.raises(Unusable, match=r"needs MIVE's library of plugins, and it is nowhere"):
        executor.load(path)


def test_a_library_that_is_missing_is_told_with_the_command_that_builds_it(
    flavour: Flavour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(plugin_library.VARIABLE, "/nothing.so")
    assert find_plugins(flavour) == (None, "MIVE_TRT_PLUGINS names /nothing.so, which does not exist")
    monkeypatch.delenv(plugin_library.VARIABLE)
    found, obstacle = find_plugins(flavour)
    assert found is None
    assert "cmake -S mive_trt/plugins" in obstacle
    tensorrt._warn.cache_clear()
    for number in range(2):
        store = EngineStore(tmp_path / f"{number}", [ADA], flavour, obstacle=obstacle)
        store.file("key", lambda folder: write_flow(folder / "unet.onnx"))
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "without MIVE's plugins" in warning


def test_engines_with_plugins_are_used_where_none_can_be_compiled(
    flavour: Flavour, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(folder: Path) -> Path:
        return write_flow(folder / "unet.onnx")

    store = EngineStore(tmp_path, [ADA], flavour, plugins=plugins)
    copied = store.file("key", export)
    monkeypatch.setattr(tensorrt, "compiling_obstacle", lambda capabilities: "Triton is not installed")
    assert store.file("key", export) == copied
    made = store.file("other", export)
    assert "+plugins" not in made.name
    assert store.file("other", export) == made
    assert sorted(kept.facts["plugins"] for kept in store.kept()) == [0, 1]


def test_a_file_that_is_no_library_is_told(flavour: Flavour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    monkeypatch.setenv(plugin_library.VARIABLE, str(tmp_path / "text.so"))
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path))
    found, obstacle = find_plugins(flavour)
    assert found is None
    assert "text.so cannot be loaded" in obstacle


def test_what_triton_cannot_compile_for_is_told() -> None:
    assert compiling_obstacle((ADA,)) == ""
    assert compiling_obstacle(((3, 5),)).startswith("Triton compiles nothing for compute capability 3.5")


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float16, torch.float32], ids=str)
def test_every_custom_node_of_a_network_is_a_plugin(
    precision: torch.dtype, flavour: Flavour, plugins: Plugins, saved: Path, tmp_path: Path
) -> None:
    from mive.networks.bundle import load_bundle

    program = export_program(load_bundle(saved, dtype=precision), "unet", Bucket(2, 3, 8, 12), tmp_path).path
    nodes = onnx.load(program, load_external_data=False).graph.node
    custom = sum(node.domain == DOMAIN for node in nodes)
    assert custom > 0
    rich = build_engine(flavour, program, ALL, plugins=WithPlugins(plugins, ALL))
    plain = build_engine(flavour, program, ALL)
    assert (rich.plugins, plain.plugins) == (custom, 0)
    assert rich.layers < plain.layers
