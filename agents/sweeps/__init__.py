"""Sweeps: what to run (`plan.py`), one run (`work.py`), and where runs are computed (`launchers.py`)."""
