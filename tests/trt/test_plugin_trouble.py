"""What goes wrong around plugins is said, and ends nothing; and they leave no memory behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.trt.plugin_host import Run, node_of, run

from mive_trt.nodes import FLOW, IPR

AMPERE, ADA, BLACKWELL = (8, 6), (8, 9), (12, 0)


def said(done: Run) -> str:
    """The host's last words."""
    return done.said[-1]


def unloaded(done: Run) -> bool:
    return sorted(words[1] for words in done.of("load")) == sorted(words[1] for words in done.of("unload"))


@pytest.mark.parametrize("op", [IPR, FLOW])
def test_an_engine_holds_kernels_for_all_its_gpus(op: str, tmp_path: Path) -> None:
    done = run(node_of(op), [AMPERE, ADA, BLACKWELL], tmp_path)
    assert said(done) == "done"
    fields = [line.split()[1] for line in done.said if line.startswith("field")]
    assert fields == ["key", "sm86", "sm89", "sm120"]
    # Loaded once for all contexts of the engine, and given back.
    assert len(done.of("load")) == 2
    assert unloaded(done)


@pytest.mark.parametrize("op", [IPR, FLOW])
def test_all_tensors_are_taken_as_programs_have_them(op: str, tmp_path: Path) -> None:
    done = run(node_of(op), [AMPERE], tmp_path)
    assert f"takes {'1' * (9 if op == IPR else 5)}" in done.said
    assert "took other shapes" not in done.said


def test_kernels_for_other_shapes_do_not_do(tmp_path: Path) -> None:
    done = run(node_of(FLOW), [AMPERE], tmp_path, key="FlowAttention;1:1,1,1,1")
    assert said(done).startswith("failed configure: no kernels were compiled for FlowAttention;1:2,2,24,8;")


def test_an_engine_for_other_gpus_says_so(tmp_path: Path) -> None:
    done = run(node_of(FLOW), [ADA, BLACKWELL], tmp_path)
    words = "kernels for GPUs of compute capability 8.9, 12.0, and this one is of 8.6"
    assert said(done) == f"failed attach: the engine has {words}"


def test_a_machine_without_a_driver_says_so(tmp_path: Path) -> None:
    done = run(node_of(FLOW), [AMPERE], tmp_path, driver=False)
    assert said(done) == "failed attach: there is no NVIDIA driver: libcuda.so.1 cannot be loaded"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("cuCtxGetCurrent", "attach: no CUDA context is current"),
        ("cuModuleLoadData", "attach: loading a kernel failed: made to fail (999)"),
        ("cuModuleGetFunction", "attach: finding a kernel failed: made to fail (999)"),
        ("cuLaunchKernel", "enqueue: launching a kernel failed: made to fail (999)"),
    ],
)
def test_what_the_driver_refuses_is_told(function: str, words: str, tmp_path: Path) -> None:
    done = run(node_of(IPR), [AMPERE], tmp_path, {"FAKE_CUDA_FAIL": function})
    assert said(done) == f"failed {words}"


def test_tensors_that_the_code_cannot_read_are_refused(tmp_path: Path) -> None:
    done = run(node_of(IPR), [AMPERE], tmp_path, {"HOST_SHIFT": "8"})
    assert said(done) == "failed enqueue: a tensor begins at no multiple of 16 bytes"


@pytest.mark.parametrize("kept", [0, 7, 8, 20, 24, 100, 1000])
def test_a_damaged_engine_is_refused(kept: int, tmp_path: Path) -> None:
    done = run(node_of(FLOW), [AMPERE], tmp_path, {"HOST_CUT": str(kept)})
    assert said(done) == "failed engine: compiled kernels are damaged or of another version"


def test_creators_answer_to_the_end(tmp_path: Path) -> None:
    done = run(node_of(FLOW), [AMPERE], tmp_path, {"HOST_LATE": "1"})
    assert said(done) == f"late {FLOW}"


@pytest.mark.slow
@pytest.mark.parametrize("op", [IPR, FLOW])
@pytest.mark.parametrize(
    ("environment", "ends"),
    [({}, "done"), ({"HOST_LATE": "1"}, "late"), ({"HOST_CUT": "100"}, "failed"), ({"HOST_SHIFT": "8"}, "failed"),
     ({"FAKE_CUDA_FAIL": "cuLaunchKernel"}, "failed"), ({"FAKE_CUDA_FAIL": "cuModuleGetFunction"}, "failed"),
     ({"FAKE_CUDA_FAIL": "cuCtxPushCurrent_v2"}, "done")],
    ids=str,
)  # fmt: skip
def test_nothing_leaks_and_nothing_is_read_that_is_not_there(
    op: str, environment: dict[str, str], ends: str, tmp_path: Path
) -> None:
    """With sanitizers, which end the host with an error."""
    done = run(node_of(op), [AMPERE, ADA], tmp_path, environment, sanitized=True)
    assert said(done).split()[0] == ends
