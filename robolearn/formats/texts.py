"""What was to be done, in words, wherever files of strangers say it; and how fast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from robolearn.data.attrs import MAX_DT, MIN_DT

TASK_NAMES = (
    *("task", "language_instruction", "language_raw", "language", "lang", "instruction", "instructions"),
    *("task_description", "task_name", "prompt"),
)
RATE_NAMES = ("fps", "control_freq", "control_frequency", "frequency", "hz")
NESTED = ("ep_meta", "problem_info")  # JSON that RoboCasa and LIBERO keep such texts in


def find_task(facts: Mapping[str, Any]) -> str | None:
    """The text that says what to do, by the names that projects give it; None where there is none."""
    for name in TASK_NAMES:
        text = facts.get(name)
        if isinstance(text, list | tuple) and text:  # LIBERO lists one
            text = text[0]
        if isinstance(text, str) and text.strip():
            return text.strip()
    for name in NESTED:
        inner = parse_object(facts.get(name))
        if inner and (text := find_task(inner)):
            return text
    return None


def find_control_dt(facts: Mapping[str, Any]) -> float | None:
    """Seconds per step by the steps per second that are stated; None where there are none."""
    for name in RATE_NAMES:
        rate = facts.get(name)
        if isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 and MIN_DT <= 1 / rate <= MAX_DT:
            return 1 / rate
    return None


def rate_remarks(facts: Mapping[str, Any]) -> list[str]:
    """A sentence for each stated number of steps per second that can be none."""
    told = ((name, facts[name]) for name in RATE_NAMES if facts.get(name) is not None)
    wanted = f"expected steps per second, {1 / MAX_DT:.3g} to {1 / MIN_DT:g}"
    return [f"{name} is {rate!r:.60}, {wanted}" for name, rate in told if find_control_dt({name: rate}) is None]


def parse_object(text: Any) -> dict[str, Any] | None:
    """An object from JSON; None where a text is none, or nested too deep."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
