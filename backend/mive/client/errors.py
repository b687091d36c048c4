"""What can go wrong between a client and a server, besides what :mod:`mive.errors` knows.

::

    MiveError
    └── ServerError          the server refused, for a reason of the service's own
        ├── Unreachable      no server answers there, or the connection was lost for good
        ├── TlsMismatch      client and server do not agree on TLS
        ├── TokenRefused     no token was given, or one that the server does not know
        ├── NotFound         no such job, upload or region, or it is another token's
        ├── Busy             the queue is full, or the server loads or drains; try again later
        └── TimedOut         no answer came in time

A refusal about the edit itself (request, clip, matte, bundle, …) is raised as the kind of error that ``mive edit``
raises, with the request's field that is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.rpc import code_pb2
from grpc.aio import AioRpcError

from mive.client.address import Address
from mive.errors import MiveError, RequestError
from mive.wire.errors import STATUS_DETAILS, error_from_status, read_status, retry_delay

_BROKEN = ("RST_STREAM", "Stream removed", "GOAWAY")


class ServerError(MiveError):
    """The server refused, for a reason of the service's own, or does not keep to the contract."""


class Unreachable(ServerError):
    """No server answers there, or the connection was lost for good."""


class TlsMismatch(ServerError):
    """Client and server do not agree on TLS."""


class TokenRefused(ServerError):
    """No token was given, or one that the server does not know."""


class NotFound(ServerError):
    """No such job, upload or region; or it belongs to another token."""


class Busy(ServerError):
    """The server takes no job now: its queue is full, or it loads or drains.

    Args:
        retry_after: seconds after which trying again makes sense, where the server says so.
    """

    def __init__(
        self, what: str, *, expected: str, fix: str, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(what, expected=expected, fix=fix, field=field)
        self.retry_after = retry_after


class TimedOut(ServerError):
    """No answer came in time."""


_BY_CODE: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.UNAUTHENTICATED: TokenRefused,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
}


def answered(error: AioRpcError) -> bool:
    """The server itself refused; otherwise gRPC could not reach it, or lost it."""
    return _details(error) is not None


def lost(error: AioRpcError) -> bool:
    """The same call may well be answered a little later: there is no connection, or the server is about to restart."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return True
    if answered(error):
        return False
    # A server that is killed, or that stops without a word, ends its calls in one of these ways.
    text = error.details() or ""
    return error.code() is grpc.StatusCode.CANCELLED or any(word in text for word in _BROKEN)


def refusal(error: AioRpcError, address: Address) -> MiveError:
    """What a call that failed tells its user."""
    code = error.code()
    details = _details(error)
    if details is None:
        return _unanswered(error, address)
    status = read_status(details, code=code.value[0], message=error.details() or "")
    told = error_from_status(status)
    retry_after = retry_delay(status)
    if code is grpc.StatusCode.UNAVAILABLE or retry_after is not None:
        return Busy(told.what, expected=told.expected, fix=told.fix, field=told.field, retry_after=retry_after)
    if type(told) is not MiveError:
        return told
    kind = _BY_CODE.get(code, ServerError)
    return kind(told.what, expected=told.expected, fix=told.fix, field=told.field)


def connection_lost(address: Address, seconds: float) -> Unreachable:
    """The connection broke, and all attempts to make it again failed."""
    return Unreachable(
        f"the connection to {address} was lost and could not be made again within {seconds:.0f} s",
        expected="a server that comes back",
        fix='Submitted jobs go on without a client: come back with "mive watch ID"',
    )


def closed() -> ServerError:
    """The client was used after its end."""
    return ServerError("the client was closed", expected="an open client", fix="Make another one")


@contextmanager
def from_server() -> Iterator[None]:
    """Inside the block, a message that makes no sense is the server's fault, not the request's."""
    try:
        yield
    except RequestError as error:
        raise broken_contract(error.message()) from error


def broken_contract(what: str) -> ServerError:
    """The server does not keep to the contract."""
    return ServerError(
        f"the server sent what makes no sense here: {what}",
        expected="answers as MIVE's contract has them",
        fix='Compare the versions: "mive --version" here, and that of the server',
    )


def _details(error: AioRpcError) -> bytes | None:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS:
            return bytes(value) if isinstance(value, bytes) else b""
    return None


def _unanswered(error: AioRpcError, address: Address) -> MiveError:
    text = error.details() or ""
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return _unreachable(text, address)
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return TokenRefused(
                f"the server at {address} refuses this token" + (f" ({text})" if text else ""),
                expected="a token from the server's configuration",
                fix="Set MIVE_TOKEN, or name the token's file with --token-file or MIVE_TOKEN_FILE",
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOut(
                f"the server at {address} did not answer in time",
                expected="an answer within a few seconds",
                fix="See whether the server is overloaded, and that a MIVE server listens at that address",
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            return ServerError(
                f"what listens at {address} does not know this call",
                expected="a mive-server as new as this client",
                fix="Check the address, or update the server",
            )
    name = code_pb2.Code.Name(error.code().value[0])
    return ServerError(f"the server failed without giving a reason ({name}: {text or 'no message'})", fix="See its log")


def _unreachable(text: str, address: Address) -> ServerError:
    """``text`` is gRPC's, whose words for TLS problems depend on which side noticed."""
    if "WRONG_VERSION_NUMBER" in text:
        return TlsMismatch(
            f"the server at {address} does not speak TLS",
            expected="a server with a certificate",
            fix="Leave --ca, --cert and --key out if it runs on this machine, or give the server a certificate",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text or "Hostname Verification" in text:
        why = "is not signed by an authority known here" if "CERTIFICATE" in text else "is for another name"
        return TlsMismatch(
            f"the certificate of {address} {why}",
            expected="a certificate that can be checked, for the host's name as given in the address",
            fix="Name the authority's certificate with --ca, and the host as its certificate names it",
        )
    if "handshake" in text.lower():
        return TlsMismatch(
            f"no TLS connection to {address} came about",
            expected="certificate files in PEM form",
            fix="Check the files given with --ca, --cert and --key",
        )
    if "Socket closed" in text:
        return TlsMismatch(
            f"the server at {address} hangs up at once",
            expected="TLS where the server has a certificate, and a client certificate where it asks for one",
            fix="Name the authority's certificate with --ca, and your own with --cert and --key",
        )
    reason = text.rpartition(": ")[2].rstrip("]")
    return Unreachable(
        f"no server answers at {address}" + (f" ({reason})" if reason else ""),
        expected="a running server",
        fix='Start one with "mive-server --engine torch --bundle tiny", or name another with --server or MIVE_SERVER',
    )
