"""From Analyse to playback: how frames come to the bridge, and what the user reads meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Message, Pixels
from tests.hosts.ofx_host import FILTER, Content
from tests.plugin.conftest import OpenHost
from tests.plugin.shots import CAPTIONS, analysed, edited, effect_on

ANALYSE, OFF = 0, 2
WAIT = 1


def test_analyse_hands_over_the_range_and_playback_shows_it(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    host = open_host(temporal_access=True)
    effect = effect_on(footage, host, server="farm:7433", token="/home/anna/token")
    assert "Not analysed: press Analyse." in effect.render(0).message

    effect.press("analyse")

    assert effect.status == "Done: 10 of 10 frames."
    assert (bridge.edit.server, bridge.edit.token) == ("farm:7433", "/home/anna/token")
    assert sorted(bridge.edit.puts) == list(range(10))
    assert host.progress == sorted(host.progress)
    np.testing.assert_array_equal(effect.render(0).pixels, edited(footage(0), 0))
    assert effect.render(0).message == ""


def test_analyse_again_sends_nothing_twice(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.press("analyse")
    assert bridge.requests.count("put") == 10


def test_only_missing_frames_are_fetched(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    host = open_host(temporal_access=True)
    host.stop_progress = lambda share: share >= 0.4
    effect = effect_on(footage, host)
    effect.press("analyse")
    assert effect.status == "Stopped while collecting frames. Press Analyse to go on."
    assert sorted(bridge.edit.puts) == [0, 1, 2, 3]
    host.stop_progress = lambda share: False
    effect.press("analyse")
    assert effect.status.startswith("Done")
    assert bridge.requests.count("put") == 10


def test_more_ranges_than_a_message_tells(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    host = open_host(temporal_access=True)
    effect = effect_on(lambda time: footage(time % 10)[:8, :8], host, frameRange="0-139")
    host.stop_progress = lambda share: True
    effect.press("analyse")
    for frame in range(0, 140, 2):
        effect.render(frame)
    assert len(bridge.edit.missing) == 70
    host.stop_progress = lambda share: False
    effect.press("analyse")
    assert effect.status == "Done: 140 of 140 frames."


def test_without_temporal_access_frames_are_collected_as_they_are_played(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = effect_on(footage, open_host())
    effect.press("analyse")
    expected = "Collecting frames: 0 of 10 frames are there. Play the range once, so that they are seen."
    assert effect.status == expected
    for frame in (3, 0, 1, 2, 9, 8, 7, 6, 5):
        shown = effect.render(frame)
        np.testing.assert_array_equal(shown.pixels, footage(frame))
        assert "Collecting frames" in shown.message
    np.testing.assert_array_equal(effect.render(4).pixels, edited(footage(4), 4))
    for frame in range(10):
        np.testing.assert_array_equal(bridge.edit.puts[frame].images["source"], footage(frame))
        np.testing.assert_array_equal(effect.render(frame).pixels, edited(footage(frame), frame))


@pytest.mark.parametrize("on_miss", [0, WAIT])
def test_a_host_without_buttons_analyses_by_rendering(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, on_miss: int
) -> None:
    effect = effect_on(footage, open_host(name="MLT"), mode=ANALYSE, onMiss=on_miss)
    for frame in (1, 0, 2, 4, 3, 5, 7, 6, 8):
        shown = effect.render(frame)
        assert shown.status == 0
        np.testing.assert_array_equal(shown.pixels, footage(frame))
        effect = effect.recreated()
    np.testing.assert_array_equal(effect.render(9).pixels, edited(footage(9), 9))
    np.testing.assert_array_equal(effect.render(9).pixels, edited(footage(9), 9))
    effect = effect_on(footage, effect.host, onMiss=WAIT)
    for frame in range(10):
        np.testing.assert_array_equal(effect.render(frame).pixels, edited(footage(frame), frame))


def test_a_file_is_read_by_the_bridge(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(), media=" /shots/a.mov ", mattes="/shots/mattes"))
    assert bridge.edit.fields["source"] == "file /shots/a.mov"
    assert bridge.edit.fields["mattes"] == "file /shots/mattes"
    assert bridge.edit.fields["frames"] == "all"
    assert "put" not in bridge.requests
    np.testing.assert_array_equal(effect.render(4).pixels, edited(footage(4), 4))


def test_a_file_with_matte_clips_hands_over_only_the_mattes(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    clips = {"Source": footage, "Mattes": lambda time: np.full((48, 64), int(time), np.uint8)}
    values = {"captions": CAPTIONS, "media": "/shots/a.mov", "frameRange": "0-1"}
    effect = open_host().create(FILTER, clips, values)
    effect.press("analyse")
    effect.render(0)
    np.testing.assert_array_equal(effect.render(1).pixels, edited(footage(1), 1))
    assert list(bridge.edit.puts[0].images) == ["mattes"]


def test_instances_that_come_and_go_find_the_same_edit(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    for frame in range(10):
        effect = effect.recreated()
        np.testing.assert_array_equal(effect.render(frame).pixels, edited(footage(frame), frame))
    other = effect_on(footage, effect.host)
    np.testing.assert_array_equal(other.render(1).pixels, edited(footage(1), 1))
    assert len(bridge.edits) == 1


def test_cancel_and_again(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    bridge.after_frames = "running"
    effect = effect_on(footage, open_host(temporal_access=True))
    effect.press("analyse")
    effect.press("cancel")
    assert effect.status == "Cancelled: press Analyse to start again."
    shown = effect.render(0)
    assert "Cancelled" in shown.message
    np.testing.assert_array_equal(shown.pixels, footage(0))
    bridge.after_frames = "done"
    analysed(effect)


def test_analyse_after_the_source_has_changed(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    def slipped(time: float) -> Pixels | None:
        return footage(9 - time)

    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.contents = {"Source": slipped}
    effect = effect.recreated()
    assert "have changed" in effect.render(2).message
    analysed(effect)
    np.testing.assert_array_equal(effect.render(2).pixels, edited(slipped(2), 2))


def test_rendering_does_not_restart_what_the_user_cancelled(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True), mode=ANALYSE))
    effect.press("cancel")
    effect.render(0)
    assert bridge.edit.state == "cancelled"


def test_the_status_line_tells_how_it_stands(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    told = {"state": "running", "done": "4", "total": "10", "eta": "12", "leak": "0.013", "text": "Window 2 of 3."}
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    bridge.twist = _states(told)
    effect.open_panel()
    assert effect.status == "Editing: 4 of 10 frames are done. About 12 s left. Leak 0.013. Window 2 of 3."
    bridge.twist = _states({"state": "failed", "text": "Instance 7 never occurs in the mattes. Expected 1 or 2."})
    effect.open_panel()
    assert effect.status == "Failed. Instance 7 never occurs in the mattes. Expected 1 or 2."
    bridge.twist = _states({"state": "queued", "text": "no server answers at farm:7433."})
    effect.open_panel()
    assert effect.status == "Queued. No server answers at farm:7433."
    writes = effect.parameters["status"].writes
    effect.open_panel()
    assert effect.parameters["status"].writes == writes


def test_a_new_status_makes_hosts_render_again(open_host: OpenHost) -> None:
    status = open_host().describe().parameters["status"].values
    assert status["OfxParamPropEvaluateOnChange"] == [1]
    assert status["OfxParamPropPersistant"] == [0]


def test_a_clip_shorter_than_the_range_is_told(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    def short(time: float) -> Pixels | None:
        return footage(time) if time < 6 else None

    effect = effect_on(short, open_host(temporal_access=True))
    effect.press("analyse")
    assert effect.status == "The host has no image of frame 6. Enter a frame range that the clip has."


def test_what_the_bridge_refuses_is_told(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    bridge.twist = lambda request, answer: (
        Message("error", {"id": request.fields["id"], "text": "No such server: farm."})
        if request.type == "order"
        else answer
    )
    effect = effect_on(footage, open_host())
    effect.press("analyse")
    assert effect.status == "No such server: farm."


def test_off_says_so(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host())
    effect.set("mode", OFF)
    assert effect.status == "Off."


def _states(told: dict[str, str]):  # type: ignore[no-untyped-def]
    return lambda request, answer: Message("state", {"id": request.fields["id"], **told})
