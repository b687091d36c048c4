"""Finds changes of the contract that break clients made for an earlier version of it.

``baseline.json`` holds the contract as it was last recorded; running this file (``make proto-baseline``) records it
anew. Adding is always compatible. Whatever takes something away, or gives it another number, name, type or direction,
is not.
"""

from __future__ import annotations

import json
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent
BASELINE = ROOT / "baseline.json"

Contract = dict[str, dict[str, Any]]
"""``messages``: field number to [label, type, name, oneof]; ``enums``: number to name; ``rpcs``: to their signature."""

_Field = descriptor_pb2.FieldDescriptorProto


def compile_contract(protos: Path = ROOT) -> descriptor_pb2.FileDescriptorSet:
    """The descriptors of ``mive/v1/*.proto``, comments included.

    Raises:
        RuntimeError: a .proto is wrong; protoc's words are on stderr.
    """
    from grpc_tools import protoc

    sources = sorted(path.relative_to(protos).as_posix() for path in protos.glob("mive/v1/*.proto"))
    includes = [f"-I{protos}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "contract.binpb"
        arguments = ["protoc", *includes, "--include_source_info", f"--descriptor_set_out={out}", *sources]
        if protoc.main(arguments):
            raise RuntimeError("protoc refused proto/mive/v1; its message is above")
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


def describe(files: descriptor_pb2.FileDescriptorSet) -> Contract:
    """What clients rely on."""
    contract: Contract = {"messages": {}, "enums": {}, "rpcs": {}}
    for file in files.file:
        for message in file.message_type:
            _describe_message(message, file.package, contract)
        for enum in file.enum_type:
            _describe_enum(enum, file.package, contract)
        for service in file.service:
            for rpc in service.method:
                streams = ["stream " if flag else "" for flag in (rpc.client_streaming, rpc.server_streaming)]
                signature = f"({streams[0]}{rpc.input_type[1:]}) returns ({streams[1]}{rpc.output_type[1:]})"
                contract["rpcs"][f"{file.package}.{service.name}.{rpc.name}"] = signature
    return contract


def _describe_message(message: descriptor_pb2.DescriptorProto, scope: str, contract: Contract) -> None:
    name = f"{scope}.{message.name}"
    contract["messages"][name] = {str(field.number): _describe_field(field, message) for field in message.field}
    for nested in message.nested_type:
        _describe_message(nested, name, contract)
    for enum in message.enum_type:
        _describe_enum(enum, name, contract)


def _describe_field(field: _Field, message: descriptor_pb2.DescriptorProto) -> list[str]:
    label = "repeated" if field.label == _Field.LABEL_REPEATED else "optional" if field.proto3_optional else ""
    kind = field.type_name.lstrip(".") or _Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    inside = field.HasField("oneof_index") and not field.proto3_optional
    return [label, kind, field.name, message.oneof_decl[field.oneof_index].name if inside else ""]


def _describe_enum(enum: descriptor_pb2.EnumDescriptorProto, scope: str, contract: Contract) -> None:
    contract["enums"][f"{scope}.{enum.name}"] = {str(value.number): value.name for value in enum.value}


def breaking_changes(old: Contract, new: Contract) -> list[str]:
    """A sentence for each change from ``old`` to ``new`` that breaks clients of ``old``."""
    found = []
    for name, fields in old["messages"].items():
        if name not in new["messages"]:
            found.append(f"The message {name} was removed.")
        else:
            found += _field_changes(name, fields, new["messages"][name])
    for name, values in old["enums"].items():
        if name not in new["enums"]:
            found.append(f"The enum {name} was removed.")
        else:
            found += _value_changes(name, values, new["enums"][name])
    for name, signature in old["rpcs"].items():
        if name not in new["rpcs"]:
            found.append(f"The rpc {name} was removed.")
        elif (now := new["rpcs"][name]) != signature:
            found.append(f"The rpc {name} was {signature} and is now {now}.")
    return found


def _field_changes(message: str, old: dict[str, list[str]], new: dict[str, list[str]]) -> list[str]:
    numbers = {field[2]: number for number, field in new.items()}
    found = []
    for number, (label, kind, name, oneof) in old.items():
        field = f"The field {message}.{name}"
        if numbers.get(name, number) != number:
            found.append(f"{field} was renumbered from {number} to {numbers[name]}.")
        elif number not in new:
            found.append(f"{field} = {number} was removed.")
        else:
            label_now, kind_now, name_now, oneof_now = new[number]
            if name_now != name:
                found.append(f"{field} = {number} was renamed to {name_now}.")
            if kind_now != kind:
                found.append(f"{field} = {number} was of type {kind} and is now {kind_now}.")
            if label_now != label:
                found.append(f"{field} = {number} was {label or 'singular'} and is now {label_now or 'singular'}.")
            if oneof_now != oneof:
                found.append(f"{field} = {number} moved from oneof {oneof or 'none'} to {oneof_now or 'none'}.")
    return found


def _value_changes(enum: str, old: dict[str, str], new: dict[str, str]) -> list[str]:
    numbers = {name: number for number, name in new.items()}
    found = []
    for number, name in old.items():
        if numbers.get(name, number) != number:
            found.append(f"The enum value {enum}.{name} was renumbered from {number} to {numbers[name]}.")
        elif number not in new:
            found.append(f"The enum value {enum}.{name} = {number} was removed.")
        elif new[number] != name:
            found.append(f"The enum value {enum}.{name} = {number} was renamed to {new[number]}.")
    return found


def read_baseline() -> Contract:
    """The contract as it was last recorded."""
    contract: Contract = json.loads(BASELINE.read_text(encoding="utf-8"))
    return contract


def write_baseline() -> None:
    """Records the contract as it is now, a field a line."""
    text = json.dumps(describe(compile_contract()), indent=1)
    text = re.sub(r"\[[^\]]*\]", lambda field: " ".join(field[0].split()), text)
    BASELINE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_baseline()
