"""Builds TensorRT engines of exported programs, for this GPU or for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
import torch
from google.protobuf.message import DecodeError

from mive.errors import EngineError
from mive_trt.executor import Port
from mive_trt.flavour import Capability, Flavour, capability_names
from mive_trt.nodes import is_custom, without_plugins
from mive_trt.plugin_library import Plugins

if TYPE_CHECKING:
    from mive_trt.cubins import Node

Told = Callable[[str, int, int], None]
"""Given what TensorRT is doing, how many steps of it are done, and of how many."""


class Built(NamedTuple):
    """An engine.

    Attributes:
        plan: TensorRT's own format.
        layers: before TensorRT fused them.
        plugins: how many of these are plugins of ours.
    """

    plan: bytes
    layers: int
    plugins: int


class WithPlugins(NamedTuple):
    """Plugins in place of the custom nodes' bodies.

    Attributes:
        gpus: those whose kernels the engine holds.
    """

    library: Plugins
    gpus: Sequence[Capability]


def build_engine(
    flavour: Flavour,
    program: Path,
    capabilities: Sequence[Capability] = (),
    told: Told = lambda what, done, total: None,
    plugins: WithPlugins | None = None,
) -> Built:
    """Build an engine; its precision is the exported program's.

    Args:
        program: an ONNX file.
        capabilities: the GPUs it is for; none means this machine's.
        told: how far it is, often.
        plugins: what runs the custom nodes; without, their bodies are built in.

    Raises:
        EngineError: it cannot be built; it says why.
    """
    trt = flavour.trt
    names = names_of(capabilities, flavour)
    builder = trt.Builder(flavour.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    # The network's weights are the parser's.
    parser = trt.OnnxParser(network, flavour.logger)
    custom = _parse(flavour, program, parser, plugins is not None)
    config = builder.create_builder_config()
    config.progress_monitor = _monitor(trt, told)
    if names:
        config.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    ours = [layer for layer in layers if layer.type == trt.LayerType.PLUGIN_V3]
    _check(program, len(ours), custom if plugins else 0)
    with plugins.library.offered(_kernels(trt, ours, plugins.gpus, told)) if plugins and ours else nullcontext():
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        why = plugins.library.failure() if plugins else ""
        raise _failed(program, flavour, why or "the log tells what TensorRT met")
    return Built(bytes(plan), len(layers), len(ours))


def names_of(capabilities: Sequence[Capability], flavour: Flavour) -> list[str]:
    """TensorRT's names for GPUs.

    Raises:
        EngineError: it cannot build for one of them.
    """
    known = capability_names(flavour)
    for major, minor in capabilities:
        if (major, minor) not in known:
            others = ", ".join(f"{first}.{second}" for first, second in sorted(known))
            raise EngineError(
                f"{flavour} cannot build for GPUs of compute capability {major}.{minor}",
                expected=f"one of {others}" if known else "the GPU of the machine that builds",
                fix="Use --engine torch on that GPU"
                if known
                else "Build on a machine with that GPU, without naming it",
            )
    return [known[capability] for capability in capabilities]


def _parse(flavour: Flavour, program: Path, parser: Any, plugins: bool) -> int:
    """Read a program into the parser's network; how many custom nodes it has."""
    try:
        model = onnx.load(program, load_external_data=False)
    except DecodeError as error:
        raise _failed(program, flavour, "it cannot be read") from error
    if not plugins:
        without_plugins(model)
    # Other versions than 1.7 need it, or do not know it.
    elif (flag := getattr(flavour.trt.OnnxParserFlag, "ENABLE_PLUGIN_OVERRIDE", None)) is not None:
        parser.set_flag(flag)
    # Weights are looked for beside the path.
    if not parser.parse(model.SerializeToString(), str(program)):
        faults = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise _failed(program, flavour, faults[0] if faults else "it cannot be read")
    return sum(map(is_custom, model.graph.node))


def _check(program: Path, made: int, wanted: int) -> None:
    """Where TensorRT does not find a plugin it takes the body, and says nothing."""
    if made != wanted:
        raise EngineError(
            f"TensorRT made plugins of {made} nodes of the program {program.name}",
            expected=f"{wanted} plugins",
            fix='Build with "mive-trt build --no-plugins", and report this with the program',
        )


def _kernels(
    trt: Any, layers: Sequence[Any], gpus: Sequence[Capability], told: Told
) -> dict[tuple[str, Capability], bytes]:
    """The compiled kernels of a network's plugins, by key and GPU."""
    from mive_trt.cubins import pack

    types = {dtype: int(number) for number, dtype in _dtypes(trt).items()}
    nodes = {node.key(types): node for node in (_node(trt, layer) for layer in layers)}
    wanted = [(key, gpu) for key in nodes for gpu in gpus]
    packed = {}
    for done, (key, gpu) in enumerate(wanted):
        told("compiling kernels", done, len(wanted))
        packed[key, gpu] = pack(nodes[key], gpu)
    return packed


def _node(trt: Any, layer: Any) -> Node:
    from mive_trt.cubins import Node

    # The Python API hands out plain layers.
    layer.__class__ = trt.IPluginV3Layer
    chosen = layer.plugin.get_capability_interface(trt.PluginCapabilityType.BUILD).metadata_string
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    return Node(chosen, tuple(Port(tuple(x.shape), _dtypes(trt)[x.dtype]) for x in inputs))


def _dtypes(trt: Any) -> dict[Any, torch.dtype]:
    return {
        trt.DataType.FLOAT: torch.float32,
        trt.DataType.HALF: torch.float16,
        trt.DataType.BF16: torch.bfloat16,
        trt.DataType.INT32: torch.int32,
        trt.DataType.BOOL: torch.bool,
    }


def _monitor(trt: Any, told: Told) -> Any:
    totals: dict[str, int] = {}

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            totals[phase_name] = num_steps
            told(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            told(phase_name, step + 1, totals[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            told(phase_name, totals[phase_name], totals[phase_name])

    return Monitor()


def _failed(program: Path, flavour: Flavour, why: str) -> EngineError:
    return EngineError(
        f"{flavour} cannot build the program {program.name}: {why}",
        expected="a program that MIVE exported",
        fix="Use --engine torch, and report this with the program",
    )
