"""A study as a folder that a browser opens from disk, and any web host serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

from mive.base.atomic import Staging, output_error, write_text
from mive.errors import OutputError
from mive.evaluate.bench.report_sheets import colour
from mive.evaluate.bench.suite import SuiteClip
from mive.evaluate.bench.tags import filled
from mive.evaluate.study.plan import KeyClip, StudyPlan
from mive.evaluate.study.questions import QUESTIONS
from mive.evaluate.study.videos import write_mattes, write_video
from mive.media.info import ClipInfo

SCRIPTS: Final = ("order.js", "player.js", "answers.js", "study.js")
"""In the order in which the page loads them."""


def key_path(site: Path) -> Path:
    """Where the key of a site is kept: beside it."""
    return site.parent / f"{site.name}.key.json"


def build_site(plan: StudyPlan, site: Path, progress: Callable[[int, str], None] = lambda done, name: None) -> Path:
    """Write the site, whole or not at all, and its key beside it.

    Args:
        site: a folder that does not exist yet.
        progress: told after each clip: how many are done, and its name.

    Returns:
        Where the key is.

    Raises:
        MediaError: a clip cannot be read.
        OutputError: site or key exist already, or cannot be written.
    """
    site = site.absolute()
    key = key_path(site)
    for path in (site, key):
        if path.exists():
            raise OutputError(
                f"{path} exists already",
                expected="a new folder: answers belong to the study that they were given to",
                fix="Choose another with -o, or remove it and its key",
            )
    staging = Staging(site)
    try:
        clips = []
        for place, (clip, hidden) in enumerate(zip(plan.clips, plan.key.clips, strict=True)):
            clips.append(_clip(plan, clip, hidden, staging.folder / "videos"))
            progress(place + 1, clip.name)
        _write_page(plan, clips, staging.folder)
        # First the key: a site without one could not be counted.
        write_text(key, plan.key.to_json())
        staging.commit_folder(site)
    except OSError as error:
        raise output_error(error, site) from error
    finally:
        staging.discard()
        if not site.exists():
            key.unlink(missing_ok=True)
    return key


def _clip(plan: StudyPlan, clip: SuiteClip, hidden: KeyClip, folder: Path) -> dict[str, Any]:
    """Writes a clip's videos; what the page knows of it."""
    # In the order of their hidden names, so that not even the files' times tell the methods.
    for name, method in hidden.videos.items():
        write_video(plan.folder.video(method, clip.name), folder / f"{name}.mp4")
    info: ClipInfo = write_video(clip.source, folder / f"{hidden.source}.mp4")
    write_mattes(clip, folder / f"{hidden.mattes}.mp4")
    tagged = {one.id: f"<{place}>{one.caption}</{place}>" for place, one in enumerate(clip.instances, start=1)}
    return {
        "id": hidden.id,
        "frames": info.frames,
        "rate": float(info.rate),
        "aspect": float(info.width * info.pixel_aspect / info.height),
        "source": hidden.source,
        "mattes": hidden.mattes,
        "videos": list(hidden.videos),
        "before": clip.source_caption,
        "after": filled(clip.about.global_caption, tagged),
        "instances": [
            {"colour": colour(place), "before": one.source_caption, "after": one.caption}
            for place, one in enumerate(clip.instances)
        ],
    }


def _write_page(plan: StudyPlan, clips: list[dict[str, Any]], folder: Path) -> None:
    data = {
        "study": plan.key.study,
        "questions": [asdict(question) for question in QUESTIONS],
        "clips": clips,
    }
    own = resources.files("mive.evaluate.study")
    page = Template(own.joinpath("index.html").read_text(encoding="utf-8")).substitute(
        title=escape(plan.key.title),
        clips=len(clips),
        videos=len(plan.key.methods),
        # No text of a caption may end the script element.
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        scripts="\n".join(f'<script src="{name}"></script>' for name in SCRIPTS),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    house = resources.files("mive.evaluate.bench").joinpath("report.css").read_text(encoding="utf-8")
    (folder / "house.css").write_text(house, encoding="utf-8")
    for name in ("study.css", *SCRIPTS):
        (folder / name).write_text(own.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
