"""What MIVE installed can be renewed and removed; what it did not is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mive import __version__ as VERSION
from mive.errors import MiveError, OutputError
from mive.install import owned
from mive.install.owned import MARK, put_file, put_folder, take_file, take_folder

FIRST = {"a/one.txt": b"1", "b.so": b"\x7fELF"}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_installed_left_alone_renewed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "share" / "plugins" / "thing"
    assert put_folder(target, FIRST).state == "installed"
    assert put_folder(target, FIRST).state == "unchanged"
    monkeypatch.setattr(owned, "__version__", "99.0.0")
    renewed = put_folder(target, {"c.txt": b"3"})
    assert (renewed.state, renewed.before) == ("renewed", VERSION)
    assert set(tree(target)) == {"c.txt", owned.RECORD}
    assert take_folder(target).state == "removed"
    assert take_folder(target).state == "absent"
    assert list(tmp_path.iterdir()) == [], "the parents that were made for it are gone too"


def test_a_damaged_file_is_put_right(tmp_path: Path) -> None:
    put_folder(tmp_path / "thing", FIRST)
    (tmp_path / "thing" / "b.so").unlink()
    assert put_folder(tmp_path / "thing", FIRST).state == "renewed"
    assert tree(tmp_path / "thing").items() >= FIRST.items()


def test_everyone_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        put_folder(tmp_path / "share" / "thing", FIRST)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "share").rglob("*")}
    assert modes == {"thing": 0o755, "a": 0o755, "one.txt": 0o644, "b.so": 0o755, owned.RECORD: 0o644}


def test_who_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    put_folder(tmp_path / "thing", FIRST)
    with (tmp_path / "thing" / "b.so").open("rb") as held:
        put_folder(tmp_path / "thing", {"b.so": b"\x7fELF, another"})
        assert held.read() == b"\x7fELF"
    assert (tmp_path / "thing" / "b.so").read_bytes() == b"\x7fELF, another"


def someones(target: Path) -> None:
    target.mkdir()
    (target / "theirs").write_text("dear to someone")


def with_a_file_more(target: Path) -> None:
    put_folder(target, FIRST)
    (target / "theirs").write_text("dear to someone")


def a_link(target: Path) -> None:
    put_folder(target.parent / "elsewhere", FIRST)
    target.symlink_to(target.parent / "elsewhere")


@pytest.mark.parametrize("there", [someones, with_a_file_more, a_link])
@pytest.mark.parametrize("act", [lambda target: put_folder(target, {"new": b""}), take_folder])
def test_what_is_not_mives_is_not_touched(tmp_path: Path, there: object, act: object) -> None:
    target = tmp_path / "thing"
    there(target)
    before = tree(tmp_path)
    with pytest.raises(MiveError, match=r"did not install|not installed by MIVE"):
        act(target)
    assert tree(tmp_path) == before
    assert target.is_symlink() == (there is a_link)


def test_what_python_compiled_is_removed_too(tmp_path: Path) -> None:
    put_folder(tmp_path / "thing", FIRST)
    (tmp_path / "thing" / "a" / "__pycache__").mkdir()
    (tmp_path / "thing" / "a" / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"")
    assert take_folder(tmp_path / "thing").state == "removed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["write_bytes", "rename"])
def test_a_failure_leaves_the_old_one_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    put_folder(tmp_path / "thing", FIRST)
    before = tree(tmp_path)
    rename = os.rename

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def rename_stage(source: Path, target: Path) -> None:
        if str(source).endswith(".partial"):
            full()
        rename(source, target)

    if failing == "rename":
        monkeypatch.setattr(os, "rename", rename_stage)
    else:
        monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        put_folder(tmp_path / "thing", {"new": b"x"})
    monkeypatch.undo()
    assert tree(tmp_path) == before


def test_a_failure_leaves_no_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", denied)
    with pytest.raises(OutputError, match="sudo"):
        put_folder(tmp_path / "usr" / "OFX" / "thing", FIRST)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_installed_renewed_and_removed(tmp_path: Path) -> None:
    target = tmp_path / "menu" / "thing.py"
    assert put_file(target, f"{MARK}\none").state == "installed"
    assert put_file(target, f"{MARK}\none").state == "unchanged"
    assert put_file(target, f"{MARK}\ntwo").state == "renewed"
    assert target.read_text() == f"{MARK}\ntwo"
    assert [path.name for path in target.parent.iterdir()] == ["thing.py"]
    assert take_file(target).state == "removed"
    assert take_file(target).state == "absent"


def test_another_file_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text("theirs")
    with pytest.raises(MiveError, match="not installed by MIVE"):
        put_file(tmp_path / "thing.py", MARK)
    with pytest.raises(MiveError, match="not installed by MIVE"):
        take_file(tmp_path / "thing.py")
    assert (tmp_path / "thing.py").read_text() == "theirs"


names = st.text("abc", min_size=1, max_size=3).map(lambda text: "/".join(text))
folders = st.dictionaries(names, st.binary(max_size=8), max_size=4).filter(
    lambda files: not any(a != b and b.startswith(f"{a}/") for a in files for b in files)
)


@settings(max_examples=30)
@given(folders, folders)
def test_after_any_renewal_the_folder_holds_exactly_the_new_files(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    target = tmp_path_factory.mktemp("any") / "thing"
    put_folder(target, first)
    state = put_folder(target, second).state
    assert state == ("unchanged" if first == second else "renewed")
    held = tree(target)
    del held[owned.RECORD]
    assert held == second
    assert [path.name for path in target.parent.iterdir()] == ["thing"]
