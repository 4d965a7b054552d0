"""Statistics over levels and seeds are those that are published, and their intervals hold what they promise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm, trim_mean

from babyaipp.evaluation.aggregate import (
    Statistic,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    performance_profile,
    performance_profile_intervals,
    probability_of_improvement,
    probability_of_improvement_interval,
    stratified_bootstrap_interval,
    two_proportion_test,
)
from babyaipp.statistics import Estimate

STATISTICS = [mean, median, interquartile_mean, optimality_gap]

# Three seeds on four levels, the mean, median and so on computed by hand.
SCORES = np.array([[0.0, 0.3, 0.5, 2.0], [0.1, 0.3, 0.9, 1.0], [0.2, 0.9, 1.0, 1.5]])
BY_HAND = {
    mean: 8.7 / 12,
    median: (0.5 + 0.8) / 2,  # of 0.1, 0.5, 0.8, 1.5
    interquartile_mean: (0.3 + 0.3 + 0.5 + 0.9 + 0.9 + 1.0) / 6,  # without 0, 0.1, 0.2 and 1, 1.5, 2
    optimality_gap: (1.0 + 0.7 + 0.5 + 0.9 + 0.7 + 0.1 + 0.8 + 0.1) / 12,
}


def random_scores(seeds: int, levels: int, seed: int = 0) -> np.ndarray:
    """Scores with ties, some above 1."""
    return np.random.default_rng(seed).integers(0, 14, (seeds, levels)) / 10


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_by_hand(statistic: Statistic) -> None:
    assert statistic(SCORES) == pytest.approx(BY_HAND[statistic], abs=1e-12)


@pytest.mark.parametrize(("seeds", "levels"), [(1, 1), (3, 1), (1, 5), (5, 20), (7, 3)])
def test_statistics_are_rliables(seeds: int, levels: int) -> None:
    """Against the formulas of rliable 1.2 (metrics.py)."""
    scores = random_scores(seeds, levels)
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, proportiontocut=0.25, axis=None), abs=1e-12)
    assert mean(scores) == pytest.approx(np.mean(np.mean(scores, axis=0)), abs=1e-12)
    assert median(scores) == pytest.approx(np.median(np.mean(scores, axis=0)), abs=1e-12)
    for gamma in (1, 0.5):
        rliables = gamma - np.mean(np.minimum(scores, gamma))
        assert optimality_gap(scores, gamma) == pytest.approx(rliables, abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_take_batches_and_any_real_dtype(statistic: Statistic) -> None:
    batch = np.stack([[random_scores(4, 6, seed=2 * i + j) for j in range(2)] for i in range(3)])
    assert statistic(batch).shape == (3, 2)
    assert statistic(batch).tolist() == [[float(statistic(scores)) for scores in row] for row in batch]
    successes = np.array([[True, False], [True, True], [True, False]])
    for dtype in (bool, np.uint8, np.float32):
        assert statistic(successes.astype(dtype)) == statistic(successes.astype(float))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_statistics_do_not_depend_on_the_order_of_seeds_and_levels(statistic: Statistic) -> None:
    scores = random_scores(5, 8)
    turned = scores[np.random.default_rng(1).permutation(5)][:, np.random.default_rng(2).permutation(8)]
    assert statistic(turned) == pytest.approx(float(statistic(scores)), abs=1e-12)


def test_interquartile_mean_is_robust_and_follows_scale() -> None:
    scores = random_scores(5, 8)
    assert interquartile_mean(3 * scores + 2) == pytest.approx(3 * interquartile_mean(scores) + 2)
    outlier = scores.copy()
    outlier[np.unravel_index(scores.argmax(), scores.shape)] = 1e6
    assert interquartile_mean(outlier) == interquartile_mean(scores)
    assert mean(outlier) > 1e4


def brute_force_draws(scores: np.ndarray, resamples: int, bits: np.random.PCG64) -> list[np.ndarray]:
    """Resamples by plain loops: every score is replaced by that of a drawn seed on the same level."""
    seeds, levels = scores.shape
    drawn = []
    for _ in range(resamples):
        rows = [[scores[int(bits.random_raw()) % seeds, level] for level in range(levels)] for _ in range(seeds)]
        drawn.append(np.array(rows))
    return drawn


def percentile(values: list[float], share: float) -> float:
    """Linear between the sorted values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_bootstrap_by_brute_force(statistic: Statistic) -> None:
    scores = random_scores(3, 5)
    values = [float(statistic(drawn)) for drawn in brute_force_draws(scores, 150, np.random.PCG64(7))]
    estimate = stratified_bootstrap_interval(scores, statistic, confidence=0.9, resamples=150, seed=7)
    expected = (statistic(scores), percentile(values, 0.05), percentile(values, 0.95))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-12)
    assert estimate.low < estimate.high


def test_bootstrap_is_seeded() -> None:
    scores = np.random.default_rng(0).random((5, 20))
    first, again, other = (stratified_bootstrap_interval(scores, interquartile_mean, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.02)


def test_bootstrap_keeps_levels_fixed() -> None:
    """Levels differ, seeds do not: nothing is uncertain. One that drew levels as well would find a wide interval."""
    levels = np.random.default_rng(0).random(20)
    for statistic in STATISTICS:
        estimate = stratified_bootstrap_interval(np.tile(levels, (5, 1)), statistic, seed=0)
        assert estimate.low == estimate.value == estimate.high


def test_bootstrap_draws_seeds_for_each_level_independently() -> None:
    """The mean's interval in closed form. One that drew whole rows would be sqrt(levels) = 5 times as wide."""
    seeds, levels = 6, 25
    scores = np.tile(np.arange(float(seeds))[:, np.newaxis], (1, levels))
    deviation = np.std(scores[:, 0]) / math.sqrt(seeds * levels)
    estimate = stratified_bootstrap_interval(scores, mean, resamples=20_000, seed=0)
    half = norm.ppf(0.975) * deviation
    assert (estimate.low, estimate.high) == pytest.approx((2.5 - half, 2.5 + half), abs=0.05 * deviation)


@pytest.mark.parametrize("seeds", [3, 5, 10, 40])
def test_bootstrap_covers_as_often_as_documented(seeds: int) -> None:
    """Over many levels a 95% interval is sqrt((n - 1) / n) of the width that it should have."""
    generator = np.random.default_rng(seeds)
    truth = np.linspace(0, 1, 20)
    covered = 0
    for trial in range(800):
        scores = generator.normal(truth, 0.3, (seeds, len(truth)))
        estimate = stratified_bootstrap_interval(scores, mean, resamples=300, seed=trial)
        covered += estimate.low <= truth.mean() <= estimate.high
    expected = 1 - 2 * norm.sf(norm.ppf(0.975) * math.sqrt((seeds - 1) / seeds))
    assert covered / 800 == pytest.approx(expected, abs=0.03)


def test_a_higher_confidence_is_wider() -> None:
    narrow, wide = (
        stratified_bootstrap_interval(SCORES, interquartile_mean, confidence=confidence, seed=0)
        for confidence in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_interval_of_one_seed_has_no_width(statistic: Statistic) -> None:
    scores = np.random.default_rng(3).random((1, 13))
    value = float(statistic(scores))
    assert stratified_bootstrap_interval(scores, statistic, seed=0) == Estimate(value, value, value)


@pytest.mark.parametrize(("seeds_a", "seeds_b"), [(1, 1), (3, 3), (2, 5)])
def test_probability_of_improvement_is_mann_whitneys(seeds_a: int, seeds_b: int) -> None:
    ours, theirs = random_scores(seeds_a, 7, seed=1), random_scores(seeds_b, 7, seed=2)
    pairs, statistics = 0.0, []
    for level in range(7):
        for one in ours[:, level]:
            pairs += sum(1 if one > other else 0.5 if one == other else 0 for other in theirs[:, level])
        statistics.append(mannwhitneyu(ours[:, level], theirs[:, level], alternative="greater").statistic)
    value = probability_of_improvement(ours, theirs)
    assert value == pytest.approx(pairs / (seeds_a * seeds_b * 7), abs=1e-12)
    assert value == pytest.approx(np.mean(statistics) / (seeds_a * seeds_b), abs=1e-12)
    assert value + probability_of_improvement(theirs, ours) == pytest.approx(1)


def test_probability_of_improvement_by_hand() -> None:
    ours = np.array([[1.0, 5.0], [3.0, 5.0]])
    theirs = np.array([[2.0, 5.0], [1.0, 6.0], [0.0, 7.0]])
    # On the first level 1 beats 0 and ties with 1, 3 beats all; on the second both tie with 5.
    assert probability_of_improvement(ours, theirs) == pytest.approx(((1.5 + 3) / 6 + 2 * 0.5 / 6) / 2)
    assert probability_of_improvement(ours, ours) == 0.5
    assert probability_of_improvement(ours + 10, theirs) == 1
    assert probability_of_improvement(ours - 10, theirs) == 0
    assert probability_of_improvement(np.exp(ours), np.exp(theirs)) == probability_of_improvement(ours, theirs)


def test_probability_of_improvement_interval_by_brute_force() -> None:
    ours, theirs = random_scores(2, 4, seed=1), random_scores(3, 4, seed=2)
    bits = np.random.PCG64(5)
    drawn = zip(brute_force_draws(ours, 120, bits), brute_force_draws(theirs, 120, bits), strict=True)
    values = [float(probability_of_improvement(one, other)) for one, other in drawn]
    estimate = probability_of_improvement_interval(ours, theirs, resamples=120, seed=5)
    expected = (probability_of_improvement(ours, theirs), percentile(values, 0.025), percentile(values, 0.975))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= estimate.low < estimate.high <= 1


def test_probability_of_improvement_resamples_both() -> None:
    """With one run on a side only the other side varies; both must count."""
    many, one = random_scores(6, 9, seed=1), random_scores(1, 9, seed=2)
    for ours, theirs in ((many, one), (one, many)):
        estimate = probability_of_improvement_interval(ours, theirs, seed=0)
        assert estimate.low < estimate.value < estimate.high
    sure = probability_of_improvement_interval(many + 2, many, seed=0)
    assert sure == Estimate(1, 1, 1)


def test_performance_profile_by_hand() -> None:
    # A score that equals the threshold does not exceed it: 0.3 occurs twice, 2 is the highest.
    shares = performance_profile(SCORES, [-1, 0, 0.3, 0.95, 2])
    assert shares.tolist() == pytest.approx([1, 11 / 12, 7 / 12, 4 / 12, 0], abs=1e-12)
    assert performance_profile(np.stack([SCORES, SCORES + 1]), [0.95, 3]).tolist() == pytest.approx(
        np.array([[4 / 12, 0], [1, 0]]), abs=1e-12
    )
    scores, thresholds = random_scores(5, 7), np.linspace(-0.1, 1.5, 33)
    profile = performance_profile(scores, thresholds)
    assert profile.tolist() == [np.mean([x > limit for x in scores.flat]) for limit in thresholds]
    assert (np.diff(profile) <= 0).all()
    # The area below it is the mean of scores of at least 0 (in steps of 0.1 exactly so).
    assert performance_profile(scores, np.arange(14) / 10).sum() / 10 == pytest.approx(mean(scores))


def test_performance_profile_intervals_by_brute_force() -> None:
    scores, thresholds = random_scores(4, 3), [-1, 0.25, 0.65]
    profiles = [performance_profile(drawn, thresholds) for drawn in brute_force_draws(scores, 90, np.random.PCG64(4))]
    estimates = performance_profile_intervals(scores, thresholds, confidence=0.8, resamples=90, seed=4)
    assert [estimate.value for estimate in estimates] == performance_profile(scores, thresholds).tolist()
    for place, estimate in enumerate(estimates):
        values = [float(profile[place]) for profile in profiles]
        bounds = (percentile(values, 0.1), percentile(values, 0.9))
        assert (estimate.low, estimate.high) == pytest.approx(bounds, abs=1e-12)
    assert estimates[0] == Estimate(1, 1, 1)
    assert estimates[1].low < estimates[1].high


def fishers_p(successes_a: int, trials_a: int, successes_b: int, trials_b: int) -> Fraction:
    """By its definition: the probability of the tables with these margins that are at most as likely as this one."""
    successes = successes_a + successes_b

    def ways(a: int) -> int:
        return math.comb(trials_a, a) * math.comb(trials_b, successes - a)

    tables = range(max(0, successes - trials_b), min(trials_a, successes) + 1)
    likely = sum(ways(a) for a in tables if ways(a) <= ways(successes_a))
    return Fraction(likely, math.comb(trials_a + trials_b, successes))


def test_two_proportion_test_is_fishers() -> None:
    assert two_proportion_test(3, 4, 1, 4) == pytest.approx(34 / 70)  # the lady tasting tea
    for a, trials_a, b, trials_b in ((0, 9, 4, 5), (7, 9, 2, 5), (4, 10, 8, 20), (50, 60, 900, 990), (0, 3, 0, 4)):
        p = two_proportion_test(a, trials_a, b, trials_b)
        assert p == pytest.approx(float(fishers_p(a, trials_a, b, trials_b)))
        assert p == pytest.approx(two_proportion_test(b, trials_b, a, trials_a))
        assert p == pytest.approx(two_proportion_test(trials_a - a, trials_a, trials_b - b, trials_b))


def test_two_proportion_test_keeps_its_level() -> None:
    """The probability of p <= alpha where the rates are the same, summed over all outcomes."""
    trials_a, trials_b = 6, 25
    p_values = np.array(
        [[two_proportion_test(a, trials_a, b, trials_b) for b in range(trials_b + 1)] for a in range(trials_a + 1)]
    )

    def chances(trials: int, rate: float) -> np.ndarray:
        return np.array([math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(trials + 1)])

    for alpha in (0.01, 0.05, 0.2):
        errors = [
            chances(trials_a, rate) @ (p_values <= alpha) @ chances(trials_b, rate) for rate in np.linspace(0, 1, 41)
        ]
        assert alpha / 10 < max(errors) <= alpha


def test_two_proportion_test_finds_a_difference() -> None:
    assert two_proportion_test(90, 100, 900, 1000) > 0.9
    assert two_proportion_test(70, 100, 900, 1000) < 1e-6
    assert two_proportion_test(36_000, 39_000, 2_640, 3_000) < 1e-9
    assert two_proportion_test(np.int64(5), 5, 0, np.int32(5)) == pytest.approx(2 / 252)


def test_bad_scores_are_refused() -> None:
    hole = SCORES.copy()
    hole[1, 2] = np.nan
    bad = [
        (np.zeros(3), r"scores must be of shape \(seeds, levels\), not \(3,\)"),
        (np.zeros((0, 3)), r"at least one seed and one level; its shape is \(0, 3\)"),
        (np.zeros((3, 0)), r"at least one seed and one level; its shape is \(3, 0\)"),
        (hole, r"scores\[1, 2\] is nan"),
        (np.array([[1.0, -np.inf]]), r"scores\[0, 1\] is -inf"),
        (np.array([["a", "b"]]), "scores must be real numbers, not <U1"),
        (np.array([[1j]]), "scores must be real numbers, not complex128"),
    ]
    for scores, message in bad:
        for statistic in STATISTICS:
            with pytest.raises(ValueError, match=message):
                statistic(scores)
        with pytest.raises(ValueError, match=message):
            performance_profile(scores, [0.5])
        with pytest.raises(ValueError, match=message):
            stratified_bootstrap_interval(scores, mean, seed=0)
        with pytest.raises(ValueError, match=message.replace("scores", "theirs")):
            probability_of_improvement(SCORES, scores)
        with pytest.raises(ValueError, match=message.replace("scores", "ours")):
            probability_of_improvement_interval(scores, SCORES, seed=0)
    with pytest.raises(ValueError, match=r"not \(2, 3, 4\)"):
        stratified_bootstrap_interval(np.zeros((2, 3, 4)), mean, seed=0)
    with pytest.raises(ValueError, match="ours has 4 levels and theirs 3"):
        probability_of_improvement(SCORES, SCORES[:, :3])


def test_bad_settings_are_refused() -> None:
    settings = [
        ({"confidence": 1.0, "seed": 0}, "confidence=1.0"),
        ({"confidence": 0, "seed": 0}, "confidence=0 "),
        ({"confidence": math.nan, "seed": 0}, "confidence=nan"),
        ({"resamples": 0, "seed": 0}, "resamples=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
    ]
    for setting, message in settings:
        with pytest.raises(ValueError, match=message):
            stratified_bootstrap_interval(SCORES, mean, **setting)
        with pytest.raises(ValueError, match=message):
            probability_of_improvement_interval(SCORES, SCORES, **setting)
        with pytest.raises(ValueError, match=message):
            performance_profile_intervals(SCORES, [0.5], **setting)
    with pytest.raises(ValueError, match=r"of \(11, 3, 4\) it must return \(11,\), not \(\)"):
        stratified_bootstrap_interval(SCORES, np.mean, resamples=10, seed=0)
    for thresholds, message in (
        ([], "thresholds"),
        ([[0.5]], r"\(1, 1\)"),
        ([0.5, math.nan], r"thresholds\[1\] is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            performance_profile(SCORES, thresholds)


def test_impossible_counts_are_refused() -> None:
    for counts, message in (
        ((5, 3, 1, 2), "successes_a=5 of trials_a=3"),
        ((1, 3, -1, 2), "successes_b=-1 of trials_b=2"),
        ((1, 3, 0, 0), "successes_b=0 of trials_b=0"),
        ((0.93, 1, 1, 2), "successes_a=0.93 of trials_a=1"),
    ):
        with pytest.raises(ValueError, match=message):
            two_proportion_test(*counts)
