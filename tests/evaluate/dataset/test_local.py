"""Models that run here: small ones with random weights, whose words mean nothing but come out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mive.errors import BundleError  # noqa: E402
from mive.evaluate.dataset import local  # noqa: E402
from mive.evaluate.dataset.chat import Message  # noqa: E402
from mive.evaluate.dataset.local import LocalChat  # noqa: E402
from mive.evaluate.dataset.models import open_asker  # noqa: E402

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> {% else %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endif %} {% endfor %}"
)
WORDS = ("<pad>", "<image>", "user", "assistant", "describe", "a", "cup", "ball", "red")


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MOST_TOKENS", 4)


def tokenizer() -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="a"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", additional_special_tokens=["<image>"])
    fast.chat_template = TEMPLATE
    return fast


def text_config() -> object:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )


def save_llm(folder: Path) -> str:
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(text_config()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)  # type: ignore[attr-defined]
    return str(folder)


def save_vlm(folder: Path) -> str:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    config = LlavaConfig(vision_config=vision, text_config=text_config(), image_token_index=1)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size)
    LlavaProcessor(
        images, tokenizer(), patch_size=8, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def words_of(answer: str) -> set[str]:
    return set(answer.split())


def test_a_language_model_answers_a_conversation(tmp_path: Path) -> None:
    chat = LocalChat(save_llm(tmp_path), "text-generation")
    talk = [Message("user", "describe a cup"), Message("assistant", "red"), Message("user", "a ball")]
    answer = chat.answer(talk)
    assert words_of(answer) <= set(WORDS)
    assert chat.answer(talk) == answer, "the likeliest words, not drawn ones"


def test_a_vision_model_sees_the_picture(tmp_path: Path) -> None:
    asker = open_asker("vlm", save_vlm(tmp_path / "model"), tmp_path / "answers")
    _, data = cv2.imencode(".jpg", np.full((32, 32, 3), 200, np.uint8))
    answer = asker.ask(Message("user", "describe", data.tobytes()), str)
    assert words_of(answer) <= set(WORDS)
    assert len(list((tmp_path / "answers").rglob("*.json"))) == 1


def test_a_model_that_does_not_talk(tmp_path: Path) -> None:
    folder = save_llm(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(BundleError, match="no chat template"):
        LocalChat(folder, "text-generation")


def test_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"cannot be loaded.*http://HOST:PORT/v1#MODEL"):
        LocalChat(str(tmp_path), "text-generation")
