"""The request: everything about one edit, typed, checked and serialisable.

Nothing below the request reads settings from anywhere else. What the user left open
(``None``) is filled by :meth:`Settings.resolved`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from mive.base.rates import parse_rate
from mive.base.validation import Model, reject
from mive.errors import RequestError
from mive.plans import PLAN_NAMES
from mive.settings import PRESETS, Count, Index, Preset, ResolvedSettings, Seed, Settings, Share, Weight

__all__ = [
    "PLAN_NAMES",
    "PRESETS",
    "USUAL_BUNDLE",
    "EditRequest",
    "FrameRange",
    "Instance",
    "Preset",
    "ResolvedSettings",
    "Settings",
]

USUAL_BUNDLE: Final = "tiny"
"""The bundle that ships in the package."""


class FrameRange(Model):
    """Frames ``first`` to ``last`` of a clip, both included, counted from 0."""

    first: Index = Field(description="the first frame, counted from 0")
    last: Index = Field(description="the last frame, itself included")

    def __init__(self, first: int, last: int) -> None:
        super().__init__(first=first, last=last)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.last < self.first:
            reject(
                f"the range runs backwards, from frame {self.first} to {self.last}",
                expected="a last frame that is not before the first",
                fix=f"Write {self.last}-{self.first}",
            )
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``"12-40"`` or ``"12"``.

        Raises:
            RequestError: it is neither, or runs backwards.
        """
        match = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", text)
        if match is None:
            raise RequestError(
                f'"{text}" is not a range of frames',
                expected='two frame numbers counted from 0, such as "12-40", or one',
                fix="Write FIRST-LAST",
                field="frames",
            )
        return cls(int(match[1]), int(match[2] or match[1]))

    @classmethod
    def runs(cls, indices: Iterable[int]) -> Iterator[Self]:
        """The ranges that indices make up, in their order, each as soon as it ends."""
        for _, pairs in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]):
            run = [index for _, index in pairs]
            yield cls(run[0], run[-1])

    def __str__(self) -> str:
        """What :meth:`parse` reads."""
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        """How many frames, at least 1."""
        return self.last - self.first + 1

    def indices(self) -> range:
        """The frames' indices in the clip."""
        return range(self.first, self.last + 1)


class Instance(Model):
    """One thing in the shot and what it should become.

    Later instances of a request lie on top of earlier ones, as layers do in an editor. What is
    ``None`` is as in the request's settings.
    """

    id: Count = Field(description="the instance's id, its pixel value in an ID matte")
    caption: str = Field(description="the caption: what the instance should become")
    source_caption: str = Field(default="", description="what the instance is in the source")
    matte: str | None = Field(default=None, description="the instance's own matte: an image, a folder or a video")
    seed: Seed | None = Field(default=None, description="the instance's own seed")
    lambda_: Weight | None = Field(
        default=None,
        validation_alias="lambda",
        serialization_alias="lambda",
        description="the instance's own IPR strength λ",
    )
    lambda_r: Share | None = Field(default=None, description="the instance's own IPR share λ_r")
    guidance: Weight | None = Field(default=None, description="the instance's own guidance scale")
    name: str = Field(default="", description="the instance's name, for people")
    linked: tuple[Count, ...] = Field(
        default=(), description="further ids of the ID mattes that are the instance too, such as its reflection's"
    )

    @field_validator("caption")
    @classmethod
    def _says_something(cls, caption: str) -> str:
        if not caption.strip():
            reject(
                "the caption is empty",
                expected="what the instance should become, in words",
                fix='Write a caption such as "a red cup", or leave the instance out',
            )
        return caption

    @field_validator("matte")
    @classmethod
    def _named(cls, path: str | None) -> str | None:
        return path if path is None else _path(path)


class EditRequest(Model):
    """Everything about one edit: which frames of which clip, what becomes of what, and how."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer file needs a newer MIVE")
    clip: str = Field(description="the path of the clip: a video, an image or a folder of images")
    frames: FrameRange | None = Field(default=None, description="the frames to edit; none means the whole clip")
    rate: str | None = Field(
        default=None, description='the clip\'s frames a second where its files say none, such as "25" or "24000/1001"'
    )
    layer: str | None = Field(default=None, description="the clip's part, layer or track that is the picture")
    strict: bool = Field(default=False, description="whether warnings about clip, mattes and output are errors instead")
    mattes: str | None = Field(
        default=None,
        description="the path of the ID mattes, whose pixel values are the instances' ids",
    )
    instances: tuple[Instance, ...] = Field(description="the instances to edit")
    global_caption: str = Field(default="", description="one caption for the whole shot")
    bundle: str = Field(default=USUAL_BUNDLE, description="the model bundle: a name, folder or hub id")
    settings: Settings = Field(default_factory=Settings, description="the settings")

    @field_validator("clip", "mattes", "bundle")
    @classmethod
    def _named(cls, path: str | None) -> str | None:
        return path if path is None else _path(path)

    @field_validator("rate")
    @classmethod
    def _a_rate(cls, text: str | None) -> str | None:
        if text is not None and parse_rate(text) is None:
            reject(
                f'"{text}" is no frame rate',
                expected='frames a second, such as "25", "23.976" or "24000/1001"',
                fix="Correct it, or leave it out to take what the clip says",
            )
        return text

    @field_validator("instances")
    @classmethod
    def _distinct(cls, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
        if not instances:
            reject(
                "there is nothing to edit",
                expected="at least one instance",
                fix="Add an instance with an id and a caption",
            )
        seen: dict[int, int] = {}
        for index, instance in enumerate(instances):
            for place, identity in enumerate((instance.id, *instance.linked)):
                if identity in seen:
                    reject(
                        f"instances[{seen[identity]}] has the id {identity} too",
                        expected="a different id for each instance",
                        fix="Renumber one of them",
                        at=[index, "linked" if place else "id"],
                    )
                seen[identity] = index
        return instances

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for index, instance in enumerate(self.instances):
            if self.mattes is None and (instance.matte is None or instance.linked):
                reject(
                    f"nothing says where instance {instance.id} is"
                    if not instance.linked
                    else f"nothing says where the ids are that instance {instance.id} is linked with",
                    expected="ID mattes for the request, or a matte for each instance",
                    fix='Set "mattes", or this instance\'s "matte"',
                    at=["instances", index, "matte"],
                )
        if self.settings.caption_mode == "global" and not self.global_caption.strip():
            reject(
                "the global caption is empty, and the settings use it for all instances",
                expected="one caption for the whole shot",
                fix='Write it, or set settings.caption_mode to "instance"',
                at=["global_caption"],
            )
        return self

    def sources(self) -> dict[str, str]:
        """All paths that it names, by the field that names them, such as ``instances[0].matte``."""
        fields = {"clip": self.clip, "mattes": self.mattes}
        fields |= {f"instances[{index}].matte": instance.matte for index, instance in enumerate(self.instances)}
        return {field: path for field, path in fields.items() if path is not None}

    def with_sources(self, place: Callable[[str], str]) -> Self:
        """The request with another path in place of each that it names."""
        changes: dict[str, object] = {"clip": place(self.clip)}
        if self.mattes is not None:
            changes["mattes"] = place(self.mattes)
        changes["instances"] = tuple(
            instance if instance.matte is None else instance.model_copy(update={"matte": place(instance.matte)})
            for instance in self.instances
        )
        return self.model_copy(update=changes)


def _path(path: str) -> str:
    if not path.strip():
        reject("it is empty", expected="a path or a name", fix="Write it, or leave the field out")
    return path
