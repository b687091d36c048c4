"""What hosts learn about the effect before there is an instance."""

from __future__ import annotations

import pytest
from tests.hosts import ofx_abi
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Pixels
from tests.hosts.ofx_host import FILTER, GENERAL, Content
from tests.plugin.conftest import OpenHost
from tests.plugin.shots import analysed, edited, effect_on

from mive.settings import PRESETS

SUITES = sorted(ofx_abi.SUITES)
REQUIRED = ("OfxImageEffectSuite", "OfxParameterSuite", "OfxPropertySuite")


def test_the_plugin_says_who_it_is(open_host: OpenHost) -> None:
    plugin = open_host().plugin
    assert plugin.pluginApi == b"OfxImageEffectPluginAPI"
    assert plugin.apiVersion == 1
    assert plugin.pluginIdentifier == b"org.mive.MultiInstanceEdit"


def test_the_effect_asks_for_whole_frames_in_both_contexts_and_three_depths(open_host: OpenHost) -> None:
    described = open_host().describe().properties.values
    assert described["OfxPropLabel"] == ["MIVE"]
    assert described["OfxImageEffectPluginPropGrouping"] == ["MIVE"]
    assert described["OfxImageEffectPropSupportedContexts"] == [FILTER, GENERAL]
    depths = ["OfxBitDepthFloat", "OfxBitDepthShort", "OfxBitDepthByte"]
    assert described["OfxImageEffectPropSupportedPixelDepths"] == depths
    for name in ("SupportsTiles", "SupportsMultiResolution", "TemporalClipAccess"):
        assert described[f"OfxImageEffectProp{name}"] == [0]
    assert described["OfxImageEffectPluginPropHostFrameThreading"] == [0]


@pytest.mark.parametrize(("name", "safety"), [("MLT", "Unsafe"), ("DaVinciResolve", "InstanceSafe")])
def test_thread_safety_is_what_the_host_bears(open_host: OpenHost, name: str, safety: str) -> None:
    described = open_host(name=name).describe().properties.values
    assert described["OfxImageEffectPluginRenderThreadSafety"] == [f"OfxImageEffectRender{safety}"]


@pytest.mark.parametrize("context", [FILTER, GENERAL])
def test_mattes_are_optional_clips(open_host: OpenHost, context: str) -> None:
    clips = open_host(temporal_access=True).describe(context).clips
    assert list(clips) == ["Source", "Output", "Mattes", "Mattes2"]
    assert [clip.values["OfxImageClipPropOptional"] for clip in clips.values()] == [[0], [0], [1], [1]]
    assert "OfxImageComponentAlpha" in clips["Mattes"].values["OfxImageEffectPropSupportedComponents"]
    assert clips["Source"].values["OfxImageEffectPropTemporalClipAccess"] == [1]


def test_parameters_are_of_the_types_that_every_host_has(open_host: OpenHost) -> None:
    parameters = open_host().describe().parameters
    kinds = {
        name: props.values["OfxParamPropType"][0].removeprefix("OfxParamType") for name, props in parameters.items()
    }
    assert kinds == {
        "captions": "String", "mattes": "String", "media": "String", "frameRange": "String",
        "preset": "Choice", "seed": "Integer", "strength": "Double",
        "server": "String", "token": "String", "mode": "Choice", "onMiss": "Choice",
        "analyse": "PushButton", "cancel": "PushButton", "status": "String",
    }  # fmt: skip
    assert parameters["captions"].values["OfxParamPropStringMode"] == ["OfxParamStringIsMultiLine"]
    assert parameters["token"].values["OfxParamPropStringMode"] == ["OfxParamStringIsFilePath"]
    # Projects hold a preset's place, so these three stay where they are.
    assert parameters["preset"].values["OfxParamPropChoiceOption"][:3] == ["Draft", "Standard", "Paper"]
    assert len(parameters["preset"].values["OfxParamPropChoiceOption"]) == len(PRESETS)
    assert parameters["preset"].values["OfxParamPropDefault"] == [1]
    assert parameters["mode"].values["OfxParamPropChoiceOption"] == ["Analyse", "Playback", "Off"]
    assert parameters["mode"].values["OfxParamPropDefault"] == [1]
    assert parameters["status"].values["OfxParamPropEnabled"] == [0]


def test_loading_twice_is_harmless(open_host: OpenHost, footage: Content) -> None:
    host = open_host()
    assert [host.load(), host.load(), host.unload(), host.load()] == [ofx_abi.OK] * 4
    effect = effect_on(footage, host, mode=2)
    assert effect.render(1).status == ofx_abi.OK


@pytest.mark.parametrize("missing", SUITES, ids=lambda suite: f"{suite[0]}V{suite[1]}")
def test_a_missing_suite_is_refused_at_load_or_done_without(
    open_host: OpenHost, footage: Content, missing: tuple[str, int]
) -> None:
    host = open_host(missing=(missing,), temporal_access=True)
    if missing[0] in REQUIRED:
        assert host.load() == ofx_abi.MISSING_FEATURE
        return
    effect = effect_on(footage, host)
    effect.press("analyse")
    assert "bridge" in effect.status
    shown = effect.render(2)
    assert shown.status == ofx_abi.OK
    assert _same(shown.pixels, footage(2))


@pytest.mark.parametrize("missing", sorted({name for name, _ in SUITES} - set(REQUIRED)))
def test_without_a_suite_frames_are_analysed_and_shown_all_the_same(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, missing: str
) -> None:
    effect = analysed(effect_on(footage, open_host(missing=(missing,), temporal_access=True)))
    for frame in range(10):
        assert _same(effect.render(frame).pixels, edited(footage(frame), frame))


def test_without_any_message_suite_frames_still_pass(open_host: OpenHost, footage: Content) -> None:
    effect = effect_on(footage, open_host(missing=("OfxMessageSuite",)))
    assert _same(effect.render(2).pixels, footage(2))


def test_a_host_with_old_messages_finds_them_in_its_log(open_host: OpenHost, footage: Content) -> None:
    host = open_host(missing=(("OfxMessageSuite", 2),))
    effect_on(footage, host).render(2)
    ((kind, text),) = host.messages
    assert kind == "OfxMessageLog"
    assert text.startswith("MIVE shows the source.")


def test_stills_are_rendered_on_every_frame(open_host: OpenHost, footage: Content) -> None:
    assert effect_on(footage, open_host()).clip_preferences() == {"OfxImageEffectFrameVarying": [1]}


def _same(shown: Pixels, source: Pixels | None) -> bool:
    return source is not None and bool((shown == source).all())
