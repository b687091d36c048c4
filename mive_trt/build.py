"""Builds TensorRT engines of exported programs, for this GPU or for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mive.errors import EngineError
from mive_trt.flavour import Capability, Flavour, capability_names

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


def build_engine(
    flavour: Flavour,
    program: Path,
    capabilities: Sequence[Capability] = (),
    told: Told = lambda what, done, total: None,
) -> Built:
    """Build an engine; its precision is the exported program's.

    Args:
        program: an ONNX file.
        capabilities: the GPUs it is for; none means this machine's.
        told: how far it is, often.

    Raises:
        EngineError: it cannot be built; it says why.
    """
    trt = flavour.trt
    names = names_of(capabilities, flavour)
    builder = trt.Builder(flavour.logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, flavour.logger)
    if not parser.parse_from_file(str(program)):
        faults = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise _failed(program, flavour, faults[0] if faults else "it cannot be read")
    config = builder.create_builder_config()
    config.progress_monitor = _monitor(trt, told)
    if names:
        config.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    layers = [network.get_layer(index).type for index in range(network.num_layers)]
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _failed(program, flavour, "the log tells what TensorRT met")
    return Built(bytes(plan), len(layers), layers.count(trt.LayerType.PLUGIN_V3))


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
