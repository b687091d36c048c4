"""One network of a bundle from its folder, from safetensors only and never from a pickle."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open

from mive.errors import BundleError
from mive.networks.bundle_files import how_to_get

_STEMS: Final = ("diffusion_pytorch_model", "model")
_PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth")
_LFS_POINTER: Final = b"version https://git-lfs"


class Weights(NamedTuple):
    """The safetensors files of a network, and their variant, e.g. "fp16"."""

    files: tuple[Path, ...]
    variant: str | None


def load_network(kind: Any, folder: Path, dtype: torch.dtype, unused: str = "") -> Any:
    """A network with all its weights, in ``dtype``, on the CPU, not to be trained.

    Args:
        kind: a model class of diffusers or transformers.
        folder: holds config.json and the weights.
        unused: a pattern of weights that the network never reads, which may be missing.

    Raises:
        BundleError: a file is missing, corrupt, or does not fit the configuration; the weights
            are pickled, or not finite in ``dtype``.
    """
    weights = find_weights(folder, kind.__name__)
    for file in weights.files:
        _check_file(file)
    try:
        with quiet():
            network, report = kind.from_pretrained(
                folder,
                dtype=dtype,
                variant=weights.variant,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
            # Where a file mixes types, diffusers keeps those of single weights.
            network.to(dtype)
    except Exception as error:  # on a broken config the libraries raise whatever they like
        raise _unfit(folder, error) from error
    wrong = [name for name, *_ in report["mismatched_keys"]]
    wrong += [name for name in report["missing_keys"] if not (unused and re.match(unused, name))]
    if wrong:
        raise BundleError(
            f"{weights.files[0]} lacks {len(wrong)} weights of the {kind.__name__}, or has them "
            f"in another shape: {', '.join(sorted(wrong)[:3])}",
            expected=f"the weights that {folder / 'config.json'} describes",
            fix=how_to_get(weights.files[0]),
        )
    _check_finite(network, weights.files[0])
    return network.requires_grad_(False).eval()


def find_weights(folder: Path, kind: str) -> Weights:
    """The files to load: whole before sharded, full before fp16.

    Raises:
        BundleError: there are none, or only pickled ones.
    """
    for variant in (None, "fp16"):
        middle = f".{variant}" if variant else ""
        for stem in _STEMS:
            single = folder / f"{stem}{middle}.safetensors"
            if single.is_file():
                return Weights((single,), variant)
            index = folder / f"{stem}.safetensors.index{middle}.json"
            if index.is_file():
                return Weights(_shards(index), variant)
    pickles = sorted(file for file in folder.glob("*") if file.suffix in _PICKLES)
    if pickles:
        raise BundleError(
            f"the weights in {pickles[0]} are pickled, which can run any code when loaded",
            expected="safetensors",
            fix="If you trust the file, convert it: "
            f'{kind}.from_pretrained("{folder}", use_safetensors=False)'
            f'.save_pretrained("{folder}")',
        )
    raise BundleError(
        f"there are no weights in {folder}",
        expected=" or ".join(f"{stem}.safetensors" for stem in _STEMS),
        fix=how_to_get(folder),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, log lines and warnings of diffusers and transformers inside the block."""
    libraries = (diffusers.utils.logging, transformers.utils.logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in libraries]
    for log in libraries:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, (verbosity, bars) in zip(libraries, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
        return tuple(index.parent / name for name in sorted(names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{index} cannot be read: {error}", expected="a weight_map", fix=how_to_get(index)) from error


def _check_file(file: Path) -> None:
    """The header is whole and the file as long as it says."""
    try:
        with file.open("rb") as stream:
            pointer = stream.read(len(_LFS_POINTER)) == _LFS_POINTER
        if not pointer:
            with safe_open(file, "pt"):
                return
    except OSError as error:
        raise BundleError(
            f"{file} cannot be read: {error.strerror}", expected="weights", fix=how_to_get(file)
        ) from error
    except SafetensorError as error:
        raise BundleError(
            f"{file} is corrupt or cut short: {error}",
            expected="a whole safetensors file",
            fix=how_to_get(file),
        ) from error
    raise BundleError(
        f"{file} is a pointer of git-lfs, not the weights",
        expected="a whole safetensors file",
        fix=f"git lfs pull, in {file.parent}",
    )


def _check_finite(network: torch.nn.Module, file: Path) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise BundleError(
                f"the weight {name} in {file} is not finite in {kind}",
                expected="finite numbers",
                fix=f"Use precision fp32 if that is fp16. Or: {how_to_get(file)}",
            )


def _unfit(folder: Path, error: Exception) -> BundleError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BundleError(
        f"{folder / 'config.json'} and the weights beside it cannot be loaded: {reason}",
        expected="a configuration and weights that belong together",
        fix=how_to_get(folder),
    )
