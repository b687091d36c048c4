"""TensorRT in the runtime's words: an executor on a GPU, and a store that builds what it does not have."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from mive.base.atomic import output_error, write_whole
from mive.base.places import default_cache
from mive_trt.build import Told, WithPlugins, build_engine
from mive_trt.device import Cuda, TensorRtExecutor
from mive_trt.executor import Export
from mive_trt.flavour import Capability, Flavour, installed
from mive_trt.plugin_library import MARK, Plugins, compiling_obstacle, find_plugins

log = logging.getLogger(__name__)

DEFAULT_LIMIT: Final = 60 * 2**30
"""Bytes of engines to keep; the least recently used go first. One U-Net of SD 1.5 takes 1.7 GiB."""

_SUFFIX: Final = ".engine"


class Kept(NamedTuple):
    """An engine on disk.

    Attributes:
        facts: what it computes and for whom, as its export and its build said.
    """

    path: Path
    size: int
    used: float
    facts: dict[str, Any]


class EngineStore:
    """Engines by key, TensorRT and GPU; each has a file of facts beside it.

    Args:
        folder: made when first needed.
        capabilities: the GPUs that new engines are for; an engine for more of them serves each.
        flavour: the TensorRT that builds and runs them.
        limit: bytes to keep at most.
        told: how far a build is.
        plugins: what engines have in place of the custom nodes' bodies; engines without are other engines.
        obstacle: why there are none, to be told when an engine is built without; "" if nobody wants them.
        here: makes the GPU that runs them the current one, for TensorRTs that build for no other.
    """

    def __init__(
        self,
        folder: Path,
        capabilities: Sequence[Capability],
        flavour: Flavour,
        limit: int = DEFAULT_LIMIT,
        told: Told = lambda what, done, total: None,
        plugins: Plugins | None = None,
        obstacle: str = "",
        here: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self.folder, self.flavour, self.limit = folder, flavour, limit
        self._capabilities = sorted(set(capabilities))
        self._told, self._here = told, here
        self._plugins, self._obstacle = plugins, obstacle

    def file(self, key: str, export: Export) -> Path:
        """See `Store.file`.

        Raises:
            EngineError: it cannot be built.
            OutputError: it cannot be kept.
        """
        for path in self._of(key):
            if set(self._capabilities) <= set(_capabilities(path)):
                with contextlib.suppress(OSError):
                    os.utime(path)
                return path
        return self._make(key, export)

    def discard(self, key: str) -> None:
        """See `Store.discard`."""
        for path in self._of(key):
            _remove(path)

    def kept(self) -> list[Kept]:
        """All engines of every TensorRT, the last used first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                stat, facts = path.stat(), json.loads(_facts(path).read_text("utf-8"))
            # Another process may be removing it, or was stopped between its two files.
            except (OSError, ValueError):
                continue
            found.append(Kept(path, stat.st_size, stat.st_mtime, facts))
        return sorted(found, key=lambda kept: -kept.used)

    def clean(self, limit: int = 0) -> int:
        """Remove the least recently used engines until no more than ``limit`` bytes are left; how many went."""
        total, removed = 0, 0
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"), key=_used, reverse=True):
            total += _size(path)
            if total > limit:
                _remove(path)
                removed += 1
        return removed

    def _of(self, key: str) -> Iterator[Path]:
        """The engines that can be used, the best first."""
        for version in self._versions():
            yield from self.folder.glob(f"{key}-{version}-*{_SUFFIX}")

    def _versions(self) -> list[str]:
        """In names of engines; the first is that of new ones, if plugins can be compiled for them."""
        plain = f"{self.flavour.name}{self.flavour.version}"
        if self._plugins is None:
            return [plain]
        # What another machine compiled runs here too.
        return [plain + MARK, plain] if compiling_obstacle(tuple(self._capabilities)) else [plain + MARK]

    def _make(self, key: str, export: Export) -> Path:
        usable = self._plugins
        if obstacle := self._obstacle or (usable and compiling_obstacle(tuple(self._capabilities))):
            _warn(obstacle)
            usable = None
        gpus = "-".join(f"sm{major}{minor}" for major, minor in self._capabilities)
        path = self.folder / f"{key}-{self._versions()[0 if usable else -1]}-{gpus}{_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                started = time.monotonic()
                program = export(Path(scratch))
                targets = self._capabilities if self.flavour.name == "rtx" else ()
                plugins = WithPlugins(usable, self._capabilities) if usable else None
                with self._here():
                    built = build_engine(self.flavour, program, targets, self._told, plugins)
                facts = {
                    **_metadata(program),
                    "tensorrt": str(self.flavour),
                    "gpus": [f"{major}.{minor}" for major, minor in self._capabilities],
                    "plugins": built.plugins,
                    "seconds": round(time.monotonic() - started, 1),
                }
            write_whole(_facts(path), (json.dumps(facts, indent=1).encode(),), durable=False)
            write_whole(path, (built.plan,), durable=False)
        except OSError as error:
            raise output_error(error, path) from error
        self.clean(max(self.limit, len(built.plan)))
        return path


def make_executor(device: torch.device) -> TensorRtExecutor:
    """TensorRT on a GPU."""
    flavour = installed()
    plugins, obstacle = find_plugins(flavour)
    return TensorRtExecutor(flavour.trt, flavour.logger, Cuda(device), plugins, obstacle)


def make_store(device: torch.device) -> EngineStore:
    """Engines for a GPU, in the user's cache."""
    flavour, capabilities = installed(), [torch.cuda.get_device_capability(device)]
    plugins, obstacle = find_plugins(flavour)
    here = partial(torch.cuda.device, device)
    return EngineStore(engines_folder(), capabilities, flavour, plugins=plugins, obstacle=obstacle, here=here)


@cache
def _warn(obstacle: str) -> None:
    log.warning(
        "engines are built without MIVE's plugins, so flow-guided attention copies all keys and values it looks at, "
        "which takes more time and memory: %s",
        obstacle,
    )


def engines_folder() -> Path:
    """Where engines are kept."""
    return default_cache() / "engines"


def _capabilities(path: Path) -> list[Capability]:
    return [(int(major), int(minor)) for major, minor in re.findall(r"sm(\d+)(\d)(?=[-.])", path.name)]


def _metadata(program: Path) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(program, load_external_data=False).metadata_props}


def _facts(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _remove(path: Path) -> None:
    # The facts last: without its engine nobody looks at them.
    for file in (path, _facts(path)):
        with contextlib.suppress(OSError):
            file.unlink()


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
