"""``mive doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from mive.console.ending import say_json
from mive.console.options import JsonOption

if TYPE_CHECKING:
    from mive.doctor import Findings


def doctor(json: JsonOption = False) -> None:
    """Show what is installed and what is missing; exit code 1 if edits cannot run here."""
    from mive.doctor import examine

    findings = examine()
    problems = findings.problems()
    if json:
        found = [{"problem": what, "fix": fix} for what, fix in problems]
        say_json({**findings.to_dict(), "problems": found})
    else:
        _show(findings)
        for what, fix in problems:
            print(f"Problem: {what}. {fix}.")
        if not problems:
            print("Everything is there.")
    if problems:
        raise typer.Exit(1)


def _show(findings: Findings) -> None:
    console = Console(highlight=False, markup=False)
    machine = Table("machine", "", show_edge=False)
    machine.add_row("MIVE", findings.mive)
    machine.add_row("Python", f"{findings.python}, {findings.executable}")
    machine.add_row("system", f"{findings.system}, {findings.cores} cores")
    for device in findings.devices:
        machine.add_row(device.name, f"{device.description}{_memory(device.memory)}")
        if device.slow:
            machine.add_row("", f"slower than it could be: {device.slow}")
    free = f"{_size(findings.cache.free)} free"
    machine.add_row("cache", f"{findings.cache.path}, {free}")
    packages = Table("package", "version", show_edge=False)
    for package in findings.packages:
        packages.add_row(package.name, package.version or "not installed")
    bundles = Table("bundle", "parts on disk", "from elsewhere", show_edge=False)
    for bundle in findings.bundles:
        here = ", ".join(f"{part} {_size(size)}" for part, size in bundle.parts.items())
        places: dict[str, list[str]] = {}
        for part, place in bundle.elsewhere.items():
            places.setdefault(place, []).append(part)
        elsewhere = "\n".join(f"{', '.join(parts)}: {at}" for at, parts in places.items())
        bundles.add_row(bundle.name, here or "none", elsewhere or "nothing")
    encoders = Table("encoder", "writes", "", show_edge=False)
    for encoder in findings.encoders:
        encoders.add_row(encoder.name, encoder.format, "" if encoder.present else "missing")
    for table in (machine, packages, bundles, encoders):
        console.print(table)
        console.print()


def _memory(size: int | None) -> str:
    return "" if size is None else f", {_size(size)}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
