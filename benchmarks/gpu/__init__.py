"""What `benchmarks.gpu_report` measures: parts (`parts.py`) of items, which a process aside measures (`worker.py`)."""
