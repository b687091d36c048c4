"""The page in a real browser, with the keyboard, from the first screen to the count."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.study.browser import Page, find_chromium, opened

from mive.evaluate.study.answers import load_key, load_participants
from mive.evaluate.study.plan import plan_study
from mive.evaluate.study.site import build_site, key_path
from mive.evaluate.study.tally import tally

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of three frames by three methods."""
    folder = tmp_path_factory.mktemp("site") / "study"
    build_site(plan_study(run, seed=3, title="Squares"), folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("there is no Chromium; install it with apt-get install chromium")
    with opened(chromium, tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page, site: Path) -> Iterator[Page]:
    """The study's first screen, opened from disk; no script may fail in a test."""
    browser.errors.clear()
    browser.prefers(color_scheme="light")
    browser.size(1366, 768)
    browser.open((site / "index.html").as_uri())
    yield browser
    assert browser.errors == []


def enter(page: Page, code: str) -> None:
    page.type(code)
    page.press("Enter")
    page.until("!at('clip').hidden")


def paused(page: Page) -> None:
    page.until("player.playing")
    page.press("p")
    page.until("!player.playing && player._videos.every((video) => video.paused && !video.seeking)")


def told(page: Page) -> Any:
    return page.run("at('told').textContent")


def test_a_study_from_the_first_key_to_the_count(page: Page, site: Path) -> None:
    key = load_key(key_path(site))
    enter(page, "anna")
    for _ in key.clips:
        # The digit that has the full method in this clip, then for each question another one.
        shown = page.run("state.answers.orders[clip().id]")
        methods = next(clip.videos for clip in key.clips if set(clip.videos) == set(shown))
        by_method = {methods[video]: str(place) for place, video in enumerate(shown, start=1)}
        assert page.run("document.querySelectorAll('fieldset.active').length") == 1
        for method in ("full", "quagga_net", "full"):
            page.press(by_method[method])
        page.press("ArrowUp")
        page.press("ArrowUp")
        page.press(by_method["dodo_diffusion"])
        page.press("Enter")
    page.until("!at('end').hidden")
    page.run("at('download').focus()")
    page.press("Enter")
    (file,) = wait_for(page.downloads, f"{key.study}-anna.json")
    assert file.read_text() == page.run("at('result').value")

    made = tally(key, load_participants(key, [file]))
    assert list(made.counted) == ["anna"]
    assert [made.shares["dodo_diffusion"][name].mean for name in ("temporal", "faithfulness", "leakage")] == [1, 0, 0]
    assert [made.shares["quagga_net"][name].mean for name in ("temporal", "faithfulness", "leakage")] == [0, 1, 0]
    assert [made.shares["full"][name].mean for name in ("temporal", "faithfulness", "leakage")] == [0, 0, 1]


def wait_for(folder: Path, name: str) -> list[Path]:
    """A download, when it is whole."""
    end = time.monotonic() + 60
    while not (found := [path for path in folder.glob(name) if path.stat().st_size]):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_a_closed_tab_loses_nothing(page: Page, site: Path) -> None:
    enter(page, "bert")
    for digit in "213":
        page.press(digit)
    page.press("Enter")
    page.press("2")
    before = page.run("JSON.stringify([state.answers.choices, state.answers.orders, clip().id])")
    page.call("Page.navigate", url="about:blank")
    page.until("location.href === 'about:blank'")

    page.open((site / "index.html").as_uri())
    assert "Go on as bert (1 of 2)" in page.run("at('resume').textContent")
    enter(page, "bert")
    assert page.run("JSON.stringify([state.answers.choices, state.answers.orders, clip().id])") == before
    assert page.run("at('where').textContent") == "Clip 2 of 2"
    assert page.run("document.querySelectorAll('input:checked').length") == 1
    assert page.run("state.active") == 1, "the first question without an answer"
    page.press("b")
    assert page.run("document.querySelectorAll('input:checked').length") == 3


def test_nobody_goes_on_without_all_answers(page: Page) -> None:
    enter(page, "carl")
    page.press("1")
    page.press("Enter")
    assert told(page) == "Question 2 has no answer yet."
    assert page.run("at('where').textContent") == "Clip 1 of 2"
    page.press("9")
    assert page.run("document.querySelectorAll('input:checked').length") == 1, "there is no ninth video"


def test_all_videos_are_on_the_same_frame(page: Page) -> None:
    enter(page, "dora")
    times = "player._videos.map((video) => Math.floor(video.currentTime * player.rate))"
    paused(page)
    first = page.run("player.frame")
    assert page.run(times) == [first] * 5
    for step, key in enumerate("...,,", start=1):
        page.press(key)
        page.until("player._videos.every((video) => !video.seeking)")
        expected = (first + (step if step <= 3 else 6 - step)) % 3
        assert (page.run("player.frame"), page.run(times)) == (expected, [expected] * 5)
    assert page.run("at('frame').textContent") == f"Frame {expected + 1} of 3"


def test_videos_loop_together(page: Page) -> None:
    enter(page, "emil")
    page.until("player.playing")
    page.run("window.loops = 0; player._videos[0].addEventListener('ended', () => window.loops++)")
    page.until("window.loops >= 3")
    assert page.run("player.playing")
    page.press(" ")
    page.until("!player.playing")
    assert page.run("at('play').textContent.trim().split(/\\s+/)[0]") == "Play"


def test_who_prefers_stillness_is_not_moved(page: Page, site: Path) -> None:
    page.prefers(reduced_motion="reduce")
    page.open((site / "index.html").as_uri())
    enter(page, "fay")
    page.until("player._videos.length && player._videos.every((video) => video.readyState >= 2 && !video.seeking)")
    assert not page.run("player.playing")


def test_orders_are_drawn_from_the_code(page: Page) -> None:
    orders = "Array.from({length: 300}, (_, n) => new Answers(data, `p${n}`).orders[data.clips[0].id])"
    drawn = page.run(orders)
    assert drawn == page.run(orders)
    videos = page.run("data.clips[0].videos")
    for place in range(3):
        counts = [sum(order[place] == video for order in drawn) for video in videos]
        assert min(counts) > 70, "each video about 100 times in each place"
    firsts = page.run("Array.from({length: 300}, (_, n) => new Answers(data, `p${n}`).clips[0].id)")
    assert min(firsts.count(clip) for clip in set(firsts)) > 110, "clips come in random order too"


def test_a_code_is_checked(page: Page) -> None:
    page.type("an na")
    page.press("Enter")
    assert "letters, digits" in page.run("at('code-error').textContent")
    assert page.run("at('clip').hidden && document.activeElement.id === 'code'")


def test_a_browser_that_keeps_nothing_says_so(page: Page) -> None:
    page.run("Storage.prototype.setItem = () => { throw new Error('full'); }; 0")
    enter(page, "gus")
    page.press("1")
    assert "do not close this tab" in told(page)
    assert page.run("document.querySelectorAll('input:checked').length") == 1


def test_answers_can_be_copied(page: Page) -> None:
    enter(page, "hal")
    for _ in range(2):
        for digit in "123":
            page.press(digit)
        page.press("Enter")
    page.until("!at('end').hidden")
    page.run("at('copy').focus()")
    page.press("Enter")
    page.until("at('told').textContent === 'Copied.'")
    page.run("document.body.append(made('textarea', {id: 'paste'})); at('paste').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="v", modifiers=2, commands=["paste"])
    assert page.run("at('paste').value") == page.run("at('result').value")


def test_a_video_that_is_missing_is_told(page: Page) -> None:
    page.run("for (const clip of data.clips) clip.mattes = 'gone'; 0")
    enter(page, "ida")
    page.until("at('told').textContent.includes('gone.mp4')")
    page.errors.clear()


def test_a_plain_host_without_range_requests_serves_it(page: Page, site: Path) -> None:
    handler = functools.partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}/"
        page.requests.clear()
        page.open(f"{host}index.html")
        enter(page, "jo")
        paused(page)
        page.press(".")
        page.until("player._videos.every((video) => !video.seeking)")
        assert len(set(page.run("player._videos.map((video) => video.currentTime)"))) == 1
        assert [url for url in page.requests if not url.startswith((host, f"blob:{host}"))] == []
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        pass


def test_everything_to_press_has_a_name_and_can_be_reached(page: Page) -> None:
    enter(page, "kim")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in ("button", "radio", "group", "progressbar", "heading")
    ]
    assert [role for role, name in named if not name] == []
    assert [name for role, name in named if role == "radio"] == ["Video 1", "Video 2", "Video 3"] * 3
    assert {"Which one is steadiest over time?", "Which one fits the captions best?"} <= {n for _, n in named}
    reached = set()
    for _ in range(12):
        page.press("Tab")
        reached.add(page.run("document.activeElement.name || document.activeElement.id"))
    assert {"play", "before", "after", "temporal", "faithfulness", "leakage", "next"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(page: Page, scheme: str) -> None:
    """WCAG 2's contrast, 4.5 for text and 3 for the edges of controls."""
    page.prefers(color_scheme=scheme)
    colour = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
    colours = {n: page.run(colour.format(n)) for n in ("paper", "ink", "muted", "soft", "accent", "edge", "wrong")}
    pairs = [("ink", "paper"), ("ink", "soft"), ("muted", "paper"), ("accent", "paper"), ("wrong", "paper")]
    for text, ground in pairs:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for ground in ("paper", "soft"):
        assert contrast(colours["edge"], colours[ground]) >= 3


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("size", [(1366, 768), (1366, 650), (1280, 620)])
def test_a_clip_fits_a_laptop(page: Page, size: tuple[int, int]) -> None:
    page.size(*size)
    enter(page, "lou")
    page.until("player.playing")
    assert page.run("document.documentElement.scrollHeight <= innerHeight")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    boxes = json.loads(
        page.run("JSON.stringify([...document.querySelectorAll('video')].map((one) => one.getBoundingClientRect()))")
    )
    assert len(boxes) == 5
    footer = page.run("at('clip').querySelector('footer').getBoundingClientRect().top")
    assert all(box["bottom"] < footer and box["right"] <= size[0] and box["width"] > 250 for box in boxes)
