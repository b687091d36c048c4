"""Engines compute ε; everything above them only knows the `Denoiser` interface."""

from mive.method.denoiser import Call, Conditions, Denoiser

__all__ = ["Call", "Conditions", "Denoiser"]
