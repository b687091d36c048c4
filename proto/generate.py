"""Builds the Python code of the contract: proto/mive/v1/*.proto -> backend/mive/v1/.

Runs while MIVE is installed or built (see hatch_build.py), and by ``make`` after a .proto changed. Needs grpcio-tools
and mypy-protobuf in the versions that pyproject.toml names.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INIT = '"""The contract in Python: messages, stub and servicer, built from proto/mive/v1."""\n'


def generate(root: Path = ROOT) -> list[Path]:
    """Writes messages, service and type stubs into ``root/backend/mive/v1``, and returns the files.

    Files that would not change keep their time, and what no .proto stands for any longer is removed.

    Raises:
        RuntimeError: a .proto is wrong (protoc's words are on stderr), or a plugin is missing.
    """
    target = root / "backend" / "mive" / "v1"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / "backend", prefix=".proto-") as folder:
        _protoc(root / "proto", Path(folder))
        made = Path(folder) / "mive" / "v1"
        (made / "__init__.py").write_text(INIT, encoding="utf-8")
        files = [_install(path, target / path.name) for path in sorted(made.iterdir())]
    for path in target.iterdir():
        if path.is_file() and path not in files:
            path.unlink()
    return files


def _protoc(protos: Path, out: Path) -> None:
    from grpc_tools import protoc

    sources = sorted(path.relative_to(protos).as_posix() for path in protos.glob("mive/v1/*.proto"))
    includes = [f"-I{protos}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    messages = [
        f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
        f"--mypy_out=quiet:{out}",
        f"--python_out={out}",
    ]
    stubs = f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}"
    service = [stubs, f"--mypy_grpc_out=quiet:{out}", f"--grpc_python_out={out}", "mive/v1/mive.proto"]
    for arguments in ([*messages, *sources], service):
        if protoc.main(["protoc", *includes, *arguments]):
            raise RuntimeError("protoc refused proto/mive/v1; its message is above")


def _plugin(name: str) -> str:
    """The plugin's path: beside the running Python, or where an isolated build has put it."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
    if found is None:
        raise RuntimeError(f'{name} is missing; "pip install mypy-protobuf" brings it')
    return found


def _install(new: Path, old: Path) -> Path:
    """Puts ``new`` in the place of ``old``, at once, where they differ."""
    if not old.exists() or old.read_bytes() != new.read_bytes():
        new.replace(old)
    return old


if __name__ == "__main__":
    generate()
