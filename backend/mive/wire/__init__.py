"""MIVE's own objects as messages of the contract and back: pure conversions without torch.

Only :mod:`mive.wire.tls` reads files.

===========================  ===================================================================
:mod:`mive.wire.request`     edit requests, instances, settings, frame ranges
:mod:`mive.wire.clip`        what is known about a clip
:mod:`mive.wire.formats`     how a frame lies in memory: pixels to bytes and back
:mod:`mive.wire.chunks`      frames and uploads in pieces of at most 1 MiB and back
:mod:`mive.wire.raw_frames`  declarations of frames in memory
:mod:`mive.wire.runs`        mattes as runs of equal pixels
:mod:`mive.wire.progress`    how far an edit is
:mod:`mive.wire.jobs`        states and priorities of jobs
:mod:`mive.wire.errors`      errors as ``google.rpc.Status`` and back
:mod:`mive.wire.tls`         certificates and keys as gRPC's credentials
===========================  ===================================================================

The messages themselves are in :mod:`mive.v1`, which is built from ``proto/``. Whatever arrives may be wrong in any
way: every function that reads a message raises :class:`mive.errors.RequestError` for what it cannot take, before it
allocates anything of a declared size.
"""
