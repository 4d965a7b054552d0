"""What only the authors of an entry know, as they give it to `babyaipp leaderboard submit`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of an agent; `entry.py` says what is allowed."""

    name: str
    """Of the entry: a-z, 0-9 and hyphens."""
    title: str
    """What the board calls it."""
    authors: tuple[str, ...]
    """Who made the agent."""
    code: str
    """URL of its code; for the agents of this repository, a path in it."""
    parameters: int
    """Numbers that one agent learns."""
    frames: int
    """Of the training of one agent. Where each level has an agent of its own, those of one level."""
    hardware: str
    """What it was trained on."""
    agent: str | None = None
    """What played, if not as the report says."""
    paper: str | None = None
    """URL of what describes the agent."""
    commit: str | None = None
    """Of the code: the 40 digits of Git."""
    training_text: str = "true"
    """What the texts told in training, as --text of other commands."""
    observation: str = "tokens"
    """What the agent is given: tokens or text."""
    augmentation: str | None = None
    """What was done to the training data, if anything."""
    privileged: str | None = None
    """What the agent knows besides its observations, and what is built into it, if anything."""
    date: str | None = None
    """Of the submission, as 2026-01-31; today's, if not given."""
