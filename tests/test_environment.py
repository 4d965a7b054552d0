"""The environments keep Gymnasium's contract, and work unchanged in its vector environments and Minigrid's wrappers."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from conftest import ALL_IDS
from gymnasium.utils.env_checker import check_env
from minigrid import wrappers as minigrid_wrappers

from babyaipp import LEVELS, World
from babyaipp.texts import TEXT_CONDITIONS, VOCABULARY, decode
from babyaipp.wrappers import MergedTextObservation, TokenObservation

ONE_ROOM, MAZE = "BabyAIpp-GoToRedBall-Train-v0", "BabyAIpp-GoToSeq-HeldOut-v0"


def episode(env, seed, steps=40):
    """Everything that an episode of random actions returns."""
    rng = np.random.default_rng(seed)
    trace = [env.reset(seed=seed)]
    for _ in range(steps):
        trace.append(env.step(int(rng.integers(7))))
        if trace[-1][2] or trace[-1][3]:
            trace.append(env.reset())
    return trace


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_gymnasium_finds_nothing_to_warn_of(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id).unwrapped)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_stable_baselines3_finds_nothing_to_warn_of(env_id):
    check = pytest.importorskip("stable_baselines3.common.env_checker").check_env
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Its advice for pictures and for arrays that are no vectors does not concern small grids and tokens.
        warnings.filterwarnings("ignore", message=".*(unconventional shape|minimal resolution|an image).*")
        check(TokenObservation(gym.make(env_id)), warn=True)


@pytest.mark.parametrize("env_id", ALL_IDS)
@pytest.mark.parametrize("text", [*TEXT_CONDITIONS, "withheld=1"])
def test_observations_and_samples_are_in_their_spaces(env_id, text):
    env = gym.make(env_id, text=text, sentence_order="shuffled")
    wrapped = [env, TokenObservation(env), MergedTextObservation(env)]
    for number, each in enumerate(wrapped):
        obs, _ = each.reset(seed=number)
        assert each.observation_space.contains(obs)
        assert each.observation_space.contains(each.step(2)[0])
        each.observation_space.seed(3)
        assert each.observation_space.contains(each.observation_space.sample())


def test_spaces_hold_nothing_else():
    space = gym.make(ONE_ROOM).observation_space
    assert space["mission"].contains("go to the red ball")
    for text in ("go to a red ball", "go to the blue ball", "go to the red key", "", "go to the red ball.", 3):
        assert not space["mission"].contains(text)
    assert space["description"].contains("green floors are trap. blue floors are slippery.")
    assert space["description"].contains("")
    for text in (
        "green floors are lava.",
        "green floors are trap",
        "green floors are trap.blue floors are slippery.",
        "green floors are trap. green floors are slippery.",
        "green floors are trap. blue floors are trap. red floors are trap.",
        "lorem ipsum dolor sit.",
    ):
        assert not space["description"].contains(text)
    image = np.zeros((7, 7, 3), np.uint8)
    assert space["image"].contains(image)
    for channel, value in enumerate((8, 6, 3)):
        wrong = image.copy()
        wrong[0, 0, channel] = value
        assert not space["image"].contains(wrong)
    sequences = gym.make(MAZE).observation_space["mission"]
    assert sequences.contains("go to a red ball and go to the door, then go to a box")
    assert not sequences.contains("go to a red ball, then go to the door, then go to a box")
    assert not sequences.contains("pick up a red ball")
    put = gym.make("BabyAIpp-PutNext-All-v0").observation_space["mission"]
    assert put.contains("put a red ball next to the blue key")
    assert not put.contains("put a red ball next to the red ball")


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_splits_of_a_level_have_equal_spaces(level):
    spaces = [gym.make(level.env_id(split)).observation_space for split in level.splits]
    assert all(space == spaces[0] for space in spaces)
    assert spaces[0] != gym.make(level.env_id("All"), text="none").observation_space


def test_rules_are_told_in_the_text_only():
    env = gym.make(ONE_ROOM, text="none")
    obs, info = env.reset(seed=4)
    assert set(info["rules"]) == {"blue", "green"}
    assert obs["description"] == ""
    assert set(obs) == {"image", "direction", "mission", "description"}
    obs, *_, info = env.step(0)
    assert obs["description"] == ""
    info["rules"]["green"] = "edited"
    assert env.step(0)[4]["rules"]["green"] != "edited"


def test_the_end_tells_success_and_cause():
    causes = set()
    for seed in range(60):
        env = gym.make("BabyAIpp-GoToRedBall-All-v0", max_steps=30)
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        terminated = truncated = False
        while not (terminated or truncated):
            _, reward, terminated, truncated, info = env.step(int(rng.choice([0, 1, 2, 2, 2])))
            assert ("success" in info) == ("cause" in info) == (terminated or truncated)
        assert info["success"] == (info["cause"] == "success") == (reward > 0)
        causes.add(info["cause"])
    assert causes == {"success", "trap", "timeout"}


def test_max_steps_sets_the_time_limit():
    env = gym.make(MAZE, max_steps=5)
    env.reset(seed=0)
    ends = [env.step(6)[3] for _ in range(5)]
    assert ends == [False] * 4 + [True]
    assert env.unwrapped.world.max_steps == 5


@pytest.mark.parametrize("env_id", [ONE_ROOM, MAZE])
def test_same_seed_same_episodes(env_id):
    one, other = gym.make(env_id), gym.make(env_id)
    other.reset(seed=99)
    assert same(episode(one, 7), episode(other, 7))
    assert not same(episode(one, 7), episode(other, 8))


def test_seeds_mean_the_same_in_any_process():
    """Other processes, other hash seeds: same worlds and texts."""
    program = (
        "import babyaipp, gymnasium as gym, json\n"
        "for i in ('BabyAIpp-GoToPartial-All-v0', 'BabyAIpp-Unlock-Fixed-v0'):\n"
        "  for text in ('lorem_any', 'paraphrase', 'contradict'):\n"
        "    env = gym.make(i, text=text, sentence_order='shuffled')\n"
        "    for k in (5, None):\n"
        "        obs, _ = env.reset(seed=k)\n"
        "        print(json.dumps(env.unwrapped.world.to_dict()), obs['description'], obs['image'].tolist())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": value}, capture_output=True, text=True, check=True
        ).stdout
        for value in ("0", "1", "12345")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


@pytest.mark.parametrize("env_id", [ONE_ROOM, "BabyAIpp-GoToPartial-All-v0"])
def test_text_conditions_see_the_same_worlds(env_id):
    """The text condition and the order of sentences change the text and nothing else, episode after episode."""
    traces = []
    for text in [*TEXT_CONDITIONS, "withheld=2"]:
        for order in ("canonical", "shuffled"):
            env = gym.make(env_id, text=text, sentence_order=order)
            trace = episode(env, 11, steps=200)
            for entry in trace:
                entry[0].pop("description")
            traces.append((trace, env.unwrapped.np_random.bit_generator.state))
    assert all(same(trace, traces[0]) for trace in traces)


def test_only_the_environments_own_stream_is_random():
    """Step draws nothing; reset neither touches nor depends on any global generator."""
    env = gym.make(ONE_ROOM)
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = env.reset(seed=1)
    state = env.unwrapped.np_random.bit_generator.state
    for action in range(7):
        env.step(action)
    assert env.unwrapped.np_random.bit_generator.state == state
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    assert same(env.reset(seed=1), first)


def test_nothing_is_printed():
    """Minigrid reports each world that it rejects; these seeds reject some."""
    program = (
        "import babyaipp, gymnasium as gym\n"
        "env = gym.make('BabyAIpp-PutNext-All-v0')\n"
        "for seed in range(40):\n"
        "    env.reset(seed=seed)\n"
        "env.step(2)\n"
        "env.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    stock = gym.make("BabyAI-GoTo-v0")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for seed in range(40):
            stock.reset(seed=seed)
    assert "rejected" in printed.getvalue()


def test_tokens_pass_through_shared_memory():
    make = [lambda: TokenObservation(gym.make("BabyAIpp-PutNextLocal-All-v0")) for _ in range(3)]
    shared, plain = gym.vector.AsyncVectorEnv(make, shared_memory=True), gym.vector.SyncVectorEnv(make)
    try:
        (one, _), (other, _) = shared.reset(seed=5), plain.reset(seed=5)
        assert same(one, other)
        assert one["mission"].shape == (3, 9)
        assert one["description"].shape == (3, 2, 4)
        single = make[0]()
        first, _ = single.reset(seed=5)
        assert decode(one["mission"][0]) == single.unwrapped.mission
        assert decode(one["description"][0]) == single.unwrapped.description.replace(".", "")
        for action in (2, 0, 2, 1):
            assert same(shared.step(np.full(3, action))[:4], plain.step(np.full(3, action))[:4])
        assert (one["description"] < len(VOCABULARY)).all()
        assert same(first["mission"], one["mission"][0])
    finally:
        shared.close()
        plain.close()


def test_strings_pass_through_vector_environments_without_shared_memory():
    """With shared memory Gymnasium 1.4 would hand out blank strings: that is refused."""
    make = [lambda: gym.make(ONE_ROOM) for _ in range(2)]
    with pytest.raises(ValueError, match="shared_memory=False"):
        gym.vector.AsyncVectorEnv(make, shared_memory=True)
    envs = gym.vector.AsyncVectorEnv(make, shared_memory=False)
    try:
        obs, _ = envs.reset(seed=5)
        assert obs["mission"] == ("go to the red ball",) * 2
        assert all(text.endswith(".") for text in obs["description"])
    finally:
        envs.close()


def test_token_sizes_can_be_raised_but_not_cut():
    env = gym.make(ONE_ROOM)
    obs, _ = TokenObservation(env, mission_words=24, sentences=6, sentence_words=5).reset(seed=0)
    assert obs["mission"].shape == (24,)
    assert obs["description"].shape == (6, 5)
    with pytest.raises(ValueError, match="sentences=1 is too small for level GoToRedBall; at least 2"):
        TokenObservation(env, sentences=1)


def test_stable_baselines3_trains_on_tokens_unchanged():
    sb3 = pytest.importorskip("stable_baselines3")
    env = TokenObservation(gym.make("BabyAIpp-PutNextLocal-Train-v0"))
    model = sb3.PPO("MultiInputPolicy", env, n_steps=64, batch_size=32, n_epochs=1, device="cpu").learn(128)
    action, _ = model.predict(env.reset(seed=0)[0])
    assert env.action_space.contains(int(action))


@pytest.mark.parametrize(
    "wrapper",
    [
        minigrid_wrappers.ImgObsWrapper,
        minigrid_wrappers.OneHotPartialObsWrapper,
        minigrid_wrappers.RGBImgObsWrapper,
        minigrid_wrappers.RGBImgPartialObsWrapper,
        minigrid_wrappers.FullyObsWrapper,
        minigrid_wrappers.ViewSizeWrapper,
        minigrid_wrappers.SymbolicObsWrapper,
        minigrid_wrappers.PositionBonus,
        minigrid_wrappers.ActionBonus,
        minigrid_wrappers.ReseedWrapper,
    ],
)
def test_minigrid_wrappers_work(wrapper):
    env = wrapper(gym.make("BabyAIpp-GoToRedBallHard-All-v0"))
    obs, _ = env.reset()
    for action in (2, 0, 2, 1, 2):
        obs, *_ = env.step(action)
    assert env.observation_space.contains(obs)
    if isinstance(obs, dict):
        assert obs["description"].count("floors are") == 3


def test_the_full_view_shows_every_tile():
    env = minigrid_wrappers.FullyObsWrapper(gym.make("BabyAIpp-GoToRedBallHard-All-v0"))
    obs, _ = env.reset(seed=2)
    world = env.unwrapped.world
    floors = {(x, y) for x, y, kind, _, _ in world.cells if kind == "floor"}
    assert {(int(x), int(y)) for x, y in np.argwhere(obs["image"][..., 0] == 3)} == floors


def test_rules_can_be_set():
    env = gym.make(ONE_ROOM)
    rules = {"green": "magic", "red": "trap"}
    obs, info = env.reset(seed=3, options={"rules": rules})
    assert info["rules"] == rules
    assert obs["description"] == "green floors are magic. red floors are trap."
    assert env.observation_space.contains(obs)
    assert {color for *_, kind, color, _ in env.unwrapped.world.cells if kind == "floor"} <= set(rules)
    _, info = env.reset(seed=3)
    assert set(info["rules"]) == {"blue", "green"}


def test_a_world_starts_again_exactly():
    env, other = gym.make(MAZE), gym.make(MAZE, sentence_order="shuffled")
    env.reset(seed=6)
    obs, _ = env.reset()
    again, info = other.reset(seed=1, options={"world": World.from_dict(env.unwrapped.world.to_dict())})
    assert same(obs, again)
    assert info["rules"] == env.unwrapped.rules
    rng = np.random.default_rng(0)
    for _ in range(200):
        action = int(rng.choice([0, 1, 2, 2, 3, 4, 5]))
        one, two = env.step(action), other.step(action)
        assert same(one, two)
        if one[2] or one[3]:
            break


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": {"pink": "trap"}}, "unknown colour 'pink'; allowed: blue, green"),
        ({"rules": {"green": "lava"}}, "unknown property 'lava' of green; allowed: trap, sticky"),
        ({"rules": dict.fromkeys(("green", "blue", "red"), "trap")}, "at most 2 floor colours; got 3"),
        ({"rule": {}}, "allowed: rules, world"),
        ({"world": {"level": "GoTo"}}, "must be a babyaipp.World; got dict"),
        ({"rules": {}, "world": None}, "exclude each other"),
    ],
)
def test_bad_options_are_refused_and_lose_nothing(options, message):
    env = gym.make(ONE_ROOM)
    env.reset(seed=1)
    world, state = env.unwrapped.world, env.unwrapped.np_random.bit_generator.state
    env.step(2)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=9, options=options)
    assert env.unwrapped.world is world
    assert env.unwrapped.np_random.bit_generator.state == state
    assert env.unwrapped.half_steps > 0


def test_a_world_of_another_size_is_refused(recordings):
    world = World.from_dict(next(row for row in recordings if row["level"] == "GoTo"))
    with pytest.raises(ValueError, match="31 x 31 cells with rooms of 11 do not fit level GoToRedBall: 8 x 8"):
        gym.make(ONE_ROOM).reset(options={"world": world})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"text": "tru"}, "text='tru'; allowed: true, lorem"),
        ({"text": "withheld=x"}, "withheld=<count>"),
        ({"sentence_order": "random"}, "allowed: canonical, shuffled"),
        ({"render_mode": "rgb"}, "allowed: human, rgb_array, ansi"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make(ONE_ROOM, **kwargs)


def test_the_view_can_have_another_size():
    env = gym.make(ONE_ROOM, agent_view_size=5)
    obs, _ = env.reset(seed=0)
    assert obs["image"].shape == (5, 5, 3)
    assert env.observation_space.contains(obs)


def test_text_wrappers_refuse_environments_without_these_texts():
    inner = gym.make(ONE_ROOM)
    stacked = [gym.make("CartPole-v1"), minigrid_wrappers.ImgObsWrapper(inner), TokenObservation(inner)]
    for env in [*stacked, MergedTextObservation(inner)]:
        for wrapper in (TokenObservation, MergedTextObservation):
            with pytest.raises(ValueError, match="needs the texts mission and description"):
                wrapper(env)
