"""A client that knows no more than what reflection tells: ``python stranger.py ADDRESS SUBMISSION``.

Submits a job (as JSON), watches it and fetches its frames; prints as JSON what came back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Stranger:
    """Calls methods by name, with requests and answers as dictionaries."""

    def __init__(self, channel: grpc.Channel) -> None:
        known = ProtoReflectionDescriptorDatabase(channel)
        (name,) = (name for name in known.get_services() if not name.startswith("grpc."))
        self.channel = channel
        self.service: ServiceDescriptor = DescriptorPool(known).FindServiceByName(name)

    def call(self, name: str, **request: Any) -> Iterator[dict[str, Any]]:
        method = self.service.methods_by_name[name]
        message = ParseDict(request, GetMessageClass(method.input_type)())
        for answer in self._answers(method, message):
            yield MessageToDict(answer)

    def _answers(self, method: MethodDescriptor, message: Any) -> Any:
        path = f"/{self.service.full_name}/{method.name}"
        codecs = (type(message).SerializeToString, GetMessageClass(method.output_type).FromString)
        if method.server_streaming:
            return self.channel.unary_stream(path, *codecs)(message, timeout=60)
        return [self.channel.unary_unary(path, *codecs)(message, timeout=60)]


def main(address: str, submission: dict[str, Any]) -> dict[str, Any]:
    stranger = Stranger(grpc.insecure_channel(address))
    (submitted,) = stranger.call("SubmitJob", **submission)
    job = submitted["job"]["jobId"]
    events = [answer["event"] for answer in stranger.call("WatchJob", jobId=job)]
    chunks = [answer["chunk"] for answer in stranger.call("FetchFrames", jobId=job)]
    return {
        "told": [next(key for key in event if key not in ("sequence", "jobId", "time")) for event in events],
        "frames": [chunk["frame"] for chunk in chunks if "header" in chunk],
        "data": [chunk["data"] for chunk in chunks],
        "generated code": sorted(name for name in sys.modules if name.split(".")[0] == "mive"),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
