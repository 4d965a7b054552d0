"""Speed of the environments, side by side with peers; run from a clone, `python -m benchmarks.throughput`."""
