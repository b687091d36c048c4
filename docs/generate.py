"""Writes what the reference says of settings, commands and the like: ``python docs/generate.py`` (``make docs``).

A page has blocks ``<!-- generated: NAME -->`` … ``<!-- end -->``. What stands between is made from the objects that the
programs themselves use, and ``tests/test_docs.py`` fails where a page says something else.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

DOCS: Final = Path(__file__).resolve().parent
ROOT: Final = DOCS.parent
_BLOCK: Final = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BUNDLE: Final = {"model_size": 512, "guidance": 1.0}
"""What a bundle may say; where this holds, a table says "the bundle's"."""


def rendered(page: Path) -> str:
    """The page as it should be."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{_made(block[2])}\n\n{block[3]}", page.read_text("utf-8"))


def pages() -> list[Path]:
    """All pages that have blocks."""
    return [page for page in sorted(DOCS.rglob("*.md")) if _BLOCK.search(page.read_text("utf-8"))]


def _made(name: str) -> str:
    kind, _, argument = name.partition(":")
    maker = MAKERS[kind]
    return "\n".join(maker(argument) if argument else maker()).strip("\n")


def table(head: str, rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A table; ``head`` names its columns, with bars between them."""
    yield f"| {head} |"
    yield "|" + "---|" * (head.count(" | ") + 1)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def model(path: str) -> Iterator[str]:
    """The fields of a model that users write: what they take, and what holds where they say nothing."""
    kind = _object(path)
    return _fields(kind, {name: _default(info) for name, info in kind.model_fields.items()})


def settings() -> Iterator[str]:
    """All settings, with their value where nobody says any."""
    from mive.request import Settings

    usual = {name: f"`{value}`" for name, value in _preset("standard").items()}
    said = dict.fromkeys(_BUNDLE, "the bundle's") | dict.fromkeys(_differing(), "by preset")
    return _fields(Settings, usual | said)


def _fields(kind: type[BaseModel], left_open: Mapping[str, str]) -> Iterator[str]:
    schema = kind.model_json_schema(by_alias=True)["properties"]
    names = {name: info.serialization_alias or name for name, info in kind.model_fields.items()}
    rows = (
        (f"`{names[name]}`", _takes(schema[names[name]]), left_open[name], _sentence(info.description))
        for name, info in kind.model_fields.items()
    )
    return table("field | takes | left open | what it is", rows)


def presets() -> Iterator[str]:
    """What each preset fixes."""
    from mive.settings import PRESETS

    names = _differing()
    rows = []
    for preset in PRESETS:
        values = _preset(preset)
        said = ("the bundle's" if values[name] == _BUNDLE.get(name) else values[name] for name in names)
        rows.append((f"`{preset}`", *said))
    return table("preset | " + " | ".join(f"`{name}`" for name in names), rows)


def plans() -> Iterator[str]:
    """The steps of every plan, and the ablations that use it."""
    from mive.editing.samplers import make_plan
    from mive.evaluate.bench.methods import METHODS
    from mive.request import PLAN_NAMES, Settings

    def row(name: str) -> tuple[object, ...]:
        plan = make_plan(Settings(preset="paper", plan=name).resolved(_BUNDLE))
        kinds = Counter(type(step).__name__ for step in plan)
        tables = sorted({table for each in METHODS if each.changes.get("plan") == name for table in each.tables})
        return (f"`{name}`", *(kinds[kind] for kind in ("Lps", "Fuse", "Reinvert", "Nps")), ", ".join(tables))

    return table("plan | LPS | fuse | re-invert | NPS | the paper's tables", map(row, PLAN_NAMES))


def methods() -> Iterator[str]:
    """The methods that the benchmark knows."""
    from mive.evaluate.bench.methods import METHODS

    changes = [", ".join(f"`{name.rstrip('_')}={value}`" for name, value in each.changes.items()) for each in METHODS]
    rows = ((f"`{m.name}`", m.title, done, ", ".join(m.tables)) for m, done in zip(METHODS, changes, strict=True))
    return table("method | in reports | changes | the paper's tables", rows)


def outputs() -> Iterator[str]:
    """What each kind of output holds of its source."""
    from mive.media.holding import CODECS_HOLD, CONTAINERS, IMAGES, Holding

    columns: dict[str, Holding] = dict(IMAGES)
    columns.update({str(codec): each for codec, each in CODECS_HOLD.items()})
    columns.update({suffix: Holding(kinds) for suffix, kinds in CONTAINERS.items()})
    kinds = sorted({kind for each in columns.values() for kind in each.kinds | each.alike} | {"captions", "data"})
    rows: list[tuple[object, ...]] = [(kind, *(_held(kind, each) for each in columns.values())) for kind in kinds]
    bits = ("" if name in CONTAINERS else each.bits for name, each in columns.items())
    return table("of the source | " + " | ".join(f"`{name}`" for name in columns), [*rows, ("bits", *bits)])


def _held(kind: str, output: Any) -> str:
    return "×" if kind in output.kinds else "alike" if kind in output.alike else ""


def keys(path: str) -> Iterator[str]:
    """The keys of a configuration file, sections included."""
    return table("key | default | what it is", _keys(_object(path)))


def _keys(kind: type[BaseModel], above: str = "") -> Iterator[tuple[str, ...]]:
    for name, info in kind.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _keys(info.annotation, f"{above}{name}.")
        else:
            yield f"`{above}{name}`", _default(info), _sentence(info.description)


def command(path: str) -> Iterator[str]:
    """A program's commands and all that each of them takes."""
    app = typer.main.get_command(_object(path))
    yield from _command(app, str(app.name), 2)


def _command(one: Any, name: str, level: int) -> Iterator[str]:
    inner = getattr(one, "commands", {})
    taken = [each for each in one.params if each.name != "help"]
    yield f"{'#' * level} {name}\n"
    yield f"{inspect.cleandoc(one.help or one.short_help or '')}\n"
    if taken:
        yield from table("argument or option | what it is", map(_parameter, taken))
        yield ""
    for word, other in inner.items():
        yield from _command(other, f"{name} {word}", min(level + 1, 4))


def _parameter(one: Any) -> tuple[str, str]:
    value = one.metavar or ("" if getattr(one, "is_flag", False) else str(one.name).upper())
    if one.param_type_name == "argument":
        return f"`{value}`", one.help or ""
    names = ", ".join([*one.opts, *one.secondary_opts])
    needed = " Required." if one.required else ""
    return f"`{names}{' ' + value if value else ''}`", f"{one.help or ''}{needed}"


def help_text(path: str) -> Iterator[str]:
    """What a program that is no Typer prints of itself."""
    text = io.StringIO()
    wide = patch.dict(os.environ, COLUMNS="100")
    with wide, contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _object(path)(["--help"])
    return iter(["```text", text.getvalue().strip(), "```"])


def metrics() -> Iterator[str]:
    """What the server tells Prometheus."""
    from prometheus_client.metrics import MetricWrapperBase

    from mive.server.metrics import Metrics
    from mive.server.options import Folders
    from mive.server.store import JobStore

    class NoWorkers:
        def start(self) -> None: ...

        def drain(self, seconds: float) -> None: ...

        def statuses(self) -> list[Any]:
            return []

    with tempfile.TemporaryDirectory() as folder:
        store = JobStore(Path(folder) / "jobs.sqlite")
        counted = Metrics(store, NoWorkers(), Folders(data=Path(folder)))
        # Labels are no part of what a registry tells; they stand in its metrics.
        rows = {}
        for collector in counted.registry._collector_to_names:
            for each in (collector, *vars(collector).values()):
                if isinstance(each, MetricWrapperBase):
                    rows[each._name] = (each._type, each._documentation, each._labelnames)
            for family in collector.collect():
                labels = getattr(family, "_labelnames", ())
                rows.setdefault(family.name, (family.type, family.documentation, labels))
        store.close()

    def name(own: str, kind: str | None, labels: Sequence[str]) -> str:
        return f"`{own}{'_total' if kind == 'counter' else ''}{'{' + ','.join(labels) + '}' if labels else ''}`"

    shown = sorted((own, *row) for own, row in rows.items() if own.startswith("mive_"))
    return table(
        "metric | kind | what it is", ((name(own, kind, labels), kind, text) for own, kind, text, labels in shown)
    )


def scores() -> Iterator[str]:
    """The paper's scores."""
    from mive.evaluate.metrics import scores as module

    names = ("gtc", "gtf", "fa", "ltc", "ltf", "ia", "cia", "bp")
    return table("score | what it is", ((name.upper(), _first_lines(getattr(module, name))) for name in names))


def errors() -> Iterator[str]:
    """All errors, the exit codes they end programs with, and what they mean."""
    import mive.client.errors  # (the classes of the second page of the tree)
    from mive.errors import MiveError

    def below(kind: type[MiveError], depth: int) -> Iterator[tuple[object, ...]]:
        yield f"{'· ' * depth}`{kind.__name__}`", kind.exit_code, _first_lines(kind)
        for other in kind.__subclasses__():
            if other.__module__ in ("mive.errors", mive.client.errors.__name__):
                yield from below(other, depth + 1)

    return table("error | exit code | when", below(MiveError, 0))


def effect() -> Iterator[str]:
    """The parameters of the OpenFX effect, from the C++ that describes them to hosts."""
    text = (ROOT / "plugin_bridge/ofx/src/parameters.cpp").read_text("utf-8")
    rows = []
    for call in re.findall(r"definer\.\w+\(.*?\);", text, re.DOTALL):
        words = [word.replace('\\"', '"') for word in re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r'"\s+"', "", call))]
        name = f"`{words[-3]}`" if len(words) > 2 else "button" if "PushButton" in call else "read only"
        rows.append((words[-2], name, words[-1]))
    return table("parameter | name in scripts | what it is", rows)


def equations() -> Iterator[str]:
    """Where the paper's equations are, found by the docstrings that name them."""
    where: dict[int, dict[str, None]] = {}
    for file in sorted((ROOT / "backend/mive").rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        for name, node in _documented(tree):
            told = (ast.get_docstring(node) or "").partition("\n\n")[0]
            for numbers in re.findall(r"Eq\. ([\d, –and-]+)", told):
                link = f"[`{name}`](../../{file.relative_to(ROOT)})"
                for number in _numbers(numbers):
                    where.setdefault(number, {})[link] = None
    return table("equation | where", ((f"Eq. {number}", ", ".join(where[number])) for number in sorted(where)))


def _documented(tree: ast.AST, above: str = "") -> Iterator[tuple[str, Any]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield above + node.name, node
            yield from _documented(node, f"{above}{node.name}.")


def _numbers(text: str) -> list[int]:
    """``5-7`` and ``1, 2`` as numbers."""
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:[-–](\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def api(path: str) -> Iterator[str]:
    """Signatures and docstrings, as the source has them: of a function, or of a class and its public methods."""
    found = _object(path)
    inside = [each for name, each in vars(found).items() if inspect.isfunction(each) and not name.startswith("_")]
    parts = [_declaration(each) for each in [found, *(inside if inspect.isclass(found) else [])]]
    return iter(["```python", *("\n" + part if index else part for index, part in enumerate(parts)), "```"])


def _declaration(each: Any) -> str:
    lines, _ = inspect.getsourcelines(each)
    node = ast.parse(textwrap.dedent("".join(lines))).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    end = node.body[0].end_lineno if ast.get_docstring(node) else node.body[0].lineno - 1
    return "".join(lines[:end]).rstrip()


def _object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _preset(name: Any) -> dict[str, object]:
    from mive.request import Settings

    return dict(Settings(preset=name).resolved(_BUNDLE))


def _differing() -> list[str]:
    """The settings that presets differ in."""
    from mive.settings import PRESETS

    all_of_them = [_preset(name) for name in PRESETS]
    return [name for name in all_of_them[0] if name != "preset" and len({str(one[name]) for one in all_of_them}) > 1]


def _takes(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return f"a {schema['$ref'].rpartition('/')[2]}"
    if "anyOf" in schema:
        return " or ".join(_takes(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_takes(schema['items']).removeprefix('a ')}s"
    kinds = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    kind = kinds.get(schema["type"], schema["type"])
    names = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))
    return " ".join([kind, *(f"{word} {_short(schema[name])}" for name, word in names if name in schema)])


def _short(number: float) -> str:
    return f"2^{number.bit_length() - 1}" if isinstance(number, int) and number > 10**6 else f"{number:g}"


def _default(info: Any) -> str:
    """A field's default, as one writes it; nothing where there is none."""
    if info.default is PydanticUndefined:
        return "required" if info.is_required() else "`~/.local/state/mive`" if info.annotation is Path else ""
    value = info.default
    if value is None or value in ("", {}, ()):
        return ""
    if type(value).__name__ == "ByteSize":
        return f'`"{value >> 30} GiB"`'
    if isinstance(value, tuple):
        return f"`{list(value)}`".replace("'", '"')
    return f"`{str(value).lower() if isinstance(value, bool) else _quoted(value)}`"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str | None) -> str:
    return f"{text[:1].upper()}{text[1:]}" if text else ""


def _first_lines(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[0].replace("\n", " ")


MAKERS: Final[dict[str, Callable[..., Iterator[str]]]] = {
    maker.__name__: maker
    for maker in (
        api, command, effect, equations, errors, help_text, keys, methods, metrics, model, outputs, plans, presets,
        scores, settings,
    )
}  # fmt: skip


def main() -> None:
    """Brings all pages up to date."""
    for page in pages():
        page.write_text(rendered(page), "utf-8")


if __name__ == "__main__":
    main()
