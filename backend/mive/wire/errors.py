"""Errors as ``google.rpc.Status`` with details, and back.

A status travels in a call's trailing metadata, of which gRPC takes 8 KiB, so its texts are cut shorter than that. In
events an error travels whole.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from mive.errors import (
    BundleError,
    Cancelled,
    EngineError,
    MatteError,
    MediaError,
    MiveError,
    OutOfMemory,
    OutputError,
    RequestError,
)
from mive.v1 import error_pb2

STATUS_DETAILS: Final = "grpc-status-details-bin"
"""The key of the trailing metadata that holds a serialised ``google.rpc.Status``."""

_KINDS: Final[dict[type[MiveError], tuple[error_pb2.ErrorKind.ValueType, int]]] = {
    MiveError: (error_pb2.ERROR_KIND_UNSPECIFIED, code_pb2.INTERNAL),
    RequestError: (error_pb2.ERROR_KIND_REQUEST, code_pb2.INVALID_ARGUMENT),
    MediaError: (error_pb2.ERROR_KIND_MEDIA, code_pb2.INVALID_ARGUMENT),
    MatteError: (error_pb2.ERROR_KIND_MATTE, code_pb2.INVALID_ARGUMENT),
    BundleError: (error_pb2.ERROR_KIND_BUNDLE, code_pb2.FAILED_PRECONDITION),
    OutputError: (error_pb2.ERROR_KIND_OUTPUT, code_pb2.RESOURCE_EXHAUSTED),
    EngineError: (error_pb2.ERROR_KIND_ENGINE, code_pb2.INTERNAL),
    OutOfMemory: (error_pb2.ERROR_KIND_OUT_OF_MEMORY, code_pb2.RESOURCE_EXHAUSTED),
    Cancelled: (error_pb2.ERROR_KIND_CANCELLED, code_pb2.CANCELLED),
}
_TYPES: Final = {int(kind): error for error, (kind, _) in _KINDS.items()}
_BYTES: Final = {"what": 600, "expected": 400, "fix": 400, "field": 200}
_MESSAGE_BYTES: Final = 600


def status_code(error: MiveError) -> int:
    """The canonical code (``google.rpc.Code``) of an error, where nothing better is known."""
    return _kind(error)[1]


def error_to_detail(error: MiveError) -> error_pb2.ErrorDetail:
    """The error as a message; what is not Unicode in its texts becomes ``?``."""
    return error_pb2.ErrorDetail(
        kind=_kind(error)[0],
        what=_text(error.what),
        expected=_text(error.expected),
        fix=_text(error.fix),
        field=None if error.field is None else _text(error.field),
    )


def error_from_detail(detail: error_pb2.ErrorDetail) -> MiveError:
    """The error that a message holds; a kind of a newer contract is a plain :class:`MiveError`."""
    field = detail.field if detail.HasField("field") else None
    kind = _TYPES.get(detail.kind, MiveError)
    return kind(detail.what, expected=detail.expected, fix=detail.fix, field=field)


def error_to_status(
    error: MiveError, *, code: int | None = None, retry_after: float | None = None
) -> status_pb2.Status:
    """The status of a refused call.

    Args:
        code: ``google.rpc.Code``, where it is not what :func:`status_code` says (such as NOT_FOUND).
        retry_after: seconds after which trying again may help.
    """
    detail = error_to_detail(error)
    for name, most in _BYTES.items():
        if detail.HasField("field") or name != "field":
            setattr(detail, name, _cut(getattr(detail, name), most))
    message = _cut(_text(error.message()), _MESSAGE_BYTES)
    status = status_pb2.Status(code=status_code(error) if code is None else code, message=message)
    status.details.add().Pack(detail)
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_after * 1000))
        status.details.add().Pack(retry)
    return status


def error_from_status(status: status_pb2.Status) -> MiveError:
    """The error that a status holds; one that names none becomes a plain :class:`MiveError` of its message."""
    detail = error_pb2.ErrorDetail()
    for any_ in status.details:
        if any_.Is(error_pb2.ErrorDetail.DESCRIPTOR):
            try:
                any_.Unpack(detail)
            except DecodeError:
                break
            return error_from_detail(detail)
    return MiveError(status.message or "the server gave no reason")


def retry_delay(status: status_pb2.Status) -> float | None:
    """Seconds after which trying again may help, where the status says so."""
    retry = error_details_pb2.RetryInfo()
    for any_ in status.details:
        if any_.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            try:
                any_.Unpack(retry)
            except DecodeError:
                return None
            return float(retry.retry_delay.ToMilliseconds() / 1000)
    return None


def read_status(details: bytes | None, *, code: int, message: str) -> status_pb2.Status:
    """The status of a refused call.

    Args:
        details: the trailing metadata under :data:`STATUS_DETAILS`; where they are missing or broken, as after a
            refusal that is not the server's own, code and message are all there is.
        code, message: of the call.
    """
    status = status_pb2.Status()
    try:
        status.ParseFromString(details or b"")
    except DecodeError:
        status.Clear()
    if status.code != code:
        return status_pb2.Status(code=code, message=message)
    return status


def _kind(error: MiveError) -> tuple[error_pb2.ErrorKind.ValueType, int]:
    return next(_KINDS[kind] for kind in type(error).__mro__ if kind in _KINDS)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _cut(text: str, most: int) -> str:
    """At most ``most`` bytes of UTF-8, marked where something is missing."""
    data = text.encode("utf-8")
    if len(data) <= most:
        return text
    return data[: most - 3].decode("utf-8", "ignore") + "…"
