"""``mive plugin``: install, uninstall, path and doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.console.ending import say_json, say_warnings
from mive.console.options import JsonOption
from mive.errors import MiveError, RequestError

if TYPE_CHECKING:
    from mive.install.owned import Change

plugin = typer.Typer(
    name="plugin",
    help="Install the effect for OpenFX hosts, and the script for DaVinci Resolve.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_SystemOption = Annotated[bool, typer.Option("--system", help="The folder of all users, where every host looks.")]
_ToOption = Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Another folder of plugins.")]


@plugin.command(short_help="Put the effect where hosts look.")
def install(
    system: _SystemOption = False,
    to: _ToOption = None,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Add MIVE to DaVinci Resolve's menu Workspace > Scripts too.")
    ] = False,
    write_env: Annotated[
        bool, typer.Option("--write-env", help="Let programs started from the desktop find it (systemd).")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Install the effect for this user, or renew it. Hosts that run keep the old one until they are started again."""
    from mive.install import plugin as installing
    from mive.install.places import listed_folders, program
    from mive.install.sources import find_bundle, find_script

    folder = _folder(system, to)
    done: list[Change] = []
    warnings = []
    if resolve:
        done += installing.install_script(find_script(), program("mive"))
    try:
        bundle = find_bundle(lambda text: typer.echo(text, err=True))
        done.insert(0, installing.install_bundle(bundle, folder, program("mive-bridge")))
    except MiveError as error:
        if not resolve:
            raise
        # The script works without the effect, and on systems for which there is none.
        warnings.append(error.message())
    else:
        if write_env:
            done.append(installing.write_environment(folder))
    hidden = not (warnings or system or folder in listed_folders())
    if json:
        say_json({"changes": [vars(change) for change in done], "warnings": warnings})
        return
    say_warnings(warnings)
    _say(done)
    if hidden:
        _say_hint(folder, write_env)


@plugin.command(short_help="Remove the effect wholly.")
def uninstall(system: _SystemOption = False, to: _ToOption = None, json: JsonOption = False) -> None:
    """Remove what install put there; without options, all that it did for this user. Nothing else is touched."""
    from mive.install.plugin import uninstall_bundle, uninstall_extras

    done = [uninstall_bundle(_folder(system, to))]
    if not system and to is None:
        done += uninstall_extras()
    if json:
        say_json({"changes": [vars(change) for change in done]})
    else:
        _say([change for change in done if change.state != "absent"] or done[:1])


@plugin.command(short_help="Show where hosts look.")
def path(json: JsonOption = False) -> None:
    """Show the folders that matter for hosts started from here, and which of them hold MIVE."""
    from mive.install.doctor import installed_version
    from mive.install.places import places

    rows = []
    for place in places():
        there = place.bundle.is_dir()
        version = installed_version(place.bundle) if there else None
        rows.append(
            {"folder": str(place.folder), "searched": place.searched, "why": place.why, "there": there, "mive": version}
        )
    if json:
        say_json({"folders": rows})
        return
    for row in rows:
        holds = f"MIVE {row['mive'] or 'of unknown origin'}" if row["there"] else "no MIVE"
        print(f"{row['folder']}: {holds}; {row['why']}")


@plugin.command(short_help="Show what keeps hosts from using it.")
def doctor(json: JsonOption = False) -> None:
    """Check the installed effect without a host: can it be found, loaded, and start its bridge? Exit code 1 if not."""
    from mive.install.doctor import examine

    checks = examine()
    problems = [check for check in checks if check.fix]
    if json:
        say_json(
            {
                "checks": [vars(check) for check in checks],
                "problems": [{"problem": check.found, "fix": check.fix} for check in problems],
            }
        )
    else:
        for check in checks:
            if not check.fix:
                print(f"{check.name}: {check.found}")
        for check in problems:
            print(f"Problem: {check.found}. {check.fix}.")
        if not problems:
            print("Everything is there.")
    if problems:
        raise typer.Exit(1)


def _folder(system: bool, to: Path | None) -> Path:
    from mive.install.places import system_folder, user_folder

    if to is None:
        return system_folder() if system else user_folder()
    if system:
        raise RequestError(
            "--system and --to name two folders", expected="one of them", fix=f"Leave --system out, or --to {to}"
        )
    return to.absolute()


def _say(done: list[Change]) -> None:
    for change in done:
        before = f" (was {change.before})" if change.state == "renewed" and change.before else ""
        words = "nothing was installed" if change.state == "absent" else change.state
        print(f"{change.path}: {words}{before}")


def _say_hint(folder: Path, written: bool) -> None:
    from mive.install.places import VARIABLE, export_line

    if written:
        print("Log out and in again, so that hosts look there")
        return
    print(f"Hosts look there if {VARIABLE} names it. For those started from a shell:")
    print(f"  {export_line(folder)}")
    print('For those started from the desktop: "mive plugin install --write-env". For all: "--system"')
