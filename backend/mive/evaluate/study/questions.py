"""The three questions of the paper's user study, asked of every clip (Supp. D.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Question:
    """Which of a clip's edits is the best in one respect.

    Attributes:
        name: in files of answers.
        column: in tables, as in the paper's Table 2.
        short: in a word or two.
        words: as participants read it beside the videos.
        help: what to look at, told once at the start.
    """

    name: str
    column: str
    short: str
    words: str
    help: str


QUESTIONS: Final = (
    Question(
        "temporal",
        "TC",
        "Steady",
        "Which one is steadiest over time?",
        "Look for flicker, textures that swim or pop, and shapes that change from frame to frame. In a good edit every "
        "thing moves as smoothly as in the source and stays the same thing all along. Leave aside whether it is the "
        "right thing.",
    ),
    Question(
        "faithfulness",
        "TF",
        "True to words",
        "Which one fits the captions best?",
        "Read the caption of the whole, then go through the numbered things one by one: is each of them what its own "
        "caption says? A thing that stayed as it was, or that took on another thing’s caption, is a fault.",
    ),
    Question(
        "leakage",
        "Leakage",
        "Least spill",
        "In which one do the edits spill over least?",
        "A thing’s caption should change that thing only. If one is to become yellow, and a neighbour or the wall "
        "behind it turns yellow too, that is spill. Compare everything with the source, the background as well.",
    ),
)
