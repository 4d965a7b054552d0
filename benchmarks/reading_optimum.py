"""What can be had on the reading levels without reading: `python -m benchmarks.reading_optimum`, by exact enumeration.

For each split, over everything that an episode can draw: the best policy that sees no text, and the best one that sees
the words of the description without their order (a bag of words), both knowing how worlds of that split are drawn.
Besides, the best policies for `Train`, on the other splits: what a learner that does not read brings along.

An agent that errs once is lost, and one that has not erred has learned nothing that it did not guess. So a policy is a
guess, for what it sees, of all the choices between a deadly colour and a harmless one that the level demands, and its
success is the probability that the guess is right. That it finds its way otherwise, and in time, is taken for granted:
for the levels of walls this is what agents can reach; for minefields it is what they can reach at most, as agents are
told here which colours are the alternatives.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from babyaipp.levels import LEVELS, Level, is_deadly_name
from babyaipp.tiles import COLORS
from benchmarks.measurement import table

Rules = tuple[str, ...]
Scene = tuple[int | None, int | None, tuple[frozenset[int], ...]]
"""Colour of the start and the third deadly one, where there are such, and the pairs to choose between."""
Joint = dict[tuple[Rules, Scene], dict[tuple[int, ...], float]]
"""What is seen, words and scene -> the deadly colours of the pairs -> probability."""

TRAIN = "Train"


def reading_levels() -> list[Level]:
    """The levels whose rules are drawn in balance."""
    return [level for level in LEVELS.values() if level.balanced]


def words_and_classes(level: Level, split: str) -> dict[tuple[Rules, frozenset[int]], float]:
    """Probability of each bag of property words together with each set of deadly colours."""
    allowed = level.allowed(split)  # type: ignore[arg-type]
    result: dict[tuple[Rules, frozenset[int]], float] = defaultdict(float)
    deadly_sets = list(itertools.combinations(range(len(COLORS)), level.dynamics.num_deadly or 0))
    for deadly in deadly_sets:
        names = [
            [name for name in allowed[color] if is_deadly_name(name) == (i in deadly)] for i, color in enumerate(COLORS)
        ]
        combinations = list(itertools.product(*names))
        for rules in combinations:
            result[tuple(sorted(rules)), frozenset(deadly)] += 1 / (len(deadly_sets) * len(combinations))
    return result


def scenes(level: Level, deadly: frozenset[int]) -> Iterator[tuple[Scene, tuple[int, ...]]]:
    """What episodes with these deadly colours show, each equally likely, and which colours of the pairs are deadly."""
    harmless = frozenset(range(len(COLORS))) - deadly
    if level.floors == "gates":
        for pairs, lost in _walls(level.num_walls, deadly, harmless, frozenset()):
            yield (None, None, pairs), lost
        return
    for first in harmless:
        for decoy in deadly if level.num_cols > 1 else [None]:
            for bad in itertools.permutations(deadly - {decoy}, level.num_cols):
                for good in itertools.permutations(harmless - {first}, level.num_cols):
                    yield (first, decoy, tuple(map(frozenset, zip(bad, good, strict=True)))), bad


def _walls(
    left: int, deadly: frozenset[int], harmless: frozenset[int], before: frozenset[int]
) -> Iterator[tuple[tuple[frozenset[int], ...], tuple[int, ...]]]:
    if not left:
        yield (), ()
        return
    for bad in deadly - before:
        for good in harmless - before:
            for pairs, lost in _walls(left - 1, deadly, harmless, frozenset({bad, good})):
                yield (frozenset({bad, good}), *pairs), (bad, *lost)


def joint(level: Level, split: str, with_words: bool) -> Joint:
    """Probability of what is seen and what is deadly, in a split; without words the bag is empty."""
    by_class: dict[frozenset[int], list[tuple[Scene, tuple[int, ...]]]] = {}
    result: Joint = defaultdict(lambda: defaultdict(float))
    for (bag, deadly), probability in words_and_classes(level, split).items():
        if deadly not in by_class:
            by_class[deadly] = list(scenes(level, deadly))
        for scene, lost in by_class[deadly]:
            result[bag if with_words else (), scene][lost] += probability / len(by_class[deadly])
    return result


def success(prior: Joint, world: Joint) -> float:
    """Success, where things are as `world` tells, of the best policy for `prior`.

    Between guesses that are equally good it draws, and among all that there are for what `prior` has never seen.
    """
    total = 0.0
    for (bag, scene), outcomes in world.items():
        believed = prior.get((bag, scene)) or dict.fromkeys(itertools.product(*scene[-1]), 1.0)
        best = max(believed.values())
        guesses = [guess for guess, probability in believed.items() if probability > best * (1 - 1e-9)]
        total += sum(outcomes.get(guess, 0.0) for guess in guesses) / len(guesses)
    return total


def optimum(level: Level) -> dict[str, dict[str, float]]:
    """By split: success of the best policy without text, with a bag of words, and of those that are best for Train."""
    result: dict[str, dict[str, float]] = {}
    for split in level.splits:
        row = {}
        for name, with_words in (("blind", False), ("bag of words", True)):
            world = joint(level, split, with_words)
            row[name] = success(world, world)
            row[f"{name}, best for {TRAIN}"] = success(joint(level, TRAIN, with_words), world)
        result[split] = row
    return result


def main() -> None:
    """Print the table."""
    rows = []
    header: tuple[str, ...] = ()
    for level in reading_levels():
        for split, row in optimum(level).items():
            header = ("level", "split", *row)
            rows.append((level.name, split, *(f"{value:.3f}" for value in row.values())))
    print(table(header, rows))


if __name__ == "__main__":
    main()
