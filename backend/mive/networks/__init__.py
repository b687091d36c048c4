"""The model: bundles, text tokens by role, and Stable Diffusion networks inflated over frames."""
