"""``mive render``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mive.base.jobs import PRIORITIES, SENDS, USUAL_PRIORITY
from mive.cli.jobs import parse_labels
from mive.cli.options import CodecOption, Flags, LaterOutOption
from mive.cli.remote import BridgeOption, ServerOptions, Teller, through_bridge
from mive.console.ending import say_json, say_made
from mive.console.options import JsonOption, QuietOption, grouped, one_of
from mive.console.progress import shown
from mive.errors import RequestError
from mive.settings import CODECS


@dataclass(frozen=True)
class RemoteFlags(Flags):
    """A bundle that is left open is the server's to choose."""

    bundle: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model bundle. [default: the one that the server runs]")
    ] = None


@grouped
def render(
    out: LaterOutOption = None,
    *,
    flags: RemoteFlags,
    codec: CodecOption = None,
    server: ServerOptions,
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and leave it to the server.")] = False,
    send: Annotated[str, typer.Option(metavar="|".join(SENDS), help="How clip and mattes reach the server.")] = "auto",
    priority: Annotated[
        str, typer.Option(metavar="|".join(PRIORITIES), help="Interactive jobs come first.")
    ] = USUAL_PRIORITY,
    handles: Annotated[
        str | None, typer.Option(metavar="N|BEFORE,AFTER", help="Frames to edit around the range, so a cut can move.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=TEXT", help='For "mive jobs --label"; repeatable.')
    ] = None,
    bridge: BridgeOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Edit the instances of a clip at a server, with the options and the result of "mive edit".

    Ctrl-C cancels the job. With --detach it goes on without you, and "mive watch ID -o OUT" fetches its frames.
    """
    from mive.cli.flags import whole_request

    whole = whole_request(flags)
    chosen = None if codec is None else one_of("codec", codec, CODECS)
    way, rank = one_of("send", send, SENDS), one_of("priority", priority, PRIORITIES)
    around, labels = parse_handles(handles), parse_labels(label)
    if out is None and not detach:
        raise RequestError(
            "nothing says where the result goes", expected="-o OUT, or --detach", fix="Add -o edited.mov"
        )
    if detach and way == "memory":
        raise RequestError(
            "frames that are sent from memory cannot be found in their clip again by a later command",
            expected='--send upload or path with --detach, which "mive watch ID -o OUT" can place',
            fix="Leave --send out",
        )
    with (
        shown(quiet, here=False) as display,
        through_bridge(bridge, server.server, display.say) as tls,
        server.connect(tls) as client,
    ):
        if detach or out is None:
            job = client.submit(
                whole, send=way, priority=rank, handles=around, labels=labels, wait_for_room=True, report=display
            )
        else:
            from mive.client import render as render_to

            teller = Teller(display)
            made = render_to(
                client, whole, out, codec=chosen, tell=teller,
                send=way, priority=rank, handles=around, labels=labels, wait_for_room=True, report=display,
            )  # fmt: skip
    if detach or out is None:
        say_detached(job.job_id, out, json, quiet)
    else:
        say_made(made, json, told=teller.told.texts, job=made.job_id)


def say_detached(job_id: str, out: Path | None, as_json: bool, quiet: bool) -> None:
    """The job's id alone on standard output, for scripts; the rest is for people."""
    if as_json:
        say_json({"job": job_id})
        return
    print(job_id)
    if not quiet:
        target = "OUT" if out is None else out
        typer.echo(f'The server has it. Fetch the result with "mive watch {job_id} -o {target}"', err=True)


def parse_handles(text: str | None) -> tuple[int, int]:
    """Reads ``8`` or ``8,4``: frames before and after.

    Raises:
        RequestError: it is neither.
    """
    if text is None:
        return 0, 0
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:,\s*([0-9]{1,6})\s*)?", text)
    if match is None:
        raise RequestError(
            f'--handles "{text}" is no number of frames',
            expected="one number for both sides, or two: before and after",
            fix="Write --handles 8, or --handles 8,4",
        )
    return int(match[1]), int(match[2] or match[1])
