"""Edit requests as messages and back, without loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from mive.errors import RequestError
from mive.request import USUAL_BUNDLE, EditRequest, FrameRange, Settings
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.words import fill, joined, refuse_unknown, values_of

Source = media_pb2.ClipSource | media_pb2.MatteSource
"""Where a clip or mattes come from."""

NameSource = Callable[[Source, str], str]
"""Gives a source, found in the field of that path, the path under which the request holds it."""


def request_to_message(
    request: EditRequest, sources: Mapping[str, Source] = MappingProxyType({})
) -> edit_pb2.EditRequest:
    """The request as a message.

    Args:
        sources: where clip and mattes come from, in place of paths, by field as in `EditRequest.sources`.

    Raises:
        RequestError: a number or text that the contract cannot carry.
    """
    message = edit_pb2.EditRequest(settings=settings_to_message(request.settings))
    own = ("global_caption", "bundle", "rate", "layer", "strict")
    fill(message, {name: getattr(request, name) for name in own})
    if request.frames is not None:
        message.frames.CopyFrom(range_to_message(request.frames))
    for index, instance in enumerate(request.instances):
        fields = instance.model_dump(by_alias=True, exclude={"matte", "linked"})
        added = message.instances.add()
        fill(added, fields, f"instances[{index}]")
        _extend(added, instance.linked, f"instances[{index}].linked")
    places = {"clip": message.clip, "mattes": message.mattes}
    places |= {f"instances[{index}].matte": instance.matte for index, instance in enumerate(message.instances)}
    for field, path in request.sources().items():
        if (source := sources.get(field)) is None:
            fill(places[field], {"path": path}, field)
        else:
            places[field].CopyFrom(source)
    return message


def request_from_message(
    message: edit_pb2.EditRequest, *, bundle: str = USUAL_BUNDLE, name_source: NameSource | None = None
) -> EditRequest:
    """The request that a message holds.

    Args:
        bundle: for a message that leaves it open.
        name_source: names clips and mattes; without it only paths are taken.

    Raises:
        RequestError: naming the field at fault as a path, such as ``instances[1].caption``.
    """
    refuse_unknown(message)
    name = name_source or server_path
    fields = {"bundle": bundle, **values_of(message), "settings": values_of(message.settings)}
    if message.HasField("clip"):
        fields["clip"] = name(message.clip, "clip")
    if message.HasField("mattes"):
        fields["mattes"] = name(message.mattes, "mattes")
    if message.HasField("frames"):
        fields["frames"] = values_of(message.frames)
    instances = fields["instances"] = tuple(values_of(instance) for instance in message.instances)
    for index, instance in enumerate(message.instances):
        if instance.HasField("matte"):
            instances[index]["matte"] = name(instance.matte, f"instances[{index}].matte")
        instances[index]["linked"] = tuple(instance.linked)
    return EditRequest(**fields)


def _extend(message: edit_pb2.Instance, linked: Iterable[int], at: str) -> None:
    try:
        message.linked.extend(linked)
    except ValueError as error:
        raise RequestError(
            "an id cannot be sent", expected="numbers below 2^32", fix="Choose a smaller number", field=at
        ) from error


def server_path(source: Source, field: str) -> str:
    """The path that a source names.

    Raises:
        RequestError: it names none.
    """
    kind = source.WhichOneof("source")
    if kind == "path":
        return source.path
    raise RequestError(
        f"the source is {kind}, which is not a path" if kind else "no source is given",
        expected="a path that the server may read",
        fix='Set "path"',
        field=field,
    )


def settings_to_message(settings: Settings) -> edit_pb2.Settings:
    """The settings as a message; what is open stays unset."""
    message = edit_pb2.Settings()
    fill(message, settings.model_dump(by_alias=True), "settings")
    return message


def settings_from_message(message: edit_pb2.Settings) -> Settings:
    """The settings that a message holds.

    Raises:
        RequestError: naming the field at fault.
    """
    refuse_unknown(message)
    return Settings(**values_of(message))


def range_to_message(frames: FrameRange, at: str = "frames") -> edit_pb2.FrameRange:
    """The range as a message.

    Raises:
        RequestError: a number is 2^32 or more.
    """
    message = edit_pb2.FrameRange()
    fill(message, {"first": frames.first, "last": frames.last}, at)
    return message


def range_from_message(message: edit_pb2.FrameRange, at: str = "frames") -> FrameRange:
    """The range that a message holds.

    Raises:
        RequestError: it runs backwards.
    """
    refuse_unknown(message, at)
    try:
        return FrameRange(message.first, message.last)
    except RequestError as error:
        field = joined(at, error.field) if error.field else at
        raise RequestError(error.what, expected=error.expected, fix=error.fix, field=field) from None


def with_handles(frames: FrameRange, handles: mive_pb2.Handles, clip_frames: int) -> FrameRange:
    """The range and its handles, as far as a clip of ``clip_frames`` frames has them."""
    last = min(frames.last + handles.after, max(clip_frames - 1, frames.last))
    return FrameRange(max(frames.first - handles.before, 0), last)
