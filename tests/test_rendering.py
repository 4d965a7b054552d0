"""Pictures and text screens show the world and all of its text, and drawing changes nothing else."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.constants import COLORS as RGB
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Floor, Key, Wall
from minigrid.wrappers import RGBImgObsWrapper
from PIL import ImageDraw

from babyaipp import TILES, World
from babyaipp.reference.env import make
from babyaipp.reference.grid import FloorGrid
from babyaipp.reference.rendering import Screen
from babyaipp.texts import split_sentences
from babyaipp.tiles import COLORS, DROP, FORWARD, PICKUP

PIXELS = 32
ESCAPE_CODE = re.compile(r"\x1b\[[0-9;]*m")
KEY_BEFORE_A_TILE = """
instruction: pick up the blue key
rules: red sticky

## ## ## ## ## ## ## ##
## >> Kb .. .. .. .. ##
## .. _r .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. .. .. ##
## ## ## ## ## ## ## ##
"""


def cell_picture(tile=None, thing=None, agent=False, highlight=False) -> np.ndarray:
    """(PIXELS, PIXELS, 3) uint8: one cell of a drawn grid."""
    grid = FloorGrid(Grid(3, 3))
    if tile is not None:
        grid.set_tile(1, 1, tile)
    if thing is not None:
        grid.set(1, 1, thing)
    mask = np.full((3, 3), highlight)
    picture = grid.render(PIXELS, (1, 1) if agent else (0, 0), 0, mask)
    return picture[PIXELS : 2 * PIXELS, PIXELS : 2 * PIXELS]


def shows(picture: np.ndarray, color) -> bool:
    """Whether a colour covers at least a few pixels."""
    return int((np.abs(picture.astype(int) - np.asarray(color)) < 3).all(axis=2).sum()) >= 10


def hue(color: str) -> np.ndarray:
    return RGB[color] / np.linalg.norm(RGB[color])


@pytest.mark.parametrize("highlight", [False, True])
@pytest.mark.parametrize("color", COLORS)
def test_a_tile_is_not_taken_for_a_wall_or_for_nothing(color, highlight):
    tile = cell_picture(color, highlight=highlight)
    inner = tile[4:-4, 4:-4].reshape(-1, 3).astype(int)
    for other in (cell_picture(thing=Wall(), highlight=highlight), cell_picture(highlight=highlight)):
        plain = other[PIXELS // 2, PIXELS // 2].astype(int)
        assert (np.abs(inner - plain).max(axis=1) >= 15).all()
    assert len(np.unique(inner, axis=0)) > 1  # paving, where walls are of one shade


@pytest.mark.parametrize("thing", [Ball, Box, Key])
@pytest.mark.parametrize("color", COLORS)
def test_an_object_on_a_tile_of_its_own_colour_is_seen_with_the_tile(color, thing):
    both, bare = (cell_picture(color, held)[2:, 2:] for held in (thing(color), None))  # without the lines of the grid
    assert shows(both, RGB[color])
    assert not shows(bare, RGB[color])
    assert shows(both, (0, 0, 0))  # the outline
    rim = both[:, 0]
    assert (rim @ hue(color) > 0.99 * np.linalg.norm(rim, axis=1)).all()
    assert (rim @ hue(color) > 20).all()


def test_the_agent_is_seen_on_a_red_tile():
    picture = cell_picture("red", agent=True)
    assert shows(picture, (255, 0, 0))
    assert shows(picture, (0, 0, 0))
    assert (picture[2:-1, -1] == cell_picture("red")[2:-1, -1]).all()


def test_highlighting_brightens_tiles():
    for color in COLORS:
        assert cell_picture(color, highlight=True).mean() > cell_picture(color).mean() + 10


def test_a_dropped_object_is_drawn_on_its_tile():
    env = make("PickupLoc", "All", render_mode="rgb_array")
    env.reset(seed=0, options={"world": World.from_ascii(KEY_BEFORE_A_TILE, level="PickupLoc")})

    def cell():
        return env.get_frame(highlight=False)[2 * PIXELS : 3 * PIXELS, 2 * PIXELS : 3 * PIXELS]

    tile = cell()
    for action in (PICKUP, FORWARD, 1, DROP):
        env.step(action)
    assert env.carrying is None
    assert shows(cell(), RGB["blue"])
    assert (cell()[2:-1, 2] == tile[2:-1, 2]).all()


def test_drawing_leaves_minigrids_own_pictures_and_the_observation_alone():
    alone = Grid.render_tile(Floor("green"), tile_size=PIXELS).copy()
    Grid.tile_cache.clear()
    env = make("GoToRedBallHard", "All")
    obs, _ = env.reset(seed=1)
    encoded = env.grid.encode()
    env.get_frame()
    assert (Grid.render_tile(Floor("green"), tile_size=PIXELS) == alone).all()
    assert (env.grid.encode() == encoded).all()
    assert (env.gen_obs()["image"] == obs["image"]).all()


@pytest.mark.parametrize(("level", "tile_size"), [("GoToRedBallHard", 32), ("PutNextLocal", 8), ("GoToSeq", 8)])
def test_the_frame_size_is_that_of_the_level(level, tile_size):
    env = make(level, "All", render_mode="rgb_array", tile_size=tile_size)
    env.action_space.seed(0)
    shapes = set()
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(15):
            frame = env.render()
            assert frame.dtype == np.uint8
            shapes.add(frame.shape)
            env.step(env.action_space.sample())
    assert len(shapes) == 1


def test_pixel_observations_show_the_world_only():
    env = RGBImgObsWrapper(gym.make("BabyAIpp-GoToRedBall-Train-v0").unwrapped, tile_size=8)
    obs, _ = env.reset(seed=0)
    assert obs["image"].shape == (64, 64, 3)


@pytest.mark.parametrize("text", ["true", "lorem", "paraphrase"])
@pytest.mark.parametrize("tile_size", [1, 32])
def test_every_line_of_the_longest_texts_is_inside_the_frame(monkeypatch, tile_size, text):
    drawn = []
    draw_text = ImageDraw.ImageDraw.text

    def recorded(self, position, line, ink, font):
        drawn.append((line, position[0] + font.getbbox(line)[2], position[1] + font.getbbox(line)[3]))
        draw_text(self, position, line, ink, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", recorded)
    env = make("GoToSeq", "All", text=text)
    effect = max((f"{tile.name}: {tile.effect}" for tile in TILES), key=len)
    world = np.zeros((tile_size * env.height, tile_size * env.width, 3), np.uint8)
    for seed in range(50):
        env.reset(seed=seed)
        paragraphs = [*env.status(), "carrying: yellow ball", effect, "action: forward", "end: timeout, reward 0.123"]
        drawn.clear()
        frame = Screen().as_image(world, paragraphs)
        assert max(right for _, right, _ in drawn) <= frame.shape[1]
        assert max(bottom for _, _, bottom in drawn) <= frame.shape[0]
        assert " ".join(line for line, _, _ in drawn).split() == " ".join(paragraphs).split()


def test_the_text_screen_shows_map_text_and_time():
    env = make("GoToRedBallHard", "All", render_mode="ansi")
    env.reset(seed=5)
    env.step(0)
    screen = ESCAPE_CODE.sub("", env.render())
    rows = env.world.to_ascii().split("\n\n")[1].splitlines()
    agent = ">v<^"
    shown = [line[: len(rows[0])] for line in screen.splitlines()]
    plain = str.maketrans(agent, agent[0] * 4)
    assert [row.translate(plain) for row in shown[: len(rows)]] == [row.translate(plain) for row in rows]
    for text in (env.mission, *split_sentences(env.description), "time: 1 of 64"):
        assert text in re.sub(r"\s+", " ", " ".join(line[len(rows[0]) :] for line in screen.splitlines()))


def test_the_text_screen_shows_the_tile_under_an_object():
    env = make("PickupLoc", "All", render_mode="ansi")
    env.reset(seed=0, options={"world": World.from_ascii(KEY_BEFORE_A_TILE, level="PickupLoc")})
    red = re.search(r"48;5;(\d+)m_r", env.render())
    for action in (PICKUP, FORWARD, 1, DROP):
        env.step(action)
    assert red is not None
    assert f"48;5;{red[1]}mKb" in env.render()


def test_a_window_opens_again_after_it_was_closed():
    import pygame

    env = gym.make("BabyAIpp-GoToRedBall-Train-v0", render_mode="human")
    for seed in range(2):
        env.reset(seed=seed)
        env.step(FORWARD)
        assert pygame.display.get_surface().get_at((400, 250))[:3] == (255, 255, 255)  # the panel
        env.close()
        assert not pygame.display.get_init()


def test_the_window_shows_the_step_that_ended_the_episode(monkeypatch):
    """Minigrid draws before the trap has had its say; the window must be drawn after."""
    env = gym.make("BabyAIpp-GoToRedBallHard-All-v0", render_mode="human").unwrapped
    shown = []
    monkeypatch.setattr(env, "render", lambda: shown.append((env.status(), env.half_steps)))
    env.reset(seed=0, options={"rules": {"blue": "trap", "green": "trap", "grey": "trap"}})
    rng = np.random.default_rng(0)
    info = {}
    while "cause" not in info:
        *_, info = env.step(int(rng.choice([0, 1, 2, 2])))
    assert info["cause"] == "trap"
    assert "trap: ends the episode" in " ".join(shown[-1][0])
    assert len(shown) == 1 + env.half_steps // 2
