"""The programs of a bundle: exported and built when first needed, loaded once."""

from __future__ import annotations

import hashlib
import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import torch

from mive import __version__
from mive.errors import EngineError, OutOfMemory
from mive.manifest import package_versions
from mive.networks.bundle import Bundle
from mive.request import ResolvedSettings
from mive.settings import ControlAttention, LambdaS
from mive_trt.buckets import Bucket
from mive_trt.executor import Executor, Kind, Program, Store, Unusable
from mive_trt.executors import make_executor, make_store
from mive_trt.scales import QUANTIZED, Scales

log = logging.getLogger(__name__)

_EXPORTERS: Final = ("diffusers", "onnx", "onnxscript", "torch", "transformers")
"""Distributions whose versions can change an exported program."""

_PARTS: Final[Mapping[Kind, str]] = {"unet": "unet", "controlnet": "controlnet", "vae_decoder": "vae"}
"""The part of a bundle that holds a program's weights."""


class Programs(Protocol):
    """What an engine needs of a library."""

    def get(self, kind: Kind, bucket: Bucket) -> Program:
        """The program for these sizes."""


class Library:
    """Programs of one loaded bundle on one device.

    Args:
        bundle: its networks; they must live as long as programs are asked for.
        hashes: of its files.
        mode: the reading of λ_S, which is built into U-Nets.
        control_attention: as the bundle was loaded with, which is built into ControlNets.
        executor: runs the programs; a library without one only makes their files.
        store: keeps their files.
        scales: of 8-bit U-Nets and ControlNets; None leaves them in the bundle's precision.
    """

    def __init__(
        self,
        bundle: Bundle,
        hashes: Mapping[str, str],
        mode: LambdaS,
        control_attention: ControlAttention,
        executor: Executor | None,
        store: Store,
        scales: Scales | None = None,
    ) -> None:
        # A library is kept for as long as its bundle is, and must not be what keeps it.
        self._bundle = weakref.ref(bundle)
        self._hashes = hashes
        self._dtype = next(bundle.unet.parameters()).dtype
        self._mode, self._control_attention = mode, control_attention
        self._executor, self._store, self._scales = executor, store, scales
        self._loaded: dict[tuple[Kind, Bucket], Program] = {}

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        hashes: Mapping[str, str],
        settings: ResolvedSettings,
        device: torch.device,
        scales: Scales | None = None,
    ) -> Library:
        """The bundle's library for these settings; the same one for every engine that asks."""
        known = _LIBRARIES.setdefault(bundle, {})
        built_in = (settings.lambda_s, settings.control_attention)
        key = (*built_in, scales.digest if scales else "")
        if key not in known:
            known[key] = cls(bundle, hashes, *built_in, make_executor(device), make_store(device), scales)
        return known[key]

    def get(self, kind: Kind, bucket: Bucket) -> Program:
        """The program for these sizes.

        Raises:
            EngineError: it cannot be exported, built or loaded here.
            OutOfMemory: it does not fit, even alone.
        """
        if (kind, bucket) not in self._loaded:
            self._loaded[kind, bucket] = self._load(kind, bucket)
        return self._loaded[kind, bucket]

    def key(self, kind: Kind, bucket: Bucket) -> str:
        """Hash of all that shapes the program."""
        part = _PARTS[kind]
        facts = {
            "kind": kind,
            "bucket": tuple(bucket),
            "weights": sorted(item for item in self._hashes.items() if item[0].startswith(f"{part}/")),
            "dtype": str(self._dtype),
            "mode": self._mode if kind == "unet" else None,
            "attention": self._control_attention if kind == "controlnet" else None,
            "scales": self._scales.digest if self._scales and kind in QUANTIZED else None,
            "versions": {"mive": __version__, **package_versions(_EXPORTERS)},
        }
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def file(self, kind: Kind, bucket: Bucket) -> Path:
        """The file of a program, made if it is not there; it is not loaded."""
        return self._store.file(self.key(kind, bucket), lambda folder: self._export(kind, bucket, folder))

    def _load(self, kind: Kind, bucket: Bucket) -> Program:
        try:
            return self._load_beside(self.file(kind, bucket))
        except Unusable as error:
            log.warning("%s; it is made again", error.what)
        self._store.discard(self.key(kind, bucket))
        try:
            return self._load_beside(self.file(kind, bucket))
        except Unusable as error:
            raise EngineError(error.what, expected=error.expected, fix=error.fix) from error

    def _load_beside(self, file: Path) -> Program:
        """Load a program; where it does not fit beside the others, in their place."""
        assert self._executor is not None, "only a library that runs programs loads them"
        try:
            return self._executor.load(file)
        except OutOfMemory:
            if not self._loaded:
                raise
        log.warning("there is no room beside %d loaded programs, which are loaded again when needed", len(self._loaded))
        self._executor.clear()
        self._loaded.clear()
        return self._executor.load(file)

    def _export(self, kind: Kind, bucket: Bucket, folder: Path) -> Path:
        from mive_trt.export import export_program

        bundle = self._bundle()
        assert bundle is not None, "an engine keeps its bundle"
        log.warning("making the program %s for %d × %d frames of %d × %d latents, once", kind, *bucket)
        return export_program(bundle, kind, bucket, folder, mode=self._mode, scales=self._scales).path


_LIBRARIES: Final[weakref.WeakKeyDictionary[Bundle, dict[tuple[LambdaS, ControlAttention, str], Library]]] = (
    weakref.WeakKeyDictionary()
)
