"""The signatures in fusionscript-stubs, which is the only account of Resolve's scripting interface that can be read."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Signature:
    """One way to call a method: its parameters, without self."""

    parameters: tuple[tuple[str, ast.expr | None], ...]
    more: bool
    """Whether any number of further arguments may follow."""
    required: int
    doc: str


@dataclass(frozen=True)
class Stubs:
    """What the stubs declare."""

    methods: dict[str, dict[str, list[Signature]]]
    dicts: dict[str, dict[str, ast.expr]]
    """The keys of each typed dictionary."""
    aliases: dict[str, ast.expr]


@functools.cache
def load_stubs() -> Stubs:
    """The stubs; the test that asks is skipped where they are not installed."""
    try:
        root = Path(str(metadata.distribution("fusionscript-stubs").locate_file("fusionscript-stubs")))
    except metadata.PackageNotFoundError:
        pytest.skip("fusionscript-stubs is missing: pip install fusionscript-stubs")
    assert importlib.util.find_spec("fusionscript") is None, "stubs only: no code of Resolve's is here"
    tree = ast.parse((root / "fusionscript.pyi").read_text(encoding="utf-8"))
    methods, dicts, aliases = {}, {}, {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "TypedDict" for base in node.bases):
            fields = (item for item in node.body if isinstance(item, ast.AnnAssign))
            dicts[node.name] = {ast.unparse(item.target): item.annotation for item in fields}
        elif isinstance(node, ast.ClassDef):
            methods[node.name] = _methods(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            aliases[node.targets[0].id] = node.value
    return Stubs(methods, dicts, aliases)


def _methods(node: ast.ClassDef) -> dict[str, list[Signature]]:
    found: dict[str, list[Signature]] = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            names = item.args.args[1:]
            doc = ast.get_docstring(item) or ""
            required = len(names) - len(item.args.defaults)
            if (names and "optional argument" in doc.lower()) or "Optional newTrackOptions" in doc:
                required -= 1
            parameters = tuple((name.arg, name.annotation) for name in names)
            found.setdefault(item.name, []).append(Signature(parameters, item.args.vararg is not None, required, doc))
    return found


class Fake:
    """Base of stand-ins for Resolve's objects: their methods exist in the stubs, and are called as those declare.

    A method that the class of the same name in the stubs does not have cannot be written, and a call with other
    arguments than declared fails the test.
    """

    def __init_subclass__(cls) -> None:
        for name, function in list(vars(cls).items()):
            if name[0].isupper() and callable(function):
                setattr(cls, name, _checked(cls.__name__, name, function))


def _checked(owner: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Fake, *arguments: Any) -> Any:
        stubs = load_stubs()
        assert name in stubs.methods[owner], f"Resolve has no {owner}.{name}"
        signatures = stubs.methods[owner][name]
        assert any(accepts(signature, arguments) for signature in signatures), f"{owner}.{name}{arguments!r}"
        return function(self, *arguments)

    return call


def accepts(signature: Signature, arguments: tuple[Any, ...]) -> bool:
    """Whether it may be called so."""
    if len(arguments) < signature.required or (len(arguments) > len(signature.parameters) and not signature.more):
        return False
    pairs = zip(arguments, signature.parameters, strict=False)
    return all(fits(value, annotation, signature.doc) for value, (_, annotation) in pairs)


def fits(value: Any, annotation: ast.expr | None, doc: str) -> bool:
    """Whether a value is of a declared type, as far as that can be told."""
    stubs = load_stubs()
    match annotation:
        case ast.Name("str"):
            return isinstance(value, str)
        case ast.Name("bool"):
            return isinstance(value, bool)
        case ast.Name("int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(name) if name in stubs.dicts:
            return isinstance(value, dict) and _fits_dict(value, name, doc)
        case ast.Name(name) if name in stubs.methods:
            return isinstance(value, Fake) and type(value).__name__ == name
        case ast.Name(name) if name in stubs.aliases and name != "SubTrackType":
            return fits(value, stubs.aliases[name], doc)
        case ast.Name("SubTrackType"):
            return isinstance(value, str)
        case ast.Subscript(ast.Name("List"), item):
            return isinstance(value, list) and all(fits(each, item, doc) for each in value)
        case ast.Subscript(ast.Name("Literal"), ast.Tuple(choices)):
            return value in [ast.literal_eval(choice) for choice in choices]
        case ast.Subscript(ast.Name("Optional" | "NotRequired"), item):
            return value is None or fits(value, item, doc)
        case _:
            return True


def _fits_dict(value: dict[str, Any], name: str, doc: str) -> bool:
    keys = load_stubs().dicts[name]
    needed = {key for key, kind in keys.items() if not ast.unparse(kind).startswith("NotRequired")}
    if "skipped" in doc:
        needed = set()
    return needed <= set(value) <= set(keys) and all(fits(value[key], keys[key], doc) for key in value)
