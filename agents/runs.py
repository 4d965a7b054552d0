"""A run folder: what a training leaves behind, and what resuming and evaluating it read.

config.json                             what was asked for
progress.jsonl                          a line an update: frames, seconds, success and return of episodes, losses
tensorboard/                            the same, for TensorBoard
<agent>-<level>-<seed>.safetensors      the agent, as of the last checkpoint
training.safetensors                    everything else that going on takes; one for each process
report.json                             what `agents.evaluate` found
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.checkpoints import SUFFIX, checkpoint_name


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """What was asked for."""
        return self.folder / "config.json"

    @property
    def progress_file(self) -> Path:
        """How the training went."""
        return self.folder / "progress.jsonl"

    @property
    def report_file(self) -> Path:
        """What an evaluation found."""
        return self.folder / "report.json"

    def training_file(self, rank: int = 0) -> Path:
        """What a process needs to go on."""
        return self.folder / f"training{f'-{rank}' if rank else ''}{SUFFIX}"

    def agent_file(self) -> Path:
        """The agent.

        Raises:
            ValueError: none has been saved yet.
        """
        config = self.read_config()
        if "algorithm" in config:
            raise ValueError(
                f"{str(self.folder)!r} is a run of agents.train_sb3, which evaluates its agents itself: --resume "
                f"{self.folder} --episodes 1000"
            )
        file = self.folder / checkpoint_name(config["agent"], config["level"], config["split"], config["seed"])
        if not file.exists():
            raise ValueError(f"{str(self.folder)!r} holds no saved agent yet")
        return file

    def read_config(self) -> dict[str, Any]:
        """What was asked for.

        Raises:
            ValueError: no training was started here, or the file is damaged.
        """
        if not self.config_file.exists():
            raise ValueError(f"{str(self.folder)!r} is not a run folder: it has no {self.config_file.name}")
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.config_file} is not JSON: {error}") from None
        missing = sorted({"agent", "level", "split", "text", "sentence_order", "seed", "preset"} - set(config))
        if missing:
            raise ValueError(f"{self.config_file} is not that of a training: it lacks {', '.join(missing)}")
        return config

    def read_progress(self) -> list[dict[str, Any]]:
        """The lines of `progress.jsonl`; one that a crash cut off is passed over."""
        if not self.progress_file.exists():
            return []
        lines = self.progress_file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line.endswith("}")]

    def forget_progress_after(self, frames: int) -> None:
        """Drop the lines that tell of frames after the saved agent, which will be trained anew."""
        if not self.progress_file.exists():
            return
        kept = [json.dumps(line) + "\n" for line in self.read_progress() if line["frames"] <= frames]
        write_text(self.progress_file, "".join(kept))


def write_text(path: Path, text: str) -> None:
    """Write a file all at once: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file all at once."""
    write_text(path, json.dumps(content, indent=2) + "\n")
