"""One resumable training loop for every part of the bundle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mive.base.atomic import file_aside
from mive.evaluate.training.precision import training_dtype
from mive.evaluate.training.replay import Step, replayed
from mive.evaluate.training.weights import Average, Weights

Draw = Callable[[int, float, torch.Generator], tuple[Tensor, ...]]
"""(step, progress 0..1, generator) → a batch on the module's device; all that is random is in it."""

Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""The tensors of a batch → (scalar loss, figures to log), from nothing but them and the module."""

Keep = Callable[[dict[str, Tensor]], None]
"""Takes the averaged weights by name, at every checkpoint."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a part trains: to ``steps`` or for ``seconds``, whichever ends first."""

    name: str
    steps: int
    learning_rate: float
    seconds: float = math.inf
    weight_decay: float = 0.01
    warm_up: int = 200
    ema: float = 0.999
    seed: int = 0
    every: int = 100
    save_every: float = 300.0
    """Seconds between checkpoints."""


def rate(recipe: Recipe, progress: float, step: int) -> float:
    """Linear warm-up, then a cosine to 2 % of the peak."""
    decay = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warm_up) * decay


def _optimiser(trained: list[nn.Parameter], recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; on a GPU fused, and with a learning rate that a recorded step reads anew each time."""
    device = trained[0].device
    if device.type == "cpu":
        return torch.optim.AdamW(trained, recipe.learning_rate, (0.9, 0.99), weight_decay=recipe.weight_decay)
    now = torch.tensor(recipe.learning_rate, device=device)
    return torch.optim.AdamW(trained, now, (0.9, 0.99), weight_decay=recipe.weight_decay, fused=True, capturable=True)


def _set_rate(optimiser: torch.optim.AdamW, value: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def _step(loss: Loss, weights: Weights, optimiser: torch.optim.AdamW) -> Step:
    """One update from a batch; returns the figures. Nothing in it waits for the device."""

    def run(*batch: Tensor) -> dict[str, Tensor]:
        weights.forget_gradients()
        value, seen = loss(*batch)
        value.backward()  # type: ignore[no-untyped-call]
        weights.take_gradients()
        nn.utils.clip_grad_norm_(weights.masters, 1.0, foreach=True)
        optimiser.step()
        weights.give()
        return {key: figure.detach().float() for key, figure in {"loss": value, **seen}.items()}

    return run


class _Log:
    """Figures averaged on the device; reading them waits for it, so that happens once in a while only."""

    def __init__(self) -> None:
        self._figures: dict[str, Tensor] = {}

    def add(self, seen: dict[str, Tensor]) -> None:
        for key, now in seen.items():
            self._figures[key] = self._figures[key].lerp(now, 0.02) if key in self._figures else now.clone()

    def __str__(self) -> str:
        return " ".join(f"{key} {figure.item():.4f}" for key, figure in self._figures.items())


def train(module: nn.Module, draw: Draw, loss: Loss, recipe: Recipe, work: Path, keep: Keep | None = None) -> None:
    """Run a recipe to its end, resuming from ``work/<name>.pt``, and leave averaged float32 weights in the module.

    While it trains the module computes in `training_dtype`. On a GPU a step is recorded once for each shape of batch
    and then replayed: launching its thousands of small kernels one by one takes longer than computing them.

    Args:
        module: the parameters to train (those that require a gradient), in float32.
        draw: batches must depend on nothing but its arguments, so that a resumed run sees the same ones.
        loss: must not wait for the device.
        keep: called with every checkpoint, also the last.
    """
    device = next(module.parameters()).device
    weights = Weights(module, training_dtype(device))
    optimiser, average = _optimiser(weights.masters, recipe), Average(weights, recipe.ema)
    step, spent, checkpoint = 0, 0.0, work / f"{recipe.name}.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        weights.load(state["weights"])
        average.load(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]

    def save() -> None:
        state = {"weights": weights.state(), "average": average.state(), "optimiser": optimiser.state_dict()}
        with file_aside(checkpoint) as aside:
            torch.save({**state, "step": step, "spent": spent}, aside)
        if keep is not None:
            keep(average.state())

    run = replayed(_step(loss, weights, optimiser), device)
    started, saved = time.monotonic() - spent, time.monotonic()
    generator, log = torch.Generator(device), _Log()
    while step < recipe.steps:
        spent = time.monotonic() - started
        progress = max(step / recipe.steps, spent / recipe.seconds)
        if progress >= 1:
            break
        _set_rate(optimiser, rate(recipe, progress, step))
        generator.manual_seed(recipe.seed * 1_000_003 + step)
        log.add(run(*draw(step, progress, generator)))
        average.update(step)
        step += 1
        if step % recipe.every == 0:
            print(f"{recipe.name} step {step} at {spent:.0f} s: {log}", flush=True)
        if time.monotonic() - saved > recipe.save_every:
            save()
            saved = time.monotonic()
    save()
    print(f"{recipe.name}: {step} steps in {spent:.0f} s: {log}", flush=True)
    module.float().load_state_dict(average.state(), strict=False)
    module.eval()
