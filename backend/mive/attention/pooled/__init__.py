"""Self-attention over all frames that sees its own frame whole and the others as averages of 2 × 2 tokens."""

from mive.attention.pooled.padded import pooled_attention

__all__ = ["pooled_attention"]
