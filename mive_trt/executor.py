"""What runs a program: TensorRT on a GPU, onnxruntime where there is none, or a test's formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from mive.errors import EngineError

Kind = Literal["unet", "controlnet", "vae_decoder"]


class Port(NamedTuple):
    """Shape and dtype of one of a program's inputs."""

    shape: tuple[int, ...]
    dtype: torch.dtype


class Program(Protocol):
    """A network compiled for one bucket."""

    @property
    def inputs(self) -> Mapping[str, Port]:
        """What it takes, by name."""

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Compute its outputs, by name.

        Args:
            inputs: at least the program's own, with their shapes and dtypes; others are not looked at.

        Returns:
            Tensors that the next run of any program may overwrite.
        """


class Unusable(EngineError):
    """A program's file is damaged, or for another device or version: one that is made again may do."""


class Executor(Protocol):
    """Makes programs of files."""

    def load(self, file: Path) -> Program:
        """A program that is ready to run.

        Raises:
            Unusable: the file is.
            EngineError: no such program can run here.
            OutOfMemory: it does not fit beside what is loaded.
        """

    def clear(self) -> None:
        """Give up the memory that programs share, when their work is done; those loaded so far must not run again."""


Export = Callable[[Path], Path]
"""Writes a program's ONNX file into a folder and returns its path."""


class Store(Protocol):
    """Where the files that an executor loads are kept."""

    def file(self, key: str, export: Export) -> Path:
        """The file of that name, made if it is not there."""

    def discard(self, key: str) -> None:
        """Forget a file that turned out to be damaged."""
