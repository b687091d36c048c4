"""MIVE's two attention ops as ONNX nodes: a custom op each, and a body of plain operators.

A TensorRT that has the plugins runs the ops; every other runtime inlines the bodies, so that a program always runs and
can be checked on a CPU. The bodies are the references of `mive.attention`, ipr and flow, operator by operator.
"""

from __future__ import annotations

from typing import Final

import onnx.parser
import torch
from onnx import FunctionProto, ModelProto, NodeProto
from torch import Tensor

from mive.attention.ipr import IprStrength
from mive.attention.modulation import Kernels
from mive.attention.roles import TokenRoles

DOMAIN: Final = "mive"
IPR: Final = "IPRCrossAttention"
FLOW: Final = "FlowAttention"

OPSET: Final = 23
"""Of ONNX's own operators in programs and bodies."""

PLUGIN_VERSION: Final = "1"
"""Of both plugins; another op of the same name needs another version."""

_PLUGIN: Final = {"plugin_version": PLUGIN_VERSION, "plugin_namespace": DOMAIN}
"""TensorRT looks a plugin up by these; without the namespace it inlines the body and says nothing."""

_FLOW_BODY: Final = """
<domain: "mive", opset_import: ["": OPSET]>
FlowAttention <plugin_version, plugin_namespace> (q, k, v, trajectories) => (h)
{
    none = Constant <value = int32 {0}> ()
    ends = Constant <value_ints = [-1]> ()
    points = Constant <value_ints = [3]> ()
    far = Constant <value_float = -1e30> ()
    missing = Less (trajectories, none)
    there = Max (trajectories, none)
    q32 = Cast <to = 1> (q)
    k32 = Cast <to = 1> (k)
    v32 = Cast <to = 1> (v)
    keys = Gather <axis = 2> (k32, there)
    values = Gather <axis = 2> (v32, there)
    token = Unsqueeze (q32, points)
    products = Mul (token, keys)
    dots = ReduceSum <keepdims = 0> (products, ends)
    shape = Shape (q)
    width = Gather (shape, ends)
    width32 = Cast <to = 1> (width)
    root = Sqrt (width32)
    logits = Div (dots, root)
    seen = Where (missing, far, logits)
    weights = Softmax <axis = -1> (seen)
    weight = Unsqueeze (weights, ends)
    weighted = Mul (weight, values)
    sums = ReduceSum <keepdims = 0> (weighted, points)
    h = CastLike (sums, q)
}
"""

_IPR_BODY: Final = """
<domain: "mive", opset_import: ["": OPSET]>
IPRCrossAttention <bounded, plugin_version, plugin_namespace>
    (q, k, v, mask, n_text, warm_up, t_ratio, lambda_r) => (h)
{
    zero = Constant <value_float = 0.0> ()
    one = Constant <value_float = 1.0> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    third = Constant <value_ints = [2]> ()
    fourth = Constant <value_ints = [3]> ()
    fifth = Constant <value_ints = [4]> ()
    rest = Constant <value_ints = [-1]> ()
    per_item = Constant <value_ints = [-1, 1, 1, 1, 1]> ()

    rows = Shape (q)
    captions = Shape (k)
    items = Gather (captions, first)
    row = Slice (rows, second, fifth)
    pixels = Gather (rows, third)
    by_item = Concat <axis = 0> (items, rest, row)
    q32 = Cast <to = 1> (q)
    k32 = Cast <to = 1> (k)
    v32 = Cast <to = 1> (v)
    q5 = Reshape (q32, by_item)
    k5 = Unsqueeze (k32, second)
    v5 = Unsqueeze (v32, second)
    turned = Transpose <perm = [0, 1, 2, 4, 3]> (k5)
    dots = MatMul (q5, turned)
    width = Gather (rows, fourth)
    width32 = Cast <to = 1> (width)
    root = Sqrt (width32)
    logits = Div (dots, root)
    A = Softmax <axis = -1> (logits)

    mask_shape = Concat <axis = 0> (items, rest, second, pixels, second)
    pixel = Reshape (mask, mask_shape)
    pixel32 = Cast <to = 1> (pixel)
    count = ReduceSum <keepdims = 1> (pixel32, fourth)
    present = Greater (count, zero)
    A_S = Slice (A, first, second, fifth)
    of_instance = Where (pixel, A_S, zero)
    total = ReduceSum <keepdims = 1> (of_instance, fourth)
    divisor = Max (count, one)
    mean = Div (total, divisor)
    or_one = Where (pixel, A_S, one)
    low = ReduceMin <keepdims = 1> (or_one, fourth)
    W = Reshape (warm_up, per_item)
    least = Min (mean, low)
    literal = Add (least, W)
    raised = Add (low, W)
    bound = Min (mean, raised)
    flag = Constant <value_int: int = @bounded> ()
    is_bounded = Cast <to = 9> (flag)
    amount = Where (is_bounded, bound, literal)
    t = Reshape (t_ratio, per_item)
    moved = Mul (t, amount)
    lambda_S = Min (moved, A_S)

    n64 = Cast <to = 7> (n_text)
    n = Reshape (n64, per_item)
    start_position = Constant <value_int = 0> ()
    step = Constant <value_int = 1> ()
    length1 = Gather (captions, third)
    length = Squeeze (length1, first)
    positions = Range (start_position, length, step)
    is_start = Equal (positions, start_position)
    end_position = Add (n, step)
    is_end = Equal (positions, end_position)
    is_padding = Greater (positions, end_position)
    past_start = Greater (positions, start_position)
    up_to_n = LessOrEqual (positions, n)
    is_text = And (past_start, up_to_n)
    some = Greater (n, start_position)
    some32 = Cast <to = 1> (some)
    R = Reshape (lambda_r, per_item)
    to_text = Mul (R, some32)
    n32 = Cast <to = 1> (n)
    parts = Max (n32, one)
    each = Div (to_text, parts)
    to_end = Sub (one, to_text)
    text_share = Where (is_text, each, zero)
    end_share = Where (is_end, to_end, zero)
    start_share = Where (is_start, one, zero)
    gains = Add (text_share, end_share)
    shares = Sub (gains, start_share)
    change = Mul (lambda_S, shares)
    inside = Add (A, change)

    active = Where (is_padding, zero, A)
    all_active = ReduceSum <keepdims = 1> (active, fifth)
    padded = Where (is_padding, A, zero)
    outside = Where (is_start, all_active, padded)

    steered = Where (pixel, inside, outside)
    probabilities = Where (present, steered, A)
    h5 = MatMul (probabilities, v5)
    h32 = Reshape (h5, rows)
    h = CastLike (h32, q)
}
"""


def bodies() -> list[FunctionProto]:
    """What the nodes stand for, in ONNX's own operators."""
    return [onnx.parser.parse_function(body.replace("OPSET", str(OPSET))) for body in (_IPR_BODY, _FLOW_BODY)]


def is_custom(node: NodeProto) -> bool:
    """Whether a node is one of these."""
    return bool(node.domain == DOMAIN)


def without_plugins(model: ModelProto) -> None:
    """Have TensorRT take the bodies of a program's nodes, also where their plugins are registered."""
    for node in filter(is_custom, model.graph.node):
        kept = [attribute for attribute in node.attribute if attribute.name != "plugin_namespace"]
        del node.attribute[:]
        node.attribute.extend(kept)


def ipr_node(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, strength: IprStrength, /) -> Tensor:
    """`mive.attention.ipr.ipr_attention` as a node, in a network that is being exported.

    Args:
        q: [B·N, heads, hw, d].
        k, v: [B, heads, L, d]; each caption stands for its item's N frames.
        mask: bool [B·N, hw]; a row without any is left alone.
        roles, strength: of the B items.
    """
    items = len(k)
    numbers = (x.expand(items).float() for x in (strength.warm_up, strength.t_ratio, strength.lambda_r))
    node: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{IPR}",
        (q, k, v, mask, roles.n_text.to(torch.int32), *numbers),
        {"bounded": int(strength.mode == "bounded"), **_PLUGIN},
        dtype=q.dtype,
        shape=q.shape,
        version=1,
    )
    return node


def flow_node(q: Tensor, k: Tensor, v: Tensor, trajectories: Tensor, /) -> Tensor:
    """`mive.attention.flow.flow_attention` as a node, in a network that is being exported.

    Args:
        q, k, v: [B, heads, N·n, d].
        trajectories: [N·n, N].
    """
    node: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{FLOW}",
        (q, k, v, trajectories.to(torch.int32)),
        dict(_PLUGIN),
        dtype=q.dtype,
        shape=q.shape,
        version=1,
    )
    return node


NODES: Final = Kernels(ipr_node, flow_node)
