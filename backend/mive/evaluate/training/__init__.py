"""Training of the `tiny` bundle from nothing: ``python -m mive.evaluate.training --work DIR``."""
