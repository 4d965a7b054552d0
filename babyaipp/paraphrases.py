"""The rules in everyday words: for each property the sentences that may tell it.

Data for `texts.py`, which turns it into word ids. A sentence belongs to exactly one property. Held-out sentences
consist of words that occur in training sentences, of whichever property, so that an agent that has learned the words
can read them. No word is a property's name or one of the words without meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

COLOR_PLACE = "{}"
"""Where a template names the floor's colour."""


class Paraphrases(NamedTuple):
    """Templates of sentences without their full stop, with `COLOR_PLACE` once in each."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


# What is released stays: with one template more, other ones would be drawn.
PARAPHRASES: Mapping[str, Paraphrases] = MappingProxyType(
    {
        "trap": Paraphrases(
            training=(
                "stepping on {} ends it all",
                "{} kills you at once",
                "you die as soon as you step on {}",
                "step on {} and the game is over",
                "{} floors are deadly",
                "one step on {} and you are dead",
                "the game is lost once you stand on {}",
                "{} means death for whoever steps on it",
                "walking onto {} kills you",
                "standing on {} ends the game and you win nothing",
            ),
            held_out=(
                "{} is deadly",
                "whoever steps on {} is dead at once",
                "the game is over as soon as you stand on {}",
                "walking onto {} means death",
                "you die once you are on {}",
            ),
        ),
        "sticky": Paraphrases(
            training=(
                "{} holds your feet for two steps",
                "you cannot walk off {} before two steps are over",
                "glue on {} holds you for two steps",
                "on {} you wait two steps before you can walk on",
                "your feet stick to {} for two steps",
                "you have to stay on {} for two steps before leaving",
                "you are stuck on {} until two steps are over",
                "{} keeps you for two steps and then lets you go",
                "walking off {} works only after two steps",
                "going forward on {} does nothing for the first two steps",
            ),
            held_out=(
                "you are stuck on {} for two steps",
                "{} lets you go only after two steps",
                "you have to wait two steps before walking off {}",
                "for the first two steps you cannot go forward on {}",
                "{} keeps your feet until two steps are over",
            ),
        ),
        "flipud": Paraphrases(
            training=(
                "walking forward on {} turns you around first",
                "on {} you turn around before every step forward",
                "{} spins you around whenever you walk forward",
                "before moving forward on {} you turn the other way",
                "going forward on {} takes you backward",
                "each step forward on {} first turns you the other way",
                "forward means backward on {}",
                "{} sends you back whenever you go forward",
                "whenever you go ahead on {} you turn around first",
                "{} makes you turn around before you walk on",
            ),
            held_out=(
                "on {} going ahead takes you backward",
                "on {} you turn the other way before you go forward",
                "{} turns you around before each step forward",
                "each step ahead on {} first spins you around",
                "{} sends you backward whenever you walk forward",
            ),
        ),
        "fliplr": Paraphrases(
            training=(
                "left means right and right means left on {}",
                "left and right are swapped on {}",
                "{} swaps your left and your right",
                "your left and your right change places on {}",
                "every turn on {} goes the wrong way",
                "you turn to the wrong side on {}",
                "on {} a left turn goes right and a right turn left",
                "{} mixes up left and right",
                "turns on {} go to the other side",
                "whoever turns left on {} turns right and the other way around",
            ),
            held_out=(
                "right means left and left means right on {}",
                "{} makes left and right change places",
                "every turn on {} goes to the other side",
                "your right and your left are swapped on {}",
                "on {} you turn the wrong way",
            ),
        ),
        "slippery": Paraphrases(
            training=(
                "two steps on {} count as one",
                "each step that starts on {} costs half a step",
                "you are twice as fast on {}",
                "the clock runs at half speed while you are on {}",
                "{} makes you move at twice the speed",
                "a step from {} costs half as much",
                "whatever you do on {} counts as half a step",
                "you glide on {} so two steps cost only one",
                "every step on {} lasts only half as long",
                "the clock goes half as fast on {}",
            ),
            held_out=(
                "you move twice as fast on {}",
                "the clock runs at half speed on {}",
                "two steps on {} cost as much as one",
                "on {} every step counts half",
                "each step from {} lasts half as long",
            ),
        ),
        "magic": Paraphrases(
            training=(
                "every second step on {} drops you one cell down",
                "you sink one cell down at every other step on {}",
                "{} pulls you one cell down every two steps",
                "each second step on {} moves you one row lower",
                "every other step on {} takes you one cell down the map",
                "at every second step {} drags you one row down",
                "{} lowers you by one cell at each second step",
                "stay on {} and you sink one row every two steps",
                "whoever stays on {} goes down one cell every two steps",
                "on {} you slide one row down the map every two steps",
            ),
            held_out=(
                "{} drops you one row down every two steps",
                "at every other step on {} you go down one cell",
                "each second step on {} pulls you one cell down the map",
                "you slide one cell lower at every second step on {}",
                "stay on {} and every other step takes you one row down",
            ),
        ),
        "pit": Paraphrases(
            training=(
                "you fall into {} and the game is over",
                "{} is a deep hole and falling in ends the game",
                "stepping on {} means falling to your death",
                "{} gives way and you fall to your death",
                "step on {} and you fall out of the game",
                "{} swallows you whole and the game ends",
                "the ground opens under you on {} and you are gone",
                "there is nothing under {} so you fall out of the game",
                "whoever steps on {} falls into a hole and dies",
                "under {} is a deep hole and you die falling in",
            ),
            held_out=(
                "{} is a hole and whoever falls in dies",
                "you fall to your death once you step on {}",
                "the ground gives way on {} and the game is over",
                "there is nothing under {} and you fall to your death",
                "you die falling into {}",
            ),
        ),
        "jail": Paraphrases(
            training=(
                "{} never lets you go again",
                "once you are on {} you are locked in for good",
                "whoever steps on {} stays there forever",
                "you can enter {} but you can never leave it",
                "{} locks you up and nothing you do there counts",
                "there is no way out of {}",
                "{} keeps you forever",
                "you will never walk off {} again",
                "no one can ever get out of {}",
                "step on {} and nothing you do ever counts again",
            ),
            held_out=(
                "you will never get out of {} again",
                "{} locks you in forever",
                "once you step on {} there is no way out",
                "you can never leave {} again",
                "you stay on {} for good and nothing you do counts",
            ),
        ),
        "drain": Paraphrases(
            training=(
                "the clock runs out as soon as you step on {}",
                "{} uses up all the steps you have left",
                "step on {} and there are no steps left",
                "{} eats up the rest of the clock",
                "one step on {} costs all the steps you have left",
                "the clock jumps to the end once you stand on {}",
                "standing on {} leaves you no more steps",
                "all your steps are spent once you walk onto {}",
                "{} spends every step that you have left",
                "you have no steps left after walking onto {}",
            ),
            held_out=(
                "{} eats up all the steps you have left",
                "as soon as you stand on {} the clock runs out",
                "you have no more steps once you stand on {}",
                "walking onto {} uses up the rest of the clock",
                "all your steps are spent after one step on {}",
            ),
        ),
    }
)
