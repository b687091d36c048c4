"""One base for every validated object, whose mistakes read as :class:`mive.errors.RequestError`."""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic.fields import FieldInfo
from pydantic.types import AllowInfNan
from pydantic_core import ErrorDetails, PydanticCustomError

from mive.errors import RequestError

WholeNumber = Annotated[int, Strict()]
"""An int; neither ``true`` nor ``"1"`` nor ``1.0`` passes for one."""

Number = Annotated[float, Strict(), AllowInfNan(False)]
"""A finite float or int; neither ``true`` nor ``"1"`` passes for one."""

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "tuple_type": "a list",
    "model_type": "an object with named fields",
    "dict_type": "an object with named fields",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}


class Model(BaseModel):
    """A frozen value: compares, hashes and copies by its fields; unknown fields are an error.

    Each field's ``description`` is a noun phrase; error messages quote it.

    Raises:
        RequestError: on construction, naming the first field at fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise request_error(type(self), error) from None

    # Without this mark pydantic would call __init__ for nested models too, and the outer part of
    # the path ("instances[1].") would be lost.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def to_json(self) -> str:
        """The object as indented JSON, fields left open (``None``) left out."""
        return self.model_dump_json(indent=2, by_alias=True, exclude_none=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what :meth:`to_json` wrote, or a person did.

        Raises:
            RequestError: naming the field at fault and the fix.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise request_error(cls, error) from None


def reject(what: str, *, expected: str, fix: str, at: Sequence[str | int] = ()) -> NoReturn:
    """Refuses a value from within a validator.

    Args:
        at: where the mistake lies, below the object or field being validated.
    """
    context = {"what": what, "expected": expected, "fix": fix, "at": tuple(at)}
    raise PydanticCustomError("mive", "{what}", context)


def did_you_mean(word: object, choices: Sequence[str]) -> str:
    """``'Perhaps "steps" is meant'``, or nothing where no choice is near."""
    near = difflib.get_close_matches(str(word).lower(), choices, n=1, cutoff=0.6)
    return f'Perhaps "{near[0]}" is meant' if near else ""


def request_error(model: type[BaseModel], error: ValidationError) -> RequestError:
    """The first of pydantic's errors in MIVE's words; the fix names the fields of the others."""
    details = error.errors(include_url=False)
    what, expected, fix = _explain(model, details[0])
    others = [path for path in dict.fromkeys(map(_path, details[1:])) if path != _path(details[0])]
    if others:
        fix = f"{fix.rstrip('.')}. Then look at: {', '.join(others)}"
    return RequestError(what, expected=expected, fix=fix, field=_path(details[0]) or None)


def _path(detail: ErrorDetails) -> str:
    """``("instances", 1, "caption")`` as ``instances[1].caption``."""
    parts = [*detail["loc"], *detail.get("ctx", {}).get("at", ())]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _explain(model: type[BaseModel], detail: ErrorDetails) -> tuple[str, str, str]:
    """What happened, what was expected, what to do."""
    kind, context, location = detail["type"], detail.get("ctx", {}), detail["loc"]
    if kind == "mive":
        return context["what"], context["expected"], context["fix"]
    if kind == "json_invalid":
        return f"not valid JSON: {context['error']}", "one JSON object", "Correct it at that place"
    owner, field = _lookup(model, location)
    description = (field and field.description) or "it"
    if kind == "extra_forbidden":
        names = [info.serialization_alias or name for name, info in owner.model_fields.items()]
        fix = did_you_mean(location[-1], names) or "Remove it"
        return "there is no such field", f"one of {', '.join(names)}", fix
    if kind == "missing":
        return "it is missing", description, f"Add {description}"
    shown = _shown(detail["input"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        fix = did_you_mean(detail["input"], choices) or f"Correct {description}"
        return f"{shown} is not a choice", context["expected"].replace("'", '"'), fix
    if kind in _BOUNDS:
        key, phrase = _BOUNDS[kind]
        return f"{shown} is out of range", phrase.format(context[key]), f"Correct {description}"
    return f"{shown} does not fit", _TYPES.get(kind, detail["msg"]), f"Correct {description}"


def _lookup(model: type[BaseModel], location: Sequence[str | int]) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that should hold the field at ``location``, and the field where it exists."""
    owner: type[BaseModel] = model
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            continue
        if field is not None:
            owner = _model_in(field.annotation) or owner
        fields = owner.model_fields.items()
        field = next((i for name, i in fields if part in (name, i.serialization_alias)), None)
    return owner, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Settings``, ``FrameRange | None`` or ``tuple[Instance, ...]``."""
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _shown(value: object) -> str:
    """The value as JSON would have it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."
