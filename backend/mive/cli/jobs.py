"""``mive jobs``, ``mive cancel`` and ``mive retry``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mive.cli.remote import ServerOptions
from mive.console.ending import say_json
from mive.console.options import JsonOption, grouped
from mive.console.progress import clock_time
from mive.errors import RequestError

if TYPE_CHECKING:
    from mive.client import Client, Job

_PIPE_WIDTH: Final = 200


@grouped
def jobs(
    long: Annotated[bool, typer.Option("--long", help="Show captions and errors too.")] = False,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=1000, help="How many, newest first.")] = 20,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=TEXT", help="Only jobs with this label; repeatable.")
    ] = None,
    *,
    server: ServerOptions,
    json: JsonOption = False,
) -> None:
    """List your jobs at a server, newest first."""
    with server.connect() as client:
        page = client.jobs(most=most, labels=parse_labels(label))
        # A list tells neither clips nor captions.
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda job: details(client, job), page.jobs))
    if json:
        say_json({"jobs": [as_dict(job, long) for job in found], "more": page.next_page is not None})
        return
    show_jobs(found, long, datetime.now(UTC))
    if page.next_page is not None:
        print(f"There are more: --most {min(10 * most, 1000)}")


@grouped
def cancel(
    job: Annotated[list[str], typer.Argument(metavar="ID...", help='Jobs, as "mive jobs" lists them.')],
    *,
    server: ServerOptions,
    json: JsonOption = False,
) -> None:
    """Cancel jobs. One that is running stops within a step; one that has ended stays as it is."""
    with server.connect() as client:
        ended = [client.cancel(job_id) for job_id in job]
    if json:
        say_json({"jobs": [as_dict(each, long=False) for each in ended]})
    else:
        for each in ended:
            print(f"{each.job_id}: {'stopping' if each.state == 'running' else each.state}")


@grouped
def retry(
    job: Annotated[list[str], typer.Argument(metavar="ID...", help="Jobs that failed or were cancelled.")],
    *,
    server: ServerOptions,
    json: JsonOption = False,
) -> None:
    """Submit jobs that failed or were cancelled once more, and print the new ones' ids."""
    with server.connect() as client:
        again = [client.retry(job_id) for job_id in job]
    if json:
        say_json({"jobs": [as_dict(each, long=False) for each in again]})
    else:
        for each in again:
            print(each.job_id)


def parse_labels(given: list[str] | None) -> dict[str, str]:
    """``["project=cups"]`` as ``{"project": "cups"}``.

    Raises:
        RequestError: one has no name.
    """
    pairs = [text.partition("=") for text in given or []]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise RequestError(
                f'the label "{name}" has no {"text" if name else "name"}',
                expected="NAME=TEXT",
                fix="Write for instance --label project=cups",
            )
    return {name: text for name, _, text in pairs}


def details(client: Client, job: Job) -> Job:
    """The job with its clip and request, or as it was listed where it has been removed since."""
    from mive.client import NotFound

    try:
        return client.get(job.job_id)
    except NotFound:
        return job


def as_dict(job: Job, long: bool) -> dict[str, Any]:
    """The job for machines."""
    values: dict[str, Any] = {
        "job": job.job_id,
        "state": job.state,
        "position": job.position if job.state == "queued" else None,
        "priority": job.priority,
        "clip": _clip(job) or None,
        "frames": None if job.frames is None else str(job.frames),
        "attempts": job.attempts,
        "progress": None if job.progress is None else asdict(job.progress),
        "labels": dict(job.labels),
        "retry_of": job.retry_of,
        **{name: getattr(job, name) for name in ("submitted", "started", "ended", "deadline")},
    }
    if long:
        values["captions"] = _captions(job)
        values["error"] = None if job.error is None else job.error.to_dict()
    return values


def show_jobs(jobs: list[Job], long: bool, now: datetime) -> None:
    """The jobs as a table on standard output.

    Args:
        now: what ages are counted to.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "state", "place", "clip", "frames", "age", *(("captions",) if long else ()), show_edge=False)
    table.columns[0].no_wrap = True
    for job in jobs:
        cells = [
            job.job_id,
            job.state,
            str(job.position + 1) if job.state == "queued" else _reached(job),
            _clip(job),
            "" if job.frames is None else str(job.frames),
            _age((now - job.submitted).total_seconds()),
        ]
        if long:
            words = [f"{name}={text}" for name, text in job.labels.items()]
            words += [f"{number}: {caption}" for number, caption in _captions(job).items()]
            cells.append("\n".join([*words, *(() if job.error is None else (job.error.message(),))]))
        table.add_row(*map(Text, cells))
    # A pipe has no width of its own, and 80 columns would cut what scripts look for.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table if jobs else "There are no jobs.")


def _reached(job: Job) -> str:
    """ "40 %, 2:05 left" of a job that runs."""
    if job.progress is None:
        return ""
    left = "" if job.progress.eta is None else f", {clock_time(job.progress.eta)} left"
    return f"{job.progress.share:.0%}".replace("%", " %") + left


def _clip(job: Job) -> str:
    return "" if job.request is None else PurePath(job.request.clip).name


def _captions(job: Job) -> dict[int, str]:
    return {} if job.request is None else {instance.id: instance.caption for instance in job.request.instances}


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
