"""Programs of 8 bits: what they hold, whose numbers they are, and who is refused."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
import torch
from tests.trt.agreement import some_inputs
from tests.trt.eager import EagerPrograms
from tests.trt.test_library import SMALL, Fakes
from torch import Tensor, nn
from torch.nn import functional as F

from mive.cli import main as mive
from mive.edit import run_edit
from mive.editing.inversions import InversionCache
from mive.engines.choice import choose_engine
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError, RequestError
from mive.manifest import read_manifest
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import hash_bundle
from mive.request import EditRequest, Settings
from mive.settings import EngineName, Narrow
from mive_trt.buckets import Bucket
from mive_trt.build import build_engine
from mive_trt.cli import main
from mive_trt.executor import Kind
from mive_trt.export import export_program
from mive_trt.flavour import installed
from mive_trt.library import Library
from mive_trt.nodes import FLOW, IPR, OPSET
from mive_trt.ort import OnnxExecutor
from mive_trt.quantize import QuantizedLayer, quantized
from mive_trt.scales import LEFT_OUT, Layer, Scales, check_quantize, find_scales, layers_of, scales_file, write_scales

NARROW: tuple[Narrow, ...] = ("int8", "fp8")
FEW, MANY = 0.25, 1.0
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(saved: Path) -> Bundle:
    loaded = load_bundle(saved)
    TorchEngine(loaded)
    return loaded


@pytest.fixture(scope="module")
def hashes(saved: Path) -> dict[str, str]:
    return hash_bundle(saved)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def some_scales(bundle: Bundle, quantize: Narrow = "int8", limit: float = 4.0) -> Scales:
    return Scales(quantize, dict.fromkeys(layers_of(bundle), limit))


def test_the_ends_of_the_networks_and_the_time_keep_their_precision(bundle: Bundle) -> None:
    layers = layers_of(bundle)
    for name in ("resnets.0.conv1", "attn1.to_q", "attn2.to_k", "ff.net.2", "downsamplers.0.conv", "proj_in"):
        assert any(layer.endswith(name) for layer in layers), name
    assert {name.split(".")[0] for name in layers} == {"unet", "controlnet"}
    networks = ((part, getattr(bundle, part)) for part in ("unet", "controlnet"))
    every = {f"{part}.{name}" for part, net in networks for name, m in net.named_modules() if isinstance(m, Layer)}
    left = every - set(layers)
    assert {name.removeprefix("unet.") for name in left if "block" not in name and name.startswith("unet.")} == {
        "conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2",
    }  # fmt: skip
    assert {"controlnet.conv_in", "controlnet.controlnet_mid_block", "controlnet.controlnet_down_blocks.0"} <= left
    assert all(LEFT_OUT.search(name) for name in left)


def test_scales_come_back_as_they_were(bundle: Bundle, hashes: dict[str, str], cache: Path) -> None:
    scales = some_scales(bundle)
    file = scales_file(hashes, "int8")
    write_scales(scales, file, clip="shot.mov")
    assert (file.parent, [path.name for path in file.parent.iterdir()]) == (cache / "scales", [file.name])
    assert find_scales(bundle, hashes, "int8") == scales
    assert find_scales(bundle, hashes, "none") is None


def test_scales_are_of_one_bundle_and_one_kind(bundle: Bundle, hashes: dict[str, str]) -> None:
    names = {
        scales_file(hashes, "int8"),
        scales_file(hashes, "fp8"),
        scales_file({**hashes, "unet/config.json": "0"}, "int8"),
    }
    assert len(names) == 3
    assert scales_file({**hashes, "vae/config.json": "0"}, "int8") in names
    scales = some_scales(bundle)
    assert scales.digest == some_scales(bundle).digest
    assert len({scales.digest, some_scales(bundle, "fp8").digest, some_scales(bundle, limit=5.0).digest}) == 3


def test_an_uncalibrated_bundle_names_the_command(bundle: Bundle, hashes: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=r"not calibrated for fp8.*mive-trt calibrate .* --quantize fp8") as caught:
        find_scales(bundle, hashes, "fp8")
    assert caught.value.field == "settings.quantize"


@pytest.mark.parametrize("text", ["", "[]", '{"quantize": "int8", "ranges": {}}', '{"quantize": "int8", "ranges": 1}'])
def test_a_damaged_file_names_the_command(bundle: Bundle, hashes: dict[str, str], text: str) -> None:
    file = scales_file(hashes, "int8")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(EngineError, match=r"scales.*cannot be used.*mive-trt calibrate"):
        find_scales(bundle, hashes, "int8")


def test_the_key_holds_the_scales_of_what_is_quantised(bundle: Bundle, hashes: dict[str, str]) -> None:
    def keys(scales: Scales | None) -> list[str]:
        library = Library(bundle, hashes, "literal", "all", Fakes(), Fakes(), scales)
        return [library.key(kind, SMALL) for kind in ("unet", "controlnet", "vae_decoder")]

    made = [keys(s) for s in (None, some_scales(bundle), some_scales(bundle, "fp8"), some_scales(bundle, limit=5.0))]
    assert [len(set(column)) for column in zip(*made, strict=True)] == [4, 4, 1]


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (12, 0)])
@pytest.mark.parametrize("quantize", NARROW)
def test_gpus_that_do_not_compute_in_it_are_refused(capability: tuple[int, int], quantize: Narrow) -> None:
    check_quantize("none", capability)
    if capability >= {"int8": (8, 0), "fp8": (8, 9)}[quantize]:
        check_quantize(quantize, capability)
        return
    with pytest.raises(EngineError, match=rf"{capability[0]}\.{capability[1]} do not compute in {quantize}"):
        check_quantize(quantize, capability)


@pytest.mark.skipif(not find_spec("tensorrt_rtx_bindings"), reason="TensorRT for RTX is not installed")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--gpu", "8.6", "--quantize", "fp8"], 6, "8.9 or newer"),
        (["--gpu", "8.9", "--quantize", "fp8"], 2, "mive-trt calibrate"),
        (["--gpu", "8.9", "--quantize", "int4"], 2, "int8, fp8"),
    ],
)
def test_building_says_what_is_missing(
    words: list[str], code: int, said: str, saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--bundle", str(saved), *words]) == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_torch_is_never_taken_in_silence(engine: EngineName) -> None:
    settings = Settings(model_size=64, quantize="int8").resolved({})
    with pytest.raises(RequestError, match=r"only TensorRT programs compute in int8") as caught:
        choose_engine(engine, settings, CPU)
    assert caught.value.field == "settings.quantize"


def quantized_edit(edit: EditRequest) -> EditRequest:
    settings = Settings(**{**edit.settings.model_dump(by_alias=True), "quantize": "int8"})
    return edit.model_copy(update={"settings": settings})


@pytest.mark.usefixtures("without_gpu")
def test_an_edit_needs_scales(edit: EditRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edit.json").write_text(quantized_edit(edit).to_json())
    words = ["edit", "--request", str(tmp_path / "edit.json"), "--engine", "trt", "-o", str(tmp_path / "out.mkv")]
    assert mive(words) == 2
    assert "mive-trt calibrate" in capsys.readouterr().err
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.usefixtures("without_gpu")
def test_the_manifest_and_the_inversion_know_the_scales(
    edit: EditRequest, bundle: Bundle, hashes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "of", lambda bundle, *_: EagerPrograms(bundle))
    inversions = InversionCache(tmp_path / "inversions")
    asked = quantized_edit(edit)
    digests = []
    for limit in (4.0, 5.0):
        scales = some_scales(bundle, limit=limit)
        write_scales(scales, scales_file(hashes, "int8"))
        manifest = read_manifest(run_edit(asked, tmp_path / "out.mkv", cache=inversions, engine="trt").manifest)
        assert (manifest.settings.quantize, manifest.scales) == ("int8", scales.digest)
        assert manifest.rerender_request().settings.quantize == "int8"
        digests.append(manifest.scales)
    assert len(set(digests)) == len(list((tmp_path / "inversions").iterdir())) == 2


LAYERS = {"linear": nn.Linear(32, 48), "convolution": nn.Conv2d(16, 32, 3, stride=2, padding=1)}
SHAPES = {"linear": (2, 9, 32), "convolution": (2, 16, 8, 6)}


def export_layer(kind: str, quantize: Narrow, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A program of one quantised layer, whose inputs have magnitudes of 3 at most."""
    layer = QuantizedLayer(LAYERS[kind].to(dtype), 3.0, quantize).eval()
    given = (torch.zeros(SHAPES[kind], dtype=dtype),)
    with torch.inference_mode():
        program = torch.onnx.export(layer, given, dynamo=True, opset_version=OPSET, input_names=["x"], verbose=False)
    assert program is not None
    program.model.ir_version = 11
    program.save(folder / "layer.onnx")
    LAYERS[kind].to(torch.float32)
    return folder / "layer.onnx"


def widened(x: Tensor, limit: Tensor, quantize: Narrow) -> Tensor:
    """x after its pair."""
    scale = limit / (127 if quantize == "int8" else 448)
    return quantized(x, scale, quantize).float() * scale


@pytest.mark.parametrize("quantize", NARROW)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_multiplies_what_8_bits_hold(kind: str, quantize: Narrow, tmp_path: Path) -> None:
    x = torch.randn(SHAPES[kind], generator=torch.Generator().manual_seed(0)) * 2
    assert x.abs().max() > 3
    layer = LAYERS[kind]
    per_channel = tuple(range(1, layer.weight.dim()))
    peaks = layer.weight.abs().amax(per_channel, keepdim=True) if quantize == "int8" else layer.weight.abs().amax()
    narrow, weight = widened(x, torch.tensor(3.0), quantize), widened(layer.weight, peaks, quantize)
    product = F.linear(narrow, weight, layer.bias) if kind == "linear" else F.conv2d(narrow, weight, layer.bias, 2, 1)
    made = next(iter(OnnxExecutor().load(export_layer(kind, quantize, tmp_path)).run({"x": x}).values()))
    torch.testing.assert_close(made, product.detach(), atol=1e-5, rtol=1e-5)
    # Not for nothing: it is not what the layer itself makes, and near to it where nothing was cut.
    plain = layer(x.clamp(-3, 3)).detach()
    assert 1e-4 < (made - plain).abs().mean() < 0.05


@pytest.mark.skipif(not find_spec("tensorrt_rtx_bindings"), reason="TensorRT for RTX is not installed")
@pytest.mark.parametrize("quantize", NARROW)
@pytest.mark.parametrize("kind", LAYERS)
def test_tensorrt_builds_it_for_every_gpu_that_computes_in_it(kind: str, quantize: Narrow, tmp_path: Path) -> None:
    gpus = [(8, 0), (8, 6)] * (quantize == "int8") + [(8, 9), (12, 0)]
    assert len(build_engine(installed(), export_layer(kind, quantize, tmp_path, torch.float16), gpus).plan) > 1000


@pytest.fixture(scope="module")
def tiny() -> Bundle:
    loaded = load_bundle("tiny")
    TorchEngine(loaded)
    return loaded


def pairs_of(file: Path) -> tuple[Counter[str], dict[str, str]]:
    """How many nodes of each kind a program has, and its facts."""
    model = onnx.load(file, load_external_data=False)
    return Counter(node.op_type for node in model.graph.node), {e.key: e.value for e in model.metadata_props}


@pytest.mark.slow
def test_every_layer_has_its_pairs_beside_the_attention_nodes(tiny: Bundle, tmp_path: Path) -> None:
    scales = some_scales(tiny)
    count, facts = pairs_of(export_program(tiny, "unet", Bucket(1, 2, 8, 8), tmp_path, scales=scales).path)
    layers = sum(name.startswith("unet.") for name in scales.ranges)
    # Queries, keys and values of one input share its pair, as do keys and values of captions.
    assert layers / 2 < count["QuantizeLinear"] < layers
    assert count["DequantizeLinear"] == count["QuantizeLinear"] + layers
    assert (count[IPR], count[FLOW]) == (10, 3)
    assert (facts["quantize"], facts["scales"]) == ("int8", scales.digest)
    # The bundle's own layers are back in their places.
    assert all(isinstance(layer, Layer) for layer in layers_of(tiny).values())


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("modelopt"), reason="ModelOpt is not installed")
@pytest.mark.parametrize("quantize", NARROW)
def test_programs_compute_what_modelopt_simulates(tiny: Bundle, quantize: Narrow, tmp_path: Path) -> None:
    from mive_trt.calibrate import measure

    simulated, bucket = load_bundle("tiny"), Bucket(1, 2, 8, 8)
    TorchEngine(simulated)

    def run(bundle: Bundle, kind: Kind) -> dict[str, Tensor]:
        with torch.inference_mode():
            return dict(EagerPrograms(bundle).get(kind, bucket).run(some_inputs(bundle, kind, bucket)))

    both: tuple[Kind, ...] = ("unet", "controlnet")
    scales = Scales(quantize, measure(simulated, quantize, lambda: [run(simulated, each) for each in both]))
    exported = export_program(tiny, "controlnet", bucket, tmp_path, scales=scales)
    made = OnnxExecutor().load(exported.path).run(some_inputs(tiny, "controlnet", bucket))
    wanted, plain = run(simulated, "controlnet"), run(tiny, "controlnet")

    def share(name: str) -> float:
        """How far the two are apart, as a share of what 8 bits move."""
        apart, moved = made[name] - wanted[name], plain[name] - wanted[name]
        return float(apart.abs().mean() / moved.abs().mean())

    # A number near the middle of two steps falls to either side, and each that does makes more of them further on: the
    # first block agrees, and what comes later is as far from the network's own numbers as the simulation is.
    assert share("down_1") < FEW
    assert all(share(name) < MANY for name in wanted if name != "down_0")
