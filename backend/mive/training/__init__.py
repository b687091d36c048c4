"""Training of the `tiny` bundle from nothing: ``python -m mive.training all --work DIR``."""
