"""Edit requests travel without loss, and what cannot be a request is refused by its field."""

from __future__ import annotations

import contextlib
from typing import Any, Literal, get_args, get_origin

import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import RequestError
from mive.request import PLAN_NAMES, PRESETS, EditRequest, FrameRange, Instance, Settings
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.request import (
    Source,
    range_from_message,
    range_to_message,
    request_from_message,
    request_to_message,
    settings_from_message,
    settings_to_message,
    with_handles,
)
from mive.wire.words import word_of

CUPS = EditRequest(
    clip="cups.mp4",
    mattes="mattes/",
    frames=FrameRange(0, 15),
    instances=(Instance(id=1, caption="a red cup"), Instance(id=2, caption="a blue cup", lambda_=0.3)),
    settings=Settings(preset="draft", seed=7),
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = texts.filter(str.strip)
weights = st.none() | st.floats(0, 1e300) | st.integers(0, 9)
shares = st.none() | st.floats(0, 1)
seeds = st.none() | st.integers(0, 2**63 - 1)
counts = st.integers(1, 2**32 - 1)

WORDS = {
    name: get_args(choice)
    for name, field in Settings.model_fields.items()
    for choice in get_args(field.annotation)
    if get_origin(choice) is Literal
}
"""What settings that are choices take, by name."""


@st.composite
def some_settings(draw: st.DrawFn) -> Settings:
    """Settings with any field open or set, steps left to grids that fit."""
    choices = {
        **WORDS,
        "device": ["auto", "cpu", "mps", "cuda", "cuda:11"],
        "plan": list(PLAN_NAMES),
    }
    window = draw(st.none() | counts)
    steps, inversion_steps = draw(st.sampled_from([(None, None), (10, None), (20, 40), (50, 100)]))
    fields: dict[str, Any] = {name: draw(st.none() | st.sampled_from(words)) for name, words in choices.items()}
    fields |= {name: draw(weights) for name in ("guidance", "guidance_factor", "lambda", "control_scale", "feather")}
    fields |= {name: draw(shares) for name in ("lambda_r", "ipr_share", "variation")}
    if fields["ipr"] == "dense_diffusion":
        fields["nps_passes"] = "each"
    return Settings(
        **fields,
        preset=draw(st.sampled_from(list(PRESETS))) if steps is None else "standard",
        steps=steps,
        inversion_steps=inversion_steps,
        seed=draw(seeds),
        model_size=draw(st.none() | st.integers(8, 2**32 - 1)),
        instances_per_forward=draw(st.none() | counts),
        window=window,
        overlap=None if window is None else draw(st.none() | st.integers(0, window - 1)),
    )


@st.composite
def some_instance(draw: st.DrawFn, number: int) -> Instance:
    return Instance(
        id=number,
        caption=draw(words),
        source_caption=draw(texts),
        matte=draw(words),
        name=draw(texts),
        seed=draw(seeds),
        lambda_=draw(weights),
        lambda_r=draw(shares),
        guidance=draw(weights),
    )


@st.composite
def some_request(draw: st.DrawFn) -> EditRequest:
    first = draw(st.integers(0, 2**32 - 1))
    ids = draw(st.lists(counts, min_size=1, max_size=5, unique=True))
    own = draw(st.integers(1, min(len(ids), 3)))
    mattes = draw(st.none() | words)
    instances = [draw(some_instance(number)) for number in ids[:own]]
    if mattes is not None:
        instances[0] = instances[0].model_copy(update={"linked": tuple(ids[own:])})
    return EditRequest(
        clip=draw(words),
        mattes=mattes,
        frames=draw(st.none() | st.just(FrameRange(first, draw(st.integers(first, 2**32 - 1))))),
        instances=tuple(instances),
        global_caption=draw(words),
        bundle=draw(words),
        settings=draw(some_settings()),
    )


@given(some_request())
def test_a_request_comes_back_as_it_was(request: EditRequest) -> None:
    data = request_to_message(request).SerializeToString()
    back = request_from_message(edit_pb2.EditRequest.FromString(data))
    assert back == request
    assert back.to_json() == request.to_json()


@given(some_settings())
def test_settings_come_back_as_they_were(settings: Settings) -> None:
    assert settings_from_message(settings_to_message(settings)) == settings


def test_what_is_open_is_not_sent() -> None:
    assert settings_to_message(Settings()).ListFields() == [
        (edit_pb2.Settings.DESCRIPTOR.fields_by_name["preset"], edit_pb2.PRESET_STANDARD)
    ]
    zero = settings_to_message(Settings(seed=0, guidance=0))
    assert (zero.HasField("seed"), zero.HasField("guidance"), zero.HasField("steps")) == (True, True, False)


@pytest.mark.parametrize(
    ("model", "message"),
    [(Settings, edit_pb2.Settings), (Instance, edit_pb2.Instance), (EditRequest, edit_pb2.EditRequest)],
)
def test_the_contract_uses_the_words_of_the_request(model: Any, message: Any) -> None:
    fields = {info.serialization_alias or name for name, info in model.model_fields.items()}
    assert {field.name for field in message.DESCRIPTOR.fields} == fields - {"version"}


def test_the_contract_has_an_enum_value_for_each_word() -> None:
    kinds = {field.name: field.enum_type for field in edit_pb2.Settings.DESCRIPTOR.fields if field.enum_type}
    values = {
        name: tuple(word_of(kind, value.number) for value in kind.values if value.number)
        for name, kind in kinds.items()
    }
    assert values == {**WORDS, "preset": tuple(PRESETS)}


def test_the_messages_json_is_nearly_the_requests() -> None:
    """What a person writes for a stock client: enums and sources are longer, every word is the same."""
    message = json_format.Parse(
        """{"clip": {"path": "cups.mp4"}, "mattes": {"path": "mattes/"}, "frames": {"first": 0, "last": 15},
        "instances": [{"id": 1, "caption": "a red cup"}, {"id": 2, "caption": "a blue cup", "lambda": 0.3}],
        "settings": {"preset": "PRESET_DRAFT", "seed": 7}}""",
        edit_pb2.EditRequest(),
    )
    assert request_from_message(message) == CUPS


def test_other_sources_stand_in_for_paths_and_are_named_by_who_reads_them() -> None:
    clip = media_pb2.ClipSource(files=media_pb2.UploadedFiles())
    own = media_pb2.MatteSource(runs=media_pb2.MatteRuns(width=4, height=4))
    cup, other = CUPS.instances
    named = CUPS.model_copy(update={"instances": (cup, other.model_copy(update={"matte": "blue cup"}))})
    message = request_to_message(named, {"clip": clip, "instances[1].matte": own})
    assert message.clip == clip
    assert message.instances[1].matte == own
    with pytest.raises(RequestError, match="clip: the source is files"):
        request_from_message(message)

    seen: list[str] = []

    def name(source: Source, field: str) -> str:
        seen.append(field)
        return f"spool/{source.WhichOneof('source')}"

    back = request_from_message(message, name_source=name)
    assert (back.clip, back.mattes, back.instances[1].matte) == ("spool/files", "spool/path", "spool/runs")
    assert sorted(seen) == ["clip", "instances[1].matte", "mattes"]


def test_the_reader_says_which_bundle_is_meant_where_the_request_does_not() -> None:
    message = request_to_message(CUPS)
    message.ClearField("bundle")
    assert request_from_message(message, bundle="sd15").bundle == "sd15"


def changed(**fields: Any) -> edit_pb2.EditRequest:
    message = request_to_message(CUPS)
    message.MergeFrom(edit_pb2.EditRequest(**fields))
    return message


MISTAKES = [
    pytest.param(edit_pb2.EditRequest(), "clip", id="nothing"),
    pytest.param(edit_pb2.EditRequest(clip=media_pb2.ClipSource()), "clip", id="a clip from nowhere"),
    pytest.param(edit_pb2.EditRequest(clip=media_pb2.ClipSource(path="c")), "instances", id="no instances"),
    pytest.param(changed(instances=[edit_pb2.Instance(caption="a")]), "instances[2].id", id="no id"),
    pytest.param(changed(instances=[edit_pb2.Instance(id=3)]), "instances[2].caption", id="no caption"),
    pytest.param(changed(instances=[edit_pb2.Instance(id=2, caption="b")]), "instances[2].id", id="same id twice"),
    pytest.param(changed(frames=edit_pb2.FrameRange(first=99)), "frames", id="backwards"),
    pytest.param(changed(settings={"lambda": float("nan")}), "settings.lambda", id="NaN"),
    pytest.param(changed(settings={"preset": 77}), "settings.preset", id="an enum value of a newer contract"),
    pytest.param(changed(settings={"flow": -1}), "settings.flow", id="an enum value that cannot be"),
    pytest.param(changed(settings={"seed": 2**63}), "settings.seed", id="a large seed"),
    pytest.param(changed(settings={"plan": "mvie"}), "settings.plan", id="no such plan"),
    pytest.param(
        changed(settings={"steps": 10, "inversion_steps": 7}), "settings.inversion_steps", id="grids that miss"
    ),
]


@pytest.mark.parametrize(("message", "field"), MISTAKES)
def test_mistakes_are_named_by_their_field(message: edit_pb2.EditRequest, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        request_from_message(message)
    assert caught.value.field == field
    assert caught.value.expected
    assert caught.value.fix


def test_fields_of_a_newer_contract_are_refused_and_not_ignored() -> None:
    newer = descriptor_pb2.UninterpretedOption(positive_int_value=5)  # field 4, which Settings does not have
    settings = edit_pb2.Settings.FromString(newer.SerializeToString())
    message = changed(instances=[edit_pb2.Instance(id=3, caption="c")])
    message.settings.MergeFrom(settings)
    with pytest.raises(RequestError, match="settings: field 4 of Settings is not known here"):
        request_from_message(message)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (CUPS.model_copy(update={"frames": FrameRange(0, 2**32)}), "frames.last"),
        (CUPS.model_copy(update={"instances": (Instance(id=2**32, caption="a"),)}), "instances[0].id"),
        (CUPS.model_copy(update={"instances": (Instance(id=1, caption="a", linked=(2**32,)),)}), "instances[0].linked"),
        (CUPS.model_copy(update={"clip": "caf\udce9.mp4"}), "clip.path"),
        (CUPS.model_copy(update={"settings": Settings(model_size=2**40)}), "settings.model_size"),
    ],
)
def test_what_cannot_travel_is_refused_before_it_is_sent(request_: EditRequest, field: str) -> None:
    with pytest.raises(RequestError, match="cannot be sent") as caught:
        request_to_message(request_)
    assert caught.value.field == field


@given(st.binary(max_size=200))
def test_any_bytes_make_a_request_or_a_request_error(data: bytes) -> None:
    message = edit_pb2.EditRequest()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    with contextlib.suppress(RequestError):
        assert request_from_message(message).instances


def test_ranges_travel_and_those_that_run_backwards_are_refused() -> None:
    assert range_from_message(range_to_message(FrameRange(3, 9))) == FrameRange(3, 9)
    with pytest.raises(RequestError, match="Write 2-9") as caught:
        range_from_message(edit_pb2.FrameRange(first=9, last=2), "frames[1]")
    assert caught.value.field == "frames[1]"


def test_handles_end_where_the_clip_does() -> None:
    handles = mive_pb2.Handles(before=8, after=8)
    assert with_handles(FrameRange(20, 30), handles, 100) == FrameRange(12, 38)
    assert with_handles(FrameRange(3, 30), handles, 34) == FrameRange(0, 33)
    assert with_handles(FrameRange(3, 30), mive_pb2.Handles(), 34) == FrameRange(3, 30)
