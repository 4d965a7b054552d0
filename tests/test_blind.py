"""The planner that cannot read: what it believes, that it believes it without reading, and how well it does."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from babyaipp import LEVELS, make_vec
from babyaipp.levels import Level, get_level, get_split
from babyaipp.planners import ReferenceWorlds, belief, headroom, layout, make_planner
from babyaipp.planners.belief import HAZARDS, ImpossibleError
from babyaipp.planners.blind import UNSEEN, Blind
from babyaipp.planners.oracle import survey
from babyaipp.planners.rollout import Episodes, play, play_seeds
from babyaipp.tiles import COLORS, DEADLY, DONE, NONE, PROPERTIES
from babyaipp.world import World
from benchmarks import reading_optimum

READING = [level for level in LEVELS.values() if level.balanced]
READING_IDS = [(level.name, split) for level in READING for split in level.splits]
SLIPPERY = dict.fromkeys(COLORS, "slippery")
BLUE, GREEN, GREY, PURPLE, RED, YELLOW = (1 << i for i in range(len(COLORS)))


def believed(level: str, split: str, world: World | None = None) -> belief.Belief:
    """What is believed of a level, once a world is seen if one is given."""
    row = get_level(level)
    prior = belief.prior(row, get_split(row, split))
    return prior if world is None else layout.begin(prior, row, start_of(row, world))


def start_of(level: Level, world: World) -> np.void:
    envs = make_vec(level, "All", 1)
    envs.reset(options={"world": world})
    return envs.state()[0]


def starts(name: str, split: str, count: int) -> np.ndarray:
    envs = make_vec(name, split, count)
    envs.reset(seed=0)
    return envs.state()


def optimum(level: Level, split: str) -> float:
    """Success of the best policy without text."""
    world = reading_optimum.joint(level, split, with_words=False)
    return reading_optimum.success(world, world)


def success(level: Level, split: str, episodes: int) -> float:
    return Episodes.joined(list(play(Blind(level, split), level, get_split(level, split), episodes))).success.mean()


def test_the_prior_counts_the_rules_of_the_split():
    easy = believed("GoToRedBall", "Train")  # blue: trap, fliplr; green: fliplr, slippery
    assert easy.harmless(np.array([0, BLUE, GREEN, BLUE | GREEN])) == pytest.approx([1, 0.5, 1, 0.5])
    assert easy.chances[1, [PROPERTIES.index(name) for name in ("trap", "fliplr", "slippery")]].tolist() == [
        0,
        0.5,
        0.5,
    ]
    hard = believed("GoToRedBallHard", "All")
    assert hard.harmless(np.array([BLUE, BLUE | GREEN | GREY])) == pytest.approx([5 / 6, (5 / 6) ** 3])
    fixed = believed("PickupLoc", "Fixed")  # two of three colours, each with its only property
    assert fixed.harmless(np.array([GREEN | YELLOW, RED])) == pytest.approx([1, 1 / 3])


@pytest.mark.parametrize("split", ["Train", "Val", "HeldOut", "All"])
def test_the_prior_of_reading_levels_has_three_deadly_colors(split):
    prior = believed("CrossTwo", split)
    chances = prior.harmless(np.array([BLUE, BLUE | RED, BLUE | RED | GREY, BLUE | RED | GREY | GREEN]))
    assert chances == pytest.approx([1 / 2, 4 / 20, 1 / 20, 0])
    allowed = get_level("CrossTwo").allowed(get_split(get_level("CrossTwo"), split))
    for color, name in enumerate(COLORS):
        its_own = [PROPERTIES.index(word) for word in allowed[name]]
        assert np.flatnonzero(prior.chances[color]).tolist() == its_own
        of_class = np.array([sum(HAZARDS[i] == DEADLY for i in its_own), sum(HAZARDS[i] != DEADLY for i in its_own)])
        expected = [0.5 / of_class[0 if HAZARDS[i] == DEADLY else 1] for i in its_own]
        assert prior.chances[color, its_own] == pytest.approx(expected)


def test_what_is_learned_of_a_color_tells_of_others():
    fits = HAZARDS != DEADLY
    prior = believed("CrossTwo", "All")
    one = prior.given(0, fits)
    assert one.harmless(np.array([BLUE, RED, GREY | RED])) == pytest.approx([1, 2 / 5, 1 / 10])
    both = one.given(4, fits)
    assert both.harmless(np.array([BLUE | RED, GREY])) == pytest.approx([1, 1 / 4])
    assert both.given(4, fits) is both
    all_three = both.given(2, fits)
    assert all_three.harmless(np.array([GREEN, PURPLE, YELLOW])) == pytest.approx([0, 0, 0])
    with pytest.raises(ImpossibleError):
        all_three.given(1, fits)


def crossing(*gaps: tuple[str, str]) -> World:
    """A world of CrossMany with these letters of colours in its walls."""
    rows = [["##" if x in (0, 12) or y in (0, 12) else ".." for x in range(13)] for y in range(13)]
    for x, (upper, lower) in zip((3, 6, 9), gaps, strict=True):
        for y in range(1, 12):
            rows[y][x] = {2: f"_{upper}", 8: f"_{lower}"}.get(y, "##")
    rows[5][1], rows[5][11] = ">>", "Or"
    return World.from_ascii("\n".join(map(" ".join, rows)), level="CrossMany", rules=SLIPPERY)


def test_walls_tell_of_each_other():
    """Blue stands against green and against red, grey against purple; yellow is not there."""
    seen = believed("CrossMany", "All", crossing(("b", "g"), ("e", "p"), ("r", "b")))
    assert seen.harmless(np.array([BLUE, GREEN | RED, YELLOW])) == pytest.approx([0.5] * 3)
    pairs = np.array([BLUE | GREY, BLUE | GREEN, GREY | PURPLE, BLUE | YELLOW])
    assert seen.harmless(pairs) == pytest.approx([0.25, 0, 0, 0.5])
    passed = seen.given(0, HAZARDS != DEADLY)
    assert passed.harmless(np.array([GREEN, RED, YELLOW, GREY])) == pytest.approx([0, 0, 1, 0.5])


def test_patches_tell_of_pairs():
    """Left: blue, green, red, grey; right: blue, purple, yellow, grey."""
    rows = (
        "## ## ## ## ## ## ## ## ## ## ## ## ## ## ##",
        "## >b _b _g _g _e _r ## _p _p _b _b _e Or ##",
        "## _b _r _r _g _e _r ## _b _b _b _b _b _b ##",
        "## _b _b _b _b _b _b ## _b _y _y _y _b _b ##",
        "## _b _b _b _b _b _b ## _b _b _y _b _b _b ##",
        "## _b _b _b _b _b _b ## _b _b _b _b _b _b ##",
        "## _b _b _b _b _b _b Dg _b _b _b _p _p _b ##",
        "## ## ## ## ## ## ## ## ## ## ## ## ## ## ##",
    )
    world = World.from_ascii("\n".join(rows), level="MinefieldHard", rules=SLIPPERY)
    seen = believed("MinefieldHard", "All", world)
    assert seen.harmless(np.array([BLUE, GREY])) == pytest.approx([1, 0])
    assert seen.harmless(np.array([GREEN, RED, GREEN | RED, PURPLE | YELLOW])) == pytest.approx([0.5, 0.5, 0, 0])
    assert seen.harmless(np.array([GREEN | PURPLE, GREEN | YELLOW, RED | YELLOW])) == pytest.approx([0.25] * 3)


@pytest.mark.parametrize(("name", "split"), READING_IDS)
def test_beliefs_agree_with_the_enumeration_of_the_optimum(name, split):
    """`benchmarks/reading_optimum.py` counts everything that an episode can draw, and knows nothing of beliefs."""
    level = get_level(name)
    scenes = reading_optimum.joint(level, split, with_words=False)
    prior = belief.prior(level, get_split(level, split))
    for world in starts(name, split, 40):
        seen = layout.begin(prior, level, world)
        outcomes = scenes[(), _scene(level, world)]
        total = sum(outcomes.values())
        for deadly, probability in outcomes.items():
            as_told = np.isin(np.arange(len(COLORS)), sorted(set(deadly)))
            believed = seen.weights[(seen.classes[:, as_told] == DEADLY).all(1)].sum()
            assert believed == pytest.approx(probability / total)
        assert seen.weights[((seen.classes == DEADLY) == (HAZARDS[world["rules"]] == DEADLY)).all(1)].sum() > 0


def _scene(level: Level, world: np.void):
    tiles = layout.tile_colors(world["seen"][: level.width * level.height].reshape(level.height, level.width))
    if level.floors == "gates":
        walls = [frozenset(np.unique(column[column != NONE]).tolist()) for column in tiles.T]
        return None, None, tuple(wall for wall in walls if wall)
    first = int(tiles[world["agent_y"], world["agent_x"]])
    side = level.room_size - 1
    rooms = [tiles[:, i * side : (i + 1) * side] for i in range(level.num_cols)]
    if world["agent_x"] > side:
        rooms.reverse()
    colors = [set(np.unique(room[room != NONE]).tolist()) - {first} for room in rooms]
    shared = colors[0] & colors[-1] if level.num_cols > 1 else set()
    assert len(shared) == level.num_cols - 1
    return first, min(shared, default=None), tuple(frozenset(one - shared) for one in colors)


@pytest.mark.parametrize(
    ("name", "split"), [("GoToRedBallHard", "All"), ("PickupLoc", "All"), ("GoToRedBallMaze", "All")]
)
def test_what_strewn_floors_tell_is_as_often_true_as_believed(name, split):
    """Classes have shares of the tiles and keep distances; that is more than the prior knows."""
    level = get_level(name)
    prior = belief.prior(level, get_split(level, split))
    told, is_deadly, before = [], [], []
    for world in starts(name, split, 800):
        seen = layout.begin(prior, level, world)
        colors = np.flatnonzero(world["rules"] != NONE)
        told.append(1 - seen.harmless(1 << colors))
        before.append(1 - prior.harmless(1 << colors))
        is_deadly.append(HAZARDS[world["rules"][colors]] == DEADLY)
    p, truth, base = (np.concatenate(parts) for parts in (told, is_deadly, before))
    assert (p[truth] > 0).all()
    assert ((p - truth) ** 2).mean() < 0.6 * ((base - truth) ** 2).mean()
    for low, high in ((0, 0.05), (0.05, 0.35), (0.35, 0.65), (0.65, 0.95), (0.95, 1)):
        within = (p >= low) & (p <= high)
        error = 4 * np.sqrt(0.25 / within.sum())
        assert within.any()
        assert truth[within].mean() == pytest.approx(p[within].mean(), abs=error)


def test_it_plays_worlds_that_the_level_does_not_make():
    """Of three colours in three walls, each against both others, none can be the deadly one."""
    world = crossing(("b", "g"), ("g", "e"), ("e", "b"))
    with pytest.raises(ImpossibleError):
        believed("CrossMany", "All", world)
    envs = make_vec("CrossMany", "Train", 1, autoreset_mode="Disabled")
    envs.reset(options={"world": world})
    planner = Blind("CrossMany", "Train")
    planner.reset(envs.state())
    reward, ended = 0.0, False
    while not ended:
        _, rewards, terminated, truncated, _ = envs.step(planner.act(envs.state()))
        reward, ended = float(rewards[0]), bool(terminated[0] or truncated[0])
    assert reward > 0  # all tiles are slippery


def scrambled(worlds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Records with other values where the planner must not look."""
    worlds = worlds.copy()
    for name in UNSEEN:
        raw = worlds[name]
        if name in ("rules", "described"):
            worlds[name] = random.integers(0, len(PROPERTIES) if name == "rules" else len(COLORS), raw.shape)
        else:
            worlds[name] = random.integers(0, 7, raw.shape)
    return worlds


@pytest.mark.parametrize(
    "name", ["CrossMany", "MinefieldHard", "Courier", "GoToRedBallHard", "PutNextHard", "GoToPartial"]
)
def test_it_does_not_read(name):
    assert set(UNSEEN) >= {"rules", "described", "num_described", "text_seed", "rng"}
    count = 40
    random = np.random.default_rng(5)
    envs = make_vec(name, "All", count, autoreset_mode="NextStep")
    envs.reset(seed=70)
    planners = Blind(name, "All"), Blind(name, "All")
    planners[0].reset(envs.state())
    planners[1].reset(scrambled(envs.state(), random))
    for _ in range(60):
        actions = planners[0].act(envs.state())
        np.testing.assert_array_equal(actions, planners[1].act(scrambled(envs.state(), random)))
        envs.step(actions)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("CrossMany", "Val"),
        ("MinefieldHard", "All"),
        ("Courier", "Train"),
        ("GoToRedBallHard", "All"),
        ("Unlock", "Train"),
    ],
)
def test_it_does_the_same_on_the_reference(name, split):
    level = get_level(name)
    env = gym.make(level.env_id(get_split(level, split)))
    played = play_seeds(Blind(level, split), level, get_split(level, split), range(5))
    planner = make_planner("blind", level, split)
    worlds = ReferenceWorlds(env)
    for seed in range(5):
        worlds.reset(seed=seed)
        planner.reset(worlds.worlds)
        actions, ended = [], False
        while not ended:
            actions.append(int(planner.act(worlds.worlds)[0]))
            _, reward, terminated, truncated, info = worlds.step(actions[-1])
            ended = terminated or truncated
        assert actions == played.actions_of(seed).tolist()
        assert (reward, info["success"]) == (played.returns[seed], played.success[seed])


def test_episodes_are_played_the_same_whatever_is_played_beside_them():
    level = get_level("Minefield")
    one = Episodes.joined(list(play(Blind(level, "All"), level, "All", 60, batch=60)))
    other = Episodes.joined(list(play(Blind(level, "All"), level, "All", 60, batch=7)))
    np.testing.assert_array_equal(one.actions, other.actions)


def test_it_plans_anew_after_a_reset_and_after_surprises():
    """In `GoToPartial` nothing is deadly, but tiles do what it cannot know."""
    level = get_level("GoToPartial")
    played = Episodes.joined(list(play(Blind(level, "All"), level, "All", 100)))
    assert played.success.mean() > 0.97
    known = Episodes.joined(list(play(make_planner("oracle", level, "All"), level, "All", 100)))
    assert played.steps.mean() > known.steps.mean()


def test_where_there_is_no_way_it_does_nothing():
    rows = ["## ## ## ## ## ## ## ##", "## >> ## .. .. .. Or ##", *["## ## ## ## ## ## ## ##"] * 6]
    world = World.from_ascii("\n".join(rows), level="GoToRedBall", rules={})
    envs = make_vec("GoToRedBall", "All", 1, autoreset_mode="Disabled")
    envs.reset(options={"world": world})
    planner = Blind("GoToRedBall", "All")
    planner.reset(envs.state())
    ended = False
    while not ended:
        action = planner.act(envs.state())
        assert action.tolist() == [DONE]
        _, _, terminated, truncated, _ = envs.step(action)
        ended = bool(terminated[0] or truncated[0])


def test_unknown_levels_and_splits_are_refused():
    with pytest.raises(ValueError, match="unknown level 'CrosTwo'"):
        Blind("CrosTwo")
    with pytest.raises(ValueError, match="unknown split 'Fixed' of level CrossTwo"):
        Blind("CrossTwo", "Fixed")


@pytest.mark.parametrize("level", READING, ids=lambda level: level.name)
def test_it_fails_where_one_must_read(level):
    """Within four standard errors of what can be had at best without text; the oracle solves all."""
    episodes = 400
    best = optimum(level, "All")
    entry = headroom.measure(level, "All", episodes)
    assert entry["oracle"]["success"] >= 0.999
    assert best - 0.12 < entry["blind"]["success"] < best + 4 * np.sqrt(best * (1 - best) / episodes)
    assert entry["headroom"] > 0.35


def test_it_needs_no_text_in_the_original_levels():
    for name in ("GoToRedBall", "GoToRedBallHard", "PickupLoc"):
        assert success(get_level(name), "All", 200) > 0.95


@pytest.mark.parametrize("level", READING, ids=lambda level: level.name)
def test_reading_levels_can_be_solved(level):
    for split in level.splits:
        told = survey(level, split, 100, seed=1_000_000)
        assert told.solved == 100


@pytest.mark.slow
@pytest.mark.parametrize(("name", "split"), READING_IDS)
def test_headroom_of_the_reading_levels(name, split):
    level = get_level(name)
    best = optimum(level, split)
    entry = headroom.measure(level, get_split(level, split), 1000)
    assert entry["oracle"]["success"] >= 0.999
    assert entry["blind"]["success"] <= {"CrossMany": 0.3, "MinefieldHard": 0.3}.get(name, 0.55)
    assert abs(entry["blind"]["success"] - best) < 0.06
    assert entry["headroom"] >= 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "split"), READING_IDS)
def test_every_seed_of_the_reading_levels_can_be_solved(name, split):
    level = get_level(name)
    told = survey(level, get_split(level, split), 10_000)
    assert (told.solved, told.proven_unsolvable, told.open) == (10_000, (), ())
