"""The request: a worked example, the round trip through JSON, and every mistake it names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import BundleError, RequestError
from mive.request import (
    PLAN_NAMES,
    PRESETS,
    EditRequest,
    FrameRange,
    Instance,
    ResolvedSettings,
    Settings,
)

TINY = {"model_size": 128, "guidance": 7.5}
"""What a bundle says about itself."""


def request(**changes: Any) -> dict[str, Any]:
    """A correct request as JSON would hold it, with some fields changed."""
    return {
        "clip": "cups.mp4",
        "mattes": "mattes/",
        "instances": [
            {"id": 1, "caption": "a red cup"},
            {"id": 2, "caption": "a blue cup", "lambda": 0.3},
        ],
        **changes,
    }


def test_a_request_from_python() -> None:
    edit = EditRequest(
        clip="cups.mp4",
        mattes="mattes/",
        frames=FrameRange(0, 15),
        instances=(Instance(id=1, caption="a red cup"), Instance(id=2, caption="a blue cup")),
        settings=Settings(preset="draft", seed=7),
    )
    assert len(edit.frames or ()) == 16
    assert edit.bundle == "tiny"
    assert EditRequest.from_json(edit.to_json()) == edit


def test_json_uses_the_word_lambda_and_leaves_out_what_is_open() -> None:
    edit = EditRequest.from_json(json.dumps(request(settings={"lambda": 0.2})))
    written = json.loads(edit.to_json())
    assert edit.instances[1].lambda_ == 0.3
    assert written["instances"][1]["lambda"] == 0.3
    assert written["settings"] == {"preset": "standard", "lambda": 0.2}
    assert "frames" not in written


def test_requests_are_values() -> None:
    one, other = (EditRequest.from_json(json.dumps(request())) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(ValueError, match="frozen"):
        one.clip = "other.mp4"  # type: ignore[misc]


MISTAKES = [
    pytest.param({"instances": []}, "instances", "Add an instance", id="no instances"),
    pytest.param(
        {"instances": [{"id": 1, "caption": "a"}, {"id": 2, "caption": " \n"}]},
        "instances[1].caption",
        "Write a caption",
        id="blank caption",
    ),
    pytest.param({"instances": [{"id": 1}]}, "instances[0].caption", "Add the caption", id="no caption"),
    pytest.param(
        {"instances": [{"id": 3, "caption": "a"}, {"id": 3, "caption": "b"}]},
        "instances[1].id",
        "Renumber",
        id="same id twice",
    ),
    pytest.param({"instances": [{"id": 0, "caption": "a"}]}, "instances[0].id", "Correct", id="id zero"),
    pytest.param({"instances": [{"id": "1", "caption": "a"}]}, "instances[0].id", "Correct", id="id text"),
    pytest.param({"instances": [{"id": True, "caption": "a"}]}, "instances[0].id", "Correct", id="id true"),
    pytest.param(
        {"instances": [{"id": 1, "captoin": "a", "caption": "a"}]},
        "instances[0].captoin",
        '"caption"',
        id="misspelt field",
    ),
    pytest.param(
        {"instances": [{"id": 1, "caption": "a", "lambda": float("nan")}]},
        "instances[0].lambda",
        "Correct",
        id="NaN",
    ),
    pytest.param({"mattes": None}, "instances[0].matte", '"mattes"', id="no mattes at all"),
    pytest.param({"mattes": " "}, "mattes", "Write it", id="blank mattes"),
    pytest.param({"clip": ""}, "clip", "Write it", id="blank clip"),
    pytest.param({"clip": None}, "clip", "Correct the path", id="null clip"),
    pytest.param({"version": 2}, "version", "newer MIVE", id="newer version"),
    pytest.param({"matte": "m"}, "matte", '"mattes"', id="misspelt top field"),
    pytest.param({"zzz": 1}, "zzz", "Remove it", id="unknown field like no other"),
    pytest.param({"frames": {"first": 9, "last": 2}}, "frames", "2-9", id="backwards"),
    pytest.param({"frames": {"first": -1, "last": 2}}, "frames.first", "Correct", id="negative"),
    pytest.param({"frames": "0-4"}, "frames", "Correct the frames", id="frames as text"),
    pytest.param({"settings": {"steps": 0}}, "settings.steps", "Correct", id="no steps"),
    pytest.param({"settings": {"steps": 1001}}, "settings.steps", "Correct", id="many steps"),
    pytest.param({"settings": {"steps": 20.5}}, "settings.steps", "Correct", id="half a step"),
    pytest.param(
        {"settings": {"steps": 20, "inversion_steps": 30}},
        "settings.inversion_steps",
        "Use 40 inversion steps",
        id="grids that miss",
    ),
    pytest.param(
        {"settings": {"steps": 30, "inversion_steps": 60}},
        "settings.inversion_steps",
        "Use 90 inversion steps",
        id="a multiple that still misses",
    ),
    pytest.param(
        {"settings": {"preset": "paper", "inversion_steps": 20}},
        "settings.inversion_steps",
        "Use 100",
        id="fewer inversion steps than the preset's steps",
    ),
    pytest.param(
        {"settings": {"window": 4, "overlap": 4}},
        "settings.overlap",
        "smaller",
        id="overlap as wide as the window",
    ),
    pytest.param({"settings": {"plan": "mvie"}}, "settings.plan", '"mive"', id="plan"),
    pytest.param({"settings": {"preset": "papper"}}, "settings.preset", '"paper"', id="preset"),
    pytest.param({"settings": {"device": "gpu"}}, "settings.device", "mive doctor", id="device"),
    pytest.param({"settings": {"variation": 1.5}}, "settings.variation", "Correct", id="share"),
    pytest.param({"settings": {"seed": -1}}, "settings.seed", "Correct", id="seed"),
    pytest.param(
        {"settings": {"caption_mode": "global"}},
        "global_caption",
        "settings.caption_mode",
        id="global mode without its caption",
    ),
]


@pytest.mark.parametrize(("changes", "field", "fix"), MISTAKES)
def test_a_mistake_names_its_field_and_the_fix(changes: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(RequestError) as caught:
        EditRequest.from_json(json.dumps(request(**changes)))
    assert caught.value.field == field
    assert caught.value.expected
    assert fix in caught.value.fix


@pytest.mark.parametrize("text", ["", "{", '{"clip": "a",}', "\udc80".encode(errors="surrogateescape")])
def test_text_that_is_not_json_says_where(text: str | bytes) -> None:
    with pytest.raises(RequestError, match=r"not valid JSON: .*"):
        EditRequest.from_json(text)


def test_json_that_is_no_object() -> None:
    with pytest.raises(RequestError, match="an object with named fields"):
        EditRequest.from_json("[]")


def test_further_mistakes_are_listed_by_path() -> None:
    text = json.dumps(request(settings={"steps": 0, "seed": -1}, clip=3))
    with pytest.raises(RequestError) as caught:
        EditRequest.from_json(text)
    assert caught.value.field == "clip"
    assert "settings.steps, settings.seed" in caught.value.fix


def test_mistakes_in_python_are_request_errors_too() -> None:
    with pytest.raises(RequestError, match="caption"):
        Instance(id=1, caption="")
    with pytest.raises(RequestError, match="backwards"):
        FrameRange(4, 2)
    with pytest.raises(RequestError, match="NaN"):
        Settings(guidance=float("nan"))


@pytest.mark.parametrize(
    ("text", "indices"),
    [("0-3", range(0, 4)), ("7", range(7, 8)), (" 12 - 12 ", range(12, 13))],
)
def test_frame_ranges_include_both_ends(text: str, indices: range) -> None:
    frames = FrameRange.parse(text)
    assert frames.indices() == indices
    assert len(frames) == len(indices)
    assert FrameRange.parse(str(frames)) == frames


@pytest.mark.parametrize("text", ["", "-", "a-b", "-3", "3-", "1-2-3", "1.5", "²"])
def test_text_that_is_no_range(text: str) -> None:
    with pytest.raises(RequestError, match="FIRST-LAST"):
        FrameRange.parse(text)


@pytest.mark.parametrize(
    ("preset", "steps", "inversion_steps", "guidance"),
    [("draft", 10, 20, 7.5), ("standard", 20, 40, 7.5), ("paper", 50, 100, 12.5), ("fast", 10, 10, 7.5)],
)
def test_presets(preset: Any, steps: int, inversion_steps: int, guidance: float) -> None:
    settings = Settings(preset=preset).resolved(TINY)
    assert (settings.steps, settings.inversion_steps) == (steps, inversion_steps)
    assert settings.guidance == guidance
    assert settings.model_size == 128


def test_the_user_comes_before_the_preset_and_the_bundle() -> None:
    bundle = {**TINY, "lambda": 0.1, "steps": 5, "ipr_share": 0.5}
    settings = Settings(preset="paper", guidance=3, lambda_=0.9).resolved(bundle)
    assert settings.guidance == 3
    assert settings.lambda_ == 0.9
    assert settings.ipr_share == 0.5
    assert settings.steps == 50


@pytest.mark.parametrize("asked", [{}, {"preset": "paper"}, {"guidance": 3}], ids=["bundle", "preset", "asked"])
def test_the_guidance_factor_is_on_whatever_says_the_guidance(asked: dict[str, Any]) -> None:
    usual = Settings(**asked).resolved(TINY).guidance_of()
    assert Settings(**asked, guidance_factor=1).resolved(TINY).guidance_of() == usual
    assert Settings(**asked, guidance_factor=0.5).resolved(TINY).guidance_of() == usual / 2
    assert Settings(**asked, guidance_factor=2).resolved(TINY).guidance_of(4) == 8, "an instance's own too"


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_greater_guidance_factor_never_pulls_less(one: float, other: float) -> None:
    weak, strong = (Settings(guidance_factor=f).resolved(TINY).guidance_of() for f in sorted((one, other)))
    assert weak <= strong
    assert strong - weak == pytest.approx(abs(one - other) * TINY["guidance"])


def test_asked_and_resolved_settings_have_the_same_fields() -> None:
    assert list(Settings.model_fields) == list(ResolvedSettings.model_fields)


def test_an_asked_for_setting_survives_being_resolved() -> None:
    asked: dict[str, Any] = {
        "preset": "paper",
        "steps": 25,
        "inversion_steps": 100,
        "plan": "nps_only",
        "ipr": "dense_diffusion",
        "lambda": 0.5,
        "lambda_r": 0.7,
        "lambda_s": "bounded",
        "flow": "none",
        "window": 8,
        "overlap": 2,
        "device": "cuda:1",
        "precision": "bf16",
        "feather": 2.5,
    }
    settings = Settings(**asked).resolved(TINY)
    assert {name: json.loads(settings.to_json())[name] for name in asked} == asked


@given(steps=st.integers(1, 500))
def test_any_number_of_steps_gets_an_inversion_grid_that_holds_its_timesteps(steps: int) -> None:
    settings = Settings(steps=steps).resolved(TINY)
    sampling = {k * (1000 // steps) + 1 for k in range(steps)}
    count = settings.inversion_steps
    assert sampling <= {k * (1000 // count) + 1 for k in range(count)}


@given(steps=st.integers(1, 60), inversion_steps=st.integers(1, 500))
def test_inversion_steps_are_refused_exactly_where_a_timestep_is_missed(steps: int, inversion_steps: int) -> None:
    sampling = {k * (1000 // steps) + 1 for k in range(steps)}
    inversion = {k * (1000 // inversion_steps) + 1 for k in range(inversion_steps)}
    if inversion_steps % steps == 0 and sampling <= inversion:
        Settings(steps=steps, inversion_steps=inversion_steps)
    else:
        with pytest.raises(RequestError, match="inversion_steps"):
            Settings(steps=steps, inversion_steps=inversion_steps)


@given(steps=st.integers(1, 60), inversion_steps=st.integers(1, 500))
def test_the_other_solver_takes_any_multiple_of_the_steps(steps: int, inversion_steps: int) -> None:
    assert Settings(solver="dpmpp_2m", steps=steps).resolved(TINY).inversion_steps == steps
    if inversion_steps % steps == 0:
        Settings(solver="dpmpp_2m", steps=steps, inversion_steps=inversion_steps)
    else:
        with pytest.raises(RequestError, match=f"Use {steps} inversion steps"):
            Settings(solver="dpmpp_2m", steps=steps, inversion_steps=inversion_steps)


@pytest.mark.parametrize("asked", [{"steps": 20}, {"solver": "ddim"}, {"steps": 20, "solver": "ddim"}], ids=str)
def test_the_inversion_of_a_preset_follows_what_is_asked_for(asked: dict[str, Any]) -> None:
    settings = Settings(preset="fast", **asked).resolved(TINY)
    twice = settings.solver == "ddim"
    assert settings.inversion_steps == settings.steps * (2 if twice else 1)


def test_a_preset_gives_way_where_ipr_steers_by_one_instance() -> None:
    assert Settings(preset="fast").resolved(TINY).nps_passes == "joint"
    assert Settings(preset="fast", ipr="dense_diffusion").resolved(TINY).nps_passes == "each"
    with pytest.raises(RequestError, match=r"dense_diffusion.*nps_passes"):
        Settings(nps_passes="joint", ipr="dense_diffusion")


def test_a_bundle_has_no_say_in_the_solver_nor_in_the_steps_that_suit_it() -> None:
    assert Settings().resolved({**TINY, "solver": "dpmpp_2m"}).solver == "ddim"


@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (4, 2), (8, 4), (16, 4), (100, 4)])
def test_the_overlap_shrinks_with_the_window(window: int, overlap: int) -> None:
    assert Settings(window=window).resolved(TINY).overlap == overlap


def test_an_overlap_that_only_clashes_with_the_bundles_window() -> None:
    with pytest.raises(RequestError, match="overlap"):
        Settings(overlap=8).resolved({**TINY, "window": 8})


def test_a_bundle_that_names_no_model_size() -> None:
    with pytest.raises(RequestError, match=r"model_size: it is missing"):
        Settings().resolved({})
    assert Settings(model_size=512).resolved({}).model_size == 512


@pytest.mark.parametrize("defaults", [{"modelsize": 128}, {"guidance": "much"}, {"guidance_factor": 2}])
def test_a_bundle_with_wrong_defaults(defaults: dict[str, object]) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Settings().resolved(defaults)


TEXT = st.text(max_size=20)
WORDS = TEXT.filter(lambda text: text.strip() != "")
NUMBER = st.floats(0, 1e308)
SHARE = st.floats(0, 1)
COUNT = st.integers(1, 10**6)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


settings_strategy = st.builds(
    Settings,
    preset=st.sampled_from(sorted(PRESETS)),
    guidance=maybe(NUMBER),
    guidance_factor=maybe(NUMBER),
    plan=maybe(st.sampled_from(PLAN_NAMES)),
    ipr=maybe(st.sampled_from(["ipr", "none", "dense_diffusion"])),
    lambda_=maybe(NUMBER),
    lambda_r=maybe(SHARE),
    seed=maybe(st.integers(0, 2**63 - 1)),
    variation=maybe(SHARE),
    window=maybe(st.integers(5, 100)),
    overlap=maybe(st.integers(0, 4)),
    feather=maybe(NUMBER),
    device=maybe(st.sampled_from(["auto", "cpu", "cuda:3"])),
)
instance_strategy = st.builds(
    Instance,
    id=COUNT,
    caption=WORDS,
    source_caption=TEXT,
    matte=WORDS,
    seed=maybe(st.integers(0, 2**63 - 1)),
    lambda_=maybe(NUMBER),
    lambda_r=maybe(SHARE),
    guidance=maybe(NUMBER),
    name=TEXT,
)
frames_strategy = st.tuples(COUNT, COUNT).map(lambda ends: FrameRange(min(ends), max(ends)))
request_strategy = st.builds(
    EditRequest,
    clip=WORDS,
    frames=maybe(frames_strategy),
    mattes=maybe(WORDS),
    instances=st.lists(instance_strategy, min_size=1, max_size=3, unique_by=lambda instance: instance.id).map(tuple),
    global_caption=TEXT,
    bundle=WORDS,
    settings=settings_strategy,
)


@given(edit=request_strategy)
def test_json_round_trip_is_exact(edit: EditRequest) -> None:
    text = edit.to_json()
    again = EditRequest.from_json(text)
    assert again == edit
    assert again.to_json() == text
    assert EditRequest.from_json(text.encode()) == edit


def test_an_id_is_one_instances_alone_linked_or_not() -> None:
    cup, ball = Instance(id=1, caption="a cup", linked=(5,)), Instance(id=5, caption="a ball")
    for things, field in (((cup, ball), "instances[1].id"), ((ball, cup), "instances[1].linked")):
        with pytest.raises(RequestError, match=r"has the id 5 too") as caught:
            EditRequest(clip="cups.mp4", mattes="ids", instances=things)
        assert caught.value.field == field
    own = cup.model_copy(update={"matte": "cup.mov"})
    with pytest.raises(RequestError, match="linked with"):
        EditRequest(clip="cups.mp4", instances=(own,))
    assert EditRequest(clip="cups.mp4", mattes="ids", instances=(own,)).instances[0].linked == (5,)


def test_the_paths_that_a_request_names_are_listed_and_replaced_by_field() -> None:
    things = (Instance(id=1, caption="a cup"), Instance(id=2, caption="a ball", matte="ball.mov"))
    request = EditRequest(clip="cups.mp4", mattes="ids", instances=things)
    assert request.sources() == {"clip": "cups.mp4", "mattes": "ids", "instances[1].matte": "ball.mov"}
    moved = request.with_sources(lambda path: f"/shots/{path}")
    assert moved.sources() == {field: f"/shots/{path}" for field, path in request.sources().items()}
    assert moved.with_sources(lambda path: path.removeprefix("/shots/")) == request


def test_what_a_request_leaves_open_stays_open_when_its_paths_are_replaced() -> None:
    request = EditRequest(clip="cups.mp4", instances=(Instance(id=1, caption="a cup", matte="cup.mov"),))
    assert "mattes" not in request.with_sources(str.upper).model_fields_set


@pytest.mark.parametrize(
    ("indices", "ranges"),
    [([], ""), ([7], "7-7"), ([3, 4, 5, 9], "3-5 9-9"), ([5, 4, 4], "5-5 4-4 4-4"), (range(2, 200), "2-199")],
)
def test_frames_make_up_ranges_in_their_order(indices: Iterable[int], ranges: str) -> None:
    assert list(map(str, FrameRange.runs(indices))) == ranges.split()
