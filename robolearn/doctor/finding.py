"""What a check says: one sentence, how bad it is, where, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "note"]
SHOWN = 6  # numbers of a list that a sentence names


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        check: Which check found it.
        severity: A problem keeps the store, or that key, from being trained on; a warning is a likely fault; a note is
            good to know.
        sentence: In one line.
        mend: The option that mends it, or what to do by hand; empty where nothing needs to be done.
        key: Of the store.
        dims: Dimensions of the key, flattened.
        episodes: Those that it is about; empty for all.
    """

    check: str
    severity: Severity
    sentence: str
    mend: str = ""
    key: str | None = None
    dims: tuple[int, ...] = ()
    episodes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.sentence}; {self.mend}" if self.mend else self.sentence


def listed(numbers: Sequence[int]) -> str:
    """Numbers for a sentence, the first few of many."""
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return ", ".join(map(str, numbers[:SHOWN])) + more


def drop(episodes: Sequence[int]) -> str:
    """The option that leaves episodes out."""
    if len(episodes) > 4 * SHOWN:
        return "leave them out with `dataset.drop_episodes`"
    return f"`dataset.drop_episodes` {' '.join(map(str, episodes))}"
