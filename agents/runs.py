"""A run folder: what a training leaves behind, and what resuming and evaluating it read.

config.json        what was asked for
progress.jsonl     a line an update: frames, seconds, success and return of recent episodes, losses
tensorboard/       the same, for TensorBoard
checkpoint.zip     the model of an unfinished training; replaced by
model.zip          the model of a finished one
report.json        what `agents.evaluate` found
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Saveable(Protocol):
    """A model that can write itself to a file."""

    def save(self, path: Path) -> None: ...


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
        missing = sorted({"agent", "level", "text", "sentence_order", "seed", "ppo"} - set(config))
        if missing:
            raise ValueError(f"{self.config_file} is not that of a training: it lacks {', '.join(missing)}")
        return config

    def model_file(self) -> Path:
        """The latest model.

        Raises:
            ValueError: none has been saved yet.
        """
        saved = self.saved_models()
        if not saved:
            raise ValueError(f"{str(self.folder)!r} holds no saved model yet")
        return max(saved, key=lambda path: path.stat().st_mtime_ns)

    def saved_models(self) -> list[Path]:
        """One file, none yet, or two if a crash came between saving the new one and removing the old one."""
        return [path for path in (self._model_file(True), self._model_file(False)) if path.exists()]

    def save_model(self, model: Saveable, finished: bool) -> None:
        """Save a model in the place of the one before; a crash at any moment leaves one of the two whole."""
        path, other = self._model_file(finished), self._model_file(not finished)
        temporary = self.folder / ".saving.zip"
        model.save(temporary)
        temporary.replace(path)
        other.unlink(missing_ok=True)

    def read_progress(self) -> list[dict[str, Any]]:
        """The lines of `progress.jsonl`; one that a crash cut off is passed over."""
        if not self.progress_file.exists():
            return []
        lines = self.progress_file.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line.endswith("}")]

    def forget_progress_after(self, frames: int) -> None:
        """Drop the lines that tell of frames after the saved model, which will be trained anew."""
        if not self.progress_file.exists():
            return
        kept = [json.dumps(line) + "\n" for line in self.read_progress() if line["frames"] <= frames]
        write_text(self.progress_file, "".join(kept))

    def _model_file(self, finished: bool) -> Path:
        return self.folder / ("model.zip" if finished else "checkpoint.zip")


def write_text(path: Path, text: str) -> None:
    """Write a file all at once: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file all at once."""
    write_text(path, json.dumps(content, indent=2) + "\n")
