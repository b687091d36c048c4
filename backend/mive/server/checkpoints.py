"""Checkpoints on disk: where an edit goes on after its process was killed.

A checkpoint is one file: a magic number, the SHA-256 of the rest, the length of a JSON head, the head, and the latents
as safetensors. The newest two are kept, so that there is a whole one at any moment and whatever becomes of the newest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors
from safetensors.torch import load, save

from mive.base.atomic import output_errors, remove_asides, write_whole
from mive.editing.checkpoint import Checkpoint
from mive.editing.framing import View
from mive.editing.views import Layer
from mive.method.sampling import State
from mive.method.solvers import Past
from mive.server.files import make_folder

_MAGIC = b"MIVECKP2"
_LENGTH = struct.Struct("<Q")
_KEPT = 2
_UNREADABLE = (ValueError, TypeError, LookupError, struct.error, safetensors.SafetensorError)
"""What reading a damaged checkpoint, or another version's, may raise."""


@dataclass(frozen=True)
class Stored:
    """A checkpoint and how many frames of the edit were finished before it."""

    checkpoint: Checkpoint
    frames: int


class Checkpoints:
    """The checkpoints of one job.

    Args:
        folder: of the job's own.
        identity: hash of all that shapes the edit; checkpoints of another identity are as good as none.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        self._number = 0

    def save(self, checkpoint: Checkpoint, frames: int) -> None:
        """Keep a checkpoint and drop all but the one before it.

        Raises:
            OutputError: it cannot be written; the earlier ones are still there.
        """
        make_folder(self.folder, "checkpoint")
        earlier = self._files()
        self._number = max([self._number, *(int(path.stem) for path in earlier)]) + 1
        with output_errors("checkpoint"):
            write_whole(self.folder / f"{self._number:08}.ckpt", _encode(checkpoint, frames, self.identity))
        for path in earlier[: len(earlier) + 1 - _KEPT]:
            path.unlink(missing_ok=True)

    def load(self) -> Stored | None:
        """The newest checkpoint that is whole and of this edit, its latents in main memory."""
        for path in reversed(self._files()):
            with contextlib.suppress(OSError, *_UNREADABLE):
                return _decode(path.read_bytes(), self.identity)
        return None

    def clear(self) -> None:
        """Drop them all, and what a killed process left half written."""
        for path in self._files():
            path.unlink(missing_ok=True)
        remove_asides(self.folder)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        """Oldest first."""
        return sorted(path for path in self.folder.glob("*.ckpt") if re.fullmatch("[0-9]{8,10}", path.stem))


def _encode(checkpoint: Checkpoint, frames: int, identity: str) -> Iterator[bytes]:
    state = checkpoint.state
    tensors = {f"carried{number}": layer.z for number, layer in enumerate(checkpoint.carried)}
    tensors |= {f"edited{number}": z_0 for number, z_0 in enumerate(checkpoint.edited)}
    if state is not None:
        past = None if state.past is None else state.past.clean
        given = {"fused": state.fused, "instances": state.instances, "past": past}
        tensors |= {name: tensor for name, tensor in given.items() if tensor is not None}
    head = {
        "identity": identity,
        "frames": frames,
        "window": checkpoint.window,
        "carried": [[layer.view.model_dump(mode="json"), layer.weights] for layer in checkpoint.carried],
        "edited": len(checkpoint.edited),
        "position": None if state is None else state.position,
        "past": None if state is None or state.past is None else state.past.t,
    }
    latents = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    text = json.dumps(head).encode()
    digest = hashlib.sha256()
    parts = (_LENGTH.pack(len(text)), text, latents)
    for part in parts:
        digest.update(part)
    yield from (_MAGIC, digest.digest(), *parts)


def _decode(data: bytes, identity: str) -> Stored:
    """Read what `_encode` wrote.

    Raises:
        ValueError: it is torn, damaged, or another edit's.
    """
    digest, body = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise ValueError("the file is damaged")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    head = json.loads(body[_LENGTH.size : end])
    if head["identity"] != identity:
        raise ValueError("another edit's checkpoint")
    latents = load(body[end:])
    position = head["position"]
    past = Past(latents["past"], head["past"]) if "past" in latents else None
    state = None if position is None else State(position, latents.get("fused"), latents.get("instances"), past)
    carried = tuple(
        Layer(View(**view), latents[f"carried{number}"], tuple(weights))
        for number, (view, weights) in enumerate(head["carried"])
    )
    edited = tuple(latents[f"edited{number}"] for number in range(head["edited"]))
    return Stored(Checkpoint(head["window"], carried, edited, state), head["frames"])
