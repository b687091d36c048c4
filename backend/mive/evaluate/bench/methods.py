"""The registry: every method and ablation that the benchmark knows by name, one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mive.base.validation import did_you_mean
from mive.errors import RequestError
from mive.settings import PRESETS, Settings


@dataclass(frozen=True)
class Method:
    """A way to edit.

    Attributes:
        name: what it is called on the command line and in folders.
        title: what it is called in tables.
        tables: the paper's tables that it stands in, such as "8a".
        changes: what it changes in the settings of a run.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, base: Settings) -> Settings:
        """A run's settings as this method has them; what neither says is as in the paper.

        Raises:
            RequestError: the two do not go together.
        """
        return Settings(**{**_AS_PAPER, **base.model_dump(exclude_none=True), **self.changes})


_AS_PAPER: Final[Mapping[str, Any]] = {name: PRESETS["paper"][name] for name in ("framing", "detail", "grain")}


def _of_fast(*names: str) -> Mapping[str, Any]:
    """Some of what the preset "fast" is made of."""
    return {name: PRESETS["fast"][name] for name in names}


METHODS: Final = (
    Method("close", "MIVE in views", (), {"framing": "close", "detail": 1.0, "grain": 1.0}),
    Method("full", "MIVE, full method", ("2", "3", "7", "8d", "8e", "8f", "9a", "9b", "9c")),
    Method("global_caption", "global caption (FLATTEN)", ("2",),
           {"caption_mode": "global", "plan": "nps_only", "ipr": "none"}),
    Method("nps_only", "only NPS", ("3", "7"), {"plan": "nps_only"}),
    Method("lps_only", "only LPS", ("3", "7"), {"plan": "lps_only"}),
    Method("no_reinversion", "LPS + NPS, no re-inversion", ("3", "7", "8b"), {"plan": "no_reinversion"}),
    Method("no_ipr", "no modulation", ("3", "7"), {"ipr": "none"}),
    Method("dense_diffusion", "DenseDiffusion", ("3", "7"), {"ipr": "dense_diffusion"}),
    Method("alternate_1_1", "LPS 1 + NPS 1", ("8a",), {"plan": "alternate_1_1"}),
    Method("alternate_4_1", "LPS 4 + NPS 1", ("8a",), {"plan": "alternate_4_1"}),
    Method("alternate_9_1", "LPS 9 + NPS 1", ("8a", "8b"), {"plan": "alternate_9_1"}),
    Method("alternate_14_1", "LPS 14 + NPS 1", ("8a",), {"plan": "alternate_14_1"}),
    Method("alternate_1_4", "NPS 4 + LPS 1", ("8a",), {"plan": "alternate_1_4"}),
    Method("last_nps_20", "last NPS 20", ("8b",), {"plan": "last_nps_20"}),
    Method("last_nps_30", "last NPS 30", ("8b",), {"plan": "last_nps_30"}),
    Method("reinvert_1_0", "re-inversion 1, last 0", ("8c",), {"plan": "reinvert_1_0"}),
    Method("reinvert_2_0", "re-inversion 2, last 0", ("8c",), {"plan": "reinvert_2_0"}),
    Method("reinvert_3_0", "re-inversion 3, last 0", ("8c",), {"plan": "reinvert_3_0"}),
    Method("reinvert_3_1", "re-inversion 3, last 1", ("8d",), {"plan": "reinvert_3_1"}),
    Method("reinvert_3_3", "re-inversion 3, last 3", ("8d",), {"plan": "reinvert_3_3"}),
    Method("reinvert_2d", "2D re-inversion", ("8e",), {"plan": "reinvert_2d"}),
    Method("lps_4", "LPS 4 with re-inversion", ("8f",), {"plan": "lps_4"}),
    Method("lambda_0.2", "λ = 0.2", ("9a",), {"lambda_": 0.2}),
    Method("lambda_0.6", "λ = 0.6", ("9a",), {"lambda_": 0.6}),
    Method("lambda_r_0.0", "λ_r = 0", ("9b",), {"lambda_r": 0.0}),
    Method("lambda_r_0.2", "λ_r = 0.2", ("9b",), {"lambda_r": 0.2}),
    Method("lambda_r_0.4", "λ_r = 0.4", ("9b",), {"lambda_r": 0.4}),
    Method("lambda_r_0.8", "λ_r = 0.8", ("9b",), {"lambda_r": 0.8}),
    Method("lambda_r_1.0", "λ_r = 1", ("9b",), {"lambda_r": 1.0}),
    Method("ipr_share_0.6", "IPR in the first 60 %", ("9c",), {"ipr_share": 0.6}),
    Method("ipr_share_1.0", "IPR in all steps", ("9c",), {"ipr_share": 1.0}),
    Method("solver", "DPM-Solver++ (2M), ten steps", (), _of_fast("steps", "inversion_steps", "solver")),
    Method("pooled", "other frames pooled", (), _of_fast("frame_attention")),
    Method("joint", "NPS in one conditional pass", (), _of_fast("nps_passes")),
    Method("pasted", "LPS with one unconditional pass", (), _of_fast("lps_unguided")),
    Method("control", "ControlNet without words, by frame", (), _of_fast("control_caption", "control_attention")),
    Method("fast", "all of these savings", (), PRESETS["fast"]),
)  # fmt: skip

TABLES: Final = tuple(f"table{name}" for name in ("2", "3", "7", "8", "9"))
"""Names that stand for all methods of a table; "table8a" and the like work too."""


def choose(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names, in this order, none twice; "table3" stands for all of Table 3.

    Raises:
        RequestError: there is none of that name.
    """
    chosen: dict[str, Method] = {}
    for name in names:
        table = name.removeprefix("table")
        found = [
            method
            for method in METHODS
            if name == method.name or (table != name and any(table and own.startswith(table) for own in method.tables))
        ]
        if not found:
            known = [*(method.name for method in METHODS), *TABLES]
            raise RequestError(
                f'there is no method "{name}"',
                expected='one that "mive bench methods" lists, or all of a table, such as table3',
                fix=did_you_mean(name, known) or "Correct the name",
                field="methods",
            )
        chosen |= {method.name: method for method in found}
    return tuple(chosen.values())
