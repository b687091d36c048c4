"""Rendering at a server, from Python; needs no torch.

::

    with Client("render7:7433") as client:
        job = client.submit(request)
        for event in client.watch(job.job_id):
            print(event)
        for index, frame in client.fetch(job.job_id):
            ...

:class:`Client` waits, :class:`AsyncClient` is for asyncio; their methods are the same. :func:`render` does all of it
and writes files as ``mive edit`` does.

===========================  ================================================
:mod:`mive.client.events`    what happens to a job
:mod:`mive.client.jobs`      a job
:mod:`mive.client.info`      what runs at a server
:mod:`mive.client.errors`    what can go wrong
===========================  ================================================
"""

from mive.client.address import Address, Tls, read_token
from mive.client.aio import AsyncClient
from mive.client.errors import Busy, NotFound, ServerError, TimedOut, TlsMismatch, TokenRefused, Unreachable
from mive.client.events import Cancelled, Done, Event, Failed, Preview, Progressed, Queued, Warned, WindowFinished
from mive.client.files import RenderResult, collect, follow, own_manifest, render
from mive.client.info import Device, Limits, ServerInfo
from mive.client.jobs import Job, JobPage, JobProgress
from mive.client.sync import Client
from mive.client.uploads import Upload

__all__ = [
    "Address",
    "AsyncClient",
    "Busy",
    "Cancelled",
    "Client",
    "Device",
    "Done",
    "Event",
    "Failed",
    "Job",
    "JobPage",
    "JobProgress",
    "Limits",
    "NotFound",
    "Preview",
    "Progressed",
    "Queued",
    "RenderResult",
    "ServerError",
    "ServerInfo",
    "TimedOut",
    "Tls",
    "TlsMismatch",
    "TokenRefused",
    "Unreachable",
    "Upload",
    "Warned",
    "WindowFinished",
    "collect",
    "follow",
    "own_manifest",
    "read_token",
    "render",
]
