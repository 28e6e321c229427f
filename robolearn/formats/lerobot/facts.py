"""What a store is told of the whole data set: how fast it was recorded, its texts, its parts, its license."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from robolearn.errors import UserError
from robolearn.formats.lerobot.episodes import Said
from robolearn.formats.lerobot.files import read_text
from robolearn.formats.lerobot.info import Info
from robolearn.types import Scalar

FPS_SLACK = 0.05  # share by which the steps' times may deviate from what info.json says
LICENCE = re.compile(
    r"^license:(?:[ \t]*|[ \t\r]*\n[ \t]*-[ \t]+)([^\s#].*?)\s*$", flags=re.MULTILINE
)  # or a list of some
MAX_LICENCE, MAX_RANGES = 80, 12  # characters of a first line; ranges of numbers in a sentence


def period_of(info: Info, times: np.ndarray | None) -> tuple[float | None, str | None]:
    """Seconds between two steps, None where nothing says it, and a sentence where the steps contradict info.json.

    Args:
        info: What the data set says.
        times: Of the steps of an episode [t] in s, where they are recorded.
    """
    said = None if info.fps is None else 1 / info.fps
    steps = np.diff(times) if times is not None else np.zeros(0)
    measured = float(np.median(steps)) if len(steps) and np.isfinite(steps).all() else 0.0
    if measured <= 0 or (said is not None and abs(measured - said) <= FPS_SLACK * said):
        return said, None
    if said is None:
        return measured, None
    return measured, (
        f"info.json says {info.fps:g} steps per second, but the times of the steps are {measured:g} s apart; "
        "these are taken"
    )


def licence_of(root: Path) -> str:
    """What the head of README.md or the first line of LICENSE says; empty where neither is there."""
    for name in ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt"):
        if not (root / name).is_file():
            continue
        try:  # for people, so that one that is no text does not keep the data from being read
            text = read_text(root / name)
        except UserError:
            continue
        if name == "README.md":
            head = text.split("---")[1] if text.startswith("---") else ""
            match = LICENCE.search(head)
            line = match[1].strip("'\"") if match else ""
        else:
            line = next((line.strip("# ") for line in text.splitlines() if line.strip("# ")), "")
        if line:
            return line[:MAX_LICENCE]
    return ""


def splits_of(info: Info, numbers: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Name of a part -> its episodes, by their places among `numbers`; parts without any are left out."""
    parts = {
        name: tuple(index for index, number in enumerate(numbers) if first <= number < last)
        for name, (first, last) in info.splits.items()
    }
    return {name: indices for name, indices in parts.items() if indices}


class Tasks:
    """The texts of a data set.

    Args:
        table: Number of a task -> its text.
        said: What is said of each episode.

    Attributes:
        texts: All of them, in the order of their numbers.
    """

    def __init__(self, table: Mapping[int, str], said: Mapping[int, Said]) -> None:
        unlisted = (text for number in sorted(said) for text in said[number].tasks)
        self.texts = tuple(dict.fromkeys([*(table[number] for number in sorted(table)), *unlisted]))
        self._table, self._said = table, said

    def number(self, episode: int, index: int | float | None) -> int:
        """Place in `texts` of an episode's text; -1 where it has none.

        Args:
            episode: Its number.
            index: What its first step has in the column of tasks, if there is one.
        """
        said = self._said[episode].tasks if episode in self._said else ()
        text = self._table.get(int(index)) if index is not None and math.isfinite(index) else None
        text = said[0] if text is None and said else text
        return -1 if text is None else self.texts.index(text)


def common_numbers(said: Mapping[int, Said], numbers: Sequence[int]) -> dict[str, dict[int, Scalar]]:
    """Name -> number of an episode -> its value, of the facts that all these episodes have; each of one type."""
    episodes = [said[number].numbers if number in said else {} for number in numbers]
    names = [name for name in episodes[0] if all(name in facts for facts in episodes)] if episodes else []
    common_facts = {}
    for name in names:
        kinds = {type(facts[name]) for facts in episodes}
        kind = kinds.pop() if len(kinds) == 1 else float
        common_facts[name] = {number: kind(facts[name]) for number, facts in zip(numbers, episodes, strict=True)}
    return common_facts


def spelled(numbers: Iterable[int]) -> str:
    """Numbers as ranges: 0-28, 30-99."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    return ", ".join([*words[:MAX_RANGES], *(["..."] if len(words) > MAX_RANGES else [])])
