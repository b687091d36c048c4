"""MLT's `melt`, an OpenFX host that nobody here wrote, in a folder of its own: nothing is installed on the system.

It comes from a newer Debian suite than the system's may be, with all libraries, and runs under chroot.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SUITE = "forky"
PACKAGES = ("melt", "libmlt7", "libmlt-data", "libmlt++7")
LIBRARIES = (
    "libavformat63", "libavdevice63", "libavfilter12", "libglib2.0-0t64", "libgomp1", "libxml2-16", "zlib1g",
    "libstdc++6", "libsdl2-2.0-0",
)  # fmt: skip
"""What the modules need that are used here, with everything below; the other modules are not loaded."""

Frames = NDArray[np.uint8]
"""``[N, H, W, 3]`` RGB."""

_EFFECT = "openfx.org.mive.MultiInstanceEdit"
_LOSSLESS = ("vcodec=ffv1", "pix_fmt=bgr0", "mlt_image_format=rgba")
_UNRELATED = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
_PLACES = ("blas", "lapack", "pulseaudio")


class CannotInstall(Exception):
    """Why there is no melt here, as a sentence."""


@dataclass(frozen=True)
class Melt:
    """An installed melt.

    Attributes:
        root: what it sees as ``/``.
    """

    root: Path

    def new_folder(self) -> Path:
        """A folder that it sees too."""
        return Path(tempfile.mkdtemp(dir=self.root / "tmp"))

    def seen(self, path: Path) -> str:
        """What it calls a file under its root."""
        return f"/{path.relative_to(self.root)}"

    def install_plugin(self, bundle: Path) -> None:
        """Puts a bundle where hosts look for it, unless it is there; other processes may use it."""
        folder = self.root / "usr" / "OFX" / "Plugins"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            target = folder / bundle.name
            if not _same_files(bundle, target):
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(bundle, target)

    def run(self, *arguments: str, environment: Mapping[str, str], timeout: float = 120) -> str:
        """Runs it to its end; returns what it said.

        Raises:
            subprocess.CalledProcessError: it failed or crashed.
        """
        libraries = ":".join(f"/usr/lib/x86_64-linux-gnu/{place}" for place in _PLACES)
        run = subprocess.run(
            ["chroot", self.root, "/usr/bin/melt", *arguments],
            env={"PATH": "/usr/sbin:/usr/bin:/bin", "LD_LIBRARY_PATH": libraries, **environment},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return run.stdout

    def play(
        self, clip: Path, *cut: str, bridge: Path, real_time: int = -1, timeout: float = 900, **parameters: object
    ) -> tuple[Frames, str]:
        """What it makes of a clip with the effect, and what it said.

        Args:
            clip: a file under its root.
            cut: such as ``out=9``.
            bridge: the socket, under its root; none is started.
            real_time: -1 renders in order, -4 does not.
            parameters: of the effect.

        Raises:
            subprocess.CalledProcessError: it failed or crashed.
        """
        out = clip.with_name("played.mkv")
        effect = [f"{name}={value}" for name, value in parameters.items()]
        output = ("-consumer", f"avformat:{self.seen(out)}", *_LOSSLESS, f"real_time={real_time}")
        environment = {"MIVE_BRIDGE_SOCKET": self.seen(bridge), "MIVE_BRIDGE": "/nonexistent"}
        arguments = (self.seen(clip), *cut, "-filter", _EFFECT, *effect, *output)
        said = self.run(*arguments, environment=environment, timeout=timeout)
        return read_video(out), said


def write_video(path: Path, frames: Frames) -> Path:
    """Writes a lossless clip that it reads without a loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        _, stream.height, stream.width, _ = frames.shape
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


def read_video(path: Path) -> Frames:
    """All frames of a lossless clip."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def install(folder: Path) -> Melt:
    """Downloads some 240 MB and unpacks a gigabyte, once; later calls find it there.

    Raises:
        CannotInstall: not root, not Debian, or no way to the packages.
    """
    if os.geteuid() != 0:
        raise CannotInstall("melt needs root to be run in a folder of its own")
    for tool in ("apt-get", "apt-cache", "dpkg-deb", "chroot", "tar"):
        if shutil.which(tool) is None:
            raise CannotInstall(f"melt cannot be installed without {tool}")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            try:
                _unpack(_download(folder / "apt"), folder / "root")
            except subprocess.CalledProcessError as error:
                raise CannotInstall(f"melt's packages cannot be had: {error}") from error
            shutil.rmtree(folder / "apt")
            (folder / "complete").touch()
    return Melt(folder / "root")


def _download(folder: Path) -> Path:
    """The packages of melt and of all it needs, in a folder."""
    for name in ("sources", "lists/partial", "cache/archives/partial", "packages"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    mirror = _mirror()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source = f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {keys}\n"
    (folder / "sources" / "suite.sources").write_text(source)
    places = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": folder / "sources",
        "Dir::State::Lists": folder / "lists", "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    options = [part for name, place in places.items() for part in ("-o", f"{name}={place}")]
    _output("apt-get", "-qq", *options, "update")
    only = [f"--no-{kind}" for kind in _UNRELATED]
    tree = _output("apt-cache", *options, "depends", "--recurse", *only, *LIBRARIES)
    needed = sorted({line for line in tree.splitlines() if line[:1].isalpha()})
    _output("apt-get", "-qq", *options, "download", *needed, *PACKAGES, cwd=folder / "packages")
    return folder / "packages"


def _mirror() -> str:
    """The mirror that this system uses itself."""
    sites = _output("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()
    for site in sites:
        if "debian" in site and "security" not in site:
            return site
    raise CannotInstall("melt's packages are Debian's, and this system uses no Debian mirror")


def _unpack(packages: Path, root: Path) -> None:
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(Path("usr") / name)
    for name in ("tmp", "dev", "proc"):
        (root / name).mkdir(exist_ok=True)
    for package in sorted(packages.glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "x", "-C", root, "--keep-directory-symlink"], stdin=archive.stdout, check=True)
    null = root / "dev" / "null"
    if not null.exists():
        os.mknod(null, 0o20666, os.makedev(1, 3))


def _same_files(one: Path, other: Path) -> bool:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    return all((other / file).is_file() and filecmp.cmp(one / file, other / file, shallow=False) for file in files)


def _output(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd).stdout
