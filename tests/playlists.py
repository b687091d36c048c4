"""Files and paths that name other files or sockets, and a trap that tells whether somebody went there."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

import av
import numpy as np

_IN_OPEN = 0x20
_NAMED = "clip.mov", "ids.png", "ids.tga"


class Trap:
    """A folder that nobody may open a file of, and a port that nobody may connect to.

    ``opened()`` tells what was opened or reached since it was last called. Other processes are noticed too.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.secret = folder / "secret.mkv"
        _write_video(self.secret)
        (folder / "secret.ts").write_bytes(self.secret.read_bytes())
        for number in range(3):
            (folder / f"secret{number}.ppm").write_bytes(b"P6 2 2 255\n" + bytes(12))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port = self._server.getsockname()[1]
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._notices = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(folder)

    @staticmethod
    def works_here() -> bool:
        return sys.platform == "linux"

    def watch(self, path: Path) -> None:
        assert self._libc.inotify_add_watch(self._notices, os.fsencode(path), _IN_OPEN) >= 0

    def opened(self) -> list[str]:
        found = []
        while True:
            try:
                self._server.accept()[0].close()
                found.append(f"port {self.port}")
            except BlockingIOError:
                break
        while True:
            try:
                notices = os.read(self._notices, 65536)
            except BlockingIOError:
                return found
            while notices:
                (length,) = struct.unpack_from("12xI", notices)
                found.append(notices[16 : 16 + length].rstrip(b"\0").decode() or "a file beside it")
                notices = notices[16 + length :]

    def close(self) -> None:
        self._server.close()
        os.close(self._notices)


def reference_files(folder: Path, trap: Trap) -> list[Path]:
    """One file of each kind, and playlists under the names of clips and images; the trap lies in the empty folder.

    By itself FFmpeg's concat only goes to files in or below the folder of its list.
    """
    secret, port = trap.secret, trap.port
    ts, http = secret.with_suffix(".ts"), f"http://127.0.0.1:{port}/a.ts"
    below = secret.relative_to(folder)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-PLAYLIST-TYPE:VOD\n{}\n#EXT-X-ENDLIST\n"
    texts = {
        "relative.ffconcat": f"ffconcat version 1.0\nfile {below}\n",
        "absolute.ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "socket.ffconcat": f"ffconcat version 1.0\nfile '{http}'\n",
        "descriptor.ffconcat": "ffconcat version 1.0\nfile 'fd:'\n",
        "list.m3u8": playlist.format(f"#EXTINF:1,\n{ts}"),
        "url.m3u8": playlist.format(f"#EXTINF:1,\nfile:{ts}"),
        "socket.m3u8": playlist.format(f"#EXTINF:1,\n{http}"),
        "key.m3u8": playlist.format(f'#EXT-X-KEY:METHOD=AES-128,URI="{http}"\n#EXTINF:1,\n{ts}'),
        "map.m3u8": playlist.format(f'#EXT-X-MAP:URI="{secret}"\n#EXTINF:1,\n{secret}'),
        "master.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{http}.m3u8\n",
        "dash.mpd": _dash(str(secret)),
        "socket.mpd": _dash(http),
        "stream.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "picture.svg": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="64" '
        f'height="48"><image xlink:href="file://{secret}" width="64" height="48"/></svg>',
        "imf.xml": _imf(),
        "ASSETMAP.xml": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM">'
        f"<Path>{secret}</Path></AssetMap>",
        "subtitles.idx": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n"
        "timestamp: 00:00:00:000, filepos: 000000000\n",
        "list.asx": f'<ASX version="3.0"><Entry><Ref href="{http}"/></Entry></ASX>',
        "list.pls": f"[playlist]\nFile1={secret}\nNumberOfEntries=1\n",
        "script.avs": f'FFmpegSource2("{secret}")\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    for name in _NAMED:
        (folder / name).write_text(texts["relative.ffconcat"])
    (folder / "playlist.mp4").write_text(texts["list.m3u8"])
    (folder / "reference.mov").write_bytes(_reference_movie(secret))
    files = sorted(path for path in folder.iterdir() if path.is_file())
    (folder / "subtitles.sub").write_bytes(secret.read_bytes())
    trap.watch(folder / "subtitles.sub")
    return files


def reference_paths(trap: Trap) -> list[str]:
    """Names that FFmpeg would take for addresses, or for patterns of files."""
    secret, http = trap.secret, f"127.0.0.1:{trap.port}/a.mkv"
    prefixed = [f"{prefix}:{secret}" for prefix in ("file", "concat", "async:file", "cache:file", "crypto:file")]
    sockets = [f"{scheme}://{http}" for scheme in ("http", "tcp", "rtsp", "rtmp", "ftp", "httpproxy", "gopher")]
    patterns = [
        str(secret.with_name(name)) for name in ("secret%d.ppm", "secret%01d.ppm", "secret*.ppm", "secret?.pgm")
    ]
    return [
        *prefixed,
        *sockets,
        *patterns,
        f"concat:{secret}|{secret}",
        f"subfile,,start,0,end,0,,:{secret}",
        "data:text/plain,ffconcat%20version%201.0",
        "pipe:0",
        "fd:",
    ]


def _write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=64, height=48)
        stream.pix_fmt = "bgr0"
        for _ in range(3):
            red = np.full((48, 64, 3), (200, 0, 0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode(None))


def _dash(url: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    )


def _imf() -> str:
    return (
        '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
        "<Id>urn:uuid:00000000-0000-0000-0000-000000000001</Id><ContentTitle>x</ContentTitle><EditRate>24 1</EditRate>"
        "<SegmentList/></CompositionPlaylist>"
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _reference_movie(target: Path) -> bytes:
    """QuickTime whose samples lie in another file, which it names by an alias with a UNIX path."""
    path = os.fsencode(target)
    path += b"\0" * (len(path) % 2)
    alias = bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16) + struct.pack(">hh", -1, -1) + bytes(16)
    alias = struct.pack(">IHH", 0, 150, 2) + alias[: 150 - 8]
    alias += (
        struct.pack(">hH", 2, len(path)) + path + struct.pack(">hH", 18, len(path)) + path + struct.pack(">hH", -1, 0)
    )
    references = _box(b"dref", struct.pack(">II", 0, 1), _box(b"alis", struct.pack(">I", 0), alias))
    picture = struct.pack(">6xH16xHHII4xH32xHh", 1, 64, 48, 72 << 16, 72 << 16, 1, 24, -1)
    tables = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, 1), _box(b"raw ", picture)),
        _box(b"stts", struct.pack(">IIII", 0, 1, 1, 100)),
        _box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        _box(b"stsz", struct.pack(">III", 0, 64 * 48 * 3, 1)),
        _box(b"stco", struct.pack(">III", 0, 1, 0)),
    )
    information = _box(b"minf", _box(b"vmhd", bytes(12)), _box(b"dinf", references), tables)
    handler = _box(b"hdlr", bytes(4), b"mhlrvide", bytes(13))
    media = _box(b"mdia", _box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 2400, 100, 0, 0)), handler, information)
    track = _box(b"trak", _box(b"tkhd", struct.pack(">IIII", 15, 0, 0, 1), bytes(68)), media)
    header = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 2400, 100), bytes(80))
    return _box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + _box(b"moov", header, track)
