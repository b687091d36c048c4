"""The manifest: written whole or not at all, and enough to make the same frames again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mive.errors import OutputError, RequestError
from mive.manifest import BundleRecord, Manifest, manifest_path, package_versions, read_manifest, write_manifest
from mive.request import EditRequest, FrameRange, Instance, Settings


@pytest.fixture
def manifest() -> Manifest:
    request = EditRequest(
        clip="cups.mp4",
        mattes="mattes/",
        instances=(Instance(id=1, caption="a red cup", lambda_=0.3),),
        settings=Settings(preset="draft", seed=7),
    )
    return Manifest(
        request=request,
        settings=request.settings.resolved({"model_size": 128, "guidance": 7.5}),
        frames=FrameRange(0, 23),
        source_hash="1" * 64,
        matte_hashes={"mattes/": "2" * 64},
        bundle=BundleRecord(name="tiny", files={"unet/config.json": "3" * 64}),
        device="cpu",
        precision="fp32",
        plan={"LPS": 7, "NPS": 9, "re-inversion": 6},
        seconds={"inversion": 1.5, "sampling": 20.25},
        outputs=("out/cups.mov",),
    )


def test_round_trip(manifest: Manifest, tmp_path: Path) -> None:
    path = manifest_path(tmp_path / "cups.mov")
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    assert [file.name for file in tmp_path.iterdir()] == ["cups.mov.manifest.json"]


def test_rerender_fixes_what_the_user_left_open(manifest: Manifest) -> None:
    again = manifest.rerender_request()
    assert again.frames == FrameRange(0, 23)
    assert again.instances == manifest.request.instances
    assert (again.settings.device, again.settings.precision) == ("cpu", "fp32")
    # Another bundle's defaults no longer matter.
    other = again.settings.resolved({"model_size": 512, "guidance": 1.0, "window": 2})
    used = manifest.settings.model_dump()
    assert other.model_dump() == {**used, "device": "cpu", "precision": "fp32"}


def test_the_manifest_says_what_made_it(manifest: Manifest) -> None:
    assert manifest.packages["numpy"]
    assert manifest.created.tzinfo is not None
    assert package_versions(["pydantic", "no-such-distribution"]).keys() == {"pydantic"}


@pytest.mark.parametrize(
    ("out", "path"),
    [("a/shot.mov", "a/shot.mov.manifest.json"), ("a/frames", "a/frames/manifest.json")],
)
def test_where_a_manifest_goes(out: str, path: str) -> None:
    assert manifest_path(Path(out)) == Path(path)


def test_a_folder_with_a_dot_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shot.v2"
    folder.mkdir()
    assert manifest_path(folder) == folder / "manifest.json"


def test_an_old_manifest_survives_a_failed_write(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.json"
    write_manifest(manifest, path)

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="Free some space"):
        write_manifest(manifest.model_copy(update={"device": "cuda:0"}), path)
    assert read_manifest(path) == manifest
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="another output"):
        write_manifest(manifest, tmp_path / "missing" / "manifest.json")


def test_reading_what_is_no_manifest(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(RequestError, match="cannot be read"):
        read_manifest(path)
    path.write_text("{}")
    with pytest.raises(RequestError, match="request: it is missing"):
        read_manifest(path)
    path.write_text(manifest.to_json().replace('"id": 1', '"id": 0'))
    with pytest.raises(RequestError) as caught:
        read_manifest(path)
    assert caught.value.field == "request.instances[0].id"
