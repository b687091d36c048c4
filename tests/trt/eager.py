"""Programs that are the torch networks themselves, fed as a compiled program would be: everything but a compiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mive.attention.ipr import IprStrength
from mive.attention.roles import TokenRoles
from mive.networks.bundle import Bundle
from mive.networks.unet.frames import FrameInputs
from mive.networks.unet.inflation import attention_sizes
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind, Port
from mive_trt.programs import input_ports


@dataclass
class EagerProgram:
    """A network behind the inputs of a program.

    Attributes:
        runs: how often it ran.
    """

    bundle: Bundle
    kind: Kind
    bucket: Bucket
    inputs: Mapping[str, Port]
    runs: int = 0

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        assert {name: Port(tuple(x.shape), x.dtype) for name, x in inputs.items()} == self.inputs
        self.runs += 1
        return getattr(self, f"_{self.kind}")(inputs)  # type: ignore[no-any-return]

    def _controlnet(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with self.bundle.control_context.given(FrameInputs(frames=self.bucket.frames)):
            down, mid = self.bundle.controlnet(
                given["z"], given["t"], given["text"], given["hint"], float(given["control_scale"]), return_dict=False
            )
        return {**{f"down_{i}": x for i, x in enumerate(down)}, "mid": mid}

    def _unet(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        sizes = attention_sizes(self.bundle.unet, (self.bucket.height, self.bucket.width))
        inputs = FrameInputs(
            frames=self.bucket.frames,
            modulation=IprStrength(given["t_ratio"], given["warm_up"], given["lambda_r"]),
            modulated=torch.ones(self.bucket.items, dtype=torch.bool),
            masks={(height, width): given[f"masks_{height}x{width}"] for height, width in sizes},
            roles=TokenRoles(given["n_text"].long()),
            trajectories={sizes[0]: given["trajectories"].long()} if self.bucket.frames > 1 else {},
        )
        down = tuple(given[f"down_{i}"] for i in range(sum(name.startswith("down_") for name in given)))
        with self.bundle.unet_context.given(inputs):
            output = self.bundle.unet(
                given["z"], given["t"], given["text"],
                down_block_additional_residuals=down, mid_block_additional_residual=given["mid"], return_dict=False,
            )[0]  # fmt: skip
        return {"output": output}

    def _vae_decoder(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"pixels": self.bundle.vae.decode(given["z"]).sample}


@dataclass
class EagerPrograms:
    """A library of them, each made once."""

    bundle: Bundle
    made: dict[tuple[Kind, Bucket], EagerProgram] = field(default_factory=dict)

    def get(self, kind: Kind, bucket: Bucket) -> EagerProgram:
        if (kind, bucket) not in self.made:
            self.made[kind, bucket] = EagerProgram(
                self.bundle, kind, bucket, input_ports(self.bundle, kind, bucket, torch.float32)
            )
        return self.made[kind, bucket]

    def runs(self) -> Counter[tuple[str, tuple[int, ...]]]:
        """How often which program ran."""
        return Counter({(kind, tuple(bucket)): program.runs for (kind, bucket), program in self.made.items()})
