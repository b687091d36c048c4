"""Engines compute ε; everything above them only knows the interface `mive.method.denoiser.Denoiser`."""
