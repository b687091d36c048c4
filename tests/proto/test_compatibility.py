"""The contract stays compatible with what was recorded, and the check sees what breaks clients."""

from __future__ import annotations

import copy
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")

PROTO = Path(__file__).resolve().parents[2] / "proto"
CHECK = runpy.run_path(str(PROTO / "compatibility.py"))
COMPILED = CHECK["compile_contract"]()
NOW = CHECK["describe"](COMPILED)

Contract = dict[str, dict[str, Any]]


def test_the_contract_is_compatible_with_the_baseline() -> None:
    changes = CHECK["breaking_changes"](CHECK["read_baseline"](), NOW)
    assert not changes, "\n".join([*changes, "If this is meant: make proto-baseline"])


def test_there_is_one_service() -> None:
    assert {name.rpartition(".")[0] for name in NOW["rpcs"]} == {"mive.v1.Mive"}


MESSAGES, ENUMS, RPCS = "messages", "enums", "rpcs"
BREAKS: list[Any] = [
    pytest.param(
        lambda c: c[MESSAGES].pop("mive.v1.Handles"),
        "The message mive.v1.Handles was removed.",
        id="message removed",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.Settings"].pop("10"),
        "The field mive.v1.Settings.steps = 10 was removed.",
        id="field removed",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.Settings"].update({"60": c[MESSAGES]["mive.v1.Settings"].pop("10")}),
        "The field mive.v1.Settings.steps was renumbered from 10 to 60.",
        id="field renumbered",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.Settings"].update({"10": ["optional", "uint32", "iterations", ""]}),
        "The field mive.v1.Settings.steps = 10 was renamed to iterations.",
        id="field renamed",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.Settings"].update({"10": ["optional", "string", "steps", ""]}),
        "The field mive.v1.Settings.steps = 10 was of type uint32 and is now string.",
        id="field retyped",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.Settings"].update({"10": ["", "uint32", "steps", ""]}),
        "The field mive.v1.Settings.steps = 10 was optional and is now singular.",
        id="field cannot be unset any longer",
    ),
    pytest.param(
        lambda c: c[MESSAGES]["mive.v1.ClipSource"].update({"1": ["", "string", "path", ""]}),
        "The field mive.v1.ClipSource.path = 1 moved from oneof source to none.",
        id="field moved out of its oneof",
    ),
    pytest.param(lambda c: c[ENUMS].pop("mive.v1.Flow"), "The enum mive.v1.Flow was removed.", id="enum removed"),
    pytest.param(
        lambda c: c[ENUMS]["mive.v1.Flow"].pop("2"),
        "The enum value mive.v1.Flow.FLOW_RAFT = 2 was removed.",
        id="enum value removed",
    ),
    pytest.param(
        lambda c: c[ENUMS]["mive.v1.Flow"].update({"9": c[ENUMS]["mive.v1.Flow"].pop("2")}),
        "The enum value mive.v1.Flow.FLOW_RAFT was renumbered from 2 to 9.",
        id="enum value renumbered",
    ),
    pytest.param(
        lambda c: c[RPCS].pop("mive.v1.Mive.GetJob"), "The rpc mive.v1.Mive.GetJob was removed.", id="rpc removed"
    ),
    pytest.param(
        lambda c: c[RPCS].update({"mive.v1.Mive.GetJob": "(mive.v1.GetJobRequest) returns (stream mive.v1.Job)"}),
        "The rpc mive.v1.Mive.GetJob was (mive.v1.GetJobRequest) returns (mive.v1.GetJobResponse) and is now "
        "(mive.v1.GetJobRequest) returns (stream mive.v1.Job).",
        id="rpc streams",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BREAKS)
def test_a_breaking_change_is_told_in_a_sentence(change: Callable[[Contract], object], sentence: str) -> None:
    changed = copy.deepcopy(NOW)
    change(changed)
    assert CHECK["breaking_changes"](NOW, changed) == [sentence]


def test_adding_is_fine() -> None:
    more = copy.deepcopy(NOW)
    more[MESSAGES]["mive.v1.Settings"]["999"] = ["optional", "uint32", "more", ""]
    more[MESSAGES]["mive.v1.More"] = {}
    more[ENUMS]["mive.v1.Flow"]["9"] = "FLOW_MORE"
    more[RPCS]["mive.v1.Mive.More"] = "(mive.v1.More) returns (mive.v1.More)"
    assert CHECK["breaking_changes"](NOW, more) == []


def test_everything_in_the_contract_has_a_comment() -> None:
    bare = []
    for file in COMPILED.file:
        commented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
        bare += [f"{file.name}: {name}" for path, name in _elements(file) if path not in commented]
    assert bare == []


def _elements(file: Any) -> list[tuple[tuple[int, ...], str]]:
    """Path (numbers of descriptor.proto) and name of everything a reader looks up."""
    found: list[tuple[tuple[int, ...], str]] = []
    for m, message in enumerate(file.message_type):
        found.append(((4, m), message.name))
        found += [((4, m, 2, f), f"{message.name}.{field.name}") for f, field in enumerate(message.field)]
        found += [
            ((4, m, 8, o), f"{message.name}.{oneof.name}")
            for o, oneof in enumerate(message.oneof_decl)
            if not oneof.name.startswith("_")
        ]
    for e, enum in enumerate(file.enum_type):
        found.append(((5, e), enum.name))
        found += [((5, e, 2, v), value.name) for v, value in enumerate(enum.value)]
    for s, service in enumerate(file.service):
        found.append(((6, s), service.name))
        found += [((6, s, 2, r), rpc.name) for r, rpc in enumerate(service.method)]
    return found
