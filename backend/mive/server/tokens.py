"""Tokens on disk: a file of names and hashes, never of the tokens themselves."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mive.base.atomic import output_error
from mive.errors import MiveError, RequestError

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_LINE: Final = re.compile(rf"({_NAME}):([0-9a-f]{{64}})")
_HEAD: Final = b"# Tokens of mive-server, NAME:SHA-256 of the token. Remove a line to revoke its token.\n"

log = logging.getLogger(__name__)


class Unauthenticated(MiveError):
    """The call carries no token that is known."""

    def __init__(self) -> None:
        super().__init__(
            "the call carries no valid token",
            expected='metadata "authorization: Bearer TOKEN"',
            fix="Ask the server's operator for a token",
        )


@dataclass(frozen=True)
class Owner:
    """Whose jobs, uploads and regions are meant.

    Attributes:
        id: what the job store knows the owner by; as long as the token lives, always the same.
        name: as the operator calls the token.
    """

    id: str
    name: str


def new_token(path: Path, name: str) -> str:
    """Make a token, add its hash to a tokens file and return it; it is nowhere else.

    Args:
        path: made, for this user only, where it does not exist.
        name: letters, digits, ".", "_" and "-", at most 64.

    Raises:
        RequestError: the name is taken or malformed, or the file is not one of tokens.
        OutputError: the file cannot be written.
    """
    if not re.fullmatch(_NAME, name):
        raise RequestError(
            f"{name!r} is no name for a token",
            expected='at most 64 letters, digits, ".", "_" or "-"',
            fix='Write for instance "anna"',
        )
    token = f"mive_{secrets.token_urlsafe(32)}"
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            if name in {owner.name for owner in _parse(text, path).values()}:
                raise RequestError(
                    f'there is a token "{name}" in {path}',
                    expected="a name of its own for every token",
                    fix="Choose another name, or remove that line, which revokes the token",
                )
            head = _HEAD if not text else b"" if text.endswith(b"\n") else b"\n"
            file.write(head + f"{name}:{_hash(token)}\n".encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise output_error(error, path) from error
    return token


class Tokens:
    """The tokens of a file, read again whenever it changes.

    A file that is gone or wrong after a change lets nobody in until it is right again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._owners: dict[bytes, Owner] = {}

    @classmethod
    def load(cls, path: Path) -> Self:
        """The tokens of a file, which others may not read.

        Raises:
            RequestError: the file is missing, can be read by others, or has a line that is none.
        """
        tokens = cls(path)
        tokens._read()
        return tokens

    def owner(self, authorization: str | None) -> Owner:
        """Who sends this value of the "authorization" metadata.

        Raises:
            Unauthenticated: no token of the file is in it.
        """
        self._refresh()
        scheme, _, token = (authorization or "").strip().partition(" ")
        presented = _hash(token.strip()).encode()
        found = None
        # All of them, so that the time tells nothing.
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, presented):
                found = owner
        if found is None or scheme.lower() != "bearer":
            raise Unauthenticated
        return found

    def _refresh(self) -> None:
        if self._stamp == _stamp(self._path):
            return
        self._owners = {}
        try:
            self._read()
            log.info("tokens were read again: %d", len(self._owners))
        except RequestError as error:
            self._stamp = _stamp(self._path)
            log.error("nobody is let in: %s", error)

    def _read(self) -> None:
        stamp = _stamp(self._path)
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read()
        except OSError as error:
            raise RequestError(
                f"the tokens file {self._path} cannot be read: {error.strerror}",
                expected="a file of token hashes that this process may read",
                fix=f"Make it with a first token: mive-server token NAME --tokens-file {self._path}",
                field="auth.tokens_file",
            ) from error
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise RequestError(
                f"the tokens file {self._path} has the mode {stat.S_IMODE(mode):04o}, which lets others at it",
                expected="mode 0600, or 0640 where a group has to read it",
                fix=f"chmod 600 {self._path}",
                field="auth.tokens_file",
            )
        self._owners = _parse(text, self._path)
        self._stamp = stamp


def _hash(token: str) -> str:
    """A token is random enough that nobody can go from its hash back to it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _parse(text: bytes, path: Path) -> dict[bytes, Owner]:
    """Owners by the hash of their token. An error never quotes a line: it could be a token."""
    owners: dict[bytes, Owner] = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[1] in {owner.name for owner in owners.values()}:
            raise RequestError(
                f"line {number} of the tokens file {path} is wrong",
                expected="NAME:SHA-256 in 64 lower-case hexadecimal digits, each name once",
                fix='Remove it and make a new one with "mive-server token NAME"; no token itself belongs there',
                field="auth.tokens_file",
            )
        # Not the hash itself, so that the job store's backups are no list of them.
        owners[match[2].encode()] = Owner(hashlib.sha256(f"owner {match[2]}".encode()).hexdigest()[:32], match[1])
    return owners


def _stamp(path: Path) -> object:
    try:
        info = path.stat()
    except OSError:
        return "gone"
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode
