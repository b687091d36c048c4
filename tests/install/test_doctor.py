"""``mive plugin doctor``: each fault is named, with what to do."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.commands import Run
from tests.plugin.conftest import build, plugin

from mive.install import doctor, owned, places
from mive.install.plugin import BRIDGE, install_bundle, install_script
from mive.install.sources import find_script

__all__ = ["build", "plugin"]


@pytest.fixture(autouse=True)
def machine(home: Path, programs: Path) -> None:
    """Every test here has a home and programs."""


@pytest.fixture
def installed(plugin: Path, home: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real plugin, installed for this user, where hosts look."""
    folder = places.user_folder()
    monkeypatch.setenv("OFX_PLUGIN_PATH", str(folder))
    return install_bundle(plugin.parents[2], folder, programs / "mive-bridge").path


def faults() -> dict[str, tuple[str, str]]:
    return {check.name: (check.found, check.fix) for check in doctor.examine() if check.fix}


def test_a_sound_installation_has_no_faults(installed: Path, mive: Run) -> None:
    said = mive("plugin", "doctor", "--json")
    assert said.code == 0
    assert said.json["problems"] == []
    found = {check["name"]: check["found"] for check in said.json["checks"]}
    assert found["loads"].endswith("loads and exports what hosts call")
    assert found["glibc"].startswith("needs 2.")
    assert "the plugin starts one" in found["socket"]
    people = mive("plugin", "doctor")
    assert people.out.splitlines()[-1] == "Everything is there."


def test_nothing_installed(mive: Run) -> None:
    done = mive("plugin", "doctor")
    assert done.code == 1
    assert "Problem: the effect is in none of the folders where hosts look. mive plugin install." in done.out


def test_a_folder_that_no_host_knows_of(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFX_PLUGIN_PATH")
    found, fix = faults()["environment"]
    assert "no host finds the plugin" in found
    assert "export OFX_PLUGIN_PATH=" in fix
    assert "--write-env" in fix


def broken(binary: Path) -> None:
    binary.write_bytes(binary.read_bytes()[:5000])


def another_library(binary: Path) -> None:
    source = binary.with_name("other.c")
    source.write_text("int OfxGetPlugin(int n) { return n; }\n")
    subprocess.run(["cc", "-shared", "-o", binary, source], check=True)
    source.unlink()


def one_that_crashes(binary: Path) -> None:
    source = binary.with_name("crash.c")
    source.write_text("__attribute__((constructor)) static void crash(void) { *(volatile int *)0 = 0; }\n")
    subprocess.run(["cc", "-shared", "-o", binary, source], check=True)
    source.unlink()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (broken, "cannot be loaded"),
        (another_library, "does not export OfxGetNumberOfPlugins, OfxSetHost"),
        (one_that_crashes, "ended with -11"),
        (Path.unlink, "holds no MIVE.ofx"),
    ],
)
def test_a_plugin_that_hosts_cannot_load(installed: Path, harm: Callable[[Path], None], why: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is missing: sudo apt-get install gcc")
    (binary,) = installed.glob("Contents/*/MIVE.ofx")
    harm(binary)
    found, fix = faults()["loads"]
    assert why in found
    assert fix == "mive plugin install"


def test_a_system_that_is_too_old(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "libc_ver", lambda: ("glibc", "2.3"))
    found, fix = faults()["glibc"]
    assert found.endswith("this system has 2.3")
    assert "build the plugin on this one" in fix


def test_a_bridge_that_is_gone(installed: Path, programs: Path) -> None:
    (programs / "mive-bridge").unlink()
    found, fix = faults()["bridge"]
    assert found == f"{installed / BRIDGE} names {programs / 'mive-bridge'}, which cannot be started"
    assert fix == "mive plugin install"


def test_a_bridge_that_the_environment_names(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVE_BRIDGE", "/nowhere/mive-bridge")
    assert faults()["bridge"] == ("MIVE_BRIDGE is /nowhere/mive-bridge, which cannot be started", "unset MIVE_BRIDGE")


def test_an_older_version(plugin: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "__version__", "99.0.0")
    found, fix = faults()["version"]
    assert found.endswith(f"is {owned.__version__}, and MIVE is 99.0.0")
    assert fix.startswith("mive plugin install")


def test_a_bundle_of_unknown_origin(installed: Path) -> None:
    (installed / owned.RECORD).unlink()
    found, fix = faults()["version"]
    assert found.endswith("was not installed by this command")
    assert fix.startswith("Remove it")


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("s", numbered=True) / "b.sock"
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", str(path))
    path.parent.chmod(0o700)
    return path


@pytest.fixture
def listening(short: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short))
        server.listen()
        yield short


def test_a_bridge_that_runs(installed: Path, listening: Path) -> None:
    (check,) = (check for check in doctor.examine() if check.name == "socket")
    assert check == doctor.Check("socket", f"{listening}: a bridge is running")


def test_a_socket_that_nobody_serves_any_more(installed: Path, short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short))
    (check,) = (check for check in doctor.examine() if check.name == "socket")
    assert "no bridge is running" in check.found
    assert check.fix == ""


def test_a_socket_that_others_reach(installed: Path, short: Path) -> None:
    short.parent.chmod(0o755)
    found, fix = faults()["socket"]
    assert found == f"{short.parent} is open to other users"
    assert fix == f"rm -r {short.parent}"


def test_a_socket_whose_path_is_too_long(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", "/tmp/" + "x" * 110)
    assert "longer than sockets may be" in faults()["socket"][0]


def test_a_script_that_starts_nothing(installed: Path, programs: Path) -> None:
    install_script(find_script(), programs / "mive")
    assert "Resolve script" not in faults()
    (programs / "mive").unlink()
    assert faults()["Resolve script"] == (
        f"it starts {programs / 'mive'}, which is not there",
        "mive plugin install --resolve",
    )
    shutil.rmtree(places.support_folder())
    assert "files are missing" in faults()["Resolve script"][0]
