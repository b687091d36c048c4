"""Programs on a GPU: TensorRT engines that share memory, each launched as one CUDA graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from mive.errors import EngineError, OutOfMemory
from mive_trt.executor import Port, Unusable
from mive_trt.plugin_library import MARK, Plugins

log = logging.getLogger(__name__)

Work = Callable[[int], None]
"""Enqueues something on the CUDA stream of this handle."""

_SPARE: Final = 0.05
"""Of a GPU's memory stays free: for the torch networks, and what CUDA itself takes."""

_FAULTS: Final = {
    "VERSION_MISMATCH": "another version of TensorRT built it",
    "UNSUPPORTED_CC": "it was built for another kind of GPU",
    "MALFORMED_ENGINE": "it is damaged",
}
"""What building the program again mends."""

_OLD: Final = ("OLD_CUDA_DRIVER", "OLD_CUDA_RUNTIME")


class Gpu(Protocol):
    """The little that programs need of a GPU."""

    def current(self) -> AbstractContextManager[object]:
        """Makes it the GPU that TensorRT uses in this thread, which is not told and takes the first."""

    def wait(self) -> None:
        """Return when all that was enqueued is done."""

    def memory(self, port: Port) -> Tensor:
        """Fresh memory of this shape and dtype."""

    def free(self) -> tuple[int, int]:
        """Bytes that are free, and all there are."""

    def launch(self, work: Work) -> None:
        """Enqueue work after what torch has enqueued so far, and before what it enqueues next."""

    def capture(self, work: Work) -> Callable[[], None]:
        """Record work as a graph without doing it, and return what launches it in torch's order."""


class Cuda:
    """An NVIDIA GPU.

    Args:
        device: as torch names it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def current(self) -> AbstractContextManager[object]:
        """See `Gpu.current`."""
        return torch.cuda.device(self._device)

    def wait(self) -> None:
        """See `Gpu.wait`."""
        torch.cuda.synchronize(self._device)

    def memory(self, port: Port) -> Tensor:
        """See `Gpu.memory`."""
        return torch.empty(port.shape, dtype=port.dtype, device=self._device)

    def free(self) -> tuple[int, int]:
        """See `Gpu.free`; what torch keeps but does not use counts as free."""
        free, total = torch.cuda.mem_get_info(self._device)
        idle = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return free + idle, total

    def launch(self, work: Work) -> None:
        """See `Gpu.launch`. TensorRT would synchronise the whole device on torch's default stream."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with self.current():
            work(self._stream.cuda_stream)
        here.wait_stream(self._stream)

    def capture(self, work: Work) -> Callable[[], None]:
        """See `Gpu.capture`."""
        graph = torch.cuda.CUDAGraph()
        # A capture that fails leaves its own stream current.
        restored = torch.cuda.stream(torch.cuda.current_stream(self._device))
        with self.current(), restored, torch.cuda.graph(graph, stream=self._stream):
            work(self._stream.cuda_stream)
        replay: Callable[[], None] = graph.replay
        return replay


class Buffers:
    """Device memory that all programs share: one runs at a time.

    Tensors are known by name, shape and dtype, so that what ControlNet writes as down_0 is where the U-Net reads it.

    Attributes:
        version: changes when scratch memory moves, and with it every program that uses it must be captured anew.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._tensors: dict[tuple[str, Port], Tensor] = {}
        self._scratch: Tensor | None = None
        self.version = 0

    def tensor(self, name: str, port: Port) -> Tensor:
        """The tensor of that name."""
        if (name, port) not in self._tensors:
            self._tensors[name, port] = self._gpu.memory(port)
        return self._tensors[name, port]

    def reserve(self, size: int) -> None:
        """Make sure that scratch memory has as many bytes."""
        if self._scratch is None or self._scratch.numel() < size:
            # The old piece goes first, as both may not fit; and it is gone even if the new one does not fit.
            self._scratch = None
            self.version += 1
            self._scratch = self._gpu.memory(Port((max(size, 1),), torch.uint8))

    def clear(self) -> None:
        """Give up all of it, once no program will run again that was given any."""
        self._tensors.clear()
        self._scratch = None
        self.version += 1

    @property
    def scratch(self) -> Tensor:
        """The scratch memory; `reserve` comes before it."""
        assert self._scratch is not None
        return self._scratch


class DeviceProgram:
    """A TensorRT engine with its context; the first run is plain, all others launch the graph of the second.

    Args:
        engine: an ``ICudaEngine`` with fixed shapes.
        trt: TensorRT's Python module.
        buffers: shared with the other programs.
        gpu: where it runs.
        failure: why a plugin failed last, "" if none did.
    """

    def __init__(
        self, engine: Any, trt: Any, buffers: Buffers, gpu: Gpu, failure: Callable[[], str] = lambda: ""
    ) -> None:
        self._engine, self._buffers, self._gpu, self._failure = engine, buffers, gpu, failure
        failure()
        ports = _ports(engine, trt)
        self.inputs = {name: port for name, (port, read) in ports.items() if read}
        self._outputs = {name: port for name, (port, read) in ports.items() if not read}
        buffers.reserve(engine.device_memory_size_v2)
        self._context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if self._context is None:
            if why := failure():
                raise _cannot_run(why)
            raise _no_room("a program's working memory")
        for name, port in {**self.inputs, **self._outputs}.items():
            self._context.set_tensor_address(name, buffers.tensor(name, port).data_ptr())
        self._version = 0
        self._replay: Callable[[], None] | None = None
        self._runs = 0
        self._uncapturable = False

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Program.run`; the results lie in the shared buffers."""
        for name, port in self.inputs.items():
            buffer = self._buffers.tensor(name, port)
            if inputs[name].data_ptr() != buffer.data_ptr():
                buffer.copy_(inputs[name])
        self._launch()
        return {name: self._buffers.tensor(name, port) for name, port in self._outputs.items()}

    def _launch(self) -> None:
        self._buffers.reserve(self._engine.device_memory_size_v2)
        if self._version != self._buffers.version:
            scratch = self._buffers.scratch
            self._context.set_device_memory(scratch.data_ptr(), scratch.numel())
            self._version, self._replay, self._runs = self._buffers.version, None, 0
        if self._replay is None and self._runs > 0 and not self._uncapturable:
            self._capture()
        self._runs += 1
        if self._replay is None:
            # Kernels are chosen and compiled in a first run, which no graph may hold.
            self._gpu.launch(self._enqueue)
        else:
            self._replay()

    def _capture(self) -> None:
        try:
            self._replay = self._gpu.capture(self._enqueue)
        except (RuntimeError, EngineError) as error:
            log.warning("a program cannot be a CUDA graph, and its kernels are launched one by one: %s", error)
            self._uncapturable = True

    def _enqueue(self, stream: int) -> None:
        self._failure()
        if not self._context.execute_async_v3(stream):
            raise _cannot_run(self._failure())


class TensorRtExecutor:
    """Runs TensorRT engines on one GPU.

    Args:
        trt: TensorRT's Python module.
        logger: an ``ILogger``, which must outlive the runtime.
        gpu: where they run.
        plugins: the library of plugins, registered.
        obstacle: why there is none.
    """

    def __init__(
        self, trt: Any, logger: Any, gpu: Gpu, plugins: Plugins | None = None, obstacle: str = "it was not loaded"
    ) -> None:
        self._trt, self._gpu, self._obstacle = trt, gpu, obstacle
        self._failure = plugins.failure if plugins else lambda: ""
        self._without_plugins = plugins is None
        self._runtime = trt.Runtime(logger)
        self._buffers = Buffers(gpu)

    def load(self, file: Path) -> DeviceProgram:
        """See `Executor.load`."""
        if self._without_plugins and MARK in file.name:
            raise _unusable(file, f"it needs MIVE's library of plugins, and {self._obstacle}")
        plan = file.read_bytes()
        self._check_room(len(plan), file)
        self._check_validity(plan, file)
        self._failure()
        try:
            with self._gpu.current():
                engine = self._runtime.deserialize_cuda_engine(plan)
                if engine is None:
                    raise _unusable(file, self._failure() or "it is damaged, or of another version of TensorRT")
                return DeviceProgram(engine, self._trt, self._buffers, self._gpu, self._failure)
        except torch.OutOfMemoryError as error:
            raise _no_room(f"what the program {file.name} works on") from error

    def clear(self) -> None:
        """See `Executor.clear`."""
        self._gpu.wait()
        self._buffers.clear()

    def _check_room(self, size: int, file: Path) -> None:
        free, total = self._gpu.free()
        if size > free - _SPARE * total:
            raise _no_room(f"the program {file.name}, {size / 2**30:.1f} GiB,", f"; {free / 2**30:.1f} GiB are free")

    def _check_validity(self, plan: bytes, file: Path) -> None:
        """What TensorRT for RTX tells of a plan before it is loaded; full TensorRT tells nothing."""
        if not hasattr(self._runtime, "get_engine_validity"):
            return
        validity, diagnostics = self._runtime.get_engine_validity(plan)
        if validity != self._trt.EngineValidity.INVALID:
            return
        known = self._trt.EngineInvalidityDiagnostics.__members__
        found = {name for name, flag in known.items() if int(diagnostics) & int(flag)}
        if "INSUFFICIENT_GPU_MEMORY" in found:
            raise _no_room(f"the program {file.name}")
        if found & set(_OLD):
            raise EngineError(
                "the NVIDIA driver is too old for this TensorRT",
                expected="a driver that supports its CUDA version",
                fix="Update the driver, or use --engine torch",
            )
        raise _unusable(file, next((_FAULTS[name] for name in sorted(found) if name in _FAULTS), "it cannot be loaded"))


def _ports(engine: Any, trt: Any) -> dict[str, tuple[Port, bool]]:
    """Every tensor of an engine, and whether it is an input."""
    dtypes = {
        trt.DataType.FLOAT: torch.float32,
        trt.DataType.HALF: torch.float16,
        trt.DataType.INT32: torch.int32,
        trt.DataType.INT64: torch.int64,
        trt.DataType.BOOL: torch.bool,
    }
    ports = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        port = Port(tuple(engine.get_tensor_shape(name)), dtypes[engine.get_tensor_dtype(name)])
        ports[name] = (port, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT)
    return ports


def _cannot_run(why: str) -> EngineError:
    return EngineError(
        f"TensorRT could not run a program{why and f': {why}'}",
        expected="a GPU with free memory and a driver that works",
        fix="Look at the messages above, and use --engine torch if it happens again",
    )


def _unusable(file: Path, why: str) -> Unusable:
    return Unusable(
        f"the program {file.name} cannot run here: {why}",
        expected="a program for this GPU and this version of TensorRT",
        fix='Build it again with "mive-trt build" on this machine, or use --engine torch',
    )


def _no_room(what: str, more: str = "") -> OutOfMemory:
    return OutOfMemory(
        f"{what} does not fit in the GPU's memory{more}",
        expected="room for the weights of a U-Net and a ControlNet, and for one window of frames",
        fix="Use a smaller window or model_size, close what else uses the GPU, or use --engine torch",
    )
