"""Baseline agents and what trains, evaluates and shows them; run from a clone, `python -m agents.train`.

An agent is one file of this folder that defines `Config` and `build`: see `registry.py`.
"""
