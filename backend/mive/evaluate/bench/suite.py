"""A suite: a folder of clips, each with a source, ID mattes and a ``clip.json`` that says what becomes of what."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from mive.base.validation import Model, did_you_mean, reject
from mive.errors import RequestError
from mive.evaluate.bench.tags import filled, plain, tagged_ids
from mive.media.pattern import parse_pattern
from mive.request import FrameRange, Instance
from mive.settings import Count

SUITE_FILE: Final = "suite.json"
CLIP_FILE: Final = "clip.json"

_Read = TypeVar("_Read", bound=Model)


class SuiteDescription(Model):
    """``suite.json``: what the suite is."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    name: str = Field(description="the suite's name, for people")
    description: str = Field(default="", description="where its clips come from")


class SuiteInstance(Model):
    """One thing in a clip; without a caption it is to stay as it is."""

    id: Count = Field(description="the instance's id, its pixel value in the ID matte")
    source_caption: str = Field(description="what the instance is in the source")
    caption: str = Field(default="", description="what the instance should become; empty if it is left alone")
    class_name: str = Field(default="", description="the instance's object class")


class ClipDescription(Model):
    """``clip.json``: one clip of a suite. Paths start from its folder."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    source: str = Field(description="the path of the source: a video or a folder of images")
    mattes: str = Field(description="the path of the ID mattes, whose pixel values are the instances' ids")
    ideal: str | None = Field(default=None, description="the path of what a perfect edit would be, where that is known")
    global_caption: str = Field(
        description="the caption of the whole source, with each edited instance's words in tags, <1>a red ball</1>"
    )
    instances: tuple[SuiteInstance, ...] = Field(description="the instances")

    @field_validator("instances")
    @classmethod
    def _distinct(cls, instances: tuple[SuiteInstance, ...]) -> tuple[SuiteInstance, ...]:
        seen: set[int] = set()
        for place, instance in enumerate(instances):
            if instance.id in seen:
                reject(
                    f"the id {instance.id} is there twice",
                    expected="a different id for each instance",
                    fix="Renumber one of them",
                    at=[place, "id"],
                )
            seen.add(instance.id)
        if not any(instance.caption.strip() for instance in instances):
            reject(
                "no instance has a caption, so that there is nothing to edit",
                expected="a caption for at least one of them",
                fix="Say what an instance should become, or take the clip out of the suite",
            )
        return instances

    @model_validator(mode="after")
    def _tagged(self) -> Self:
        tags = tagged_ids(self.global_caption)
        known = {instance.id for instance in self.instances}
        for number in tags:
            if number not in known:
                reject(
                    f"its tag <{number}> is no instance's id",
                    expected=f"one of {', '.join(map(str, sorted(known)))}",
                    fix="Correct the tag, or add the instance",
                    at=["global_caption"],
                )
        for instance in self.instances:
            if instance.caption.strip() and tags.count(instance.id) != 1:
                reject(
                    f"it has {tags.count(instance.id)} tags <{instance.id}>",
                    expected="one for every instance that has a caption",
                    fix=f'Put the words for "{instance.source_caption}" between <{instance.id}> and </{instance.id}>',
                    at=["global_caption"],
                )
        return self


@dataclass(frozen=True)
class SuiteClip:
    """One clip of a suite.

    Attributes:
        name: its folder's name, which also names its results.
        folder: where it lies.
        about: its ``clip.json``.
        digest: SHA-256 of what that says.
    """

    name: str
    folder: Path
    about: ClipDescription
    digest: str

    @property
    def source(self) -> Path:
        return self.folder / self.about.source

    @property
    def mattes(self) -> Path:
        return self.folder / self.about.mattes

    @property
    def ideal(self) -> Path | None:
        return None if self.about.ideal is None else self.folder / self.about.ideal

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """Those that are edited, as a request takes them."""
        return tuple(
            Instance(id=one.id, caption=one.caption, source_caption=one.source_caption, name=one.class_name)
            for one in self.about.instances
            if one.caption.strip()
        )

    @property
    def source_caption(self) -> str:
        """What the whole source shows."""
        return plain(self.about.global_caption)

    @property
    def target_caption(self) -> str:
        """What the whole frame should show: the source's caption in the edited instances' new words."""
        return filled(self.about.global_caption, {one.id: one.caption for one in self.instances})


@dataclass(frozen=True)
class Suite:
    """The clips of a suite, in the order of their names."""

    folder: Path
    about: SuiteDescription
    clips: tuple[SuiteClip, ...]

    def select(self, wanted: str | None) -> Sequence[SuiteClip]:
        """The clips of a range such as "0-23", counted from 0, both included; None means all.

        Raises:
            RequestError: it is no range, or leaves the suite.
        """
        if wanted is None:
            return self.clips
        try:
            span = FrameRange.parse(wanted)
        except RequestError as error:
            raise RequestError(
                f'"{wanted}" is not a range of clips', expected='a range such as "0-23"', fix=error.fix, field="clips"
            ) from error
        if span.last >= len(self.clips):
            raise RequestError(
                f"clips {wanted} were asked for, and {self.folder} has {len(self.clips)}",
                expected=f"clips within 0-{len(self.clips) - 1}",
                fix="Ask for others",
                field="clips",
            )
        return self.clips[span.first : span.last + 1]


def load_suite(folder: str | Path) -> Suite:
    """Read ``suite.json`` and the ``clip.json`` of every folder beside it. Media are looked for, not opened.

    Raises:
        RequestError: one is missing or wrong; it names the file and the field.
    """
    root = Path(folder)
    about, _ = _read(SuiteDescription, root / SUITE_FILE)
    clips = tuple(_load_clip(path) for path in sorted(root.glob(f"*/{CLIP_FILE}")))
    if not clips:
        raise RequestError(
            f"there are no clips in {root}",
            expected=f"folders with a {CLIP_FILE} each",
            fix='Check the path, or make a suite with "mive bench make-toy"',
        )
    return Suite(root, about, clips)


def _load_clip(path: Path) -> SuiteClip:
    about, digest = _read(ClipDescription, path)
    for field in ("source", "mattes", *(["ideal"] if about.ideal is not None else [])):
        place = path.parent / getattr(about, field)
        if not place.exists() and parse_pattern(place.name) is None:
            near = did_you_mean(place.name, [entry.name for entry in path.parent.iterdir()])
            raise RequestError(
                f"{path}: {field}: there is no {place}",
                expected=f"{ClipDescription.model_fields[field].description}",
                fix=near or "Correct the path, which starts from the clip's folder",
            )
    return SuiteClip(path.parent.name, path.parent, about, digest)


def _read(model: type[_Read], path: Path) -> tuple[_Read, str]:
    """The object in a JSON file, and the file's hash."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read: {error.strerror}",
            expected=f"a suite: a folder with {SUITE_FILE}, and a folder with a {CLIP_FILE} for each clip",
            fix="Check the path of the suite",
        ) from error
    try:
        return model.from_json(text), hashlib.sha256(text).hexdigest()
    except RequestError as error:
        what = f"{error.field}: {error.what}" if error.field else error.what
        raise RequestError(f"{path}: {what}", expected=error.expected, fix=error.fix) from error
