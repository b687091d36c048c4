"""Whole edits: a plugin, a bridge and a server, from the first frame that is put to the last that comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from google.rpc import code_pb2
from tests.bridge.conftest import BridgeProcess
from tests.bridge.editing_server import EditingServer
from tests.bridge.plugin import edit_fields, until
from tests.client.fake_server import edited
from tests.hosts.link import Message, Pixels, format_text, thumbprint

from mive.errors import MediaError, MiveError, OutOfMemory, RequestError
from mive.media import ClipInfo, open_clip, open_writer
from mive.request import FrameRange, Settings
from mive.v1 import job_pb2
from mive_bridge.orders import Order

HEIGHT, WIDTH, COUNT = 48, 64, 4
PEAKS = {"uint8": 255, "uint16": 65535, "float32": 1}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """One for all tests here: their edits are different ones."""
    bridge = BridgeProcess(tmp_path_factory.mktemp("user"))
    yield bridge.start()
    bridge.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EditingServer]:
    (tmp_path / "server").mkdir()
    with EditingServer(tmp_path / "server", server_paths=True) as server:
        yield server


def footage(dtype: str = "uint8", channels: int = 4) -> list[Pixels]:
    """Frames that all differ; where there is alpha, it covers a box that moves."""
    rng = np.random.default_rng(1)
    frames = []
    for number in range(COUNT):
        noise = rng.integers(20, 120, (HEIGHT, WIDTH, channels))
        if channels == 4:
            noise[..., 3] = 0
            noise[8:20, 10 + number : 30 + number, 3] = 255
        if dtype == "float32":
            frames.append((noise / 255).astype(np.float32))
        else:
            frames.append((noise * (257 if dtype == "uint16" else 1)).astype(dtype))
    return frames


def expected(source: Pixels, covered: Pixels) -> Pixels:
    """The edited frame: colours inverted where it is covered, and an alpha of white there."""
    out = np.zeros((*source.shape[:2], 4), source.dtype)
    out[..., :3] = np.where(covered[..., None], edited(source[..., :3]), source[..., :3])
    out[..., 3] = covered * source.dtype.type(PEAKS[source.dtype.name])
    return out


def shown(frame: Message | Pixels, wanted: Pixels) -> None:
    """The frame is the one that is wanted, as a plugin shows it: where its alpha is 0, nothing else matters."""
    assert isinstance(frame, np.ndarray), frame
    assert np.array_equal(frame[..., 3], wanted[..., 3])
    inside = wanted[..., 3] > 0
    assert inside.any()
    assert np.array_equal(frame[inside], wanted[inside])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_frames_go_and_come_back_edited_inside_the_alpha(
    bridge: BridgeProcess, server: EditingServer, dtype: str
) -> None:
    plugin, frames = bridge.plugin(), footage(dtype)
    fields = edit_fields(frames=f"10-{9 + COUNT}", preset="draft", strength="0.500")
    answer = plugin.order(fields, server=server.address)
    assert answer.fields == {"state": "collecting", "done": "0", "total": "4", "missing": "10-13"}
    miss = plugin.frame(fields, 11, source=frames[1])
    assert isinstance(miss, Message)
    assert (miss.type, miss.fields["missing"]) == ("miss", "11")
    for number in (11, 10, 13):
        plugin.put(fields, number, source=frames[number - 10])
    assert plugin.status(fields)["missing"] == "12"
    last = plugin.put(fields, 12, source=frames[2])
    assert last.fields == {"state": "queued", "done": "0", "total": "4"}
    assert plugin.finish(fields) == {"state": "done", "done": "4", "total": "4", "text": "the caption is long"}
    for number, source in enumerate(frames):
        shown(plugin.frame(fields, 10 + number, source=source), expected(source, source[..., 3] > 0))
    settings = server.requests[0].request.settings
    assert (settings.preset, settings.seed, settings.guidance_factor) == (1, int(fields["seed"]), 0.5)
    assert not settings.HasField("guidance")
    assert not server.requests[0].request.HasField("bundle"), "the server's own is meant"


def test_a_usual_strength_says_nothing_of_guidance(bridge: BridgeProcess, server: EditingServer) -> None:
    plugin, (source, *_) = bridge.plugin(), footage()
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    assert plugin.finish(fields)["state"] == "done"
    settings = server.requests[0].request.settings
    assert not any(settings.HasField(name) for name in ("guidance", "guidance_factor"))


@pytest.mark.parametrize("guidance", [3.0, 9.0, 14.0])
def test_strength_pulls_from_nothing_over_the_bundles_own_guidance_without_a_jump(guidance: float) -> None:
    strengths = [thousandth / 1000 for thousandth in range(0, 2001, 50)] + [0.999, 1.001]
    pulled = []
    for strength in sorted(strengths):
        order = Order.parse(edit_fields(strength=f"{strength:.3f}"))
        settings = Settings(preset=order.preset, guidance_factor=order.guidance_factor)
        pulled.append(settings.resolved({"guidance": guidance, "model_size": 64}).guidance_of())
    assert pulled == pytest.approx([guidance * strength for strength in sorted(strengths)])
    assert pulled == sorted(pulled)
    assert guidance in pulled, "1.000 is exactly the bundle's"


@pytest.mark.parametrize("behaviour", [{"shared_memory": True}, {}])
def test_a_server_that_reads_no_paths_gets_frames_through_memory_or_by_upload(
    bridge: BridgeProcess, tmp_path: Path, behaviour: dict[str, bool]
) -> None:
    (tmp_path / "far").mkdir()
    with EditingServer(tmp_path / "far", **behaviour) as server:
        plugin, frames = bridge.plugin(), footage("uint16")
        fields = edit_fields(frames="0-3")
        plugin.order(fields, server=server.address)
        for number, source in enumerate(frames):
            plugin.put(fields, number, source=source)
        assert plugin.finish(fields)["state"] == "done"
        kind = server.requests[0].request.clip.WhichOneof("source")
        assert kind == ("frames" if behaviour else "files")
        whole = np.ones((HEIGHT, WIDTH), bool)
        for number, source in enumerate(frames):
            shown(plugin.frame(fields, number, source=source), expected(source, whole))


def test_premultiplied_colours_are_edited_as_they_were_before(bridge: BridgeProcess, server: EditingServer) -> None:
    plugin = bridge.plugin()
    straight = np.full((HEIGHT, WIDTH, 4), (0.5, 0.25, 1.0, 0.5), np.float32)
    straight[:8, :, 3] = 0
    source = straight.copy()
    source[..., :3] *= straight[..., 3:]
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, premultiplied=True, source=source)
    assert plugin.finish(fields)["state"] == "done"
    shown(plugin.frame(fields, 0, source=source), expected(straight, straight[..., 3] > 0))


def matte_ids(dtype: str) -> Pixels:
    ids = np.zeros((HEIGHT, WIDTH), np.float64)
    ids[4:20, 4:20], ids[24:40, 30:50] = 1, 2
    scale = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
    return (ids * scale).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_matte_clip_of_ids(bridge: BridgeProcess, server: EditingServer, dtype: str, grey: bool) -> None:
    plugin, (source, *_) = bridge.plugin(), footage(channels=3)
    mattes = matte_ids(dtype)
    if grey:
        mattes = np.repeat(mattes[..., None], 4, axis=2)
        mattes[..., 3] = 1
    fields = edit_fields(captions="2: a blue cup", mattes="clip", frames="5-5")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 5, source=source, mattes=mattes)
    assert plugin.finish(fields)["state"] == "done"
    covered = matte_ids("uint8") == 2
    shown(plugin.frame(fields, 5, source=source, mattes=mattes), expected(source, covered)[..., :4])


def test_two_matte_clips_of_coverage_in_another_size(bridge: BridgeProcess, server: EditingServer) -> None:
    plugin, (source, *_) = bridge.plugin(), footage()
    first, second = np.zeros((2, HEIGHT // 2, WIDTH // 2, 4), np.uint8)
    first[2:6, 2:6, 1], second[12:18, 20:30, 0] = 255, 255
    fields = edit_fields(captions="2: a cup\n5: a ball", mattes="clips", frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source, mattes=first, mattes2=second)
    assert plugin.finish(fields)["state"] == "done"
    frame = plugin.frame(fields, 0, source=source, mattes=first, mattes2=second)
    assert isinstance(frame, np.ndarray)
    where = frame[..., 3] > 0
    assert where[5:11, 5:11].all()
    assert where[25:35, 41:59].all()
    assert not where[:3].any()
    assert not where[14:22].any()


def test_an_instance_without_a_matte_is_told(bridge: BridgeProcess, server: EditingServer) -> None:
    plugin, (source, *_) = bridge.plugin(), footage()
    fields = edit_fields(captions="1: a cup\n2: a ball", frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    state = plugin.finish(fields)
    assert state["state"] == "failed"
    assert "nothing says where instance 2 is" in state["text"]
    assert plugin.order(fields, server=server.address).fields["state"] == "failed", "the same order changes nothing"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four lossless frames in a file."""
    path = tmp_path / "clip.mkv"
    blocks = np.kron(np.random.default_rng(5).integers(0, 255, (COUNT, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1)))
    info = ClipInfo(path, WIDTH, HEIGHT, COUNT, Fraction(24))
    with open_writer(path, info, FrameRange(0, COUNT - 1)) as writer:
        for frame in blocks.astype(np.uint8):
            writer.write(frame)
    return path


@pytest.fixture
def matte_file(tmp_path: Path) -> Path:
    folder = tmp_path / "mattes"
    info = ClipInfo(folder, WIDTH, HEIGHT, COUNT, Fraction(24))
    with open_writer(folder, info, FrameRange(0, COUNT - 1)) as writer:
        for _ in range(COUNT):
            writer.write(np.repeat(matte_ids("uint8")[..., None], 3, axis=2))
    return folder


def test_a_file_with_a_matte_file_needs_no_frames(
    bridge: BridgeProcess, server: EditingServer, clip: Path, matte_file: Path
) -> None:
    plugin = bridge.plugin()
    fields = edit_fields(source=f"file {clip}", mattes=f"file {matte_file}", frames="all")
    plugin.order(fields, server=server.address)
    assert plugin.finish(fields) == {"state": "done", "done": "4", "total": "4", "text": "the caption is long"}
    for number, source in enumerate(open_clip(clip).read()):
        frame = plugin.frame(fields, number, wanted=f"{WIDTH}x{HEIGHT}:rgba:byte", look=thumbprint(source))
        shown(frame, expected(source, matte_ids("uint8") == 1))
        deep = plugin.frame(fields, number, wanted=f"{WIDTH}x{HEIGHT}:rgba:float", look=thumbprint(source))
        assert isinstance(deep, np.ndarray)
        assert isinstance(frame, np.ndarray)
        inside = frame[..., 3] > 0
        assert np.array_equal(deep[inside], frame[inside] / np.float32(255))


def test_another_picture_or_a_changed_file_is_never_shown(
    bridge: BridgeProcess, server: EditingServer, clip: Path, matte_file: Path
) -> None:
    plugin, wanted = bridge.plugin(), f"{WIDTH}x{HEIGHT}:rgba:byte"
    fields = edit_fields(source=f"file {clip}", mattes=f"file {matte_file}", frames="1-2")
    plugin.order(fields, server=server.address)
    plugin.finish(fields)
    _, source, *_ = open_clip(clip).read()
    other = thumbprint(np.ascontiguousarray(source[::-1, ::-1]))
    for look in (other, thumbprint(np.zeros_like(source))):
        miss = plugin.frame(fields, 1, wanted=wanted, look=look)
        assert isinstance(miss, Message)
        assert miss.fields == {"state": "changed"}
    assert isinstance(plugin.frame(fields, 1, wanted=wanted, look=thumbprint(source)), np.ndarray)
    matte = next(matte_file.iterdir())
    matte.write_bytes(matte.read_bytes())
    until(lambda: isinstance(plugin.frame(fields, 1, wanted=wanted, look=thumbprint(source)), Message))
    assert plugin.order(fields, server=server.address).fields["state"] == "done", "only Analyse makes it afresh"
    assert plugin.order(fields, again=True, server=server.address).fields["state"] != "done"
    assert plugin.finish(fields)["state"] == "done"
    assert isinstance(plugin.frame(fields, 1, wanted=wanted, look=thumbprint(source)), np.ndarray)
    assert len(server.requests) == 2


def test_a_clip_with_a_matte_file_takes_its_frames_by_number(
    bridge: BridgeProcess, server: EditingServer, matte_file: Path
) -> None:
    plugin, frames = bridge.plugin(), footage()
    fields = edit_fields(mattes=f"file {matte_file}", frames="2-3")
    plugin.order(fields, server=server.address)
    for number in (2, 3):
        plugin.put(fields, number, source=frames[number])
    assert plugin.finish(fields)["state"] == "done"
    shown(plugin.frame(fields, 2, source=frames[2]), expected(frames[2], matte_ids("uint8") == 1))


def test_a_file_whose_mattes_are_clips_collects_only_those(
    bridge: BridgeProcess, server: EditingServer, clip: Path
) -> None:
    plugin = bridge.plugin()
    fields = edit_fields(source=f"file {clip}", mattes="clip", frames="all")
    plugin.order(fields, server=server.address)
    until(lambda: plugin.status(fields).get("missing") == "0-3")
    for number in range(COUNT):
        plugin.put(fields, number, mattes=matte_ids("uint8"))
    assert plugin.finish(fields)["state"] == "done"
    wanted = f"{WIDTH}x{HEIGHT}:rgba:byte"
    for number, source in enumerate(open_clip(clip).read()):
        frame = plugin.frame(fields, number, wanted=wanted, look=thumbprint(source), mattes=matte_ids("uint8"))
        shown(frame, expected(source, matte_ids("uint8") == 1))


def test_a_file_without_alpha_is_no_matte(bridge: BridgeProcess, server: EditingServer, clip: Path) -> None:
    plugin = bridge.plugin()
    fields = edit_fields(source=f"file {clip}", frames="all")
    plugin.order(fields, server=server.address)
    state = plugin.finish(fields)
    assert state["state"] == "failed"
    assert "no pixel of the source is transparent" in state["text"]


def test_a_file_that_is_not_there_is_told(bridge: BridgeProcess, server: EditingServer, tmp_path: Path) -> None:
    plugin = bridge.plugin()
    fields = edit_fields(source=f"file {tmp_path / 'none.mov'}", frames="all")
    plugin.order(fields, server=server.address)
    state = plugin.finish(fields)
    assert state["state"] == "failed"
    assert "none.mov" in state["text"]


@pytest.fixture
def done(bridge: BridgeProcess, server: EditingServer) -> dict[str, str]:
    """An edit of the footage that is done."""
    plugin = bridge.plugin()
    fields = edit_fields(frames=f"0-{COUNT - 1}")
    plugin.order(fields, server=server.address)
    for number, source in enumerate(footage()):
        plugin.put(fields, number, source=source)
    assert plugin.finish(fields)["state"] == "done"
    return fields


def test_proxies_and_other_depths_show_the_frame_scaled_and_converted(
    bridge: BridgeProcess, done: dict[str, str]
) -> None:
    plugin, source = bridge.plugin(), footage()[1]
    full = plugin.frame(done, 1, source=source)
    assert isinstance(full, np.ndarray)
    full = full.copy()
    deep = source.astype(np.uint16) * 257
    as_short = plugin.frame(done, 1, source=deep)
    assert isinstance(as_short, np.ndarray)
    inside = full[..., 3] > 0
    assert np.array_equal(as_short[inside], full[inside].astype(np.uint16) * 257)
    assert np.array_equal(as_short[..., 3] > 0, inside)
    # A host's proxy of noise is not the means of it, so its print is taken from the whole picture here.
    small = np.ascontiguousarray(source[::2, ::2])
    answer = plugin.frame(done, 1, source=small)
    if isinstance(answer, np.ndarray):
        assert answer.shape == (HEIGHT // 2, WIDTH // 2, 4)
        assert np.array_equal(answer[..., 3] > 0, inside.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).any(axis=(1, 3)))


def test_other_pixels_are_never_shown_and_analyse_starts_afresh(
    bridge: BridgeProcess, server: EditingServer, done: dict[str, str]
) -> None:
    plugin, source = bridge.plugin(), footage()[1]
    other = source.copy()
    other[0, 0, 0] ^= 1
    miss = plugin.frame(done, 1, source=other)
    assert isinstance(miss, Message)
    assert miss.fields == {"state": "changed"}
    assert isinstance(plugin.frame(done, 1, source=source), np.ndarray)
    assert plugin.order(done, server=server.address).fields["state"] == "done"
    answer = plugin.order(done, again=True, server=server.address)
    assert (answer.fields["state"], answer.fields["missing"]) == ("collecting", "0-3")
    for number, frame in enumerate(footage()):
        plugin.put(done, number, source=other if number == 1 else frame)
    assert plugin.finish(done)["state"] == "done"
    shown(plugin.frame(done, 1, source=other), expected(other, other[..., 3] > 0))
    assert len(server.requests) == 2


def test_a_frame_that_is_put_again_with_other_pixels_hides_what_was_made(
    bridge: BridgeProcess, server: EditingServer, done: dict[str, str]
) -> None:
    plugin, frames = bridge.plugin(), footage()
    assert plugin.put(done, 2, source=frames[2]).fields["state"] == "done", "the same pixels change nothing"
    other = frames[2][::-1].copy()
    answer = plugin.put(done, 2, source=other)
    assert answer.fields["state"] == "collecting"
    assert answer.fields["missing"] == "0-1,3"
    for number in range(COUNT):
        assert isinstance(plugin.frame(done, number, source=frames[number]), Message)
    for number in (0, 1, 3):
        plugin.put(done, number, source=frames[number])
    assert plugin.finish(done)["state"] == "done"
    shown(plugin.frame(done, 2, source=other), expected(other, other[..., 3] > 0))


def test_another_order_of_the_same_frames_is_another_edit(
    bridge: BridgeProcess, server: EditingServer, done: dict[str, str]
) -> None:
    plugin, source = bridge.plugin(), footage()[0]
    other = {**done, "captions": "1: a green ball"}
    miss = plugin.frame(other, 0, source=source)
    assert isinstance(miss, Message)
    assert miss.fields == {"state": "unknown"}
    assert plugin.status(other) == plugin.cancel(other) == {"state": "unknown"}
    assert plugin.order(other, server=server.address).fields["missing"] == "0-3"


def test_frames_of_different_sizes_have_to_be_handed_over_again(bridge: BridgeProcess, server: EditingServer) -> None:
    plugin, frames = bridge.plugin(), footage()
    fields = edit_fields(frames="0-1")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=frames[0])
    plugin.put(fields, 1, source=np.ascontiguousarray(frames[1][::2, ::2]))
    state = plugin.finish(fields)
    assert state["state"] == "failed"
    assert "frames of 2 kinds (32x24:rgba:byte and 64x48:rgba:byte)" in state["text"]
    assert plugin.order(fields, again=True, server=server.address).fields["missing"] == "0-1"


def test_an_edit_can_be_cancelled_and_started_again(bridge: BridgeProcess, server: EditingServer) -> None:
    server.be.hold.clear()
    plugin, source = bridge.plugin(), footage()[0]
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    until(lambda: plugin.status(fields)["state"] == "running")
    assert plugin.cancel(fields)["state"] == "cancelled"
    until(lambda: server.calls["CancelJob"] == 1)
    assert plugin.order(fields, server=server.address).fields["state"] == "cancelled"
    again = plugin.order(fields, again=True, server=server.address)
    assert again.fields["state"] in ("queued", "running", "done"), "what was handed over is still there"
    assert plugin.finish(fields)["state"] == "done"
    shown(plugin.frame(fields, 0, source=source), expected(source, source[..., 3] > 0))
    keys = [request.idempotency_key for request in server.requests]
    assert len(keys) == len(set(keys)), "another attempt is another job"


def test_an_edit_that_failed_is_another_job_when_it_is_started_again(
    bridge: BridgeProcess, server: EditingServer
) -> None:
    server.be.refusals.append((OutOfMemory("the clip is too large", fix="Wait"), code_pb2.FAILED_PRECONDITION, None))
    plugin, source = bridge.plugin(), footage()[0]
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    assert plugin.finish(fields)["text"] == "the clip is too large. Wait."
    plugin.order(fields, again=True, server=server.address)
    assert plugin.finish(fields)["state"] == "done"
    assert server.requests[0].idempotency_key.endswith("-1")


@pytest.mark.parametrize(
    "error",
    [
        MediaError("There is no such file", fix="Check the path"),
        RequestError("the path is outside", fix="Upload the files", field="instances[0].matte.path"),
    ],
    ids=["tunnel", "roots"],
)
def test_a_server_that_cannot_read_the_files_here_gets_the_frames_by_upload(
    bridge: BridgeProcess, server: EditingServer, error: MiveError
) -> None:
    server.be.refusals.append((error, code_pb2.INVALID_ARGUMENT, None))
    plugin, source = bridge.plugin(), footage()[0]
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    assert plugin.finish(fields)["state"] == "done"
    assert server.requests[0].request.clip.WhichOneof("source") == "files"


def test_a_job_that_was_cancelled_long_ago_is_not_taken_for_this_one(
    make_bridge: Callable[[], BridgeProcess], server: EditingServer
) -> None:
    source, fields = footage()[0], edit_fields(frames="0-0")
    for attempt in range(2):
        # Each has its own memory, as after the cache was deleted.
        plugin = make_bridge().start().plugin()
        plugin.order(fields, server=server.address)
        plugin.put(fields, 0, source=source)
        assert plugin.finish(fields)["state"] == "done"
        assert len(server.requests) == attempt + 1
        for job in server.jobs.values():
            job.message.state = job_pb2.JOB_STATE_CANCELLED


def test_a_busy_server_is_waited_for(bridge: BridgeProcess, server: EditingServer) -> None:
    busy = MiveError("the queue is full", fix="Wait")
    server.be.refusals.append((busy, code_pb2.RESOURCE_EXHAUSTED, 0.1))
    plugin, source = bridge.plugin(), footage()[0]
    fields = edit_fields(frames="0-0")
    plugin.order(fields, server=server.address)
    plugin.put(fields, 0, source=source)
    assert plugin.finish(fields)["state"] == "done"


def test_tokens_come_from_the_file_that_the_effect_names(
    bridge: BridgeProcess, server: EditingServer, tmp_path: Path
) -> None:
    server.be.token, token = "secret", tmp_path / "token"
    plugin, source = bridge.plugin(), footage()[0]
    fields = edit_fields(frames="0-0")
    token.write_text("wrong\n")
    plugin.order(fields, server=server.address, token=str(token))
    plugin.put(fields, 0, source=source)
    assert plugin.finish(fields)["state"] == "failed"
    token.write_text("secret\n")
    plugin.order(fields, again=True, server=server.address, token=str(token))
    assert plugin.finish(fields)["state"] == "done"
    assert str(tmp_path) not in bridge.log
    assert "red ball" not in bridge.log


def test_two_plugins_share_an_edit_and_a_connection(bridge: BridgeProcess, server: EditingServer) -> None:
    one, two = bridge.plugin(), bridge.plugin()
    frames = footage()
    fields = edit_fields(frames="0-3")
    for plugin in (one, two):
        plugin.order(fields, server=server.address)
    for number, source in enumerate(frames):
        (one, two)[number % 2].put(fields, number, source=source)
    assert one.finish(fields) == two.finish(fields)
    for number, source in enumerate(frames):
        for plugin in (one, two):
            shown(plugin.frame(fields, number, source=source), expected(source, source[..., 3] > 0))
    assert len(server.requests) == 1
    assert format_text(frames[0]) == "64x48:rgba:byte"
