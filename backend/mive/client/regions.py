"""Shared memory that a server on this machine made, read and written by a client."""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from mive.client.connection import Connection
from mive.client.errors import ServerError, broken_contract
from mive.v1 import media_pb2, mive_pb2
from mive.wire.formats import Data


class Region:
    """An open region. Bytes are copied in and out, so that nothing points into memory that may go.

    Args:
        region_id: names it in requests.
        memory: all of it.
    """

    def __init__(self, region_id: str, memory: mmap.mmap) -> None:
        self.region_id = region_id
        self._memory = memory

    def slice(self, offset: int, size: int) -> media_pb2.RegionSlice:
        """Names some of its bytes."""
        return media_pb2.RegionSlice(region_id=self.region_id, offset=offset, size=size)

    def write(self, offset: int, data: Data) -> None:
        """Copies bytes into it."""
        self._memory[offset : offset + memoryview(data).nbytes] = data

    def read(self, where: media_pb2.RegionSlice) -> memoryview:
        """Copies bytes out of it, once.

        Raises:
            ServerError: they are not in this region.
        """
        if where.region_id != self.region_id or where.offset + where.size > len(self._memory):
            raise broken_contract("a frame outside the region that was asked for")
        # Memory that is not filled with zeros first.
        copied = np.empty(where.size, np.uint8)
        with memoryview(self._memory) as whole:
            copied[:] = np.frombuffer(whole[where.offset : where.offset + where.size], np.uint8)
        return copied.data


@asynccontextmanager
async def open_region(connection: Connection, size: int) -> AsyncIterator[Region]:
    """A region of ``size`` bytes, which is there until the block ends.

    Raises:
        MiveError: the server makes none, or it cannot be opened from here.
        AioRpcError: the call failed.
    """
    call = connection.stub.OpenRegion(mive_pb2.OpenRegionRequest(size=size), metadata=connection.metadata)
    try:
        answer = await call.read()
        if not isinstance(answer, mive_pb2.OpenRegionResponse):
            raise broken_contract("no region where one was asked for")
        memory = map_region(answer.region.name, size)
        try:
            yield Region(answer.region.region_id, memory)
        finally:
            memory.close()
    finally:
        call.cancel()


def map_region(name: str, size: int) -> mmap.mmap:
    """The shared memory of that POSIX name, which stays the server's to remove.

    Raises:
        ServerError: it is not there, not this user's, or too small. No error tells the name.
    """
    try:
        # multiprocessing.shared_memory would have its resource tracker remove memory that is the server's.
        from _posixshmem import shm_open  # type: ignore[import-not-found]
    except ImportError:
        raise _unusable("this system has no POSIX shared memory") from None
    if not re.fullmatch(r"/[^/\0]{1,250}", name):
        raise broken_contract("a region without a proper name")
    try:
        descriptor = shm_open(name, os.O_RDWR, mode=0)
    except OSError as error:
        raise _unusable(f"the server's shared memory cannot be opened from here ({error.strerror})") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise _unusable("the server's shared memory belongs to somebody else")
        if facts.st_size < size:
            raise broken_contract(f"a region of {facts.st_size} bytes where {size} were asked for")
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _unusable(what: str) -> ServerError:
    return ServerError(
        what,
        expected="a server on this machine that runs as the same user",
        fix='Send by upload (--send upload, send="upload"), and fetch without into_memory',
    )
