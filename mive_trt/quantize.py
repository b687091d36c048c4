"""Layers whose weights and inputs have 8 bits, in a network that is being exported.

A layer's inputs and weights go through a pair of ONNX's QuantizeLinear and DequantizeLinear; a compiler that finds such
pairs around a convolution or a product of matrices runs it in 8 bits. Everything between layers, attention and norms
stays in the network's own precision. With a range r the scale is r / 127 (int8) or r / 448 (fp8), one for a layer's
inputs; weights have one for each output channel (int8) or one for all (fp8), as NVIDIA's ModelOpt has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import onnx_ir
import torch
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass
from torch import Tensor, nn
from torch.nn import functional as F

from mive.networks.bundle import Bundle
from mive.settings import Narrow
from mive_trt.scales import Layer, Scales, layers_of

_LARGEST: Final[Mapping[Narrow, float]] = {"int8": 127.0, "fp8": 448.0}
_DTYPES: Final[Mapping[Narrow, torch.dtype]] = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}


class QuantizedLayer(nn.Module):
    """A linear layer or a convolution between its pairs; it computes only in an exported program.

    Args:
        layer: with the weights, in the precision of what is not quantised.
        limit: the largest magnitude of its inputs.
    """

    weight: Tensor
    weight_scale: Tensor
    weight_zero: Tensor
    scale: Tensor
    zero: Tensor

    def __init__(self, layer: Layer, limit: float, quantize: Narrow) -> None:
        super().__init__()
        self.linear, self.bias = isinstance(layer, nn.Linear), layer.bias
        if isinstance(layer, nn.Conv2d):
            self.how: dict[str, Any] = {
                name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")
            }
        # A compiler need not turn a product's weights around, [in, out].
        weight, self.axis = (layer.weight.T, 1) if self.linear else (layer.weight, 0)
        dtype = _DTYPES[quantize]
        others = [axis for axis in range(weight.dim()) if axis != self.axis]
        peaks = weight.abs().amax(others) if quantize == "int8" else weight.abs().amax()
        scale = _scale(peaks, quantize, weight.dtype)
        shaped = scale.reshape([-1 if axis == self.axis else 1 for axis in range(weight.dim())])
        self.register_buffer("weight", quantized(weight, shaped if scale.dim() else scale, quantize))
        self.register_buffer("weight_scale", scale)
        self.register_buffer("weight_zero", torch.zeros_like(scale, dtype=dtype))
        limits = torch.tensor(limit, device=weight.device)
        self.register_buffer("scale", _scale(limits, quantize, weight.dtype))
        self.register_buffer("zero", torch.zeros_like(self.scale, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of x."""
        narrow = _node("QuantizeLinear", (x, self.scale, self.zero), x.shape, self.zero.dtype)
        x = _node("DequantizeLinear", (narrow, self.scale, self.zero), x.shape, x.dtype)
        given = (self.weight, self.weight_scale, self.weight_zero)
        axis = {"axis": self.axis} if self.weight_scale.dim() else {}
        weight = _node("DequantizeLinear", given, self.weight.shape, x.dtype, **axis)
        if not self.linear:
            return F.conv2d(x, weight, self.bias, **self.how)
        product = x @ weight
        return product if self.bias is None else product + self.bias


def quantized(x: Tensor, scale: Tensor, quantize: Narrow) -> Tensor:
    """x / scale in 8 bits, rounded to the nearest, ties to even, what is beyond the ends at them."""
    ratio = x.float() / scale.float()
    if quantize == "fp8":
        return ratio.clamp(-448, 448).to(torch.float8_e4m3fn)
    return ratio.round().clamp(-128, 127).to(torch.int8)


@contextmanager
def layers_are_quantized(bundle: Bundle, scales: Scales | None) -> Iterator[None]:
    """Have quantised layers in the places of a bundle's own, inside the block."""
    with ExitStack() as back:
        for name, layer in layers_of(bundle).items() if scales else ():
            assert scales is not None
            part, _, place = name.partition(".")
            network: nn.Module = getattr(bundle, part)
            back.callback(network.set_submodule, place, layer)
            network.set_submodule(place, QuantizedLayer(layer, scales.ranges[name], scales.quantize))
        yield


def share_pairs(model: onnx_ir.Model) -> None:
    """Have layers with the same inputs share one pair: their scales are the same, as they were measured on the same."""
    DeduplicateInitializersPass()(model)
    CommonSubexpressionEliminationPass()(model)


def _scale(limit: Tensor, quantize: Narrow, dtype: torch.dtype) -> Tensor:
    """Never 0, which layers whose inputs are always 0 would have."""
    return (limit.float() / _LARGEST[quantize]).to(dtype).clamp_min(torch.finfo(dtype).tiny)


def _node(op: str, inputs: tuple[Tensor, ...], shape: torch.Size, dtype: torch.dtype, **attributes: int) -> Tensor:
    node: Tensor = torch.onnx.ops.symbolic(op, inputs, {**attributes}, dtype=dtype, shape=shape)
    return node
