"""The built file: what it needs, what it shows, and that the same sources make the same bytes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.native import tool
from tests.plugin.conftest import PRESETS, REPOSITORY, SOURCES, build_plugin

OLDEST_GLIBC = (2, 28)


def test_the_bundle_is_laid_out_as_hosts_expect(plugin: Path) -> None:
    assert plugin.parts[-4:] == ("MIVE.ofx.bundle", "Contents", "Linux-x86-64", "MIVE.ofx")


def test_only_the_three_functions_of_the_api_are_exported(plugin: Path) -> None:
    names = [line.split()[-1] for line in tool("nm", "-D", "--defined-only", plugin).splitlines()]
    assert sorted(names) == ["OfxGetNumberOfPlugins", "OfxGetPlugin", "OfxSetHost"]


def test_nothing_but_glibc_is_needed(plugin: Path) -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", tool("readelf", "-d", plugin))
    assert set(needed) <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
    assert not re.search(r"R(UN)?PATH", tool("readelf", "-d", plugin))


def test_no_symbol_is_newer_than_the_oldest_glibc(plugin: Path) -> None:
    versions = re.findall(r"GLIBC_([0-9.]+)", tool("readelf", "-V", plugin))
    newest = max(tuple(map(int, version.split("."))) for version in versions)
    assert newest <= OLDEST_GLIBC
    assert "GLIBCXX" not in tool("readelf", "-V", plugin)


def test_it_is_stripped_and_names_no_folder_of_its_builder(plugin: Path) -> None:
    assert ".symtab" not in tool("readelf", "-S", plugin)
    assert str(REPOSITORY).encode() not in plugin.read_bytes()


def test_the_stack_cannot_be_executed_nor_the_table_of_calls_rewritten(plugin: Path) -> None:
    assert re.search(r"GNU_STACK.* RW  ", tool("readelf", "-lW", plugin))
    assert "GNU_RELRO" in tool("readelf", "-lW", plugin)
    assert re.search(r"FLAGS.* NOW", tool("readelf", "-d", plugin))


@pytest.mark.slow
def test_the_same_sources_make_the_same_bytes_anywhere(plugin: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a longer way to" / "plugin_bridge" / "ofx"
    shutil.copytree(SOURCES, elsewhere)
    package = elsewhere.parents[1] / "backend" / "mive"
    package.mkdir(parents=True)
    for file in (REPOSITORY / "backend" / "mive" / "__init__.py", PRESETS):
        shutil.copy(file, package)
    assert build_plugin(tmp_path / "out", elsewhere).read_bytes() == plugin.read_bytes()


THROWING = """
#include <stdexcept>
#include <string>
extern "C" __attribute__((visibility("default"))) int caught(int depth) {
  struct Guard { int& count; ~Guard() { ++count; } };
  static int unwound = 0;
  try {
    Guard guard{unwound};
    if (depth == 0) throw std::runtime_error(std::string(100, 'x'));
    caught(depth - 1);
    return std::string("xyz").at(100);
  } catch (const std::out_of_range&) {
    return unwound;
  } catch (const std::exception& error) {
    return error.what()[99] == 'x' ? unwound : -1;
  }
}
"""


def test_exceptions_unwind_with_the_stand_ins_for_new_symbols(plugin: Path, tmp_path: Path) -> None:
    """The plugin's own exceptions never leave it, so a library of the same build throws some."""
    source = tmp_path / "throwing.cpp"
    source.write_text(THROWING)
    library = tmp_path / "throwing.so"
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-static-libstdc++", "-static-libgcc"]
    hide = tmp_path / "map"
    hide.write_text("{ global: caught; local: *; };")
    command = ["c++", *flags, f"-Wl,--version-script={hide}", source, SOURCES / "src" / "old_glibc.cpp", "-o", library]
    subprocess.run(command, check=True)
    assert not re.search("_dl_find_object|pthread_once", tool("nm", "-D", library))
    assert ctypes.CDLL(str(library)).caught(3) == 4
