"""A model behind an endpoint that speaks OpenAI's chat-completions protocol, as most model servers do."""

from __future__ import annotations

import base64
import email.utils
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import IO, Any, Final

from mive.errors import EngineError, RequestError
from mive.evaluate.dataset.chat import MOST_TOKENS, Message

TIMEOUT: Final = 120.0
"""Seconds that a server may be silent."""

TRIES: Final = 6
LONGEST_WAIT: Final = 300.0
"""Seconds; a server that asks for more is not waited for."""

_PASSING: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP states that another try may not meet."""


class Endpoint:
    """Asks ``BASE/chat/completions``, and asks again with growing pauses where that may help.

    Args:
        base: the address up to the version, ``http://localhost:8000/v1``.
        name: the model's name there.
        key: sent as a bearer token; empty if the server wants none.
        key_name: the environment variable that holds it, for errors.
        timeout: seconds that the server may be silent.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        base: str,
        name: str,
        key: str,
        key_name: str,
        timeout: float = TIMEOUT,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._url = base.rstrip("/") + "/chat/completions"
        self._key = key
        self._key_name = key_name
        self._timeout = timeout
        self._pause = pause
        self._opener = urllib.request.build_opener(_StayHere)

    def answer(self, messages: Sequence[Message]) -> str:
        """See `Chat.answer`.

        Raises:
            RequestError: the server refuses: a wrong key, name or address.
            EngineError: it does not answer, or not in the protocol, however often it is asked.
        """
        body = {
            "model": self._name,
            "messages": [_wire(message) for message in messages],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        headers = {"Content-Type": "application/json", "User-Agent": "mive"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="POST")
        for number in range(1, TRIES + 1):
            wait = 2.0 ** (number - 1)
            try:
                with self._opener.open(request, timeout=self._timeout) as response:
                    return _said(json.loads(response.read()))
            except urllib.error.HTTPError as error:
                with error:
                    problem = f"HTTP {error.code}: {_told(error)}"
                if error.code not in _PASSING:
                    raise self._refused(error.code, problem) from error
                wait = max(wait, _retry_after(error.headers.get("Retry-After")))
            except (OSError, http.client.HTTPException) as error:
                problem = str(getattr(error, "reason", "") or error) or type(error).__name__
            except (ValueError, LookupError, TypeError):
                problem = "its answer is not that of a chat completion"
            if number < TRIES and wait <= LONGEST_WAIT:
                self._pause(wait)
            else:
                break
        raise EngineError(
            f"{self._url} did not answer, asked {number} times: {problem}",
            expected="a server that speaks the chat-completions protocol",
            fix="Check the server, then run again: answers that came are kept",
        )

    def _refused(self, code: int, problem: str) -> RequestError:
        fix = "Check the address, which ends before /chat/completions, and the model's name after the #"
        if code in (401, 403):
            fix = f"Set the environment variable {self._key_name} to a key of that server"
        return RequestError(f"{self._url} refused: {problem}", expected="a server that has the model", fix=fix)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirects, which would carry the key to another server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _wire(message: Message) -> dict[str, Any]:
    if message.image is None:
        return {"role": message.role, "content": message.text}
    url = "data:image/jpeg;base64," + base64.b64encode(message.image).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": message.text}]
    return {"role": message.role, "content": parts}


def _said(answer: Any) -> str:
    """The text of a completion; empty where the model said nothing."""
    content = answer["choices"][0]["message"]["content"]
    if isinstance(content, list):  # some servers answer in parts, as requests may be
        content = "".join(part.get("text", "") for part in content)
    if not isinstance(content, str | None):
        raise TypeError(content)
    return content or ""


def _told(error: IO[bytes]) -> str:
    """What a server says about its error, in one short line."""
    try:
        text = error.read(10_000).decode("utf-8", "replace")
    except OSError:
        return ""
    try:
        told = json.loads(text)["error"]
        text = told["message"] if isinstance(told, dict) else str(told)
    except (ValueError, LookupError, TypeError):
        pass
    return " ".join(str(text).split())[:200]


def _retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3): a number, or a date."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
