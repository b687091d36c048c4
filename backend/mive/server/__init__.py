"""The render service: jobs that outlive clients, crashes and restarts.

Only :mod:`mive.server.renderer` and :mod:`mive.server.checkpoints` import torch, so that the process that answers
clients stays small.
"""
