"""Instance-centric Probability Redistribution (MIVE section 3.3)."""

from mive.attention.ipr.reference import (
    IprStrength,
    ipr_attention,
    ipr_strength,
    redistribute,
)

__all__ = ["IprStrength", "ipr_attention", "ipr_strength", "redistribute"]
