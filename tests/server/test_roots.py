"""Paths that clients name: only below the roots, wherever links lead, and nothing is told about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.server.place import BEN, Place

from mive.errors import RequestError
from mive.v1 import media_pb2
from mive.wire.chunks import upload_id_of


@pytest.fixture
def roots(place: Place, tmp_path: Path) -> Path:
    """A folder that may be named, beside one that may not; both hold a clip."""
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.0001.png").touch()
    place.inputs = place.server((tmp_path / "open",))
    return tmp_path.resolve()


def test_paths_below_a_root_are_taken(place: Place, roots: Path) -> None:
    (roots / "open" / "link").symlink_to(roots / "open" / "a.0001.png")
    for path in ("open", "open/a.0001.png", "open/a.####.png", "open/../open/a.0001.png", "open/nothing.mov"):
        assert place.name(media_pb2.ClipSource(path=f"{roots}/{path}")) == (roots / path).resolve()
    assert place.name(media_pb2.ClipSource(path=f"{roots}/open/link")) == roots / "open" / "a.0001.png"


@pytest.mark.parametrize(
    "path",
    [
        "closed/a.0001.png",
        "closed/nothing.mov",
        "open/../closed/a.0001.png",
        "open/link/a.0001.png",
        "open/file.png",
        "open/dangling.png",
        "open/circle",
        "open/sequence",
        "open/sequence/b.####.png",
        "open/sequence/b.0001.png",
        "opened/a.0001.png",
        "open/a\0.png",
        "open/" + "a" * 256,
        "open" + "/a" * 3000,
    ],
)
def test_paths_outside_are_refused_and_nothing_is_told_about_them(place: Place, roots: Path, path: str) -> None:
    links = {"link": "closed", "file.png": "closed/a.0001.png", "dangling.png": "closed/none.png"}
    for name, target in (links | {"circle": "open/circle"}).items():
        (roots / "open" / name).symlink_to(roots / target)
    (roots / "open" / "sequence").mkdir()
    (roots / "open" / "sequence" / "b.0001.png").touch()
    (roots / "open" / "sequence" / "b.0002.png").symlink_to(roots / "closed" / "a.0001.png")
    with pytest.raises(RequestError, match="outside the folders") as caught:
        place.name(media_pb2.ClipSource(path=f"{roots}/{path}"))
    assert caught.value.field == "clip.path"
    with pytest.raises(RequestError) as other:
        place.name(media_pb2.ClipSource(path="/no/such/place"))
    assert caught.value.message() == other.value.message()


@pytest.mark.parametrize("path", ["", "a.png", "~/a.png", "open/a.0001.png", "\0"])
def test_paths_are_absolute(place: Place, roots: Path, path: str) -> None:
    for allowed in ((roots / "open",), (Path("/"),)):
        place.inputs = place.server(allowed)
        with pytest.raises(RequestError):
            place.name(media_pb2.ClipSource(path=path))


def test_all_paths_or_none_may_be_allowed(place: Place, roots: Path) -> None:
    source = media_pb2.ClipSource(path=str(roots / "closed"))
    place.inputs = place.server((Path("/"),))
    assert place.name(source) == roots / "closed"
    for nothing in (None, ()):
        place.inputs = place.server(nothing)
        with pytest.raises(RequestError, match="takes no paths"):
            place.name(source)


def test_other_owners_files_are_no_paths(place: Place) -> None:
    secret = place.name(media_pb2.ClipSource(files=place.files({"a.mov": b"data"}, BEN)), owner=BEN)
    place.inputs = place.server((Path("/"),))
    for path in (secret, secret.parent, place.uploads.path(BEN, upload_id_of(b"data")), place.folder):
        with pytest.raises(RequestError, match="outside the folders"):
            place.name(media_pb2.ClipSource(path=str(path)))
