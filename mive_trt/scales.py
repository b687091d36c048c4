"""Which layers of a bundle can have 8 bits, and the ranges of their inputs, which an edit measured and a file keeps."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from torch import nn

from mive.base.atomic import write_text
from mive.base.places import default_cache
from mive.errors import EngineError, RequestError
from mive.networks.bundle import Bundle
from mive.settings import Narrow, Quantize
from mive_trt.flavour import Capability

OLDEST: Final[Mapping[Narrow, Capability]] = {"int8": (8, 0), "fp8": (8, 9)}
"""The first GPUs that multiply in it."""

QUANTIZED: Final = ("unet", "controlnet")
"""The programs, and parts of a bundle, that it is for."""

LEFT_OUT: Final = re.compile(
    # What NVIDIA's own recipe for Stable Diffusion leaves out …
    r"time_emb_proj|time_embedding|add_embedding|conv_in|conv_out|conv_shortcut|proj_out"
    # … and ControlNet's counterparts: the embedding of the hint and the zero convolutions, its last layers.
    r"|controlnet_cond_embedding|controlnet_down_blocks|controlnet_mid_block"
)
"""In the names of layers that keep their precision."""

Layer = nn.Linear | nn.Conv2d


def layers_of(bundle: Bundle) -> dict[str, Layer]:
    """The layers that can have 8 bits, by part and name."""
    return {
        f"{part}.{name}": layer
        for part in QUANTIZED
        for name, layer in getattr(bundle, part).named_modules()
        if isinstance(layer, Layer) and not LEFT_OUT.search(name)
    }


class Scales(NamedTuple):
    """What quantised programs hold of their calibration.

    Attributes:
        ranges: the largest magnitude of a layer's inputs, by part and layer: ``unet.mid_block.resnets.0.conv1``.
    """

    quantize: Narrow
    ranges: Mapping[str, float]

    @property
    def digest(self) -> str:
        """Hash of all of it, for the names of programs and for manifests."""
        return hashlib.sha256(repr((self.quantize, sorted(self.ranges.items()))).encode()).hexdigest()[:16]


def scales_file(hashes: Mapping[str, str], quantize: Narrow) -> Path:
    """Where a bundle's scales are kept: in MIVE's cache, by a hash of its U-Net and ControlNet.

    Args:
        hashes: of the bundle's files, as `mive.networks.bundle_files.hash_bundle` gives them.
    """
    files = sorted(item for item in hashes.items() if item[0].split("/")[0] in QUANTIZED)
    weights = hashlib.sha256(repr(files).encode()).hexdigest()[:32]
    return default_cache() / "scales" / f"{weights}-{quantize}.json"


def write_scales(scales: Scales, file: Path, **facts: object) -> None:
    """Keep scales, whole or not at all.

    Args:
        facts: how they were measured, for who reads the file.

    Raises:
        OutputError: they cannot be written.
    """
    write_text(file, json.dumps({"quantize": scales.quantize, **facts, "ranges": scales.ranges}, indent=1))


def find_scales(bundle: Bundle, hashes: Mapping[str, str], quantize: Quantize) -> Scales | None:
    """The scales that a setting asks for; None where it asks for none.

    Args:
        hashes: of its files.

    Raises:
        RequestError: the bundle was not calibrated.
        EngineError: the file is damaged, or of another version.
    """
    if quantize == "none":
        return None
    file, command = scales_file(hashes, quantize), f'"mive-trt calibrate REQUEST.json --quantize {quantize}"'
    try:
        kept = json.loads(file.read_text())
        ranges = {str(name): float(limit) for name, limit in kept["ranges"].items()}
    except FileNotFoundError as error:
        raise RequestError(
            f'the bundle "{bundle.name}" was not calibrated for {quantize}',
            expected="scales in MIVE's cache, measured by an edit with this bundle",
            fix=f"Run {command} with an edit like yours",
            field="settings.quantize",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(file, "it cannot be read", command) from error
    if (
        kept.get("quantize") != quantize
        or ranges.keys() != layers_of(bundle).keys()
        or not all(map(_usable, ranges.values()))
    ):
        raise _unusable(file, "it does not fit the bundle's layers", command)
    return Scales(quantize, ranges)


def check_quantize(quantize: Quantize, capability: Capability) -> None:
    """See whether a GPU can multiply in a kind of quantisation.

    Raises:
        EngineError: it cannot.
    """
    if quantize == "none" or capability >= OLDEST[quantize]:
        return
    (major, minor), (oldest, point) = capability, OLDEST[quantize]
    raise EngineError(
        f"GPUs of compute capability {major}.{minor} do not compute in {quantize}",
        expected=f"{oldest}.{point} or newer",
        fix="Use int8, or no quantisation" if quantize == "fp8" else "Use no quantisation",
        field="settings.quantize",
    )


def _usable(limit: float) -> bool:
    return math.isfinite(limit) and limit >= 0


def _unusable(file: Path, why: str, command: str) -> EngineError:
    return EngineError(
        f"the scales in {file} cannot be used: {why}",
        expected="what this version of MIVE measured",
        fix=f"Measure them again with {command}",
    )
