"""Where bundles are looked for, and what is said when they are not there."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mive.errors import BundleError
from mive.networks import bundle_files
from mive.networks.bundle_files import PARTS, bundle_hashes, find_bundle, find_part, how_to_get, read_config
from mive.networks.bundle_layout import bundle_defaults


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """A stand-in for the hub: ids to folders; every other id is offline."""
    import huggingface_hub

    models: dict[str, Path] = {}

    def snapshot_download(repo_id: str, **patterns: Any) -> str:
        assert not any("bin" in pattern for pattern in patterns["allow_patterns"])
        if repo_id not in models:
            raise ConnectionError("outgoing traffic has been disabled")
        return str(models[repo_id])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return models


def folder_with(path: Path, *parts: str) -> Path:
    for part in parts:
        (path / part).mkdir(parents=True)
    return path


def test_a_folder_is_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path / "mine", "unet")
    assert find_bundle(folder) == folder
    monkeypatch.chdir(tmp_path)
    assert find_bundle("mine") == folder


def test_shipped_bundles_go_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle_files, "BUNDLES_FOLDER", tmp_path)
    (folder_with(tmp_path / "tiny", "unet") / "bundle.json").write_text("{}")
    assert find_bundle("tiny") == tmp_path / "tiny"
    with pytest.raises(BundleError, match='Perhaps "tiny" is meant'):
        find_bundle("tinny")
    shutil.rmtree(tmp_path / "tiny")
    with pytest.raises(BundleError, match="pip install --force-reinstall"):
        find_bundle("tiny")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a model bundle"):
        find_bundle(tmp_path)
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(b"1234")
    with pytest.raises(BundleError, match=r"from_single_file\("):
        find_bundle(checkpoint)
    with pytest.raises(BundleError, match="there is no bundle"):
        find_bundle(tmp_path / "nowhere")


def test_hub_ids(hub: dict[str, Path], tmp_path: Path) -> None:
    hub["someone/fine-tune"] = folder_with(tmp_path / "models--x", "unet")
    assert find_bundle("someone/fine-tune") == tmp_path / "models--x"
    with pytest.raises(BundleError, match=r"disabled.*HF_HUB_OFFLINE.*hf download someone/else"):
        find_bundle("someone/else")


def test_a_hub_model_with_fp16_files_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def snapshot_download(repo_id: str, **patterns: Any) -> str:
        if any("fp16" in pattern for pattern in patterns["allow_patterns"]):
            (folder_with(tmp_path, "unet") / "unet" / "model.fp16.safetensors").touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert (find_bundle("someone/half") / "unet" / "model.fp16.safetensors").exists()


def test_sd15_is_composed_of_hub_models(hub: dict[str, Path], tmp_path: Path) -> None:
    folder = find_bundle("sd15")
    config = read_config(folder)
    assert config.base is not None
    hub[config.base] = folder_with(tmp_path / "base", "unet", "vae")
    hub[config.parts["depth"]] = folder_with(tmp_path / "dpt", "")
    assert find_part(folder, "unet") == tmp_path / "base" / "unet"
    assert find_part(folder, "depth") == tmp_path / "dpt"
    with pytest.raises(BundleError, match=r'by hand.*"controlnet": "FOLDER".*your own'):
        find_part(folder, "controlnet")


def test_a_plain_sd_folder_gets_the_parts_of_sd15(hub: dict[str, Path], tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "plain", "unet")
    hub["lllyasviel/control_v11f1p_sd15_depth"] = folder_with(tmp_path / "control", "")
    assert find_part(folder, "controlnet") == tmp_path / "control"
    # A bundle says what it consists of, so what it lacks is missing.
    (folder / "bundle.json").write_text("{}")
    with pytest.raises(BundleError, match="plain/controlnet is missing"):
        find_part(folder, "controlnet")


def test_locations(hub: dict[str, Path], tmp_path: Path) -> None:
    hub["owner/name"] = folder_with(tmp_path / "snapshot", "deep/down", "vae")
    folder = folder_with(tmp_path / "mine", "unet", "beside")
    where = {
        "unet": "beside",
        "vae": "owner/name",
        "depth": "owner/name/deep/down",
        "clip": str(folder / "unet"),
    }
    (folder / "bundle.json").write_text(json.dumps({"parts": where}))
    assert find_part(folder, "unet") == folder / "beside"
    assert find_part(folder, "vae") == tmp_path / "snapshot" / "vae"
    assert find_part(folder, "depth") == tmp_path / "snapshot" / "deep" / "down"
    assert find_part(folder, "clip") == folder / "unet"


def test_how_to_get_depends_on_where_it_lies(tmp_path: Path) -> None:
    file = Path("unet") / "config.json"
    assert "Reinstall" in how_to_get(bundle_files.BUNDLES_FOLDER / "tiny" / file)
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "123"
    assert f"Delete {tmp_path / 'models--owner--name'} " in how_to_get(snapshot / file)
    assert how_to_get(tmp_path / file).startswith("Copy")


@pytest.mark.parametrize(("sample_size", "model_size"), [(24, 192), ([64, 96], 512), (None, None)])
def test_the_model_size_is_the_trained_one(tmp_path: Path, sample_size: Any, model_size: int | None) -> None:
    folder_with(tmp_path, "unet", "vae")
    (tmp_path / "unet" / "config.json").write_text(json.dumps({"sample_size": sample_size}))
    (tmp_path / "vae" / "config.json").write_text('{"block_out_channels": [1, 1, 1, 1]}')
    assert bundle_defaults(tmp_path).get("model_size") == model_size


def test_every_part_needs_a_configuration() -> None:
    assert all(files[0].endswith("config.json") for files in PARTS.values())


def test_bundle_hashes_name_every_file(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_bytes(b"{}")
    (tmp_path / "bundle.json").write_bytes(b"[]")
    assert bundle_hashes(tmp_path) == {
        "bundle.json": hashlib.sha256(b"[]").hexdigest(),
        "unet/config.json": hashlib.sha256(b"{}").hexdigest(),
    }


def test_a_bundle_without_files(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no files"):
        bundle_hashes(tmp_path / "missing")
