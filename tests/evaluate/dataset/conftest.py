"""A small VIPSeg made from the toy world, and a model server that speaks OpenAI's chat-completions protocol."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mive.evaluate.toyworld import Renderer, Scene, random_scene

CATEGORIES = [
    {"id": 1, "name": "ceiling", "isthing": 0, "color": [180, 120, 120]},
    {"id": 15, "name": "grass", "isthing": 0, "color": [255, 6, 82]},
    {"id": 60, "name": "person", "isthing": 1, "color": [11, 200, 200]},
    {"id": 74, "name": "ball", "isthing": 1, "color": [0, 255, 173]},
    {"id": 76, "name": "box", "isthing": 1, "color": [173, 255, 0]},
    {"id": 84, "name": "bottle_or_cup", "isthing": 1, "color": [255, 184, 184]},
]
GRASS, BALL, BOX, CUP = 16, 75, 77, 85
"""Classes as masks have them: one more than in the list."""

_CLASSES = {"ball": BALL, "cube": BOX, "cup": CUP}
_SIZE, _ENLARGED = (192, 256), 3
_PLACES = ((60, 60), (150, 70), (70, 135), (160, 140))
"""Within the part of the frame, in the toy world's pixels, that the crop takes."""


def scene_of(shapes: Sequence[str], leaves: bool = False) -> Scene:
    """Things that stay in the middle; the last one leaves it if asked."""
    scene = random_scene(7, _SIZE, (4, 4), (0.08, 0.13), spacing=0.9)
    things = [
        replace(thing, shape=shape, position=(x + 30, y), radius=18, velocity=(0.3, 0.2), growth=0.0)
        for thing, shape, (x, y) in zip(scene.things, shapes, _PLACES, strict=False)
    ]
    if leaves:
        things[-1] = replace(things[-1], velocity=(12.0, 0.0))
    return replace(scene, things=tuple(things))


def write_video(root: Path, name: str, scene: Scene, frames: int, enlarged: int = _ENLARGED) -> None:
    """A video and its masks: a class's n-th thing has the value 100 × class + n, the ground is grass."""
    values = [GRASS]
    for thing in scene.things:
        category = _CLASSES[thing.shape]
        values.append(100 * category + sum(value // 100 == category for value in values))
    for folder in ("imgs", "panomasks"):
        (root / folder / name).mkdir(parents=True)
    renderer = Renderer(scene)
    for number in range(frames):
        frame = renderer.frame(number)
        mask = np.array(values, np.uint16)[frame.ids]
        mask[14:16, 40:80] = 0  # not labelled
        mask[18:20, 100:140] = 200  # VIPSeg's known mistake, which means the same
        stem = f"{10 + 3 * number:08d}"
        size = (_SIZE[1] * enlarged, _SIZE[0] * enlarged)
        image = cv2.cvtColor(cv2.resize(frame.image, size), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / "imgs" / name / f"{stem}.jpg"), image)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / "panomasks" / name / f"{stem}.png"), mask)


@pytest.fixture(scope="session")
def vipseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos that fit, and one for each reason not to."""
    root = tmp_path_factory.mktemp("data") / "VIPSeg"
    write_video(root, "1_kitchen", scene_of(["cup", "ball", "cup"]), 12)
    write_video(root, "2_yard", scene_of(["cube", "ball"]), 13)
    write_video(root, "3_balls", scene_of(["ball", "ball"]), 12)
    write_video(root, "4_short", scene_of(["cup", "ball"]), 11)
    write_video(root, "5_leaves", scene_of(["cup", "ball"], leaves=True), 12)
    write_video(root, "6_empty", scene_of([]), 12)
    write_video(root, "7_small", scene_of(["cup", "ball"]), 12, enlarged=2)
    (root / "panoVIPSeg_categories.json").write_text(json.dumps(CATEGORIES))
    (root / "train.txt").write_text("1_kitchen\n3_balls\n4_short\n6_empty\n")
    (root / "val.txt").write_text("2_yard\n5_leaves\n7_small\n")
    (root / "test.txt").write_text("8_hidden\n")
    (root / "some.txt").write_text("1_kitchen\n2_yard\n5_leaves\n")
    (root / "yard.txt").write_text("2_yard\n")
    return root


@dataclass
class Reply:
    """What the server sends instead of a good answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class ModelServer:
    """A server with a model that does as it is asked.

    Attributes:
        url: its base address.
        requests: the bodies that it got.
        headers: the headers of the last.
        first: what it sends before it behaves, in this order.
        says: changes a good answer; given the question's text.
    """

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    first: list[Reply] = field(default_factory=list)
    says: Callable[[str, str], str] = lambda question, answer: answer


def completion(text: str | None) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


def question_of(body: dict[str, Any]) -> str:
    """The first turn's text; a picture with it must be a JPEG of the crop's size."""
    assert set(body) == {"model", "messages", "temperature", "max_tokens"}
    assert [turn["role"] for turn in body["messages"]] == [
        ("user", "assistant")[place % 2] for place in range(len(body["messages"]))
    ]
    content = body["messages"][0]["content"]
    if isinstance(content, str):
        return content
    picture, text = content
    assert (picture["type"], text["type"]) == ("image_url", "text")
    prefix, data = picture["image_url"]["url"].split(",", 1)
    assert prefix == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (512, 512, 3)
    return str(text["text"])


def good_answer(question: str) -> str:
    objects = re.findall(r"^([0-9]+)\. ([a-z ]+?)(?:, box [0-9. ]+)?$", question, re.MULTILINE)
    if question.startswith("Describe"):
        return "A picture of " + " and ".join(f"a {name} [{number}]" for number, name in objects) + "."
    if question.startswith("Summarise"):
        tagged = " and ".join(f"<{number}>a {name}</{number}>" for number, name in objects)
        return f'Here it is:\n```json\n{{"caption": "{tagged} in a picture"}}\n```'
    words = re.findall(r'the object "(.*?)"', question)[0].removeprefix("a ")
    return json.dumps({"candidates": [f"a {colour} {words}" for colour in ("red", "green", "blue", "gold", "black")]})


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(body)
            server.headers = dict(self.headers.items())
            try:
                assert self.path == "/v1/chat/completions"
                question = question_of(body)
                good = Reply(body=completion(server.says(question, good_answer(question))))
            except AssertionError as error:
                good = Reply(400, json.dumps({"error": {"message": f"bad request: {error}"}}).encode())
            reply = server.first.pop(0) if server.first else good
            time.sleep(reply.seconds)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A server that ends with its block."""
    made = ModelServer()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    listening.daemon_threads = True
    made.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield made
    finally:
        listening.shutdown()
        listening.server_close()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as made:
        yield made
