"""The contract stays compatible with what was recorded, and buf sees what breaks clients."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROTO = Path(__file__).resolve().parents[2] / "proto"
V1 = "mive/v1"


def buf(*arguments: str | Path) -> list[dict[str, Any]]:
    """What buf complains of."""
    beside = Path(sys.executable).with_name("buf")
    program = str(beside) if beside.exists() else shutil.which("buf")
    if program is None:
        pytest.skip("buf is missing: pip install buf-bin")
    done = subprocess.run([program, *arguments, "--error-format", "json"], capture_output=True, text=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of the contract to change, with the record of it as it is now in place of what was recorded."""
    copy = shutil.copytree(PROTO, tmp_path / "proto")
    assert buf("build", copy, "-o", copy / "baseline.binpb") == []
    return copy


def change(contract: Path, file: str, old: str, new: str) -> None:
    """Writes ``new`` wherever ``old`` is."""
    path = contract / V1 / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_contract_is_compatible_with_the_baseline() -> None:
    complaints = buf("breaking", PROTO, "--against", PROTO / "baseline.binpb")
    assert complaints == [], "If this is meant: make proto-baseline"


def test_the_contract_is_well_formed_and_explains_itself() -> None:
    assert buf("lint", PROTO) == []


STEPS = "  optional uint32 steps = 10;\n"
SOURCE = "  // A video, an image or a folder of images that the server may read.\n    string path = 1;\n"
RAFT = "  FLOW_RAFT = 2;\n"
GET_JOB = "rpc GetJob(GetJobRequest) returns ("


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        pytest.param("edit.proto", STEPS, "", "FIELD_NO_DELETE", id="field removed"),
        pytest.param("edit.proto", STEPS, STEPS.replace("10", "190"), "FIELD_NO_DELETE", id="field renumbered"),
        pytest.param("edit.proto", STEPS, STEPS.replace("steps", "times"), "FIELD_SAME_NAME", id="field renamed"),
        pytest.param("edit.proto", STEPS, STEPS.replace("uint32", "string"), "FIELD_SAME_TYPE", id="field retyped"),
        pytest.param(
            "edit.proto", STEPS, STEPS.replace("optional ", ""), "FIELD_SAME_CARDINALITY",
            id="field cannot be unset any longer",
        ),
        pytest.param(
            "media.proto", f"  oneof source {{\n  {SOURCE}", f"{SOURCE}  oneof source {{\n", "FIELD_SAME_ONEOF",
            id="field moved out of its oneof",
        ),
        pytest.param("edit.proto", RAFT, "", "ENUM_VALUE_NO_DELETE", id="enum value removed"),
        pytest.param("edit.proto", RAFT, RAFT.replace("2", "9"), "ENUM_VALUE_NO_DELETE", id="enum value renumbered"),
        pytest.param("mive.proto", GET_JOB, GET_JOB.replace("GetJob(", "FindJob("), "RPC_NO_DELETE", id="rpc removed"),
        pytest.param("mive.proto", GET_JOB, f"{GET_JOB}stream ", "RPC_SAME_SERVER_STREAMING", id="rpc streams"),
        pytest.param("mive.proto", "Handles ", "Margins ", "MESSAGE_NO_DELETE", id="message renamed"),
        pytest.param("edit.proto", " Flow ", " Motion ", "ENUM_NO_DELETE", id="enum renamed"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_caught(contract: Path, file: str, old: str, new: str, rule: str) -> None:
    change(contract, file, old, new)
    assert rule in {found["type"] for found in buf("breaking", contract, "--against", contract / "baseline.binpb")}


def test_adding_is_fine(contract: Path) -> None:
    change(contract, "edit.proto", STEPS, f"{STEPS}  // More.\n  optional uint32 more = 999;\n")
    change(contract, "edit.proto", RAFT, f"{RAFT}  // More.\n  FLOW_MORE = 9;\n")
    more = "  // More.\n  rpc GetMore(GetMoreRequest) returns (GetMoreResponse);\n"
    change(contract, "mive.proto", "service Mive {\n", f"service Mive {{\n{more}")
    with (contract / V1 / "mive.proto").open("a", encoding="utf-8") as file:
        file.write("\n// More.\nmessage GetMoreRequest {}\n\n// More.\nmessage GetMoreResponse {}\n")
    assert buf("breaking", contract, "--against", contract / "baseline.binpb") == []
    assert buf("lint", contract) == []


def test_what_has_no_comment_is_found(contract: Path) -> None:
    change(contract, "edit.proto", STEPS, f"{STEPS}  optional uint32 more = 999;\n")
    assert [found["type"] for found in buf("lint", contract)] == ["COMMENT_FIELD"]


def test_there_is_one_service() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (PROTO / V1).glob("*.proto"))
    assert re.findall(r"^service (\w+)", text, re.MULTILINE) == ["Mive"]
