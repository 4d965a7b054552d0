"""Damaged entries are refused or have the same scores, whatever the damage; see `fuzz_entries.py`."""

from __future__ import annotations

import pytest
from fuzz_entries import DAMAGES, encoded_otherwise, fuzz, value_changed, value_edged

_OFTEN_HARMLESS = {damage.__name__ for damage in (encoded_otherwise, value_changed, value_edged)}
"""White space, and what the entry tells of its authors, may change."""


def check(tally, count: int) -> None:
    assert tally.wrong == []
    assert sum(tally.tried.values()) == count
    assert set(tally.tried) == {damage.__name__ for damage in DAMAGES}
    for name, tried in tally.tried.items():
        assert tally.refused[name] > (0.3 if name in _OFTEN_HARMLESS else 0.5) * tried, name


@pytest.mark.filterwarnings("ignore")
def test_no_damage_is_accepted_with_other_scores(tmp_path):
    check(fuzz(tmp_path, 20 * len(DAMAGES)), 20 * len(DAMAGES))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_damage_of_many_is_accepted_with_other_scores(tmp_path):
    check(fuzz(tmp_path, 500 * len(DAMAGES), seed=1), 500 * len(DAMAGES))
