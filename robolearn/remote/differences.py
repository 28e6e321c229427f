"""What has to be done so that a copy here and the original there are the same: a function of what is where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robolearn.remote.ledger import GONE, SENDING, TAKING, Known

NOTHING = Known(None, None)
LINK = ".link"  # at the end of the name of a file there that says where a link here leads to
COMMITS = "meta/episode_ends/zarr.json"  # of a store: makes episodes exist


@dataclass
class Differences:
    """Names of files by what has to be done with them."""

    take: list[str] = field(default_factory=list)
    """To be copied from there."""
    send: list[str] = field(default_factory=list)
    """To be copied to there."""
    remove_here: list[str] = field(default_factory=list)
    """They were removed there."""
    remove_there: list[str] = field(default_factory=list)
    """They were removed here, by who held the lock."""
    forget: list[str] = field(default_factory=list)
    """They are at neither side any more."""
    clash: list[str] = field(default_factory=list)
    """They were changed at both sides: two have written."""


def find_differences(here: Mapping[str, str], there: Mapping[str, str], known: Mapping[str, Known]) -> Differences:
    """Compare both sides with what they were when they were last the same.

    A file that is missing here, and was not noted as removed, is taken again: who clears a cache removes nothing there.

    Args:
        here: Name -> what changes with the content, of files here.
        there: The same of those there.
        known: What the ledger says.
    """
    diff = Differences()
    for name in sorted({*here, *there, *known}, key=rank):
        now, original, before = here.get(name), there.get(name), known.get(name, NOTHING)
        changed_here = before.here == GONE if now is None else before.here not in (now, TAKING)
        changed_there = before.there != original and not (before.there or "").startswith(SENDING)
        if now is None and original is None:
            diff.forget.append(name)
        elif changed_here and changed_there:
            diff.clash.append(name)
        elif changed_here:
            (diff.remove_there if now is None else diff.send).append(name)
        elif original is None:
            diff.remove_here.append(name)
        elif changed_there or now is None or before.here == TAKING:
            diff.take.append(name)
    return diff


def rank(name: str) -> tuple[int, str]:
    """The order in which files are written: first what others name, last what makes it count.

    Chunks and weights, then what describes them, then the ends of a store's episodes, then links to checkpoints.
    """
    if name.endswith(LINK):
        return 3, name
    if name == COMMITS:
        return 2, name
    return int(name.endswith(".json")), name
