"""A model of the Hugging Face hub, or a folder, that runs here through transformers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

from mive.errors import BundleError, OutOfMemory
from mive.evaluate.dataset.chat import MOST_TOKENS, Message

Task = Literal["image-text-to-text", "text-generation"]


class LocalChat:
    """A chat model in this process, on the GPU where there is one.

    Args:
        name: a hub id, or a folder.
        task: whether it is shown pictures.

    Raises:
        BundleError: it cannot be loaded.
    """

    def __init__(self, name: str, task: Task) -> None:
        import torch
        from transformers import pipeline

        from mive.engines.devices import choose_device

        self._out_of_memory = torch.OutOfMemoryError
        self._pictures = task == "image-text-to-text"
        try:
            self._pipeline: Any = pipeline(task, model=name, device=choose_device("auto"), dtype="auto")
        except Exception as error:  # the hub's, the tokenizer's and the model's errors share no base
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BundleError(
                f"the model {name} cannot be loaded: {reason}",
                expected=f"the hub id or the folder of a chat model for {task}",
                fix="Check the name; an endpoint is written http://HOST:PORT/v1#MODEL",
            ) from error
        teller = self._pipeline.processor if self._pictures else self._pipeline.tokenizer
        if not getattr(teller, "chat_template", None):
            raise BundleError(
                f"the model {name} has no chat template, so that it cannot be talked to",
                expected="a model that was made to answer",
                fix='Choose its "instruct" or "chat" form',
            )

    def answer(self, messages: Sequence[Message]) -> str:
        """See `Chat.answer`.

        Raises:
            OutOfMemory: the model does not fit beside the conversation.
        """
        turns = [{"role": message.role, "content": self._content(message)} for message in messages]
        tokens: dict[str, Any] = {"max_new_tokens": MOST_TOKENS, "do_sample": False}
        options = {"generate_kwargs": tokens} if self._pictures else tokens
        try:
            made = self._pipeline(text=turns, **options) if self._pictures else self._pipeline(turns, **options)
        except self._out_of_memory as error:
            raise OutOfMemory(
                "the model does not fit in the device's memory",
                expected="room for the model and a picture",
                fix="Choose a smaller model, or run it behind an endpoint",
            ) from error
        return str(made[0]["generated_text"][-1]["content"])

    def _content(self, message: Message) -> Any:
        if not self._pictures:
            return message.text
        text = {"type": "text", "text": message.text}
        if message.image is None:
            return [text]
        from PIL import Image

        return [{"type": "image", "image": Image.open(io.BytesIO(message.image))}, text]
