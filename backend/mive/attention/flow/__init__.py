"""Flow-guided attention along trajectories (FLATTEN)."""

from mive.attention.flow.reference import flow_attention

__all__ = ["flow_attention"]
