"""Measures the inputs of a bundle's layers with NVIDIA's ModelOpt, in an edit by the torch engine."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from mive.base.progress import Clock, Report
from mive.edit import open_shot
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.errors import EngineError, RequestError
from mive.evaluate.demo import demo_request
from mive.manifest import package_versions
from mive.networks.bundle import Bundle
from mive.request import EditRequest
from mive.settings import Narrow
from mive_trt.scales import Scales, layers_of, scales_file, write_scales


def calibrate(
    request: EditRequest | None, quantize: Narrow, report: Report, scratch: Path, bundle: str | None = None
) -> tuple[Scales, Path]:
    """Make an edit, frames and all, and keep the largest magnitude of each layer's inputs.

    Args:
        request: the edit; None is the demo's.
        report: told how far it is.
        scratch: an empty folder for the demo's clip.
        bundle: in place of the request's.

    Returns:
        The scales and the file that keeps them.

    Raises:
        EngineError: ModelOpt is not installed.
        RequestError: the edit leaves a network out.
        MiveError: the edit cannot be made; see `mive.edit.run_edit`.
    """
    if find_spec("modelopt") is None:
        raise EngineError(
            "NVIDIA's ModelOpt is not installed, which measures layers",
            expected="an installation that can calibrate; building and running engines needs no ModelOpt",
            fix='pip install "mive[server,quantize]"',
        )
    edit = demo_request(scratch)[1] if request is None else request
    edit = edit if bundle is None else edit.model_copy(update={"bundle": bundle})
    shot = open_shot(edit)
    settings = shot.settings.model_copy(update={"quantize": "none"})
    editor = Editor.load(edit, settings, shot.folder, InversionCache(None), Clock())

    def run() -> None:
        for _ in editor.run(shot.clip, shot.mattes, editor.frame(shot.mattes), report):
            pass

    scales = Scales(quantize, measure(editor.engine.bundle, quantize, run))
    file = scales_file(editor.hashes, quantize)
    versions = package_versions(("nvidia-modelopt", "torch"))
    write_scales(scales, file, bundle=edit.bundle, clip=edit.clip, frames=str(shot.frames), packages=versions)
    return scales, file


def measure(bundle: Bundle, quantize: Narrow, run: Callable[[], None]) -> dict[str, float]:
    """The largest magnitude of the inputs of each layer, by part and name.

    Args:
        bundle: its layers become ModelOpt's, which compute as if they had 8 bits afterwards.
        run: calls its networks.

    Raises:
        RequestError: a layer was never called.
    """
    with warnings.catch_warnings():
        # It warns of versions of what is not used here.
        warnings.simplefilter("ignore")
        import modelopt.torch.quantization as mtq
    layers = layers_of(bundle)
    # It prints how many it made.
    with redirect_stdout(io.StringIO()):
        mtq.quantize(nn.ModuleList(layers.values()), _config(quantize), forward_loop=lambda _: run())
    ranges = {}
    for name, layer in layers.items():
        quantizer: Any = layer.input_quantizer
        if quantizer.amax is None:
            raise RequestError(
                f"this edit never calls the layer {name}",
                expected="an edit with ControlNet, all of whose layers can be measured",
                fix="Calibrate with an edit whose settings are the defaults",
            )
        ranges[name] = float(quantizer.amax)
    return ranges


def _config(quantize: Narrow) -> dict[str, Any]:
    """Weights by output channel where they are whole numbers; all else has one scale."""
    bits: int | tuple[int, int] = 8 if quantize == "int8" else (4, 3)
    return {
        "quant_cfg": [
            {"quantizer_name": "*", "enable": False},
            {
                "quantizer_name": "*weight_quantizer",
                "cfg": {"num_bits": bits, "axis": 0 if quantize == "int8" else None},
            },
            {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": bits, "axis": None}},
        ],
        "algorithm": "max",
    }
