"""Training of the `tiny` bundle from nothing: ``python -m mive.evaluate.training all --work DIR``."""
