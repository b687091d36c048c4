"""Group norm whose statistics cover all frames of an item, and the activation after it, in one op."""

from mive.networks.norm.choice import pooled_norm
from mive.networks.norm.reference import NormWeights

__all__ = ["NormWeights", "pooled_norm"]
