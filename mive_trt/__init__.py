"""TensorRT engines of a bundle's networks: export, build, cache, run."""
