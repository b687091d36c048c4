"""Exports a bundle's networks as ONNX programs of fixed sizes, MIVE's attention as custom nodes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import onnx_ir
import torch
from torch import Tensor, nn

from mive.attention.ipr import IprStrength
from mive.attention.kernels import kernels_are
from mive.attention.roles import TokenRoles
from mive.engines.torch_engine import TorchEngine
from mive.networks.bundle import Bundle
from mive.networks.unet.frames import FrameInputs
from mive.networks.unet.inflation import attention_sizes
from mive.settings import LAMBDA_S, LambdaS
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind, Port
from mive_trt.nodes import DOMAIN, NODES, OPSET, bodies
from mive_trt.programs import input_ports, output_names
from mive_trt.quantize import layers_are_quantized, share_pairs
from mive_trt.scales import QUANTIZED, Scales

_IR_VERSION: Final = 11
"""Of the ONNX file format: the newest that TensorRT's parser knows."""


class ExportedProgram(NamedTuple):
    """An ONNX file; weights lie beside it, in a file of its name and ``.data``."""

    path: Path
    inputs: dict[str, Port]
    outputs: tuple[str, ...]


def export_program(
    bundle: Bundle,
    kind: Kind,
    bucket: Bucket,
    folder: Path,
    *,
    mode: LambdaS = LAMBDA_S,
    scales: Scales | None = None,
) -> ExportedProgram:
    """Export one of a bundle's networks for one bucket.

    Args:
        bundle: in the precision that the program shall have, fp32 or fp16, on any device.
        folder: where ``KIND.onnx`` goes.
        mode: the reading of λ_S, which is built in.
        scales: of the layers that get 8 bits, if the program is one that can have them.
    """
    scales = scales if kind in QUANTIZED else None
    dtype = next(bundle.unet.parameters()).dtype
    ports = input_ports(bundle, kind, bucket, dtype)
    outputs = output_names(bundle, kind)
    device = next(bundle.unet.parameters()).device
    examples = tuple(torch.zeros(port.shape, dtype=port.dtype, device=device) for port in ports.values())
    network = _NETWORKS[kind](bundle, bucket, mode, tuple(ports))
    path = folder / f"{kind}.onnx"
    with torch.inference_mode(), kernels_are(NODES), layers_are_quantized(bundle, scales), _quiet():
        program = torch.onnx.export(
            network.eval(),
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(ports),
            output_names=list(outputs),
            verbose=False,
        )
    assert program is not None
    for body in bodies():
        function = onnx_ir.from_proto(body)
        program.model.functions[function.identifier()] = function
    program.model.opset_imports[DOMAIN] = 1
    program.model.metadata_props.update(
        {
            "bundle": bundle.name,
            "program": kind,
            "items": str(bucket.items),
            "frames": str(bucket.frames),
            "latents": f"{bucket.height}x{bucket.width}",
            "precision": str(dtype).removeprefix("torch."),
            "lambda_s": mode,
            **({"quantize": scales.quantize, "scales": scales.digest} if scales else {}),
        }
    )
    if scales:
        share_pairs(program.model)
    program.model.ir_version = _IR_VERSION
    program.save(path, external_data=True)
    return ExportedProgram(path, ports, outputs)


class _Network(nn.Module):
    """A network that takes a program's inputs.

    Args:
        names: of the inputs, in order.
    """

    def __init__(self, bundle: Bundle, bucket: Bucket, mode: LambdaS, names: tuple[str, ...]) -> None:
        super().__init__()
        self.bundle, self.bucket, self.mode, self.names = bundle, bucket, mode, names

    def forward(self, *inputs: Tensor) -> Any:
        return self.compute(dict(zip(self.names, inputs, strict=True)))

    def compute(self, given: dict[str, Tensor]) -> Any:
        raise NotImplementedError


class _ControlNet(_Network):
    def __init__(self, bundle: Bundle, bucket: Bucket, mode: LambdaS, names: tuple[str, ...]) -> None:
        super().__init__(bundle, bucket, mode, names)
        # The engine embeds hints itself, once a window.
        TorchEngine(bundle)
        self.network = bundle.controlnet

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        with self.bundle.control_context.given(FrameInputs(frames=self.bucket.frames)):
            down, mid = self.network(given["z"], given["t"], given["text"], given["hint"], 1.0, return_dict=False)
        scale = given["control_scale"].to(mid.dtype)
        return (*(x * scale for x in down), mid * scale)


class _UNet(_Network):
    def __init__(self, bundle: Bundle, bucket: Bucket, mode: LambdaS, names: tuple[str, ...]) -> None:
        super().__init__(bundle, bucket, mode, names)
        self.network = bundle.unet
        self.sizes = attention_sizes(bundle.unet, (bucket.height, bucket.width))

    def compute(self, given: dict[str, Tensor]) -> Tensor:
        inputs = FrameInputs(
            frames=self.bucket.frames,
            modulation=IprStrength(given["t_ratio"], given["warm_up"], given["lambda_r"], self.mode),
            # All of them: an empty mask leaves its item alone.
            modulated=(True,) * self.bucket.items,
            masks={(height, width): given[f"masks_{height}x{width}"] for height, width in self.sizes},
            roles=TokenRoles(given["n_text"]),
            trajectories={self.sizes[0]: given["trajectories"]} if "trajectories" in given else {},
        )
        down = tuple(given[name] for name in self.names if name.startswith("down_"))
        with self.bundle.unet_context.given(inputs):
            output: Tensor = self.network(
                given["z"], given["t"], given["text"],
                down_block_additional_residuals=down, mid_block_additional_residual=given["mid"], return_dict=False,
            )[0]  # fmt: skip
        return output


class _VaeDecoder(_Network):
    def __init__(self, bundle: Bundle, bucket: Bucket, mode: LambdaS, names: tuple[str, ...]) -> None:
        super().__init__(bundle, bucket, mode, names)
        self.network = bundle.vae

    def compute(self, given: dict[str, Tensor]) -> Tensor:
        pixels: Tensor = self.network.decode(given["z"]).sample
        return pixels


_NETWORKS: Final = {"controlnet": _ControlNet, "unet": _UNet, "vae_decoder": _VaeDecoder}


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
