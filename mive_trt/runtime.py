"""The TensorRT engine: ε and pictures from compiled programs, everything that runs once per window from torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from mive.attention.ipr import IprStrength
from mive.engines.devices import memory_of
from mive.engines.engine import Pixels
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import Bundle
from mive.networks.masks import select_masks
from mive.networks.unet.inflation import attention_sizes
from mive.request import ResolvedSettings
from mive.settings import Flow, FlowAttention, MaskCells
from mive_trt.buckets import DECODED, Bucket, Part, parts
from mive_trt.executor import Kind, Port
from mive_trt.executors import check_device
from mive_trt.library import Library, Programs
from mive_trt.scales import find_scales


def check(settings: ResolvedSettings, device: torch.device) -> None:
    """See whether programs can run with these settings on this device.

    Raises:
        EngineError: they cannot; it says what to do.
    """
    check_device(device, settings.quantize)
    for name, known in (
        ("ipr", (IprStrength.name, "none")),
        ("flow_attention", ("flatten", "none")),
        ("frame_attention", ("whole",)),
        ("nps_passes", ("each",)),
        ("control_caption", ("own",)),
        ("precision", ("auto", "fp32", "fp16")),
    ):
        if (what := getattr(settings, name)) not in known:
            raise _unsupported(f'{name} "{what}"', f"settings.{name}")


class TrtEngine:
    """A loaded bundle whose U-Net, ControlNet and VAE decoder are programs.

    Args:
        torch_engine: runs what programs do not: captions, encoding, depth, flow, the hint's embedding.
        programs: where programs come from.
        scales: hash of those that programs are quantised with.
    """

    name: Final[Literal["trt"]] = "trt"

    def __init__(self, torch_engine: TorchEngine, programs: Programs, scales: str = "") -> None:
        self._torch = torch_engine
        self.scales = scales
        self._programs = programs
        self._zeros: dict[Port, Tensor] = {}
        self.bundle, self.device, self.dtype = torch_engine.bundle, torch_engine.device, torch_engine.dtype

    @classmethod
    def of(cls, bundle: Bundle, hashes: Mapping[str, str], settings: ResolvedSettings) -> TrtEngine:
        """The engine of a bundle, which keeps its programs for the next engine.

        Args:
            hashes: of the bundle's files, as `mive.networks.bundle_files.hash_bundle` gives them.

        Raises:
            RequestError: the settings ask for programs of 8 bits, and the bundle was not calibrated for them.
        """
        scales = find_scales(bundle, hashes, settings.quantize)
        engine = TorchEngine(bundle, settings.control_scale)
        if engine.device.type != "cpu":
            engine.put_aside()
        programs = Library.of(bundle, hashes, settings, engine.device, scales)
        return cls(engine, programs, scales.digest if scales else "")

    def encode(self, frames: Pixels, batch: int = 4) -> Tensor:
        """See `TorchEngine.encode`."""
        return self._torch.encode(frames, batch)

    def too_long(self, captions: Sequence[str]) -> list[str]:
        """See `TorchEngine.too_long`."""
        return self._torch.too_long(captions)

    def conditions(
        self,
        frames: Pixels,
        mattes: Iterable[Pixels],
        flow: Flow,
        flow_attention: FlowAttention | None,
        cells: MaskCells,
    ) -> Conditions:
        """See `TorchEngine.conditions`."""
        return self._torch.conditions(frames, mattes, flow, flow_attention, cells)

    @torch.inference_mode()
    def decode(self, z: Tensor, batch: int = DECODED) -> Pixels:
        """Latents [N, C, h, w] to frames float32 [N, H, W, 3] in 0..1; ``batch`` is the program's."""
        scaled = z / self.bundle.scaling_factor + self.bundle.shift_factor
        bucket = Bucket(DECODED, 1, *z.shape[-2:])
        pictures = []
        with memory_of(self.device):
            for first in range(0, len(z), DECODED):
                last = min(first + DECODED, len(z))
                given = {"z": _rows(scaled, Part(first, last, DECODED))}
                pixels = self._run("vae_decoder", bucket, given)["pixels"][: last - first]
                pictures.append((pixels.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu())
        return torch.cat(pictures).numpy()

    @torch.inference_mode()
    def output(self, call: Call, conditions: Conditions) -> Tensor:
        """See `Denoiser.output`.

        Raises:
            EngineError: the call holds an ablation that programs do not have.
        """
        _refuse_ablations(call, conditions)
        with memory_of(self.device):
            batch = self._batch(call, conditions)
            outputs = torch.cat([self._part(batch, part) for part in parts(len(batch.items["z"]))])
        return outputs.reshape(call.z.shape).to(call.z.device)

    def _part(self, batch: _Batch, part: Part) -> Tensor:
        """The output of some items, float32 [B·N, C, h, w]."""
        given = {**batch.all, **{name: _rows(x, part) for name, x in batch.items.items()}}
        frames, _, height, width = given["z"].shape[1:]
        for name in ("z", "hint"):
            if name in given:
                given[name] = given[name].flatten(0, 1)
        bucket = Bucket(part.size, frames, height, width)
        if "hint" in given:
            given |= self._run("controlnet", bucket, given)
        output = self._run("unet", bucket, given)["output"]
        # The program's own memory is overwritten by its next run.
        return output[: (part.last - part.first) * frames].to(torch.float32, copy=True)

    def _run(self, kind: Kind, bucket: Bucket, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What is not given is nothing: no ControlNet, no instance, no strength."""
        program = self._programs.get(kind, bucket)
        return program.run({name: self._fit(name, given.get(name), port) for name, port in program.inputs.items()})

    def _fit(self, name: str, x: Tensor | None, port: Port) -> Tensor:
        if x is None:
            if port not in self._zeros:
                self._zeros[port] = torch.zeros(port.shape, dtype=port.dtype, device=self.device)
            return self._zeros[port]
        if tuple(x.shape) != port.shape:
            raise EngineError(
                f"a program takes {name} as {list(port.shape)}, and this edit has {list(x.shape)}",
                expected="a program that was built for this bundle",
                fix='Remove stale programs with "mive-trt clean", and edit again',
            )
        return x.to(self.device, port.dtype).contiguous()

    def _batch(self, call: Call, conditions: Conditions) -> _Batch:
        items, frames = call.z.shape[:2]
        # Frames that do not see each other are items of one frame.
        each, seen = (items, frames) if call.inflated else (items * frames, 1)
        states, roles = self._torch.embed(call.captions)
        repeats = each // items
        rows = {
            "z": call.z.reshape(each, seen, *call.z.shape[2:]),
            "text": states.repeat_interleave(repeats, 0),
            "n_text": roles.n_text.repeat_interleave(repeats, 0),
        }
        whole = {"t": torch.tensor([float(call.t)])}
        if call.control and conditions.hint is not None:
            hint = conditions.hint
            rows["hint"] = hint.expand(items, *hint.shape).reshape(each, seen, *hint.shape[1:])
            whole["control_scale"] = torch.tensor([self._torch.control_scale])
        if call.inflated:
            rows |= _steering(call, conditions)
            if frames > 1:
                whole["trajectories"] = self._trajectories(conditions, call)
        return _Batch(rows, whole)

    def _trajectories(self, conditions: Conditions, call: Call) -> Tensor:
        """[N·H·W, N]; without flow every token's trajectory holds itself alone, which changes nothing."""
        for paths in conditions.trajectories.values():
            return paths
        frames = call.z.shape[1]
        height, width = attention_sizes(self.bundle.unet, (call.z.shape[-2], call.z.shape[-1]))[0]
        tokens = torch.arange(frames * height * width)
        paths = torch.full((len(tokens), frames), -1)
        paths[tokens, tokens // (height * width)] = tokens
        return paths


@dataclass(frozen=True)
class _Batch:
    """The inputs of one call.

    Attributes:
        items: those with a row per item; z and hint have their frames as a second dimension.
        all: those that all items share.
    """

    items: dict[str, Tensor]
    all: dict[str, Tensor]


def _steering(call: Call, conditions: Conditions) -> dict[str, Tensor]:
    """Masks and strengths of IPR; nothing where no item is steered."""
    strength = call.modulation
    if not isinstance(strength, IprStrength) or all(i is None for i in call.instances):
        return {}
    masks = select_masks(conditions.masks, call.instances)
    numbers = {"warm_up": strength.warm_up, "t_ratio": strength.t_ratio, "lambda_r": strength.lambda_r}
    return {
        **{f"masks_{height}x{width}": plane for (height, width), plane in masks.items()},
        **{name: x.expand(len(call.instances)) for name, x in numbers.items()},
    }


def _rows(x: Tensor, part: Part) -> Tensor:
    """The part's rows, the last one repeated to its size."""
    rows = x[part.first : part.last]
    return torch.cat([rows, *[rows[-1:]] * part.padding]) if part.padding else rows


def _refuse_ablations(call: Call, conditions: Conditions) -> None:
    if call.modulation is not None and not isinstance(call.modulation, IprStrength):
        raise _unsupported(f'ipr "{call.modulation.name}"', "settings.ipr")
    if conditions.flow_attention == "old_qk" and conditions.trajectories:
        raise _unsupported('flow_attention "old_qk"', "settings.flow_attention")
    if call.joint:
        raise _unsupported('nps_passes "joint"', "settings.nps_passes")
    if conditions.pooled:
        raise _unsupported('frame_attention "pooled"', "settings.frame_attention")


def _unsupported(what: str, field: str) -> EngineError:
    return EngineError(
        f"TensorRT programs do not have {what}",
        expected="IPR and FLATTEN, frames seen whole, a pass and a ControlNet for each caption, in fp16 or fp32",
        fix="Use --engine torch for it",
        field=field,
    )
