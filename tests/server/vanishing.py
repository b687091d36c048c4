"""A client to be killed: ``python vanishing.py ADDRESS`` previews, submits, opens a region, prints all three, waits."""

from __future__ import annotations

import json
import sys
import time

import grpc
from tests.server.served import a_submission

from mive.v1 import mive_pb2, mive_pb2_grpc

if __name__ == "__main__":
    stub = mive_pb2_grpc.MiveStub(grpc.insecure_channel(sys.argv[1]))
    preview = stub.PreviewJob(mive_pb2.PreviewJobRequest(submit=a_submission("a slow cube")))
    region = stub.OpenRegion(mive_pb2.OpenRegionRequest(size=1 << 20))
    had = {
        "preview": next(preview).event.job_id,
        "job": stub.SubmitJob(a_submission()).job.job_id,
        "region": next(region).region.name,
    }
    print(json.dumps(had), flush=True)
    time.sleep(600)
