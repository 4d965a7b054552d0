"""Released worlds cannot change unnoticed: a digest of the first 200 worlds of every id.

If this fails, episodes changed: that takes a new version suffix for the level, never new digests for old ids.
They are the engine's, which makes them fast; `test_parity.py` shows that they are the reference's.
New levels are added by `python tests/test_digests.py`, which leaves the digests that exist as they are.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import babyaipp
from babyaipp import LEVELS
from babyaipp.levels import parse_env_id

DIGESTS = Path(__file__).parent / "data" / "world_digests.json"
ALL_IDS = [level.env_id(split) for level in LEVELS.values() for split in level.splits]
NUM_WORLDS = 200


def digest(env_id: str) -> str:
    """SHA-256 of the worlds that seeds 0 to 199 start with, as JSON with sorted keys, a line each."""
    envs = babyaipp.make_vec(*parse_env_id(env_id), NUM_WORLDS)
    envs.reset(seed=0)
    sha = hashlib.sha256()
    for i in range(NUM_WORLDS):
        sha.update(json.dumps(envs.world(i).to_dict(), sort_keys=True).encode() + b"\n")
    return sha.hexdigest()


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_worlds_are_those_that_were_released(env_id):
    assert digest(env_id) == json.loads(DIGESTS.read_text())[env_id]


def test_every_digest_belongs_to_an_id():
    assert set(json.loads(DIGESTS.read_text())) == set(ALL_IDS)


if __name__ == "__main__":
    known = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    added = {env_id: digest(env_id) for env_id in ALL_IDS if env_id not in known}
    DIGESTS.write_text(json.dumps(known | added, indent=1) + "\n")
    print(f"added {len(added)} of {len(ALL_IDS)} digests")
