"""The planner that cannot read: it sees the world, not the rules, and learns them from what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from babyaipp.engine.state import WORLD, parameters
from babyaipp.levels import Level, get_level, get_split
from babyaipp.planners import belief, layout
from babyaipp.planners.belief import Belief, ImpossibleError
from babyaipp.planners.learn import Learner
from babyaipp.planners.plan import Plan, find_plan
from babyaipp.planners.search import Search
from babyaipp.texts import SENTENCE_ORDERS, parse_text_condition
from babyaipp.tiles import COLORS, DONE, NONE, PROPERTIES

UNSEEN = {"rules": NONE, "described": NONE, "num_described": 0, "text_seed": 0, "rng": 0}
"""Fields of the records that tell of the rules or what is drawn, and what they are overwritten with."""

_MAX_PLANS = 50  # in an episode
_MAX_EQUAL = 8  # choices that are as good as each other of which plans are compared
_CLOSE = 1e-9


@dataclass
class _Episode:
    """What the planner thinks in an episode."""

    believed: Belief
    actions: list[int] = field(default_factory=list)
    """What is left of the plan, the last action first."""
    risky: bool = False
    """The plan may fail by a colour that is deadly."""
    plans: int = 0


@dataclass(frozen=True)
class _Choice:
    """A plan that may be chosen."""

    plan: Plan
    props: np.ndarray
    """(6,) int8, the properties for which it was made."""
    chance: float
    """That it does not lead onto a deadly colour."""
    danger: float
    """That it leads onto one because the properties are others."""

    def is_better(self, other: _Choice) -> bool:
        """Whether it is likelier to succeed than another one, or as likely and faster."""
        if abs(self.chance - other.chance) > _CLOSE:
            return self.chance > other.chance
        return self.plan.half_steps < other.plan.half_steps


class Blind:
    """Plays without the rules; see `babyaipp.planners.protocol.Planner`.

    It sees all cells, and knows how the level and the split draw rules and lay tiles (`belief.prior`,
    `layout.begin`). Of the sets of floor colours that may be stepped on it takes, among those with which there is a
    plan, the one of which it is likeliest that no colour is deadly. It plans as the oracle does, as if every colour had
    its likeliest harmless property, or another one if too much would depend on that; and it plans anew when a step has
    not gone as foreseen, or has told something of a risk. Where there is no plan it takes unknown tiles for ordinary
    floor, and if there is none then, either, it does nothing.

    So what it reaches is a lower estimate of what is possible without reading: it takes no step in order to learn from
    it, and plans are compared by their first surprises only. For agents it is rather an upper one, as they see a part
    of the world and have to learn how it works.

    Args:
        level: name of a row of the level table, or a row.
        split: one that it has.
    """

    def __init__(self, level: str | Level, split: str = "Train") -> None:
        self._level = level if isinstance(level, Level) else get_level(level)
        known_split = get_split(self._level, split)
        self._prior = belief.prior(self._level, known_split)
        self._search = Search(self._level)
        record = parameters(self._level, known_split, parse_text_condition("true"), SENTENCE_ORDERS[0], None)
        self._learner = Learner(record)
        self.reset(np.zeros(0, WORLD))

    def reset(self, worlds: np.ndarray) -> None:
        """Forget everything."""
        self._before = _untold(worlds)
        self._episodes = [_Episode(self._prior) for _ in worlds]
        self._actions = np.full(len(worlds), DONE, np.int64)
        self._possible = np.tile(self._prior.possible, (len(worlds), 1))
        self._assumed = np.tile(self._prior.likeliest, (len(worlds), 1))

    def act(self, worlds: np.ndarray) -> np.ndarray:
        """(n,) int64."""
        now = _untold(worlds)
        playing = ~now["ended"]
        for row in np.flatnonzero(playing & (now["steps"] == 0)).tolist():
            self._episodes[row] = _Episode(self._seen(now[row]))
        self._learn(now, playing & (now["steps"] > 0) & (now["steps"] == self._before["steps"] + 1))
        for row in np.flatnonzero(playing).tolist():
            if not self._episodes[row].actions:
                self._plan(now, row)
            self._actions[row] = self._episodes[row].actions.pop()
        self._before = now
        return self._actions.copy()

    def _seen(self, world: np.void) -> Belief:
        try:
            return layout.begin(self._prior, self._level, world)
        except ImpossibleError:  # not a world as the level makes them
            return self._prior

    def _learn(self, now: np.ndarray, rows: np.ndarray) -> None:
        """Take in what the last step has shown in these worlds, and drop plans that are no longer good."""
        colors, fits, foreseen = self._learner.explain(
            self._before, now, self._actions, rows, self._possible, self._assumed
        )
        for row in np.flatnonzero(rows & (~foreseen | (colors != NONE).any(1))).tolist():
            episode = self._episodes[row]
            before = episode.believed
            for color, fit in zip(colors[row].tolist(), fits[row], strict=True):
                if color != NONE:
                    episode.believed = _given(episode.believed, color, fit)
            self._possible[row] = episode.believed.possible
            if not foreseen[row] or (episode.risky and episode.believed is not before):
                episode.actions = []

    def _plan(self, worlds: np.ndarray, row: int) -> None:
        """Plan anew."""
        episode = self._episodes[row]
        believed = episode.believed
        self._possible[row] = believed.possible
        episode.plans += 1
        for assumptions in _assumptions(believed) if episode.plans <= _MAX_PLANS else ():
            best = self._best(worlds, row, believed, assumptions)
            if best is not None:
                self._assumed[row] = best.props
                episode.actions = best.plan.actions[::-1].tolist()
                episode.risky = best.chance < 1 - _CLOSE
                return
        self._assumed[row] = believed.likeliest
        episode.actions = [DONE] * (2 * int(worlds["max_steps"][row]))
        episode.risky = False

    def _best(
        self, worlds: np.ndarray, row: int, believed: Belief, assumptions: tuple[np.ndarray, ...]
    ) -> _Choice | None:
        """The plan that is likeliest to succeed, the shortest of those.

        What is assumed first is enough if nothing dangerous comes of it when it is wrong.
        """
        present = _present(worlds["seen"][row])
        best: _Choice | None = None
        choices, chances = _choices(believed, present)
        for props in assumptions:
            equal = 0
            for allowed, chance in zip(choices.tolist(), chances.tolist(), strict=True):
                if best is not None and (chance < best.chance - _CLOSE or equal == _MAX_EQUAL):
                    break
                forbidden = present & ~allowed
                plan = find_plan(self._search, worlds, row, props=props, forbidden=forbidden)
                if not plan.solved:
                    continue
                danger = self._learner.danger(worlds, row, plan.actions, props, believed.if_harmless, forbidden)
                choice = _Choice(plan, props, chance * (1 - danger), danger)
                if best is None or choice.is_better(best):
                    best = choice
                equal += 1
            if best is not None and best.danger < _CLOSE:
                break
        return best


def _choices(believed: Belief, present: int) -> tuple[np.ndarray, np.ndarray]:
    """Sets of colours that may be stepped on, the likeliest to be harmless first, then the smallest.

    All harmless ones are in each.

    Args:
        believed: the belief.
        present: bit mask of the colours that there are.

    Returns:
        choices: (c,) int64, bit masks.
        chances: (c,) float64, probability that none is deadly; above 0.
    """
    bits = 1 << np.arange(len(COLORS))
    alone = believed.harmless(bits)
    there = bits & present != 0
    safe = int(bits[there & (alone > 1 - _CLOSE)].sum())
    choices = np.array([safe])
    for color in bits[there & (alone > _CLOSE) & (alone <= 1 - _CLOSE)].tolist():
        choices = np.concatenate([choices, choices | color])
    chances = believed.harmless(choices)
    sizes = (choices[:, None] & bits != 0).sum(1)
    order = np.lexsort((choices, sizes, -chances.round(9)))
    order = order[chances[order] > _CLOSE]
    return choices[order], chances[order]


def _assumptions(believed: Belief) -> tuple[tuple[np.ndarray, ...], ...]:
    """What to assume of the floor colours: (6,) int8 each; those of a tuple are tried if all before it lead to no plan.

    The likeliest; each property wherever it may be; that unknown tiles are ordinary floor.
    """
    unsure = believed.possible & (believed.possible - 1) != 0
    others = []
    for prop in range(len(PROPERTIES)):
        there = unsure & (believed.if_harmless[:, prop] > 0)
        if (there & (believed.likeliest != prop)).any():
            others.append(np.where(there, prop, believed.likeliest).astype(np.int8))
    ordinary = np.where(unsure, NONE, believed.likeliest).astype(np.int8)
    return (believed.likeliest, *others), (ordinary,)


def _given(believed: Belief, color: int, fits: np.ndarray) -> Belief:
    try:
        return believed.given(color, fits)
    except ImpossibleError:  # other rules than the level has: nothing can be learned
        return believed


def _present(seen: np.ndarray) -> int:
    """Bit mask of the colours of the tiles that are seen."""
    tiles = layout.tile_colors(seen)
    return int(sum(1 << color for color in np.unique(tiles[tiles != NONE]).tolist()))


def _untold(worlds: np.ndarray) -> np.ndarray:
    """A copy of records without what must not be seen."""
    worlds = worlds.view(np.uint8).copy().view(worlds.dtype)
    for name, value in UNSEEN.items():
        worlds[name] = value
    return worlds
