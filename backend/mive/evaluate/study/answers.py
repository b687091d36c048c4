"""What participants hand in, checked against the study's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import Field

from mive.base.validation import Model
from mive.errors import RequestError
from mive.evaluate.study.plan import KeyClip, StudyKey
from mive.evaluate.study.questions import QUESTIONS

_Read = TypeVar("_Read", bound=Model)


class ClipAnswers(Model):
    """A participant's answers for one clip."""

    clip: str = Field(description="the clip's hidden name")
    shown: tuple[str, ...] = Field(description="the hidden names of the videos, in the order they were shown in")
    choices: dict[str, str] = Field(description="the hidden name of the video that was chosen, for each question")


class Answers(Model):
    """A file of answers, as the page hands it out."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    study: str = Field(description="the id of the study")
    participant: str = Field(description="the participant's code")
    started: datetime = Field(description="when the first clip was shown")
    finished: datetime | None = Field(description="when the last answer was given")
    clips: tuple[ClipAnswers, ...] = Field(description="the answers for each clip")


@dataclass(frozen=True)
class Participant:
    """One participant's answers in the study's own words.

    Attributes:
        code: theirs.
        choices: the method chosen, by question and clip's hidden name.
        missing: how many answers they did not give.
    """

    code: str
    choices: dict[tuple[str, str], str]
    missing: int


def load_key(path: Path) -> StudyKey:
    """Read a study's key.

    Raises:
        RequestError: it cannot be read, or is none.
    """
    return _read(StudyKey, path, "the key that mive study build wrote beside the site")


def load_participants(key: StudyKey, paths: Sequence[Path]) -> list[Participant]:
    """Read files of answers, one for each participant, in the order of their codes.

    Raises:
        RequestError: a file cannot be read, is of another study, contradicts the key, or is a participant's second.
    """
    files: dict[str, Path] = {}
    participants = []
    for path in paths:
        answers = _read(Answers, path, "a file of answers, as the page hands it out")
        if answers.study != key.study:
            raise RequestError(
                f"{path} answers the study {answers.study}, and the key is of {key.study}",
                expected="answers to the study that the key belongs to",
                fix="Leave the file out, or take the other study's key",
            )
        if answers.participant in files:
            raise RequestError(
                f"{files[answers.participant]} and {path} are both of the participant {answers.participant}",
                expected="one file for each participant",
                fix="Find out which one counts and leave the other out; two people with one code cannot be told apart",
            )
        files[answers.participant] = path
        participants.append(_understood(key, answers, path))
    return sorted(participants, key=lambda one: one.code)


def _understood(key: StudyKey, answers: Answers, path: Path) -> Participant:
    clips = {clip.id: clip for clip in key.clips}
    choices: dict[tuple[str, str], str] = {}
    seen: set[str] = set()
    for given in answers.clips:
        clip = clips.get(given.clip)
        if clip is None or given.clip in seen:
            _refuse(path, f"the clip {given.clip} {'twice' if clip else 'that the study does not have'}")
        seen.add(given.clip)
        choices |= _methods(clip, given, path)
    return Participant(answers.participant, choices, len(clips) * len(QUESTIONS) - len(choices))


def _methods(clip: KeyClip, given: ClipAnswers, path: Path) -> dict[tuple[str, str], str]:
    if sorted(given.shown) != sorted(clip.videos):
        _refuse(path, f"other videos for the clip {clip.id} than the study shows")
    for question, video in given.choices.items():
        if question not in {one.name for one in QUESTIONS}:
            _refuse(path, f'the question "{question}" that the study does not ask')
        if video not in clip.videos:
            _refuse(path, f"the video {video} as an answer for the clip {clip.id}, which does not have it")
    return {(question, clip.id): clip.videos[video] for question, video in given.choices.items()}


def _refuse(path: Path, what: str) -> NoReturn:
    raise RequestError(
        f"{path} has {what}",
        expected="a file of answers just as the page handed it out",
        fix="Ask the participant for the file again, or leave it out",
    )


def _read(model: type[_Read], path: Path, expected: str) -> _Read:
    try:
        return model.from_json(path.read_bytes())
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read: {error.strerror}", expected=expected, fix="Check the path"
        ) from error
    except RequestError as error:
        what = f"{error.field}: {error.what}" if error.field else error.what
        raise RequestError(f"{path}: {what}", expected=expected, fix=error.fix) from error
