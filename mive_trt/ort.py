"""Programs on the CPU by onnxruntime, which stands in for TensorRT where there is no GPU."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from mive.base.atomic import folder_aside, keep_aside
from mive_trt.executor import Export, Port, Unusable

_DTYPES: Final = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
    "tensor(bool)": torch.bool,
}


class OnnxProgram:
    """An ONNX file as onnxruntime runs it, with the bodies of its custom nodes.

    Args:
        session: an ``onnxruntime.InferenceSession``.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.inputs = {port.name: Port(tuple(port.shape), _DTYPES[port.type]) for port in session.get_inputs()}

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Program.run`."""
        given = {name: np.ascontiguousarray(inputs[name].cpu().numpy()) for name in self.inputs}
        made = self._session.run(self._outputs, given)
        return {name: torch.from_numpy(x) for name, x in zip(self._outputs, made, strict=True)}


class OnnxExecutor:
    """Runs ONNX files as they are."""

    def load(self, file: Path) -> OnnxProgram:
        """See `Executor.load`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its own 8-bit kernels round elsewhere, and its pass that moves pairs for them makes graphs it then refuses.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it raises classes of its own, by the stage that failed
            raise Unusable(
                f"onnxruntime cannot load the program {file}: {str(error).splitlines()[0]}",
                expected="a file that MIVE exported",
                fix="Delete it, and it is made again",
            ) from error
        return OnnxProgram(session)

    def clear(self) -> None:
        """See `Executor.clear`; programs share none."""


class OnnxStore:
    """Exported files, a folder each.

    Args:
        folder: made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, key: str, export: Export) -> Path:
        """See `Store.file`; a file appears whole or not at all."""
        place = self.folder / key
        if not place.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            # Where another process was faster, its file is as good.
            with folder_aside(self.folder) as aside:
                export(aside)
                keep_aside(aside, place, durable=False)
        return next(place.glob("*.onnx"))

    def discard(self, key: str) -> None:
        """See `Store.discard`."""
        shutil.rmtree(self.folder / key, ignore_errors=True)
