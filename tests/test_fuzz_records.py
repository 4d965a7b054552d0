"""Damaged files of episodes are refused or have the same outcomes, whatever the damage; see `fuzz_records.py`."""

from __future__ import annotations

import pytest
from fuzz_records import DAMAGES, fuzz


def check(tally, count: int) -> None:
    assert tally.wrong == []
    assert sum(tally.tried.values()) == count
    assert set(tally.tried) == {damage.__name__ for damage in DAMAGES}
    for name, tried in tally.tried.items():
        assert tally.refused[name] > 0.3 * tried, name  # most damages are some


@pytest.mark.filterwarnings("ignore")
def test_no_damage_is_accepted_with_other_outcomes(tmp_path):
    check(fuzz(tmp_path, 420), 420)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_damage_of_many_is_accepted_with_other_outcomes(tmp_path):
    check(fuzz(tmp_path, 14_000, seed=1), 14_000)
