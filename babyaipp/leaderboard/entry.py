"""What an entry tells: `entry.json`, which stands beside `episodes.npz` in the folder of the entry's name.

Entries come from strangers. Texts are plain, one line each, and never markup; what can be recomputed from the episodes
is recomputed by `verify.py`, and what cannot (who, how trained, on what) is what the entry's authors say.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import date as calendar_date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from babyaipp.evaluation.protocol import PROTOCOL, SUITES, check_training_seed, get_suite
from babyaipp.evaluation.records import MOST_RUNS
from babyaipp.levels import LEVELS
from babyaipp.texts import parse_text_condition

ENTRY_FILE, EPISODES_FILE = "entry.json", "episodes.npz"
FORMAT_VERSION = 1
BOARD = f"v{PROTOCOL.partition('.')[0]}"
"""Folder of the entries of this protocol, below that of all boards."""
MOST_ENTRY_BYTES = 2**18
MOST_NAME = 60

_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_MOST_MESSAGES, _MOST_VALUE, _MOST_DIGITS = 20, 80, 30
_LINE = r"^[^\x00-\x1f\x7f-\x9f]+$"
_URL = r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?(/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?"
_OWN_FILE = r"(agents|babyaipp)(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+"


class EntryError(Exception):
    """An entry is refused: what was asked for can be done, but what is there is not true, or not allowed.

    Attributes:
        refusals: why, a line each; each names a file and a field or an episode.
    """

    def __init__(self, *refusals: str) -> None:
        super().__init__("; ".join(refusals))
        self.refusals = refusals


_ALLOWED = {
    "paper": "an address that begins with https://",
    "code": "an address that begins with https://, or for the agents of this repository a path in it",
    "commit": "the 40 digits of a commit of Git, as of `git rev-parse HEAD`",
    "date": "a date, as 2026-01-31",
    "checkpoint_sha256": "names of files, with the 64 digits of their hashes",
    "episodes_sha256": "the 64 digits of the file's hash",
}
"""What fields must be that have to look a certain way."""
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs that nobody sees."""


def _plain(value: str) -> str:
    if not value.isprintable() or value != value.strip() or _BLANK & set(value):
        raise ValueError("must be one line of printable characters, without spaces at its ends")
    return value


def check_name(value: str) -> str:
    """The name of an entry, if it may be one.

    Raises:
        ValueError: it may not; says what is allowed.
    """
    if len(value) > MOST_NAME or not re.fullmatch(_NAME, value):
        raise ValueError(f"must be 1 to {MOST_NAME} of a-z and 0-9, with single hyphens between them")
    return value


def _protocol(value: str) -> str:
    if value != PROTOCOL:
        raise ValueError(f"this package verifies {PROTOCOL!r}")
    return value


def _suite(value: str) -> str:
    return get_suite(value).name


def _text_condition(value: str) -> str:
    parse_text_condition(value)
    return value


def _date(value: str) -> str:
    calendar_date.fromisoformat(value)
    return value


def _training_seed(value: int) -> int:
    check_training_seed(value)
    return value


Line = Annotated[str, Field(min_length=1, max_length=200, pattern=_LINE), AfterValidator(_plain)]
Sentences = Annotated[str, Field(min_length=1, max_length=2000, pattern=_LINE), AfterValidator(_plain)]
Url = Annotated[str, Field(max_length=400, pattern=f"^{_URL}$")]
Code = Annotated[str, Field(max_length=400, pattern=f"^({_URL}|{_OWN_FILE})$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(max_length=120, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
LevelName = Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z0-9]+$", json_schema_extra={"enum": list(LEVELS)})]
ScoreName = Annotated[str, Field(max_length=40, pattern=r"^[a-z][a-z_]*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**18)]
TrainingSeed = Annotated[int, Field(ge=0), AfterValidator(_training_seed)]

CONFIG = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Score(BaseModel):
    """A score over levels and runs, as `babyaipp.evaluation.scores` gives it."""

    model_config = CONFIG

    iqm: Number
    """Interquartile mean over runs and levels."""
    interval: tuple[Number, Number]
    """95% interval of a stratified bootstrap."""
    mean: Number
    """Mean over runs and levels."""
    runs: Annotated[tuple[Number, ...], Field(min_length=1, max_length=MOST_RUNS)]
    """Mean over levels of each run."""
    levels: Annotated[dict[LevelName, Number], Field(min_length=1, max_length=len(LEVELS))]
    """Mean over runs of each level."""


class Entry(BaseModel):
    """An entry of the leaderboard."""

    model_config = CONFIG

    format_version: Literal[1]
    """Of this file."""
    protocol: Annotated[str, AfterValidator(_protocol), Field(json_schema_extra={"const": PROTOCOL})]
    """Version of the protocol by which the agent was evaluated."""
    suite: Annotated[str, Field(max_length=60), AfterValidator(_suite), Field(json_schema_extra={"enum": list(SUITES)})]
    """What the agent played."""
    name: Annotated[
        str,
        AfterValidator(check_name),
        Field(json_schema_extra={"pattern": f"^{_NAME}$", "minLength": 1, "maxLength": MOST_NAME}),
    ]
    """Name of the entry's folder."""
    title: Line
    """What the board calls the entry."""
    authors: Annotated[tuple[Line, ...], Field(min_length=1, max_length=100)]
    """Who made the agent."""
    paper: Url | None
    """Where it is described."""
    code: Code
    """Where its code is: an address on the web, or for the agents of this repository a path in it."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None
    """Of the code, as Git names it."""
    agent: Line
    """What played, such as `agents.grounded:load`."""
    parameters: Count
    """Numbers that are learnt, of one agent."""
    frames: Count
    """Of the training of one agent. Where each level has an agent of its own, those of one level."""
    training_seeds: Annotated[tuple[TrainingSeed, ...], Field(min_length=1, max_length=MOST_RUNS)]
    """The runs, in the order of the episodes."""
    hardware: Line
    """What it was trained on."""
    training_text: Annotated[Line, AfterValidator(_text_condition)]
    """What the texts told in training: a text condition."""
    observation: Literal["tokens", "text"]
    """Texts as word ids, or as strings."""
    greedy: bool
    """Whether the likeliest actions were taken; otherwise they were drawn."""
    augmentation: Sentences | None
    """What was done to the training data; null: nothing."""
    privileged: Sentences | None
    """What the agent knew besides its observations, from whatever source; null: nothing."""
    checkpoint_sha256: Annotated[dict[FileName, Sha256], Field(max_length=MOST_RUNS * len(LEVELS))]
    """Name of a file -> its hash."""
    episodes_sha256: Sha256
    """Hash of `episodes.npz`."""
    summary: Annotated[dict[ScoreName, Score], Field(min_length=1, max_length=20)]
    """The scores, which verifying works out anew."""
    levels: Annotated[tuple[LevelName, ...], Field(min_length=1, max_length=len(LEVELS))]
    """Those that were played, in the suite's order."""
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_date)]
    """When it was submitted, as 2026-01-31."""

    @model_validator(mode="after")
    def _check(self) -> Entry:
        if len(set(self.training_seeds)) != len(self.training_seeds):
            raise ValueError(f"training_seeds={short(list(self.training_seeds))} must be different")
        allowed = get_suite(self.suite).levels
        if tuple(level for level in allowed if level in self.levels) != self.levels:
            raise ValueError(
                f"levels={short(list(self.levels))} must be some of {', '.join(allowed)} in this order, each once"
            )
        return self

    @property
    def seal(self) -> str:
        """Hash of what a badge is given for: all but what an entry is called, whose it is, and what follows from it."""
        told = self.model_dump(mode="json", exclude={"title", "authors", "paper", "date", "summary"})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The file: the same entry gives the same bytes."""
        return as_json(self.model_dump(mode="json"))


def as_json(value: Any) -> bytes:
    """JSON as the leaderboard's files have it."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def schema() -> bytes:
    """The JSON Schema of `entry.json`; what it cannot say, such as which seeds are for training, `Entry` checks."""
    return as_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Entry.model_json_schema()})


def parse_json(data: bytes) -> Any:
    """Read JSON of which there is one reading: every key once, no numbers that are none.

    Raises:
        ValueError: not such JSON; says why in a short line.
    """
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_unique, parse_int=_whole, parse_float=_finite, parse_constant=_finite
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"has key {short(twice)} twice in one object")
    return found


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"has a number of {len(text)} digits; at most {_MOST_DIGITS} are allowed")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"has the number {short(text)}; all must be finite")
    return float(text)


def parse_entry(data: bytes) -> Entry:
    """An entry from its file.

    Raises:
        EntryError: it is not one; names the fields that are wrong, with what is allowed.
    """
    if len(data) > MOST_ENTRY_BYTES:
        raise EntryError(f"{ENTRY_FILE}: has more than {MOST_ENTRY_BYTES} bytes, which are allowed")
    try:
        # Through Pydantic's own reader, which takes lists for tuples, but never a text for a number.
        return Entry.model_validate_json(json.dumps(parse_json(data)))
    except ValidationError as error:
        found = [_message(each) for each in error.errors(include_url=False, include_context=False)]
    except ValueError as error:
        found = [str(error)]
    except RecursionError:
        found = ["is nested too deeply"]
    more = [f"and {len(found) - _MOST_MESSAGES} more"] if len(found) > _MOST_MESSAGES else []
    raise EntryError(*(f"{ENTRY_FILE}: {line}" for line in (*found[:_MOST_MESSAGES], *more)))


def read_entry(folder: Path) -> Entry:
    """The entry of a folder, as it is told: `verify.py` checks whether it is true.

    Raises:
        EntryError: it is not one.
        OSError: it cannot be read.
    """
    with (folder / ENTRY_FILE).open("rb") as file:
        return parse_entry(file.read(MOST_ENTRY_BYTES + 1))


def short(value: Any) -> str:
    """A value in messages: on one line, in ASCII, and cut where it is long."""
    text = ascii(value)
    return text if len(text) <= _MOST_VALUE else f"{text[: _MOST_VALUE - 3]}..."


def _message(error: Any) -> str:
    place = ".".join(str(part) if isinstance(part, int) else short(part)[1:-1] for part in error["loc"])
    why = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("missing", "extra_forbidden"):
        return f"{place} is {'missing' if error['type'] == 'missing' else 'unknown'}"
    if not place:
        return why
    if error["type"] == "string_pattern_mismatch":
        why = f"must be {_ALLOWED.get(place.partition('.')[0], 'one line of printable characters')}"
    value = error["input"]
    plain = value is None or isinstance(value, (str, int, float))
    return f"{place}={short(value)}: {why}" if plain else f"{place}: {why}"
