"""``mive watch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.cli.options import CodecOption, LaterOutOption, MatteOption, MattesOption, once_by_id
from mive.cli.remote import ServerOptions, Teller
from mive.console.ending import say_json, say_made, say_warnings
from mive.console.options import JsonOption, QuietOption, grouped, one_of
from mive.console.progress import shown
from mive.settings import CODECS

if TYPE_CHECKING:
    from mive.client import Job
    from mive.request import EditRequest


@grouped
def watch(
    job: Annotated[str, typer.Argument(metavar="ID", help='A job, as "mive jobs" lists it.')],
    out: LaterOutOption = None,
    clip: Annotated[
        str | None,
        typer.Option(metavar="CLIP", help="The source here, for OUT's sound and tags. [default: as submitted]"),
    ] = None,
    mattes: MattesOption = None,
    matte: MatteOption = None,
    codec: CodecOption = None,
    *,
    server: ServerOptions,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Watch a job until it ends; with -o OUT write its frames, as "mive render" does.

    Ctrl-C stops watching; the job goes on. Where clip and mattes are not where the job's request says (it was
    submitted by upload, or elsewhere), name them: the manifest beside OUT is then of use here.
    """
    from mive.client import collect, follow

    chosen = None if codec is None else one_of("codec", codec, CODECS)
    with server.connect() as client, shown(quiet, here=False) as display:
        teller = Teller(display)
        if out is None:
            done = follow(client, job, teller)
        else:
            found = client.get(job)
            request = located(found, clip, mattes, tuple(matte or ()))
            made = collect(client, found, request, out, codec=chosen, tell=teller, report=display)
    if out is not None:
        say_made(made, json, told=teller.told.texts, job=job)
    elif json:
        say_json({"job": job, "frames": len(done.frames), "warnings": list(done.warnings)})
    else:
        say_warnings(warning for warning in done.warnings if warning not in teller.told.texts)
        print(f'Done: frames {done.frames}. Fetch them with "mive watch {job} -o OUT"')


def located(job: Job, clip: str | None, mattes: str | None, matte: tuple[str, ...]) -> EditRequest:
    """The job's request with this machine's paths; uploads go by their name, in this folder.

    Raises:
        RequestError: an option is malformed.
    """
    from mive.request_files import anchored

    assert job.request is not None, "GetJob tells the request"
    request = job.request
    own = once_by_id("--matte", matte, "PATH", [instance.id for instance in request.instances])
    instances = tuple(i.model_copy(update={"matte": own.get(i.id, i.matte)}) for i in request.instances)
    changes = {"clip": clip or request.clip, "mattes": mattes or request.mattes, "instances": instances}
    return anchored(request.model_copy(update=changes), Path())
