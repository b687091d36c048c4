"""Where kernels run in tests: in Triton's interpreter, and on a GPU where there is one."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch
from tests.attention.agreement import Run
from torch import Tensor


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Run]:
    """``interpreter(kernel, *args)``: the call in a process that interprets kernels, where fresh memory is NaN.

    Triton reads TRITON_INTERPRET when it is imported, which for this process is too late and too far-reaching.
    """
    pytest.importorskip("triton")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, torch.use_deterministic_algorithms, (True,)) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            assert pool.submit(os.getenv, "TRITON_INTERPRET").result() == "1"
        yield lambda function, *args: pool.submit(function, *args).result()


@pytest.fixture(scope="session", params=["interpreter", "cuda"])
def run(request: pytest.FixtureRequest) -> Run:
    """``run(kernel, *args)``: the call in the interpreter or on the GPU, on fresh memory of NaN; back on the CPU."""
    if request.param == "interpreter":
        interpreter: Run = request.getfixturevalue("interpreter")
        return interpreter
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return _on_cuda


def _on_cuda(function: Callable[..., Tensor], *args: Any) -> Tensor:
    # One copy of each, so that a tensor given twice stays one tensor.
    moved = {id(x): x.to(torch.device("cuda")) for x in args}
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        return function(*(moved[id(x)] for x in args)).cpu()
    finally:
        torch.use_deterministic_algorithms(before)
