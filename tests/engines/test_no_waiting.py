"""No step of a plan waits for the device: nothing is copied to it or from it between the first step and the last."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.networks import sd15
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mive.editing.samplers import make_sampler
from mive.engines.torch_engine import TorchEngine
from mive.method.denoiser import Conditions
from mive.method.finite import Finiteness
from mive.method.solvers import SOLVERS
from mive.networks.bundle import Bundle, load_bundle
from mive.plans import Fuse, Lps, Nps, Reinvert
from mive.request import EditRequest, Instance, ResolvedSettings, Settings

FRAMES = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)
DEVICE = torch.device("meta")
"""Stands for a GPU: it computes nothing, and whoever looks at its numbers fails."""

REQUEST = EditRequest(
    clip="clip.mkv",
    mattes="mattes",
    instances=(Instance(id=1, caption="a red ball"), Instance(id=2, caption="a blue cube", guidance=3.0)),
)

PLAN = (Lps(0, True), Lps(1, True), Fuse(2), Reinvert(2), Nps(1, True), Nps(2, True), Lps(3, False), Nps(4, False))
"""Every kind of step, after every kind that it follows in plans."""


class Crossings(TorchDispatchMode):
    """Lists what goes from one device to the other, and numbers that are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        devices = {x.device.type for x in tree_leaves((args, kwargs, made)) if isinstance(x, torch.Tensor)}
        if len(devices) > 1 or "_local_scalar_dense" in str(func):
            self.seen.append(str(func))
        return made


class Made(TorchFunctionMode):
    """Lists tensors that are made of Python's numbers, and indices that are lists, which become such tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        indexed = func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) or (indexed and _has_list(args[1])):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def _has_list(index: Any) -> bool:
    return any(isinstance(part, list) for part in (index if isinstance(index, tuple) else (index,)))


@pytest.mark.parametrize(
    "work",
    [
        lambda z: torch.tensor([1.0], device=DEVICE),
        lambda z: torch.zeros(3).to(DEVICE),
        lambda z: z[torch.tensor([0, 1])],
        lambda z: z[:, [0, 1]],
        lambda z: torch.ones(()).item(),
    ],
)
def test_what_waits_is_seen(work: Callable[[Tensor], object]) -> None:
    z = torch.zeros(3, 3, device=DEVICE)
    with Made() as made, Crossings() as crossings:
        work(z)
    assert made.seen + crossings.seen


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two levels of one layer: what computes nothing takes its time too."""
    folder = tmp_path_factory.mktemp("small") / "bundle"
    shutil.copytree(bundle, folder)
    down = {"block_out_channels": (32, 64), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}
    up = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    hint = {"conditioning_embedding_out_channels": (4, 8, 8, 16)}
    networks = {
        "unet": sd15.unet(**down, **up, layers_per_block=1),
        "controlnet": sd15.controlnet(**down, **hint, layers_per_block=1),
    }
    for part, network in networks.items():
        shutil.rmtree(folder / part)
        network.half().save_pretrained(folder / part)
    return folder


def mattes() -> Iterator[NDArray[np.float32]]:
    for _ in FRAMES:
        alpha = np.zeros((2, 64, 64), np.float32)
        alpha[0, :32], alpha[1, 40:] = 1, 1
        yield alpha


def moved(bundle: Bundle, settings: ResolvedSettings) -> tuple[TorchEngine, Conditions]:
    """An engine on the device, and what a window looks like there; captions are encoded here, which needs numbers."""
    here = TorchEngine(bundle)
    flow_attention = None if settings.flow_attention == "none" else settings.flow_attention
    conditions = here.conditions(FRAMES, mattes(), "dis", flow_attention, "nearest")
    here.embed(("", *(instance.caption for instance in REQUEST.instances)))
    for network in (bundle.unet, bundle.controlnet):
        network.to(DEVICE)
    engine = TorchEngine(bundle, settings.control_scale, settings.control_caption)
    engine.device = DEVICE
    engine._captions = {caption: (x.to(DEVICE), n.to(DEVICE)) for caption, (x, n) in here._captions.items()}
    assert conditions.hint is not None
    return engine, Conditions(
        conditions.hint.to(DEVICE),
        {size: masks.to(DEVICE) for size, masks in conditions.masks.items()},
        {size: paths.to(DEVICE) for size, paths in conditions.trajectories.items()},
        conditions.flow_attention,
    )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"solver": "dpmpp_2m", "frame_attention": "pooled", "nps_passes": "joint", "lps_unguided": "pasted",
         "control_caption": "empty"},
        *(pytest.param(asked, marks=pytest.mark.slow) for asked in (
            {"instances_per_forward": 2, "lambda_s": "bounded"},
            {"ipr": "none", "flow_attention": "old_qk"},
            {"ipr": "dense_diffusion"},
            {"control_attention": "frame"},
        )),
    ],
    ids=lambda asked: ",".join(map(str, asked.values())) or "usual",
)  # fmt: skip
def test_between_the_steps_of_a_plan_nothing_crosses(
    small: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(model_size=64, steps=5, guidance=2.0, **asked).resolved({})
    loaded = load_bundle(small, control_attention=settings.control_attention)
    engine, conditions = moved(loaded, settings)
    grids = SOLVERS[settings.solver].grids(loaded.schedule, settings.steps, settings.inversion_steps)
    z = torch.zeros(2, 4, 8, 8, device=DEVICE)
    sampler = make_sampler(REQUEST, settings, engine, grids, conditions, z)
    sampler.inverted = dict.fromkeys((*grids.sampling, None), z)
    monkeypatch.setattr(Finiteness, "settle", lambda asked, later=0: None)
    crossings, made = Crossings(), Made()
    with torch.inference_mode():
        states = sampler.run(PLAN)
        next(states)
        with made, crossings:
            *_, last = states
    assert last.fused is not None
    assert last.fused.device == DEVICE
    assert made.seen + crossings.seen == []
