"""The registry holds every ablation, and each of them can be run."""

from __future__ import annotations

import pytest

from mive.editing.samplers import make_plan
from mive.errors import RequestError
from mive.evaluate.bench.methods import METHODS, choose
from mive.plans import Nps
from mive.request import PLAN_NAMES, Settings
from mive.settings import PRESETS, Preset

SIZE = {"model_size": 192}


def plan_of(name: str, preset: Preset = "paper") -> object:
    (method,) = choose([name])
    return make_plan(method.settings(Settings(preset=preset)).resolved(SIZE))


def test_names_are_unique_and_every_plan_has_one() -> None:
    names = [method.name for method in METHODS]
    assert len(set(names)) == len(names)
    assert {dict(method.changes).get("plan", "mive") for method in METHODS} == set(PLAN_NAMES)


def test_no_two_methods_are_the_same() -> None:
    settings = [method.settings(Settings()).to_json() for method in METHODS]
    assert len(set(settings)) == len(settings)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [method.name for method in METHODS])
def test_every_method_has_a_plan_at_every_preset(name: str, preset: Preset) -> None:
    plan = plan_of(name, preset)
    assert isinstance(plan, tuple)
    assert plan


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("3", {"full", "nps_only", "lps_only", "no_reinversion", "no_ipr", "dense_diffusion"}),
        ("7", {"full", "nps_only", "lps_only", "no_reinversion", "no_ipr", "dense_diffusion"}),
        ("8a", {"alternate_1_1", "alternate_4_1", "alternate_9_1", "alternate_14_1", "alternate_1_4"}),
        ("8b", {"alternate_9_1", "no_reinversion", "last_nps_20", "last_nps_30"}),
        ("8c", {"reinvert_1_0", "reinvert_2_0", "reinvert_3_0"}),
        ("8d", {"reinvert_3_1", "full", "reinvert_3_3"}),
        ("8e", {"reinvert_2d", "full"}),
        ("8f", {"lps_4", "full"}),
        ("9a", {"lambda_0.2", "full", "lambda_0.6"}),
        ("9b", {"lambda_r_0.0", "lambda_r_0.2", "lambda_r_0.4", "full", "lambda_r_0.8", "lambda_r_1.0"}),
        ("9c", {"ipr_share_0.6", "full", "ipr_share_1.0"}),
    ],
)
def test_the_rows_of_the_papers_tables(table: str, rows: set[str]) -> None:
    assert {method.name for method in choose([f"table{table}"])} == rows


def test_a_whole_table_is_all_of_its_parts() -> None:
    parts = {method.name for part in "abcdef" for method in choose([f"table8{part}"])}
    assert {method.name for method in choose(["table8"])} == parts


def test_the_share_of_steps_with_ipr() -> None:
    def modulated(name: str) -> set[int]:
        plan = plan_of(name)
        assert isinstance(plan, tuple)
        return {step.s for step in plan if getattr(step, "modulated", False)}

    assert modulated("no_ipr") == modulated("global_caption") == set()
    assert modulated("ipr_share_0.6") == set(range(30))
    assert modulated("full") == set(range(40))
    assert modulated("ipr_share_1.0") == set(range(50))


def test_the_savings_together_are_the_preset() -> None:
    alone = choose(["solver", "pooled", "joint", "pasted", "control"])
    assert {name: value for method in alone for name, value in method.changes.items()} == PRESETS["fast"]
    (fast,) = choose(["fast"])
    made = fast.settings(Settings(preset="paper")).resolved(SIZE)
    preset = Settings(preset="fast", guidance=12.5, framing="whole", detail=0, grain=0).resolved(SIZE)
    assert made == preset.model_copy(update={"preset": "paper"})


def test_the_global_caption_baseline_is_plain_sampling() -> None:
    plan = plan_of("global_caption")
    assert isinstance(plan, tuple)
    assert [type(step) for step in plan] == [Nps] * 50


def test_a_methods_settings_win_over_the_runs() -> None:
    (method,) = choose(["lambda_0.2"])
    settings = method.settings(Settings(preset="draft", lambda_=0.9, guidance=3.0))
    assert (settings.preset, settings.lambda_, settings.guidance) == ("draft", 0.2, 3.0)


def test_methods_keep_the_order_they_are_asked_in_and_come_once() -> None:
    assert [method.name for method in choose(["no_ipr", "full", "table9c"])] == [
        "no_ipr", "full", "ipr_share_0.6", "ipr_share_1.0",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "near"), [("lps_onyl", "lps_only"), ("table33", "table3"), ("table", "")])
def test_a_name_that_nothing_has(name: str, near: str) -> None:
    with pytest.raises(RequestError, match=f'no method "{name}".*{near}'):
        choose([name])
