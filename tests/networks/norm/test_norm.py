"""The norm's kernels against their reference, interpreted and on a GPU, and both against torch's own ops."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.attention.agreement import DTYPES, Run, agree
from tests.attention.test_kernels_compile import GRID, SHARED_MEMORY, spilled
from torch import Tensor, nn
from torch.nn import functional as F

from mive.attention.launch import Launch
from mive.networks.norm import NormWeights
from mive.networks.norm.reference import pooled_norm

kernels = pytest.importorskip("mive.networks.norm.triton")

GROUPS = 4


def normed(x: Tensor, weight: Tensor, bias: Tensor, *, groups: int, frames: int, silu: bool) -> Tensor:
    """The kernels, on tensors only, as another process takes them."""
    done: Tensor = kernels.pooled_norm(x, NormWeights(weight, bias, groups, 1e-5), frames, silu)
    return done


def check(run: Run, x: Tensor, frames: int = 2, silu: bool = True, groups: int = GROUPS, offset: float = 0.0) -> Tensor:
    """The kernels' result, which is the reference's in float64."""
    generator = torch.Generator().manual_seed(1)
    weight, bias = (torch.randn(x.shape[1], generator=generator).to(x.dtype) for _ in range(2))
    x = x + offset
    got = run(partial(normed, groups=groups, frames=frames, silu=silu), x, weight, bias)
    exact = NormWeights(weight.double(), bias.double(), groups, 1e-5)
    agree(got, pooled_norm(x.double(), exact, frames, silu).to(x.dtype))
    return got


def picture(
    rows: int = 4, channels: int = 24, height: int = 5, width: int = 7, dtype: torch.dtype = torch.float32
) -> Tensor:
    """[rows, channels, height, width], each channel with a level of its own, channels last in memory."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, channels, height, width, generator=generator)
    x = x * torch.rand(channels, 1, 1, generator=generator) + torch.randn(channels, 1, 1, generator=generator)
    return x.to(dtype, memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("silu", [True, False], ids=["silu", "plain"])
def test_every_dtype_with_and_without_silu(run: Run, dtype: torch.dtype, silu: bool) -> None:
    check(run, picture(dtype=dtype), silu=silu)


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_statistics_cover_the_frames_of_an_item(run: Run, frames: int) -> None:
    check(run, picture(), frames=frames)


@pytest.mark.parametrize("channels", [4, 60, 64, 68, 136])
def test_channels_that_are_no_multiple_of_a_tile(run: Run, channels: int) -> None:
    check(run, picture(channels=channels))


@pytest.mark.parametrize("height", [1, 9, 10, 19])
def test_pixels_that_are_no_multiple_of_a_tile(run: Run, height: int) -> None:
    check(run, picture(height=height))


def test_one_number_for_each_channel(run: Run) -> None:
    check(run, picture(height=1, width=1))


def test_more_parts_than_are_read_at_a_time(run: Run) -> None:
    check(run, picture(rows=2, channels=1200, height=8, width=9))


def test_channels_first(run: Run) -> None:
    got = check(run, picture().contiguous())
    assert got.is_contiguous()


def test_the_layout_stays(run: Run) -> None:
    assert check(run, picture()).is_contiguous(memory_format=torch.channels_last)


def test_numbers_far_from_zero_keep_their_digits(run: Run) -> None:
    """A sum of squares would have lost them all."""
    check(run, picture(), offset=100.0)


def test_a_picture_that_is_a_part_of_another(run: Run) -> None:
    check(run, picture(channels=48)[:, 12:36])


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 5]), st.integers(1, 12), st.integers(1, 12),
    st.booleans(),
)  # fmt: skip
def test_any_shape(
    interpreter: Run, items: int, frames: int, per_group: int, height: int, width: int, silu: bool
) -> None:
    assume(frames * per_group * height * width > 1)
    check(interpreter, picture(items * frames, GROUPS * per_group, height, width), frames=frames, silu=silu)


def test_one_frame_is_torchs_own_group_norm() -> None:
    x, norm = picture(), nn.GroupNorm(GROUPS, 24)
    weights = NormWeights(norm.weight, norm.bias, GROUPS, norm.eps)
    assert torch.equal(pooled_norm(x, weights, 1, False), norm(x))
    assert torch.equal(pooled_norm(x, weights, 1, True), F.silu(norm(x)))


@pytest.mark.parametrize("capability", [80, 86, 89, 90, 120])
def test_machine_code_for_every_gpu(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At Stable Diffusion's sizes: it fits, keeps its numbers in registers and reads 16 bytes at a time."""
    machine_code = pytest.importorskip("mive.attention.machine_code").machine_code
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for launch in stable_diffusion_launches():
        assert all(size <= most for size, most in zip(launch.grid, GRID, strict=True))
        built = machine_code(launch, divmod(capability, 10))
        assert built.shared <= SHARED_MEMORY[capability], built.name
        assert spilled(built.cubin, tmp_path) <= 16, built.name
        if built.name != "combine":
            assert "ld.global.v4" in built.ptx, built.name


def stable_diffusion_launches() -> list[Launch]:
    meta = torch.device("meta")
    made: list[Launch] = []
    for channels, side in ((320, 64), (960, 64), (2560, 16)):
        x = torch.empty(32, channels, side, side, dtype=torch.float16, device=meta)
        x = x.to(memory_format=torch.channels_last)
        weights = NormWeights(*(torch.empty(channels, dtype=torch.float16, device=meta) for _ in range(2)), 32, 1e-5)
        scratch = kernels.scratch_of(x, weights, 16)
        made += kernels.norm_launches(x, x, weights, *scratch, frames=16, silu=True)
    return made
