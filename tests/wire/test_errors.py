"""Errors keep their kind, field, expectation and fix on their way through a gRPC status."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from mive import errors
from mive.errors import MiveError, RequestError
from mive.v1 import error_pb2, mive_pb2, mive_pb2_grpc
from mive.wire.errors import (
    STATUS_DETAILS,
    error_from_detail,
    error_from_status,
    error_to_detail,
    error_to_status,
    read_status,
    retry_delay,
    status_code,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MiveError)]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.sampled_from(KINDS), texts, texts, texts, st.none() | texts)
def test_every_error_comes_back_as_it_was(
    kind: type[MiveError], what: str, expected: str, fix: str, field: str | None
) -> None:
    error = kind(what, expected=expected, fix=fix, field=field)
    status = status_pb2.Status.FromString(error_to_status(error).SerializeToString())
    for back in (error_from_status(status), error_from_detail(error_to_detail(error))):
        assert type(back) is kind
        assert back.to_dict() == error.to_dict()
    assert error_from_status(status).message() == error.message()


def test_a_status_says_the_whole_sentence() -> None:
    error = RequestError("a caption is empty", expected="words", fix="Write some", field="instances[0].caption")
    status = error_to_status(error)
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert status.message == "instances[0].caption: a caption is empty. Expected words. Write some."
    assert retry_delay(status) is None


def test_the_caller_may_know_a_better_code_and_when_to_come_back() -> None:
    error = MiveError("64 jobs are waiting", fix="Try again later")
    status = error_to_status(error, code=code_pb2.RESOURCE_EXHAUSTED, retry_after=2.5)
    assert status.code == code_pb2.RESOURCE_EXHAUSTED
    assert retry_delay(status) == 2.5
    assert error_from_status(status).to_dict() == error.to_dict()


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code_and_none_is_unknown(kind: type[MiveError]) -> None:
    assert status_code(kind("x")) not in (code_pb2.OK, code_pb2.UNKNOWN)


@pytest.mark.parametrize("letter", ["a", "é", "字", "😀"])
def test_the_longest_error_fits_into_trailing_metadata(letter: str) -> None:
    """gRPC takes 8 KiB: the message in percent-encoding, and the status in base64."""
    long = letter * 100_000
    status = error_to_status(RequestError(long, expected=long, fix=long, field=long), retry_after=1)
    assert 3 * len(status.message.encode()) + status.ByteSize() * 4 / 3 < 6000
    assert error_from_status(status).what.endswith(letter + "…")


class _Refusing(mive_pb2_grpc.MiveServicer):
    """A service whose jobs are all refused with the longest texts."""

    def GetJob(self, request: mive_pb2.GetJobRequest, context: Any) -> Any:
        long = "字" * 10_000
        status = error_to_status(RequestError(long, expected=long, fix=long, field=long), retry_after=1)
        context.set_trailing_metadata(((STATUS_DETAILS, status.SerializeToString()),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, status.message)


def test_a_client_reads_the_longest_error_from_a_real_call() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    mive_pb2_grpc.add_MiveServicer_to_server(_Refusing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
            mive_pb2_grpc.MiveStub(channel).GetJob(mive_pb2.GetJobRequest(job_id="x"), timeout=20)
    finally:
        server.stop(None)
    call: Any = caught.value
    details = dict(call.trailing_metadata())[STATUS_DETAILS]
    status = read_status(details, code=call.code().value[0], message=call.details())
    error = error_from_status(status)
    assert type(error) is RequestError
    assert error.fix.startswith("字")
    assert retry_delay(status) == 1


def test_texts_that_are_not_unicode_still_travel() -> None:
    error = error_from_status(error_to_status(RequestError("no file caf\udce9", field="cl\udce9p")))
    assert (error.what, error.field) == ("no file caf?", "cl?p")


def test_statuses_of_others_become_plain_errors() -> None:
    for status in (
        read_status(None, code=code_pb2.UNAVAILABLE, message="connection refused"),
        read_status(b"\xff\xff", code=code_pb2.UNAVAILABLE, message="connection refused"),
        read_status(error_to_status(MiveError("x")).SerializeToString(), code=14, message="connection refused"),
    ):
        assert status.code == code_pb2.UNAVAILABLE
        assert error_from_status(status).what == "connection refused"
    ours = error_to_status(RequestError("x", field="clip"))
    assert read_status(ours.SerializeToString(), code=ours.code, message="x") == ours
    ours.details[0].value = b"\xff\xff"
    assert type(error_from_status(ours)) is MiveError


def test_a_kind_of_a_newer_contract_is_a_plain_error() -> None:
    detail = error_pb2.ErrorDetail(kind=77, what="new", field="")  # type: ignore[arg-type]
    error = error_from_detail(detail)
    assert type(error) is MiveError
    assert error.field == ""
