"""The agents' networks, their memory, checkpoints and evaluation do what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.checkpoints import load_agent_file, read_tensors, save_agent, spaces_of, write_tensors
from agents.cli import run_command
from agents.encoders import TextEncoder, unique_rows
from agents.environments import EVALUATION_SEEDS, Task, evaluation_seed, training_seeds
from agents.evaluate import RANDOM, EvaluateConfig, evaluate, load_subject, run_evaluation
from agents.grounded import LEXICON
from agents.policy import Policy, build_policy
from agents.registry import agent_names, load_agent
from agents.rollouts import PolicyActor, RandomActor, play
from agents.training.config import TrainConfig
from babyaipp.engine.state import FLOOR
from babyaipp.texts import PADDING, PARAPHRASE_WORDS, WORD_IDS

ROOT = Path(__file__).parent.parent
TASKS = (Task("GoToRedBall"), Task("GoToSeq"), Task("CrossTwo"))  # a room; a maze and long instructions; six sentences
READERS = ("attention_fusion", "concat_fusion", "film", "grounded")


def policy_of(agent: str, task: Task, preset: str = "small", **options: int) -> Policy:
    torch.manual_seed(0)
    return build_policy(agent, preset, options, *spaces_of(task))


def observations(task: Task, num_envs: int = 6, steps: int = 5) -> dict[str, Tensor]:
    """(steps, num_envs, ...) of random walks."""
    envs = task.make_vec(num_envs, output="torch")
    actions = np.random.default_rng(0).integers(0, 3, (steps, num_envs))
    seen = [envs.reset(seed=0)[0]]
    seen += [envs.step(row)[0] for row in actions[1:]]
    return {name: torch.stack([each[name] for each in seen]) for name in seen[0]}


def first(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: each[0] for name, each in batch.items()}


# Networks


def test_the_agents_are_found() -> None:
    assert set(agent_names()) >= {"image_only", *READERS}
    with pytest.raises(ValueError, match="did you mean 'image_only'"):
        load_agent("image_onyl")
    with pytest.raises(ValueError, match="did you mean 'small'"):
        policy_of("film", TASKS[0], preset="smal")
    with pytest.raises(ValueError, match="option channels=0 of agent film must be at least 1"):
        policy_of("film", TASKS[0], channels=0)


@pytest.mark.parametrize("preset", ["small", "paper"])
@pytest.mark.parametrize("agent", agent_names())
def test_gradients_reach_every_parameter(agent: str, preset: str) -> None:
    policy = policy_of(agent, TASKS[1], preset)
    batch = observations(TASKS[1])
    begins = torch.zeros(5, 6, dtype=torch.bool)
    decision = policy(batch, policy.initial_state(6), begins)
    assert decision.logits.shape == (5, 6, 7)
    assert decision.values.shape == (5, 6)
    assert decision.state.shape == (6, policy.state_size)
    assert decision.logits.softmax(2).sum(2).allclose(torch.ones(5, 6))
    (decision.logits.square().sum() + decision.values.sum()).backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("agent", agent_names())
def test_a_piece_of_steps_is_the_same_as_one_step_after_the_other(agent: str) -> None:
    policy, batch = policy_of(agent, TASKS[2]), observations(TASKS[2])
    begins = torch.zeros(5, 6, dtype=torch.bool)
    begins[3, :2] = True
    state = torch.randn(6, policy.state_size)
    together = policy(batch, state, begins)
    for t in range(5):
        logits, values, state = policy.step({name: each[t] for name, each in batch.items()}, state, begins[t])
        torch.testing.assert_close(logits, together.logits[t])
        torch.testing.assert_close(values, together.values[t])
    torch.testing.assert_close(state, together.state)


@pytest.mark.parametrize("memory", [0, 64])
def test_a_new_episode_begins_without_memories(memory: int) -> None:
    policy, seen = policy_of("image_only", TASKS[0], memory=memory), first(observations(TASKS[0]))
    remembered, none = torch.randn(6, policy.state_size), policy.initial_state(6)
    begins = torch.ones(6, dtype=torch.bool)
    with_memory = policy.step(seen, remembered, ~begins).logits
    anew = policy.step(seen, remembered, begins).logits
    torch.testing.assert_close(anew, policy.step(seen, none, ~begins).logits)
    assert torch.equal(anew, with_memory) == (memory == 0)


@pytest.mark.parametrize("agent", agent_names())
def test_who_reads(agent: str) -> None:
    network, seen = policy_of(agent, TASKS[0]).network, first(observations(TASKS[0]))
    told_otherwise = seen | {"description": seen["description"].clone()}
    told_otherwise["description"][:, 0, 3] = WORD_IDS["magic"]
    asked_otherwise = seen | {"mission": seen["mission"].flip(1)}
    for other in (told_otherwise, asked_otherwise):
        assert torch.equal(network(seen), network(other)) == (agent not in READERS)


def test_grounded_does_not_care_for_the_order_of_sentences_or_empty_ones() -> None:
    network, seen = policy_of("grounded", TASKS[2]).network, first(observations(TASKS[2]))
    shuffled = seen["description"][:, torch.randperm(6)]
    torch.testing.assert_close(network(seen | {"description": shuffled}), network(seen))
    wider = Task("CrossTwo", sentences=8, sentence_words=7)
    larger = policy_of("grounded", wider).network
    larger.load_state_dict(network.state_dict())
    padded = torch.nn.functional.pad(seen["description"], (0, 3, 1, 1), value=PADDING)
    torch.testing.assert_close(larger(seen | {"description": padded}), network(seen))


def test_colour_reaches_grounded_by_words_only() -> None:
    """Without a text, and with an instruction that does not match, things of any colour look the same."""
    network, seen = policy_of("grounded", TASKS[2]).network, first(observations(TASKS[2]))
    blank = {"description": torch.zeros_like(seen["description"]), "mission": torch.zeros_like(seen["mission"])}
    recoloured = seen["image"].clone()
    recoloured[..., 1] = (recoloured[..., 1] + 1) % 6
    torch.testing.assert_close(network(seen | blank | {"image": recoloured}), network(seen | blank))
    assert not torch.allclose(network(seen | {"image": recoloured}), network(seen))


@pytest.mark.parametrize("agent", ["attention_fusion", "grounded"])
def test_attention_is_a_distribution_over_the_sentences_that_are_there(agent: str) -> None:
    network, seen = policy_of(agent, TASKS[2]).network, first(observations(TASKS[2]))
    seen["description"][0, 1:] = PADDING
    seen["description"][1] = PADDING
    weights = network.attention(seen)
    assert weights.shape == (6, 7, 7, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(6, 7, 7))
    assert (weights[0, 1:6] == 0).all()
    assert (weights[1, 6] == 1).all()
    if agent == "attention_fusion":
        assert (weights[0, 0] > 0).all()
        assert (weights[2] > 0).all()


def test_a_floor_attends_to_the_sentence_that_names_its_colour() -> None:
    network, seen = policy_of("grounded", TASKS[2]).network, first(observations(TASKS[2]))
    weights = network.attention(seen)
    floors = seen["image"][..., 0] == FLOOR
    for row, sentences in enumerate(seen["description"].tolist()):
        named = [next(color for color in LEXICON if WORD_IDS[LEXICON[color]] in words) for words in sentences]
        assert sorted(named) == sorted(LEXICON)
        for sentence, color in enumerate(named):
            of_color = floors[row] & (seen["image"][row, :, :, 1] == color)
            assert torch.equal(weights[row, sentence], of_color.float())
    assert floors.sum() > 5


def test_a_text_means_the_same_whatever_else_is_in_the_batch() -> None:
    torch.manual_seed(0)
    text = TextEncoder(spaces_of(TASKS[1])[0]["description"], 8, 8)
    missions = first(observations(TASKS[1]))["mission"]
    together = text(missions)
    torch.testing.assert_close(together, torch.cat([text(row[None]) for row in missions]))
    torch.testing.assert_close(together, text(torch.nn.functional.pad(missions, (2, 3), value=PADDING)))
    assert (text(torch.zeros_like(missions)) == 0).all()


def test_unique_rows_are_torchs() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (200, 4)))
    different, which = unique_rows(rows)
    assert torch.equal(different[which], rows)
    assert torch.equal(different, torch.unique(rows, dim=0))


# Checkpoints


def test_a_saved_agent_is_the_same(tmp_path: Path) -> None:
    task = Task("CrossTwo", sentence_words=6)
    policy = policy_of("grounded", task, channels=8)
    settings = TrainConfig("grounded", "CrossTwo", agent_options={"channels": 8}, sentence_words=6).as_json()
    path = tmp_path / "agent.safetensors"
    save_agent(path, policy, settings | {"frames": 7}, task)
    loaded = load_agent_file(path)
    assert (loaded.agent, loaded.task, loaded.training["frames"]) == ("grounded", task, 7)
    for name, value in policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], value)
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    damaged, foreign, other = (tmp_path / f"{name}.safetensors" for name in ("damaged", "foreign", "other"))
    damaged.write_bytes(b"not a checkpoint")
    write_tensors(foreign, {"a": torch.zeros(1)}, {"format": 9})
    write_tensors(other, {"a": torch.zeros(1)}, {})
    for path, message in (
        (tmp_path / "none.safetensors", "no such file"),
        (damaged, "is damaged"),
        (foreign, "format 9"),
        (other, "none of this version's agents"),
    ):
        with pytest.raises(ValueError, match=message):
            load_agent_file(path)
    assert set(read_tensors(other)[0]) == {"a"}


# Evaluation


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained agent."""
    path = tmp_path_factory.mktemp("agents") / "film-GoToRedBall-0.safetensors"
    space = spaces_of(TASKS[0])[0]
    (words,), (sentences, sentence_words) = space["mission"].shape, space["description"].shape  # type: ignore[misc]
    task = Task("GoToRedBall", mission_words=words, sentences=sentences, sentence_words=sentence_words)
    save_agent(path, policy_of("film", task), TrainConfig("film").as_json() | {"frames": 0}, task)
    return path


@pytest.mark.parametrize("greedy", [True, False])
def test_an_episode_does_not_depend_on_how_many_are_played(greedy: bool, checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    many = play(subject.task, subject.actor, 300, greedy=greedy)
    few = play(subject.task, subject.actor, 5, greedy=greedy)
    assert many[:5] == few
    assert [episode.seed for episode in many] == [evaluation_seed(0, index) for index in range(300)]
    assert len({episode.actions for episode in many}) > 5


def test_episodes_are_those_of_the_reference(checkpoint: Path) -> None:
    subject = load_subject(str(checkpoint))
    env = replace(subject.task, split="HeldOut").make()
    for episode in play(replace(subject.task, split="HeldOut"), subject.actor, 10, greedy=False):
        env.reset(seed=episode.seed)
        for action in episode.actions:
            _, reward, terminated, truncated, info = env.step(action)
        assert terminated or truncated
        assert (info["success"], info["cause"], len(episode.actions)) == (
            episode.success, episode.cause, episode.steps,
        )  # fmt: skip
        assert reward == pytest.approx(episode.total_reward)


def test_training_never_sees_the_seeds_of_evaluation() -> None:
    assert max(training_seeds(0, 10_000)) < EVALUATION_SEEDS <= evaluation_seed(0, 0)


def test_a_random_actor_draws_every_action_alike() -> None:
    actions = [action for episode in play(TASKS[0], RandomActor(), 300, greedy=False) for action in episode.actions]
    counts = np.bincount(actions, minlength=7)
    assert (abs(counts - len(actions) / 7) < 5 * (len(actions) / 7) ** 0.5).all()


def test_the_report_tells_what_was_measured(checkpoint: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "report.json"
    arguments = [str(checkpoint), "--episodes=20", "--splits=Train,HeldOut", "--sampled", f"--json={file}"]
    assert run_command(EvaluateConfig, run_evaluation, arguments) == 0
    assert "film" in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert (report["agent"], report["level"], report["text"], report["greedy"]) == (
        "film",
        "GoToRedBall",
        "true",
        False,
    )
    for entry in report["splits"].values():
        assert entry["success"] == entry["causes"].get("success", 0) / entry["episodes"]
        assert entry["success"] + entry["death"] + entry["timeout"] == pytest.approx(1)
        assert entry["interval"][0] <= entry["success"] <= entry["interval"][1]
    rates = [report["splits"][split]["success"] for split in ("Train", "HeldOut")]
    assert report["gap"] == pytest.approx(rates[0] - rates[1])


def test_the_random_agent_is_evaluated_as_any_other() -> None:
    report = evaluate(load_subject(RANDOM, level="PutNextLocal"), 10, ("Train", "HeldOut", "All"))
    assert (report["agent"], report["level"], report["greedy"]) == (RANDOM, "PutNextLocal", False)


def test_an_agent_is_evaluated_on_other_texts_that_fit(tmp_path: Path) -> None:
    task = Task("CrossTwo", mission_words=5, sentences=6, sentence_words=PARAPHRASE_WORDS)
    path = tmp_path / "agent.safetensors"
    settings = TrainConfig("grounded", "CrossTwo", sentence_words=PARAPHRASE_WORDS).as_json() | {"frames": 0}
    save_agent(path, policy_of("grounded", task), settings, task)
    for text in ("true", "paraphrase", "paraphrase_heldout", "contradict", "none", "lorem"):
        subject = load_subject(str(path), text=text)
        assert len(play(subject.task, subject.actor, 2)) == 2
        assert not subject.on_its_own_task or text == "true"
    elsewhere = load_subject(str(path), level="GoToRedBall")
    assert elsewhere.task.sentences == 6
    assert len(play(elsewhere.task, elsewhere.actor, 2)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level=GoToSeq"], "the agent was trained on GoToRedBall with text='true'; mission_words=5 is too small"),
        (["--text=paraphrase"], "the agent was trained on GoToRedBall with text='true'; sentence_words=4 is too small"),
        (["--level=PutNxt"], "did you mean 'PutNext'"),
        (["--splits=Train,Vall"], "unknown split 'Vall'"),
        (["--episodes=0"], "episodes=0 must be at least 1"),
    ],
)
def test_what_cannot_be_evaluated_is_told_without_a_traceback(
    arguments: list[str], message: str, checkpoint: Path, capsys: Any
) -> None:
    assert run_command(EvaluateConfig, run_evaluation, [str(checkpoint), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_episodes_can_be_told_the_description_of_the_next_one() -> None:
    """Of the next seed's, from the first step to the last, whatever else is played beside it."""

    class Recorder(RandomActor):
        def reset(self, num_envs: int) -> None:
            self.seen: list[Tensor] = []

        def act(self, observations: Any, begins: Tensor) -> Tensor:
            self.seen.append(observations["description"].clone())
            return super().act(observations, begins)

    own, swapped = Recorder(), Recorder()
    task = Task("CrossTwo", "HeldOut")
    episodes = play(task, own, 300, greedy=False)
    told_otherwise = play(task, swapped, 300, greedy=False, swapped=True)
    assert told_otherwise == episodes  # the worlds are the same, and a random agent does not care
    assert torch.equal(own.seen[0][1:], swapped.seen[0][:-1])
    envs = task.make_vec(1, output="torch")
    last = max(range(100), key=lambda index: len(episodes[index].actions))  # others begin anew meanwhile
    expected = envs.reset(seed=[evaluation_seed(0, last + 1)])[0]["description"][0]
    for step in range(len(episodes[last].actions)):
        assert torch.equal(swapped.seen[step][last], expected)
    envs.close()


def test_an_agent_of_fixed_rules_is_evaluated_on_other_levels(tmp_path: Path) -> None:
    task = Task("GoToRedBallHard", "Fixed", mission_words=5, sentences=6, sentence_words=4)
    path = tmp_path / "agent.safetensors"
    save_agent(path, policy_of("film", task), TrainConfig("film", "GoToRedBallHard", "Fixed").as_json(), task)
    assert load_subject(str(path)).task.split == "Fixed"
    assert load_subject(str(path), level="CrossTwo").task.level == "CrossTwo"


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agents.evaluate", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is not a run folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_actors_forget_when_they_are_reset() -> None:
    actor, seen = PolicyActor(policy_of("image_only", TASKS[0])), first(observations(TASKS[0]))
    going_on = torch.zeros(6, dtype=torch.bool)
    actor.reset(6)
    before = actor.act(seen, going_on)
    assert not torch.equal(actor.act(seen, going_on), before)
    actor.reset(6)
    assert torch.equal(actor.act(seen, going_on), before)
