"""The command line does what its help says, and refuses with a line, not with a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from conftest import ALL_IDS
from PIL import Image

from babyaipp import LEVELS, World, __version__
from babyaipp.cli import main

COMMAND = Path(sys.executable).parent / "babyaipp"
ENV_ID, MAZE_ID = "BabyAIpp-GoToRedBallHard-HeldOut-v0", "BabyAIpp-GoToSeq-All-v0"
BALL_AHEAD = """
instruction: go to the red ball
rules: green slippery, blue fliplr

## ## ## ## ## ## ## ##
## >> _g .. .. Or .. ##
## .. _b .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## ## ## ## ## ## ## ##
"""


def run(*arguments, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **kwargs
    )


def refusal(capsys, *arguments) -> str:
    """The one line that says why a command was refused."""
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def start(env_id, seed, **kwargs):
    env = gym.make(env_id, **kwargs)
    env.reset(seed=seed)
    return env


def test_help_and_version_load_no_environment():
    code = (
        "import sys, babyaipp.cli\n"
        "try: babyaipp.cli.main(sys.argv[1:])\n"
        "finally: assert not {'pygame', 'minigrid', 'PIL', 'torch', 'numba', 'pydantic', 'scipy'} & set(sys.modules)"
    )
    for argument, expected in (("--help", "describe"), ("--version", __version__)):
        result = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=True)
        assert expected in result.stdout
    assert run("--version").stdout == f"babyaipp {__version__}\n"


def test_levels_lists_every_id_on_narrow_lines(capsys):
    assert main(["levels"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("BabyAIpp-")] == ALL_IDS
    assert max(map(len, lines)) <= 100


def test_levels_tells_the_same_in_markdown_and_json(capsys):
    assert main(["levels", "--markdown"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(LEVELS)
    assert main(["levels", "--json"]) == 0
    levels = json.loads(capsys.readouterr().out)
    assert [env_id for level in levels for env_id in level["ids"].values()] == ALL_IDS
    for level, row in zip(levels, rows[2:], strict=True):
        assert {tuple(rule) for rule in level["held_out"]} == LEVELS[level["name"]].dynamics.held_out
        name, _, colors, properties, held_out, splits = row.strip("| ").split(" | ")
        assert name == level["name"]
        assert (colors.split(", "), properties.split(", ")) == (level["floor_colors"], level["properties"])
        assert held_out.split(", ") == [" ".join(rule) for rule in level["held_out"]]
        assert splits.split(", ") == list(level["ids"])


def test_describe_prints_the_world_that_the_seed_gives(capsys, tmp_path):
    assert main(["describe", ENV_ID, "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    world = start(ENV_ID, 7).unwrapped.world
    assert World.from_dict(json.loads(printed)) == world
    assert main(["describe", ENV_ID, "--seed", "7", "--out", str(tmp_path / "world.json")]) == 0
    assert (tmp_path / "world.json").read_text() == printed


def test_render_draws_the_picture_of_the_environment(tmp_path):
    out = tmp_path / "world.png"
    assert main(["render", ENV_ID, "--seed", "7", "--out", str(out)]) == 0
    assert (np.asarray(Image.open(out)) == start(ENV_ID, 7, render_mode="rgb_array").render()).all()
    assert main(["render", ENV_ID, "--seed", "7", "--out", str(out), "--text", "none", "--tile-size", "16"]) == 0
    env = start(ENV_ID, 7, render_mode="rgb_array", text="none", tile_size=16)
    assert (np.asarray(Image.open(out)) == env.render()).all()


@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_a_world_goes_through_a_file(suffix, tmp_path, capsys):
    file = tmp_path / f"world.{suffix}"
    command = "describe" if suffix == "json" else "render"
    assert main([command, MAZE_ID, "--seed", "7", "--out", str(file)]) == 0
    if suffix == "txt":
        assert file.read_text() == start(MAZE_ID, 7).unwrapped.world.to_ascii()
    assert main(["describe", MAZE_ID, "--world", str(file)]) == 0
    assert World.from_dict(json.loads(capsys.readouterr().out)) == start(MAZE_ID, 7).unwrapped.world


def test_a_gif_shows_random_actions_that_the_seed_gives(tmp_path):
    one, two = tmp_path / "one.gif", tmp_path / "two.GIF"
    for out in (one, two):
        assert main(["render", MAZE_ID, "--seed", "3", "--steps", "4", "--tile-size", "4", "--out", str(out)]) == 0
    assert one.read_bytes() == two.read_bytes()
    assert getattr(Image.open(one), "n_frames", 1) == 5


def test_a_gif_ends_with_the_episode(tmp_path):
    world, out = tmp_path / "world.txt", tmp_path / "episode.gif"
    world.write_text(BALL_AHEAD)
    actions = ["render", ENV_ID, "--world", str(world), "--out", str(out), "--actions"]
    assert main([*actions, "forward, forward, forward, left, left, left"]) == 0
    assert getattr(Image.open(out), "n_frames", 1) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["describe", "BabyAIpp-GoToRedBal-Train-v0"], "did you mean 'BabyAIpp-GoToRedBall-Train-v0'?"),
        (["describe", ENV_ID, "--seed", "-1"], "--seed -1"),
        (["describe", ENV_ID, "--world", "no-such-file"], "no-such-file"),
        (["describe", MAZE_ID, "--world", "{ball}"], "do not fit level GoToSeq"),
        (["describe", ENV_ID, "--world", "{broken}"], "--world"),
        (["render", ENV_ID, "--out", "x.png", "--text", "truth"], "allowed: true, lorem"),
        (["render", ENV_ID, "--out", "x.png", "--tile-size", "0"], "--tile-size 0"),
        (["render", ENV_ID, "--out", "x.gif", "--actions", "left,jump"], "unknown action 'jump'; allowed: left"),
        (["render", ENV_ID, "--out", "x.gif", "--steps", "-1"], "--steps -1"),
        (["render", ENV_ID, "--out", "x.jpg"], "unknown suffix '.jpg'; allowed: .png, .gif, .txt"),
        (["render", ENV_ID, "--out", "no-such-folder/x.png"], "no-such-folder/x.png"),
        (["render", ENV_ID, "--out", "{folder}"], "not a regular file"),
        (["levels", "--json", "--markdown"], "exclude each other"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ball.txt").write_text(BALL_AHEAD)
    Path("broken.json").write_text('{"level": ')
    Path("folder.png").mkdir()
    names = {"ball": "ball.txt", "broken": "broken.json", "folder": "folder.png"}
    assert expected in refusal(capsys, *(argument.format(**names) for argument in arguments))
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())


def test_the_installed_command_reports_refusals_by_its_exit_status():
    for arguments in (["describe", "BabyAIpp-GoToRedBal-Train-v0"], ["describe"], ["paint"]):
        result = run(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


def test_a_reader_that_has_enough_causes_no_traceback():
    with subprocess.Popen([COMMAND, "levels"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "driver"), [(["--terminal"], "dummy"), ([], "offscreen"), ([], "no-such-driver")]
)
def test_play_says_where_it_cannot_be_played(arguments, driver):
    result = run("play", ENV_ID, *arguments, env={**os.environ, "SDL_VIDEODRIVER": driver})
    assert result.returncode == 2
    assert "--terminal" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_episode_is_played_in_a_window(monkeypatch, capsys, tmp_path):
    import pygame

    world = tmp_path / "world.txt"
    world.write_text(BALL_AHEAD)
    titles, keys = [], iter([pygame.K_UP] * 3 + [pygame.K_x, pygame.K_r, pygame.K_ESCAPE])

    def press(_timeout):
        titles.append(pygame.display.get_caption()[0])
        return pygame.event.Event(pygame.KEYDOWN, key=next(keys))

    monkeypatch.setattr(pygame.event, "wait", press)
    assert main(["play", ENV_ID, "--seed", "5", "--world", str(world)]) == 0
    assert "--seed 5" in capsys.readouterr().out
    assert [title.removeprefix(f"{ENV_ID}, seed 5, episode ") for title in titles] == list("111123")
    assert not pygame.display.get_init()


class Terminal:
    """A pseudo-terminal with the command in it, and a person's hands and eyes."""

    def __init__(self, *arguments: str, lines: int = 30, columns: int = 100) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.settings = lambda: termios.tcgetattr(self._slave)
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [COMMAND, "play", *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Read until a text appears; what was printed up to there."""
        deadline = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.seen += os.read(self._master, 65536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def next_screen(self) -> str:
        """What is printed until the screen is complete."""
        return self.wait_for("\x1b[J")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
class TestPlayInATerminal:
    @pytest.fixture
    def terminal(self, tmp_path):
        world = tmp_path / "world.txt"
        world.write_text(BALL_AHEAD)
        terminal = Terminal(ENV_ID, "--terminal", "--seed", "5", "--world", str(world))
        yield terminal
        terminal.close()

    def test_keys_lead_through_episodes(self, terminal):
        settings = terminal.settings()
        screen = terminal.next_screen()
        for text in ("--seed 5", "go to the red ball.", "green floors are slippery.", "time: 0 of 64", "episode 1"):
            assert text in screen
        terminal.press("\x1b[A")
        assert "time: 1 of 64" in terminal.next_screen()
        terminal.press("\x1b[A")
        screen = terminal.next_screen()
        assert "time: 1.5 of 64" in screen
        assert "slippery: a step begun on it takes half a step" in screen
        terminal.press("\x1b[A")
        reward = 1 - 0.9 * 2.5 / 64
        assert f"end: success, reward {reward:.3g}" in terminal.next_screen()
        terminal.press("x")
        screen = terminal.next_screen()
        assert "time: 0 of 64" in screen
        assert "episode 2" in screen
        assert terminal.settings() != settings
        terminal.press("q")
        assert terminal.process.wait(30) == 0
        assert terminal.settings() == settings
        terminal.wait_for("\x1b[?1049l")

    @pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x1b", 0)])
    def test_the_terminal_is_left_as_it_was(self, terminal, key, status):
        settings = terminal.settings()
        terminal.next_screen()
        terminal.press(key)
        assert terminal.process.wait(30) == status
        assert terminal.settings() == settings
        terminal.wait_for("\x1b[?25h\x1b[?1049l")
        assert "Traceback" not in terminal.seen

    def test_several_keys_at_once_are_several_actions(self, terminal):
        terminal.next_screen()
        terminal.press("\x1b[C\x1b[Dd")
        screen = terminal.next_screen()
        while "time: 3 of 64" not in screen:  # as many as have arrived at a time
            screen = terminal.next_screen()
        assert "action: drop" in screen

    def test_a_large_world_is_shown_around_the_agent(self):
        terminal = Terminal(MAZE_ID, "--terminal", "--seed", "5", lines=24, columns=80)
        _, _, screen = terminal.next_screen().partition("\x1b[H")
        lines = [re.sub(r"\x1b\[[0-9;]*[mK]", "", line) for line in screen.split("\n")]
        assert len(lines) <= 24
        assert max(len(line.rstrip()) for line in lines) <= 80
        assert any(agent in screen for agent in ("<< ", ">> ", "^^ ", "vv "))
        terminal.press("q")
        assert terminal.process.wait(30) == 0
        terminal.close()
