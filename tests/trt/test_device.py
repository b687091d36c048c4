"""Programs on a GPU, with a TensorRT and a GPU that only write down what they are asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mive.errors import EngineError, OutOfMemory
from mive_trt.device import Buffers, DeviceProgram, TensorRtExecutor, Work
from mive_trt.executor import Port, Unusable

TYPES = IntEnum("TYPES", ["FLOAT", "HALF", "INT32", "INT64", "BOOL"])
VALIDITY = IntEnum("VALIDITY", ["VALID", "INVALID"])
FLAGS = {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2, "OLD_CUDA_DRIVER": 4, "INSUFFICIENT_GPU_MEMORY": 16}
STREAM = 7


class FakeGpu:
    """Main memory; work is done at once, and a graph does again what it recorded.

    Attributes:
        taken: what was asked for.
        captured, replayed: how often.
        chosen: whether it is the current GPU.
        waited: how often all work was waited for.
    """

    def __init__(self, free: int = 2**40) -> None:
        self.taken: list[Port] = []
        self.captured = self.replayed = self.waited = 0
        self.chosen = self.captures_fail = False
        self._free = free
        self.recording = False

    @contextmanager
    def current(self) -> Iterator[None]:
        self.chosen = True
        yield
        self.chosen = False

    def wait(self) -> None:
        self.waited += 1

    def memory(self, port: Port) -> Tensor:
        if math.prod(port.shape) > self._free:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.taken.append(port)
        return torch.zeros(port.shape, dtype=port.dtype)

    def free(self) -> tuple[int, int]:
        return self._free, 2**40

    def launch(self, work: Work) -> None:
        work(STREAM)

    def capture(self, work: Work) -> Callable[[], None]:
        self.captured += 1
        if self.captures_fail:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recording = True
        work(STREAM)
        self.recording = False

        def replay() -> None:
            self.replayed += 1
            work(STREAM)

        return replay


class FakeContext:
    """Adds 1 to its input where both lie."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.scratch: list[tuple[int, int]] = []

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= self.engine.device_memory_size_v2
        self.scratch.append((address, size))

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == STREAM
        if self.engine.broken:
            return False
        if not self.engine.gpu.recording:
            source, target = (self.engine.found(name, self.addresses[name]) for name in self.engine.names)
            target.copy_(source + 1)
        return True


class FakeEngine:
    """One float input and one float output of four numbers."""

    def __init__(self, gpu: FakeGpu, buffers: Buffers, names: tuple[str, str], scratch: int = 256) -> None:
        self.gpu, self.buffers, self.names = gpu, buffers, names
        self.device_memory_size_v2 = scratch
        self.num_io_tensors = 2
        self.broken = False
        self.context: FakeContext | None = None

    def found(self, name: str, address: int) -> Tensor:
        tensor = self.buffers.tensor(name, PORT)
        assert tensor.data_ptr() == address
        return tensor

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (4,)

    def get_tensor_dtype(self, name: str) -> int:
        return TYPES.FLOAT

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == self.names[0] else "out"

    def create_execution_context(self, strategy: str) -> FakeContext:
        assert strategy == "mine"
        self.context = FakeContext(self)
        return self.context


PORT = Port((4,), torch.float32)


def trt(**more: Any) -> Any:
    return SimpleNamespace(
        DataType=TYPES,
        TensorIOMode=SimpleNamespace(INPUT="in"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="mine"),
        EngineValidity=VALIDITY,
        EngineInvalidityDiagnostics=SimpleNamespace(__members__=FLAGS),
        **more,
    )


def make(gpu: FakeGpu, buffers: Buffers, *names: str, scratch: int = 256) -> tuple[DeviceProgram, FakeEngine]:
    engine = FakeEngine(gpu, buffers, names, scratch)  # type: ignore[arg-type]
    return DeviceProgram(engine, trt(), buffers, gpu), engine


def test_a_program_is_captured_once() -> None:
    gpu = FakeGpu()
    program, _ = make(gpu, Buffers(gpu), "z", "output")
    results = [program.run({"z": torch.full((4,), float(i))})["output"].tolist() for i in range(5)]
    assert results == [[i + 1.0] * 4 for i in range(5)]
    assert (gpu.captured, gpu.replayed) == (1, 4)


def test_no_step_takes_memory() -> None:
    gpu = FakeGpu()
    program, _ = make(gpu, Buffers(gpu), "z", "output")
    before = list(gpu.taken)
    for _ in range(5):
        program.run({"z": torch.ones(4)})
    assert gpu.taken == before


def test_what_one_program_writes_the_next_reads_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    buffers = Buffers(gpu)
    first, _ = make(gpu, buffers, "z", "mid")
    second, _ = make(gpu, buffers, "mid", "output")
    made = first.run({"z": torch.zeros(4)})
    copies: list[Tensor] = []
    copy = torch.Tensor.copy_
    monkeypatch.setattr(torch.Tensor, "copy_", lambda self, x: (copies.append(self), copy(self, x))[1])
    assert second.run(made)["output"].tolist() == [2.0] * 4
    assert [x.data_ptr() for x in copies] == [buffers.tensor("output", PORT).data_ptr()]


def test_scratch_is_shared_and_moving_it_captures_again() -> None:
    gpu = FakeGpu()
    buffers = Buffers(gpu)
    small, engine = make(gpu, buffers, "z", "mid", scratch=256)
    for _ in range(3):
        small.run({"z": torch.zeros(4)})
    large, other = make(gpu, buffers, "mid", "output", scratch=512)
    for _ in range(3):
        small.run({"z": torch.zeros(4)})
        large.run({"mid": torch.zeros(4)})
    assert engine.context is not None
    assert other.context is not None
    assert [size for _, size in engine.context.scratch] == [256, 512]
    assert engine.context.scratch[-1] == other.context.scratch[-1]
    assert gpu.captured == 3


def test_after_scratch_that_did_not_fit_nobody_uses_what_is_gone() -> None:
    gpu = FakeGpu(free=1000)
    buffers = Buffers(gpu)
    program, engine = make(gpu, buffers, "z", "mid", scratch=256)
    for _ in range(3):
        program.run({"z": torch.zeros(4)})
    with pytest.raises(torch.OutOfMemoryError):
        make(gpu, buffers, "mid", "output", scratch=2000)
    assert program.run({"z": torch.zeros(4)})["mid"].tolist() == [1.0] * 4
    assert engine.context is not None
    assert engine.context.scratch[-1] == (buffers.scratch.data_ptr(), 256)
    assert gpu.captured == 1, "what was captured with the old scratch memory is not launched again"


def test_a_program_that_cannot_be_captured_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    gpu = FakeGpu()
    gpu.captures_fail = True
    program, _ = make(gpu, Buffers(gpu), "z", "output")
    results = [program.run({"z": torch.full((4,), float(i))})["output"].tolist() for i in range(4)]
    assert results == [[i + 1.0] * 4 for i in range(4)]
    assert gpu.captured == 1
    assert "not permitted when stream is capturing" in caplog.text


def test_a_run_that_fails_says_so() -> None:
    gpu = FakeGpu()
    program, engine = make(gpu, Buffers(gpu), "z", "output")
    engine.broken = True
    with pytest.raises(EngineError, match="could not run a program"):
        program.run({"z": torch.zeros(4)})


def executor(gpu: FakeGpu, *faults: str, plan: object = None) -> TensorRtExecutor:
    validity = VALIDITY.INVALID if faults else VALIDITY.VALID
    flags = sum(FLAGS[fault] for fault in faults)
    runtime = SimpleNamespace(
        get_engine_validity=lambda data: (validity, flags),
        deserialize_cuda_engine=lambda data: plan if gpu.chosen else pytest.fail("another GPU's"),
    )
    return TensorRtExecutor(trt(Runtime=lambda logger: runtime), None, gpu)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("VERSION_MISMATCH", Unusable, "another version of TensorRT.*mive-trt build"),
        ("UNSUPPORTED_CC", Unusable, "another kind of GPU.*mive-trt build"),
        ("OLD_CUDA_DRIVER", EngineError, "driver is too old.*Update the driver"),
        ("INSUFFICIENT_GPU_MEMORY", OutOfMemory, "does not fit.*smaller window"),
    ],
)
def test_a_program_that_cannot_run_here_says_what_to_do(
    tmp_path: Path, fault: str, error: type[EngineError], words: str
) -> None:
    file = tmp_path / "unet.engine"
    file.write_bytes(b"plan")
    with pytest.raises(error, match=words) as caught:
        executor(FakeGpu(), fault).load(file)
    assert type(caught.value) is error


def test_a_damaged_program_is_told(tmp_path: Path) -> None:
    file = tmp_path / "unet.engine"
    file.write_bytes(b"plan")
    with pytest.raises(Unusable, match=r"unet.engine cannot run here: it is damaged"):
        executor(FakeGpu()).load(file)


def test_a_program_larger_than_what_is_free_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "unet.engine"
    file.write_bytes(b"plan" * 1000)
    with pytest.raises(OutOfMemory, match=r"unet.engine.*are free"):
        executor(FakeGpu(free=3000)).load(file)


def test_a_program_whose_tensors_do_not_fit_is_told(tmp_path: Path) -> None:
    file = tmp_path / "unet.engine"
    file.write_bytes(b"plan")
    gpu = FakeGpu(free=2000)
    gpu.free = lambda: (2**40, 2**40)  # type: ignore[method-assign]
    engine = FakeEngine(gpu, Buffers(gpu), ("z", "output"), scratch=3000)
    with pytest.raises(OutOfMemory, match=r"what the program unet.engine works on does not fit"):
        executor(gpu, plan=engine).load(file)


def test_shared_memory_is_given_up_when_all_work_is_done(tmp_path: Path) -> None:
    file = tmp_path / "unet.engine"
    file.write_bytes(b"plan")
    gpu = FakeGpu()
    runs = executor(gpu, plan=FakeEngine(gpu, Buffers(gpu), ("z", "output")))
    runs.load(file)
    taken = len(gpu.taken)
    runs.clear()
    assert gpu.waited == 1
    runs.load(file)
    assert len(gpu.taken) == 2 * taken
