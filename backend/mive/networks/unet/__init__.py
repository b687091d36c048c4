"""Stable Diffusion's U-Net and ControlNet, inflated to frames."""
