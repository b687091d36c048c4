"""What goes to the server: the edit as a request, and the frames that it names as folders.

::

    sent-…/request.json     the request
    sent-…/clip/            raw frames of the source, see `mive.media.raw`, and likewise
    sent-…/mattes/          ids
    sent-…/matte-ID/        coverage of one instance
    sent-…/images/…         the same as images, for a server that sees none of this machine's files
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from av.video.reformatter import VideoReformatter

from mive.base.atomic import folder_aside, keep_aside
from mive.base.samples import sample_of
from mive.errors import MatteError, MediaError
from mive.media import ClipInfo, open_clip, open_writer
from mive.media.colour import alpha_of
from mive.media.info import Pixels
from mive.media.matte_tracks import IdTrack
from mive.media.paste import to_float
from mive.media.raw import RawClip, write_raw
from mive.media.sequence import SequenceClip
from mive.media.video import VideoClip
from mive.request import EditRequest, FrameRange, Instance, Settings
from mive_bridge.files import private_folder
from mive_bridge.images import Image
from mive_bridge.mattes import Kind, ids_of, kind_of, over
from mive_bridge.orders import Order
from mive_bridge.pixels import straight
from mive_bridge.puts import MixedSizes, Puts

_REQUEST: Final = "request.json"
_RATE: Final = Fraction(24)
"""Hosts do not tell it, and no pixel depends on it."""


def packed(folder: Path, order: Order, frames: range, puts: Puts, still_so: Callable[[], bool]) -> EditRequest:
    """The request, whose frames lie in ``folder``, which is made unless it is there.

    Args:
        still_so: the frames that were handed over are still those that the folder is named after.

    Raises:
        MiveError: the frames and mattes do not make an edit.
        OSError: the disk is full, or may not be written.
    """
    if not folder.is_dir():
        private_folder(folder.parent)
        with folder_aside(folder.parent) as aside:
            request = _Packing(order, frames, puts, aside, folder).request()
            if not still_so():
                raise MediaError("the source changed while it was read", fix="Press Analyse")
            (aside / _REQUEST).write_text(request.model_dump_json(exclude_unset=True, by_alias=True))
            keep_aside(aside, folder, durable=False)
    return EditRequest.from_json((folder / _REQUEST).read_bytes())


def as_images(folder: Path, request: EditRequest) -> EditRequest:
    """The same request, with images where it names raw frames.

    Raises:
        MiveError: they cannot be read or written.
    """

    def place(path: str) -> str:
        raw = Path(path)
        if raw.parent != folder:
            return path
        images = folder / "images" / raw.name
        if not images.is_dir():
            clip = RawClip(raw)
            whole = FrameRange(0, clip.info.frames - 1)
            with open_writer(images, clip.info, whole) as writer:
                for frame in clip.read():
                    writer.write(frame)
        return str(images)

    return request.with_sources(place)


@dataclass
class _Packing:
    """Writes the folders that a request names.

    Attributes:
        aside: where they are written.
        folder: where they are going to be.
    """

    order: Order
    frames: range
    puts: Puts
    aside: Path
    folder: Path
    own: dict[int, str] = field(default_factory=dict)
    fit: bool = False

    def request(self) -> EditRequest:
        order = self.order
        self._require_one_size()
        clip = order.source or self._write("clip", self._sources())
        size = self._source_size()
        mattes = self._mattes(size)
        for index, caption in enumerate(order.captions):
            if mattes is None and caption.id not in self.own:
                raise MatteError(
                    f"nothing says where instance {caption.id} is",
                    expected="instance 1 for alpha; 1 to 4 for a matte clip of colours, 5 to 8 for a second one",
                    fix="Change the instance's id, or connect an ID matte to Mattes",
                    field=f"instances[{index}].matte",
                )
        part = order.source is not None and order.frames is not None
        return EditRequest(
            clip=clip,
            frames=FrameRange(self.frames.start, self.frames[-1]) if part else None,
            mattes=mattes,
            instances=tuple(
                Instance(id=caption.id, caption=caption.text, matte=self.own.get(caption.id))
                for caption in order.captions
            ),
            settings=Settings(
                preset=order.preset,
                seed=order.seed,
                guidance_factor=order.guidance_factor,
                matte_fit="fit" if self.fit else None,
            ),
        )

    def _mattes(self, size: tuple[int, int]) -> str | None:
        """The path of the ID matte, where there is one; notes the mattes that instances have of their own."""
        order = self.order
        if order.from_alpha:
            self.own[1] = order.source if order.source else self._write("matte-1", self._alphas())
            if order.source is not None:
                _require_alpha(Path(order.source))
            return None
        if order.mattes is not None:
            return order.mattes if order.source is not None else self._write("mattes", self._file_ids(order.mattes))
        names = [name for name in order.images if name != "source"]
        kinds = {name: kind_of(self._images(name)) for name in names}
        for place, name in enumerate(names):
            form = self.puts.by_number[self.frames[0]].images[name].format
            self.fit = self.fit or (form.width, form.height) != size
            if not kinds[name].ids:
                self._write_coverage(name, range(4 * place + 1, 4 * place + 1 + form.channels))
        with_ids = [name for name in names if kinds[name].ids]
        return self._write("mattes", self._clip_ids(with_ids, kinds)) if with_ids else None

    def _write_coverage(self, name: str, identities: range) -> None:
        """The channels of a matte clip, each the matte of one instance, if it is edited."""
        asked = {caption.id for caption in self.order.captions}
        for channel, identity in enumerate(identities):
            if identity in asked:
                planes = (np.ascontiguousarray(image[..., channel]) for image in self._images(name))
                self.own[identity] = self._write(f"matte-{identity}", planes)

    def _clip_ids(self, names: list[str], kinds: dict[str, Kind]) -> Iterator[Pixels]:
        for number in self.frames:
            images = self.puts.read(number)
            ids = [ids_of(images[name], kinds[name]) for name in names]
            yield ids[0] if len(ids) == 1 else over(*ids)

    def _file_ids(self, path: str) -> Iterator[Pixels]:
        """The frames of a matte file that belong to the frames of a clip."""
        track = IdTrack(Path(path), "mattes")
        number_of = self._alignment(track.count, path)
        form = self.puts.by_number[self.frames[0]].images["source"].format
        for number in self.frames:
            ids = track.read(number_of(number))
            if ids.max() > np.iinfo(np.uint16).max:
                raise MatteError(
                    f"{path} holds the id {ids.max()}", expected="ids up to 65535", fix="Renumber the instances"
                )
            self.fit = self.fit or ids.shape != (form.height, form.width)
            yield ids.astype(np.uint16)

    def _alignment(self, count: int, path: str) -> Callable[[int], int]:
        """The frame in a matte file of a frame of the clip: by its number, or both from the first on."""
        if count == 1:
            return lambda number: 0
        if count == len(self.frames):
            return lambda number: number - self.frames.start
        if count > self.frames[-1]:
            return lambda number: number
        raise MatteError(
            f"{path} has {count} frames, and frames {self.frames.start} to {self.frames[-1]} are edited",
            expected=f"{len(self.frames)} frames, or at least {self.frames[-1] + 1}",
            fix="Export the mattes over the frames that are edited",
            field="mattes",
        )

    def _images(self, name: str) -> Iterator[Image]:
        return (self.puts.read(number)[name] for number in self.frames)

    def _sources(self) -> Iterator[Pixels]:
        for number in self.frames:
            premultiplied = self.puts.by_number[number].premultiplied
            yield straight(self.puts.read(number)["source"], premultiplied=premultiplied)

    def _alphas(self) -> Iterator[Pixels]:
        if self.puts.by_number[self.frames[0]].images["source"].format.channels != 4:
            raise MatteError(
                "the source has no alpha that could be the matte",
                expected="a clip with alpha, or mattes",
                fix="Connect a clip to Mattes, or name a file",
            )
        return (np.ascontiguousarray(image[..., 3]) for image in self._images("source"))

    def _source_size(self) -> tuple[int, int]:
        if self.order.source is None:
            form = self.puts.by_number[self.frames[0]].images["source"].format
            return form.width, form.height
        info = open_clip(self.order.source).info
        return info.width, info.height

    def _require_one_size(self) -> None:
        for name in self.order.images:
            formats = {str(self.puts.by_number[number].images[name].format) for number in self.frames}
            if len(formats) > 1:
                shown = " and ".join(sorted(formats)[:2])
                raise MixedSizes(
                    f"the host handed over frames of {len(formats)} kinds ({shown})",
                    expected="frames of one size and depth",
                    fix="Turn proxies off, and press Analyse",
                )

    def _write(self, name: str, frames: Iterable[Pixels]) -> str:
        """Writes raw frames, and returns where they are going to be."""
        rest = iter(frames)
        first = next(rest)
        sample = sample_of(first.dtype)
        height, width = first.shape[:2]
        info = ClipInfo(Path(), width, height, len(self.frames), _RATE, sample.depth, bits=sample.bits)
        (self.aside / name).mkdir()

        def all_frames() -> Iterator[Pixels]:
            yield first
            yield from rest

        write_raw(self.aside / name, info, all_frames())
        return str(self.folder / name)


def _require_alpha(path: Path) -> None:
    """Refuses a file whose alpha hides nothing: its luma would be taken for the matte."""
    if not any(alpha is not None and (to_float(alpha) < 1).any() for alpha in _alphas_of(path)):
        raise MatteError(
            "no pixel of the source is transparent, so its alpha is no matte",
            expected="a file whose alpha shows the instance, or mattes",
            fix="Connect a clip to Mattes, or name a file",
        )


def _alphas_of(path: Path) -> Iterator[Pixels | None]:
    clip = open_clip(path)
    if isinstance(clip, SequenceClip):
        return (image.alpha() for image in clip.images(0, clip.info.frames - 1))
    if isinstance(clip, VideoClip):
        reformatter = VideoReformatter()
        return (alpha_of(frame, reformatter) for frame in clip.stored_frames(0, clip.info.frames - 1))
    raise MediaError(f"{path} is no video or image", expected="a file that a host can show", fix="Check the path")
