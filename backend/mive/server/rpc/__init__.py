"""The contract's one service, spoken over grpc.aio.

Everything that reads a disk or the job store runs in threads, so that the loop always answers.
"""
