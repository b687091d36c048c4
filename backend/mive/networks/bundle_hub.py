"""Model folders from the Hugging Face hub, kept in the hub's own cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mive.errors import BundleError

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w./-]*)?")
"""owner/name, or owner/name/subfolder."""

# No pickles (.bin, .ckpt) and none of the other copies of the weights that many repositories
# hold. The hub's "*" matches "/" too.
_TEXTS: Final = ("*.json", "*.txt")
_WEIGHTS: Final = ("*model.safetensors", "*model-*-of-*.safetensors")
_HALF_WEIGHTS: Final = ("*model.fp16.safetensors", "*model.fp16-*-of-*.safetensors")
_UNUSED: Final = ("safety_checker/*", "feature_extractor/*", "onnx/*")


def download(hub_id: str, instead: str) -> Path:
    """The local folder of a hub model, downloaded where it is not in the cache already.

    Args:
        hub_id: as :data:`HUB_ID`.
        instead: what a user without a network can do, for the error.

    Raises:
        BundleError: the hub cannot be reached or has no such model.
    """
    owner, name, *subfolder = hub_id.split("/", 2)
    repository = f"{owner}/{name}"
    try:
        from huggingface_hub import snapshot_download

        for weights in (_WEIGHTS, _HALF_WEIGHTS):
            wanted, unused = [*_TEXTS, *weights], list(_UNUSED)
            snapshot = snapshot_download(repository, allow_patterns=wanted, ignore_patterns=unused)
            folder = Path(snapshot)
            if any(folder.rglob("*.safetensors")):
                break
    except ImportError as error:
        raise BundleError(
            f"{hub_id} cannot be downloaded: {error}",
            expected="the package huggingface_hub",
            fix='pip install "mive[server]"',
        ) from error
    except Exception as error:  # the hub's, its HTTP client's and the system's errors share no base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BundleError(
            f"{hub_id} is neither a folder nor in the hub's cache, and cannot be downloaded: {reason}",
            expected="a network that reaches the hub, and HF_HUB_OFFLINE not set",
            fix=f'{instead} (elsewhere: "hf download {repository} --local-dir FOLDER"; a model '
            'behind a licence needs "hf auth login" first)',
        ) from error
    return folder.joinpath(*subfolder)


def hub_snapshot(path: Path) -> Path | None:
    """The hub cache's folder of the model that ``path`` belongs to, ``None`` elsewhere."""
    return next((parent for parent in path.parents if parent.name.startswith("models--")), None)
