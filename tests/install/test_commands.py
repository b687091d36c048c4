"""``mive plugin`` as a user types it, with a home of their own."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import Run

import mive as package
from mive.install import places, sources
from mive.install.owned import MARK
from mive.settings import PRESETS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def machine(home: Path, programs: Path, bundle: Path) -> None:
    """Every test here has a home, programs and a bundle."""


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_effect_goes_to_the_users_folder_and_names_the_bridge(mive: Run, home: Path, programs: Path) -> None:
    done = mive("plugin", "install")
    assert done.code == 0, done.err
    installed = home / ".local/share/OFX/Plugins/MIVE.ofx.bundle"
    assert (installed / "Contents/Resources/bridge").read_text() == f"{programs / 'mive-bridge'}\n"
    assert (installed / "Contents/Linux-x86-64/MIVE.ofx").stat().st_mode & 0o777 == 0o755
    assert f"{installed}: installed" in done.out
    assert f"export OFX_PLUGIN_PATH={installed.parent}${{OFX_PLUGIN_PATH:+:$OFX_PLUGIN_PATH}}" in done.out


def test_the_export_line_is_one_that_shells_understand(mive: Run, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    line = mive("plugin", "install", "--to", folder).out.splitlines()[2]
    for before, after in (("", str(folder)), ("/other", f"{folder}:/other")):
        said = subprocess.run(
            ["sh", "-c", f'{line}; printf %s "$OFX_PLUGIN_PATH"'],
            env={**os.environ, "OFX_PLUGIN_PATH": before}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stdout == after


def test_installing_again_changes_nothing_and_a_new_build_renews(mive: Run, home: Path, bundle: Path) -> None:
    mive("plugin", "install")
    assert "unchanged" in mive("plugin", "install").out
    (bundle / "Contents/Linux-x86-64/MIVE.ofx").write_bytes(b"\x7fELF, the second")
    (change,) = mive("plugin", "install", "--json").json["changes"]
    assert change == {
        "path": str(home / ".local/share/OFX/Plugins/MIVE.ofx.bundle"),
        "state": "renewed",
        "before": package.__version__,
    }
    installed = Path(change["path"]) / "Contents/Linux-x86-64/MIVE.ofx"
    assert installed.read_bytes() == b"\x7fELF, the second"


def test_uninstall_leaves_the_home_as_it_was(mive: Run, home: Path) -> None:
    (home / ".local").mkdir()
    mive("plugin", "install", "--resolve", "--write-env")
    assert len(files(home)) > 10
    done = mive("plugin", "uninstall")
    assert done.code == 0, done.err
    assert done.out.count(": removed") == 4
    assert files(home) == []
    assert (home / ".local").is_dir()
    assert not (home / ".local/share/OFX").exists()
    assert "nothing was installed" in mive("plugin", "uninstall").out


def test_someones_own_bundle_is_neither_replaced_nor_removed(mive: Run, home: Path) -> None:
    theirs = home / ".local/share/OFX/Plugins/MIVE.ofx.bundle/Contents/Linux-x86-64/MIVE.ofx"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    for command in ("install", "uninstall"):
        done = mive("plugin", command)
        assert done.code == 1
        assert "was not installed by MIVE" in done.err
    assert files(home) == [theirs.relative_to(home).as_posix()]


def test_the_system_folder_and_any_other(mive: Run, home: Path, tmp_path: Path) -> None:
    assert mive("plugin", "install", "--system").code == 0
    assert mive("plugin", "install", "--to", tmp_path / "mine").code == 0
    for folder in (tmp_path / "usr/OFX/Plugins", tmp_path / "mine"):
        assert "MIVE.ofx.bundle/Contents/Resources/bridge" in files(folder)
    assert mive("plugin", "uninstall", "--system").code == 0
    assert not (tmp_path / "usr").exists()
    assert mive("plugin", "uninstall", "--to", tmp_path / "mine").code == 0
    assert not (tmp_path / "mine").exists()
    both = mive("plugin", "install", "--system", "--to", tmp_path / "mine")
    assert both.code == 2
    assert "two folders" in both.err


def test_the_environment_file_is_read_as_systemd_reads_it(mive: Run, home: Path) -> None:
    done = mive("plugin", "install", "--write-env")
    assert "Log out and in again" in done.out
    mark, line = (home / ".config/environment.d/mive.conf").read_text().splitlines()
    assert mark == MARK
    assert line == f'OFX_PLUGIN_PATH="{home}/.local/share/OFX/Plugins${{OFX_PLUGIN_PATH:+:$OFX_PLUGIN_PATH}}"'
    generator = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
    if generator.exists():
        environment = {"HOME": str(home), "OFX_PLUGIN_PATH": "/other"}
        said = subprocess.run([generator], env=environment, capture_output=True, text=True, check=True).stdout
        assert f"{home}/.local/share/OFX/Plugins:/other" in said


def test_a_folder_that_the_variable_cannot_hold(mive: Run, tmp_path: Path) -> None:
    done = mive("plugin", "install", "--write-env", "--to", tmp_path / "a:b")
    assert done.code == 2
    assert "a:b" in done.err


def test_the_script_comes_with_its_modules_and_the_program(mive: Run, home: Path, programs: Path) -> None:
    done = mive("plugin", "install", "--resolve")
    assert done.code == 0, done.err
    scripts = home / ".local/share/DaVinciResolve/Fusion/Scripts/Utility"
    assert files(scripts) == ["MIVE.py"], "each Python file there would be an entry of the menu"
    support = home / ".local/share/mive/resolve"
    written = json.loads((support / "mive.json").read_text())
    assert written == {"mive": str(programs / "mive"), "presets": list(PRESETS), "usual": "standard"}
    namespace = runpy.run_path(str(scripts / "MIVE.py"))
    assert namespace["FOLDER"] == str(support)
    sys.path.remove(str(support))


def test_where_the_effect_cannot_be_had_the_script_still_can(
    mive: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    monkeypatch.setattr(sources, "_SHIPPED", tmp_path / "nothing")
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    alone = mive("plugin", "install")
    assert alone.code == 1
    assert "cmake and c++ cannot be found" in alone.err
    assert "apt-get install cmake g++" in alone.err
    done = mive("plugin", "install", "--resolve")
    assert done.code == 0
    assert "cmake and c++ cannot be found" in done.err
    assert (home / ".local/share/DaVinciResolve/Fusion/Scripts/Utility/MIVE.py").exists()


def test_a_build_that_fails_says_where_it_is_told_why(
    mive: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("CMake or a C++ compiler is missing: sudo apt-get install cmake g++")
    monkeypatch.setattr(sources, "_SHIPPED", tmp_path / "nothing")
    monkeypatch.setattr(sources, "_CHECKOUT", tmp_path)
    checkout = tmp_path / "plugin_bridge" / "ofx"
    checkout.mkdir(parents=True)
    (checkout / "CMakeLists.txt").write_text(
        'cmake_minimum_required(VERSION 3.20)\nmessage(FATAL_ERROR "no such luck")'
    )
    done = mive("plugin", "install")
    assert done.code == 1
    log = tmp_path / "build" / "ofx" / "build.log"
    assert f"{log} says what went wrong" in done.err
    assert "no such luck" in log.read_text()


def test_a_wheel_without_the_effect_says_how_to_get_one(
    mive: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "_SHIPPED", tmp_path)
    monkeypatch.setattr(sources, "_CHECKOUT", tmp_path)
    done = mive("plugin", "install")
    assert done.code == 1
    assert "--no-binary mive" in done.err


def test_a_missing_bridge_is_told_before_anything_is_written(
    mive: Run, programs: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs / "mive-bridge").unlink()
    monkeypatch.setattr(places.sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "")
    done = mive("plugin", "install", "--json")
    assert done.json["what"] == "the program mive-bridge is not installed"
    assert files(home) == []


def test_path_tells_where_hosts_look_and_what_is_there(
    mive: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFX_PLUGIN_PATH", f"{tmp_path / 'mine'}:{tmp_path / 'empty'}::{tmp_path / 'mine'}")
    mive("plugin", "install", "--to", tmp_path / "mine")
    rows = mive("plugin", "path", "--json").json["folders"]
    assert [(Path(row["folder"]).name, row["searched"], row["mive"]) for row in rows] == [
        ("mine", True, package.__version__),
        ("empty", True, None),
        ("Plugins", True, None),
        ("Plugins", False, None),
    ]
    said = mive("plugin", "path").out.splitlines()
    assert said[0] == f"{tmp_path / 'mine'}: MIVE {package.__version__}; OFX_PLUGIN_PATH names it"
    assert len(said) == 4


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("linux", ("/usr/OFX/Plugins", ".local/share/OFX/Plugins", "DaVinciResolve/Fusion/Scripts/Utility")),
        ("darwin", ("/Library/OFX/Plugins", "Library/Application Support/OFX/Plugins", "Fusion/Scripts/Utility")),
        ("win32", ("Common Files/OFX/Plugins", "AppData/Local/OFX/Plugins", "Support/Fusion/Scripts/Utility")),
    ],
)
def test_each_system_has_its_folders(
    home: Path, monkeypatch: pytest.MonkeyPatch, system: str, expected: tuple[str, str, str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    found = (places.system_folder(system), places.user_folder(system), places.scripts_folder(system))
    for path, end in zip(found, expected, strict=True):
        assert path.as_posix().replace("\\", "/").endswith(end)
        assert system == "win32" or path.is_absolute()


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from mive.cli import main; main(['plugin', '--help']); print('numpy' in sys.modules)"
    environment = {"PYTHONPATH": str(REPOSITORY / "backend")}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "False"
    assert all(command in said.stdout for command in ("install", "uninstall", "path", "doctor"))
