"""Bundles of the SD 1.5 layout, as diffusers saves them: loaded, run, and refused when broken."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tests.networks import sd15
from transformers import CLIPTokenizer

from mive.conditions.depth import estimate_depth
from mive.errors import BundleError, OutOfMemory
from mive.networks import bundle as bundle_module
from mive.networks.bundle import Bundle, load_bundle, load_scorer
from mive.networks.bundle_files import hash_bundle
from mive.networks.tokens import encode_captions
from mive.networks.unet.frames import FrameInputs
from mive.networks.unet.inflation import inflate

Spoil = Callable[[Path], None]


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle; tests must not change it."""
    return sd15.save_sd15(tmp_path_factory.mktemp("bundles") / "random")


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """The same bundle, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def bundle(saved: Path) -> Bundle:
    return load_bundle(saved)


def write_config(folder: Path, file: str, **changes: Any) -> None:
    path = folder / file
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**config, **changes}))


def change_weights(folder: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    (path,) = (folder / part).glob("*.safetensors")
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def predict(bundle: Bundle, frames: int = 2) -> torch.Tensor:
    """The U-Net's output on noise, under a caption and depth control, for one item of frames."""
    generator = torch.Generator().manual_seed(1)
    encoded = encode_captions(bundle.tokenizer, ["a red ball"])
    text = bundle.text_encoder(encoded.ids).last_hidden_state
    dtype = bundle.unet.dtype
    side = bundle.latent_multiple
    latents = side // bundle.latent_factor
    z = torch.randn(frames, bundle.latent_channels, latents, latents, generator=generator)
    hint = torch.rand(frames, 3, side, side, generator=generator).to(dtype)
    inputs = FrameInputs(frames=frames)
    with bundle.unet_context.given(inputs), bundle.control_context.given(inputs):
        down, middle = bundle.controlnet(z.to(dtype), 500, text, hint, return_dict=False)
        return bundle.unet(
            z.to(dtype),
            500,
            text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample


def test_sizes_come_from_the_networks(bundle: Bundle) -> None:
    assert bundle.latent_channels == 4
    assert bundle.latent_factor == 8
    assert bundle.latent_multiple == 64
    assert bundle.scaling_factor == pytest.approx(0.18215)
    assert bundle.shift_factor == 0
    # The U-Net's sample_size of 8 latents.
    assert bundle.defaults == {"model_size": 64}
    assert bundle.schedule.prediction == "epsilon"
    assert bundle.schedule.steps_offset == 1
    assert bundle.schedule.final_alpha < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp16_weights_load_in_any_dtype(saved: Path, dtype: torch.dtype) -> None:
    bundle = load_bundle(saved, dtype=dtype)
    networks = (bundle.unet, bundle.controlnet, bundle.vae, bundle.text_encoder, bundle.depth)
    for network in networks:
        assert {p.dtype for p in network.parameters()} == {dtype}
        assert not any(p.requires_grad for p in network.parameters())
        assert not network.training
    weight = bundle.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    out = predict(bundle)
    assert out.dtype == dtype
    assert out.isfinite().all()


def test_weights_are_the_saved_ones(saved: Path, bundle: Bundle) -> None:
    stored = load_file(saved / "unet" / "diffusion_pytorch_model.safetensors")
    loaded = bundle.unet.state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], stored[name].float()) for name in stored)


def test_the_networks_see_all_frames(bundle: Bundle) -> None:
    first_of_two, alone = predict(bundle, 2)[0], predict(bundle, 1)[0]
    assert not torch.allclose(first_of_two, alone, atol=1e-3)


def test_the_vae_and_depth_run(bundle: Bundle) -> None:
    images = torch.rand(1, 3, 64, 128) * 2 - 1
    latents = bundle.vae.encode(images).latent_dist.mean
    assert latents.shape == (1, 4, 8, 16)
    assert bundle.vae.decode(latents).sample.shape == images.shape
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)
    depth = estimate_depth(bundle.depth, bundle.depth_config, frames)
    assert depth.shape == (2, 3, 40, 56)


def test_the_scorer_loads_alone(copied: Path) -> None:
    shutil.rmtree(copied / "unet")
    (copied / "bundle.json").write_text("{}")
    model, processor, tokenizer = load_scorer(copied)
    assert processor["crop_size"] == {"height": 32, "width": 32}
    tokens = tokenizer(["a red ball", "a cup"], padding=True, return_tensors="pt")
    images = torch.rand(3, 3, 32, 32)
    scores = model(input_ids=tokens["input_ids"], pixel_values=images).logits_per_image
    assert scores.shape == (3, 2)


def test_v_prediction(tmp_path: Path) -> None:
    bundle = load_bundle(sd15.save_sd15(tmp_path / "v", prediction="v_prediction"))
    assert bundle.schedule.prediction == "v_prediction"
    z, alpha = torch.ones(1, 4, 8, 8), bundle.schedule.alpha(500)
    # A velocity of zero means that the noise is a share of z itself.
    epsilon = bundle.schedule.epsilon(torch.zeros_like(z), z, 500)
    torch.testing.assert_close(epsilon, (1 - alpha) ** 0.5 * z)


def test_control_attention_of_one_frame(saved: Path) -> None:
    outputs = []
    for attention in ("all", "frame"):
        bundle = load_bundle(saved, control_attention=attention)
        outputs.append(predict(bundle))
    assert not torch.allclose(*outputs, atol=1e-6)


def test_bundle_json_names_parts_elsewhere(copied: Path, tmp_path: Path) -> None:
    (copied / "controlnet").rename(tmp_path / "my-depth-control")
    (tmp_path / "models").mkdir()
    (copied / "clip").rename(tmp_path / "models" / "clip")
    write_config(
        copied,
        "bundle.json",
        name="mine",
        model_size=96,
        defaults={"guidance": 9.0},
        parts={"controlnet": "../my-depth-control", "clip": str(tmp_path / "models")},
    )
    bundle = load_bundle(copied)
    assert bundle.name == "mine"
    assert bundle.defaults == {"model_size": 96, "guidance": 9.0}
    assert predict(bundle).isfinite().all()
    assert load_scorer(copied).model.config.projection_dim == 16
    assert "controlnet/config.json" in hash_bundle(copied)


def test_a_base_gives_what_is_not_here(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write_config(tmp_path / "mine", "bundle.json", name="mine", base=str(saved))
    assert predict(load_bundle(tmp_path / "mine")).isfinite().all()


def test_fp16_and_sharded_files(copied: Path) -> None:
    unet = copied / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    network = ControlNetModel.from_pretrained(copied / "controlnet")
    shutil.rmtree(copied / "controlnet")
    network.save_pretrained(copied / "controlnet", max_shard_size="2MB")
    assert len(list((copied / "controlnet").glob("*.safetensors"))) > 1
    assert predict(load_bundle(copied)).isfinite().all()
    next((copied / "controlnet").glob("*-00002-*")).unlink()
    with pytest.raises(BundleError, match=r"-00002-of-.* cannot be read"):
        load_bundle(copied)


def test_weights_as_the_hub_has_them(copied: Path) -> None:
    """Text encoders with a prefix and position ids, VAEs with old names, DPTs without a layer."""

    def old_names(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[f"text_model.{name.removeprefix('text_model.')}"] = weights.pop(name)
        weights["text_model.embeddings.position_ids"] = torch.arange(77)[None]

    def old_attention(weights: dict[str, Any]) -> None:
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for name in [n for n in weights if ".attentions." in n]:
            renamed = name
            for new, former in old.items():
                renamed = renamed.replace(f".{new}.", f".{former}.")
            weights[renamed] = weights.pop(name)

    def without_first_residual(weights: dict[str, Any]) -> None:
        for name in [n for n in weights if ".layers.0.residual_layer1." in n]:
            del weights[name]

    before = load_bundle(copied)
    change_weights(copied, "text_encoder", old_names)
    change_weights(copied, "vae", old_attention)
    change_weights(copied, "depth", without_first_residual)
    after = load_bundle(copied)
    for one, other in ((before.text_encoder, after.text_encoder), (before.vae, after.vae)):
        expected, got = one.state_dict(), other.state_dict()
        assert expected.keys() == got.keys()
        assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_the_real_vocabulary(copied: Path, shared: Callable[[str], Path]) -> None:
    """The tokenizer as SD 1.5 ships it; too large for this text encoder, which is said."""
    merges = gzip.decompress(shared("clip_vocab/merges.txt.gz").read_bytes()).decode().split("\n")
    merges = merges[1:48895]
    symbols = list(json.loads((copied / "tokenizer" / "vocab.json").read_text()))[:512]
    tokens = [*symbols, *(m.replace(" ", "") for m in merges), "<|startoftext|>", "<|endoftext|>"]
    shutil.rmtree(copied / "tokenizer")
    (copied / "tokenizer").mkdir()
    (copied / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (copied / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    write_config(copied, "tokenizer/tokenizer_config.json", model_max_length=77)
    tokenizer = CLIPTokenizer.from_pretrained(copied / "tokenizer")
    assert tokenizer("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    with pytest.raises(BundleError, match="has 49408 tokens"):
        load_bundle(copied)


@pytest.mark.slow
def test_nothing_is_printed(saved: Path) -> None:
    """In a process of its own: the libraries keep the standard error they began with."""
    code = (
        "import sys, torch; from mive.networks.bundle import load_bundle, load_scorer; "
        "load_bundle(sys.argv[1], dtype=torch.float16); load_scorer(sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(saved)]
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_a_full_device(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(UNet2DConditionModel, "to", full)
    monkeypatch.setattr(bundle_module, "load_network", lambda kind, *_: sd15.unet())
    with pytest.raises(OutOfMemory, match=r"UNet2DConditionModel does not fit.*bf16 or fp16"):
        load_bundle(saved)


def write(file: str, data: bytes) -> Spoil:
    return lambda folder: (folder / file).write_bytes(data) and None


def config(file: str, **changes: Any) -> Spoil:
    return lambda folder: write_config(folder, file, **changes)


def remove(file: str) -> Spoil:
    return lambda folder: (folder / file).unlink()


def remove_part(part: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "bundle.json").write_text("{}")
        shutil.rmtree(folder / part)

    return spoil


def cut(file: str) -> Spoil:
    return lambda folder: write(file, (folder / file).read_bytes()[:-100])(folder)


def pickle(folder: Path) -> None:
    old = folder / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(old), folder / "vae" / "diffusion_pytorch_model.bin")
    old.unlink()


def weight(part: str, name: str, value: Callable[[torch.Tensor], torch.Tensor] | None) -> Spoil:
    def change(weights: dict[str, Any]) -> None:
        (found,) = [key for key in weights if key.endswith(name)]
        if value is None:
            del weights[found]
        else:
            weights[found] = value(weights[found])

    return lambda folder: change_weights(folder, part, change)


def nan(tensor: torch.Tensor) -> torch.Tensor:
    return torch.full_like(tensor, torch.nan)


UNET = "unet/config.json"
CONTROL = "controlnet/config.json"
SCHEDULER = "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"

BROKEN: dict[str, tuple[Spoil, str]] = {
    "no U-Net": (remove_part("unet"), r"part .*/unet is missing.*Copy"),
    "no ControlNet": (remove_part("controlnet"), r"part .*/controlnet is missing.*bundle\.json"),
    "no weights": (remove(WEIGHTS), r"no weights in .*/unet\. Expected diffusion_pytorch_model"),
    "no config": (remove(UNET), r"unet/config\.json cannot be read: No such file.*Copy"),
    "no depth preprocessor": (remove("depth/preprocessor_config.json"), r"depth/preprocessor_conf"),
    "no vocabulary": (
        lambda folder: [
            (folder / "tokenizer" / name).unlink(missing_ok=True)
            for name in ("vocab.json", "tokenizer.json")
        ]
        and None,
        r"tokenizer/vocab\.json is missing",
    ),
    "cut short": (cut(WEIGHTS), rf"{WEIGHTS} is corrupt or cut short.*Copy"),
    "cut short depth": (cut("depth/model.safetensors"), r"depth/model\.safetensors is corrupt"),
    "empty": (write(WEIGHTS, b""), rf"{WEIGHTS} is corrupt"),
    "no safetensors": (write(WEIGHTS, b"\0" * 4096), rf"{WEIGHTS} is corrupt"),
    "git-lfs": (write(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "pickled": (pickle, r"bin are pickled.*convert it: AutoencoderKL\.from_pretrained"),
    "not JSON": (write(UNET, b'{"in_channels": 4,'), r"unet/config\.json is wrong: not valid JSON"),
    "no object": (write(SCHEDULER, b"[]"), r"scheduler_config\.json holds no JSON object"),
    "wrong type": (config(UNET, in_channels="four"), r"unet/config\.json is wrong: in_channels"),
    "unknown blocks": (config(UNET, down_block_types=["Wrong"] * 4), r"unet/config\.json and"),
    "weights of another size": (
        weight("unet", "conv_in.bias", lambda old: old[:3].clone()),
        r"model\.safetensors lacks 1 weights.*conv_in\.bias",
    ),
    "a weight missing": (weight("unet", "conv_in.bias", None), r"lacks 1 weights.*conv_in\.bias"),
    "NaN": (weight("unet", "conv_in.bias", nan), r"conv_in\.bias in .*unet/.* is not finite"),
    "NaN in the text encoder": (
        weight("text_encoder", "token_embedding.weight", nan),
        r"token_embedding\.weight in .*text_encoder/model\.safetensors is not finite",
    ),
    "SDXL": (config(UNET, addition_embed_type="text_time"), "SDXL"),
    "inpainting": (config(UNET, in_channels=9), "inpainting"),
    "another VAE": (config("vae/config.json", latent_channels=16), "in_channels.*Expected 16"),
    "another text encoder": (config(UNET, cross_attention_dim=768), "768.*Expected 32"),
    "another ControlNet": (
        config(CONTROL, cross_attention_dim=1024),
        r"controlnet/config\.json has a cross_attention_dim of 1024\. Expected 32",
    ),
    "a ControlNet of another scale": (
        config(CONTROL, conditioning_embedding_out_channels=[4, 8, 16]),
        "condition 4 times smaller. Expected 8",
    ),
    "x prediction": (config(SCHEDULER, prediction_type="sample"), '/scheduler_.*"sample"'),
    "unknown betas": (config(SCHEDULER, beta_schedule="cosine"), '"cosine"'),
    "betas of its own": (config(SCHEDULER, trained_betas=[0.1]), "trained_betas"),
    "betas that are no numbers": (config(SCHEDULER, beta_start="low"), r"scheduler_config.*wrong"),
    "captions too long": (
        config("tokenizer/tokenizer_config.json", model_max_length=512),
        "Set model_max_length to 77",
    ),
    "a typo in bundle.json": (
        config("bundle.json", default={}),
        r'bundle\.json is wrong: default: .*Perhaps "defaults" is meant',
    ),
    "an unknown part": (config("bundle.json", parts={"controlnett": "x"}), '"controlnet" is meant'),
    "a part in no folder": (
        config("bundle.json", parts={"depth": "../nowhere"}),
        r"bundle\.json names \.\./nowhere.*\"depth\": \"FOLDER\"",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_bundles_say_what_is_wrong(copied: Path, case: str) -> None:
    spoil, message = BROKEN[case]
    spoil(copied)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copied)
    assert caught.value.expected
    assert caught.value.fix


def test_a_broken_scorer(copied: Path) -> None:
    cut("clip/model.safetensors")(copied)
    with pytest.raises(BundleError, match=r"clip/model\.safetensors is corrupt"):
        load_scorer(copied)


def test_weights_beyond_float16(copied: Path) -> None:
    def large(tensor: torch.Tensor) -> torch.Tensor:
        return torch.full_like(tensor, 1e6, dtype=torch.float32)

    weight("unet", "conv_in.bias", large)(copied)
    # One weight in float32 among float16 ones, as merged models have them.
    assert load_bundle(copied, dtype=torch.bfloat16).unet.conv_in.bias.dtype == torch.bfloat16
    with pytest.raises(BundleError, match=r"not finite in float16.*fp32"):
        load_bundle(copied, dtype=torch.float16)


@pytest.mark.slow
def test_the_true_sd15_runs() -> None:
    """The real U-Net and ControlNet of SD 1.5 in full width, on random weights and one frame."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if free < 8:
        pytest.skip(f"needs 8 GB of free memory, there are {free:.1f}")
    wide = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768}
    groups = {"norm_num_groups": 32}
    hint_levels = {"conditioning_embedding_out_channels": (16, 32, 96, 256)}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        unet = sd15.unet(**wide, **groups, sample_size=64).eval().requires_grad_(False)
        control = sd15.controlnet(**wide, **groups, **hint_levels).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964
    assert sum(p.numel() for p in control.parameters()) == 361_279_120
    contexts = inflate(unet), inflate(control)
    z = torch.randn(1, 4, 64, 64, dtype=torch.bfloat16)
    text, hint = torch.randn(1, 77, 768).bfloat16(), torch.rand(1, 3, 512, 512).bfloat16()
    inputs = FrameInputs(frames=1)
    with contexts[0].given(inputs), contexts[1].given(inputs):
        down, middle = control(z, 981, text, hint, return_dict=False)
        out = unet(
            z,
            981,
            text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
    assert out.shape == z.shape
    assert out.isfinite().all()
    assert isinstance(unet, UNet2DConditionModel)
