"""One resumable training loop for every part of the bundle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a part trains. ``minutes`` ends it early; the schedule then follows the clock."""

    name: str
    steps: int
    learning_rate: float
    weight_decay: float = 0.01
    warm_up: int = 200
    ema: float = 0.999
    seed: int = 0
    minutes: float = math.inf
    every: int = 250


class Average:
    """An exponential moving average of a module's weights, in fp32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)


def _rate(recipe: Recipe, progress: float, step: int) -> float:
    """Linear warm-up, then a cosine to 2 % of the peak."""
    decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
    return min(1.0, (step + 1) / recipe.warm_up) * decay


def train(
    module: nn.Module,
    loss: Callable[[int, torch.Generator], tuple[torch.Tensor, dict[str, float]]],
    recipe: Recipe,
    work: Path,
) -> nn.Module:
    """Run a recipe to its end, resuming from ``work/<name>.pt``, and return the module with averaged weights.

    Args:
        module: the parameters to train (those that require a gradient).
        loss: (step, generator) -> (scalar loss, figures to log); batches must depend on nothing else, so that a
            resumed run sees the same ones.
    """
    device = next(module.parameters()).device
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, recipe.learning_rate, (0.9, 0.99), weight_decay=recipe.weight_decay)
    average, step, spent = Average(module, recipe.ema), 0, 0.0
    checkpoint = work / f"{recipe.name}.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        average.weights, step, spent = state["average"], state["step"], state["spent"]
    started, generator = time.monotonic() - spent, torch.Generator()
    figures: dict[str, float] = {}
    while step < recipe.steps:
        spent = time.monotonic() - started
        progress = _agreed(max(step / recipe.steps, spent / 60 / recipe.minutes))
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _rate(recipe, progress, step)
        generator.manual_seed((recipe.seed * 1_000_003 + step) * _workers() + _worker())
        value, seen = loss(step, generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        _average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        average.update(module, step)
        step += 1
        for key, figure in {"loss": value.item(), **seen}.items():
            figures[key] = figures.get(key, figure) * 0.98 + figure * 0.02
        if step % recipe.every == 0 and _worker() == 0:
            text = " ".join(f"{key} {figure:.4f}" for key, figure in figures.items())
            print(f"{recipe.name} step {step} min {spent / 60:.1f} {text}", flush=True)
            _save(checkpoint, module, optimiser, average, step, spent)
    if _worker() == 0:
        _save(checkpoint, module, optimiser, average, step, spent)
    module.load_state_dict(average.weights)
    return module.eval()


def join_workers(worker: int, workers: int, meeting: Path) -> None:
    """Make this process one of several that train a part together; each needs a core of its own."""
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=worker, world_size=workers)


def _worker() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def _workers() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _agreed(progress: float) -> float:
    """The first worker's progress, so that all keep one learning rate and stop together."""
    if not distributed.is_initialized():
        return progress
    shared = torch.tensor([progress])
    distributed.broadcast(shared, 0)
    return shared.item()


def _average_gradients(parameters: list[nn.Parameter]) -> None:
    if not distributed.is_initialized():
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= _workers()
    parts: tuple[Tensor, ...] = torch.split(flat, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def _save(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: Average,
    step: int,
    spent: float,
) -> None:
    aside = path.with_suffix(".tmp")
    state = {
        "module": module.state_dict(), "optimiser": optimiser.state_dict(), "average": average.weights,
        "step": step, "spent": spent,
    }  # fmt: skip
    torch.save(state, aside)
    aside.replace(path)
