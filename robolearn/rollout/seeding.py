"""Whether an environment's starts follow from seeds, asked of it before it is used.

    copy 0    seed s    seed s    seed s + 1        the first two have to be equal, the last another
    copy 1    s + 1     seed s                      the first differs from copy 0's, the last is equal to it

Some environments ignore the seed of ``reset``; in some, such as Meta-World's, all copies then draw the same starts from
a keyword argument. Twenty episodes in four copies are five starts there.
"""

from __future__ import annotations

from collections.abc import Sequence

from robolearn.rollout.chunked import ChunkedEnvs, reset_some
from robolearn.rollout.env_config import EnvConfig


def find_seed_fault(cfg: EnvConfig, envs: ChunkedEnvs, seed: int) -> tuple[str | None, str | None]:
    """Reset the first two environments, or the only one, and compare how they begin.

    Returns:
        What is wrong with seeds, so that no episode can be repeated; and what is odd, as all begin alike. None where
        nothing is, or where a reset broke, of which the episodes themselves will tell.
    """
    two = envs.num_envs > 1
    rounds = [{0: seed, 1: seed + 1}, {0: seed, 1: seed}] if two else [{0: seed}, {0: seed}, {0: seed + 1}]
    seen = []
    for seeds in rounds:
        starts = reset_some(envs, seeds)[1]
        if not all(starts.values()):
            return None, None
        seen.append(starts)
    first, again, other = seen[0][0], seen[1][0], seen[0][1] if two else seen[2][0]
    if len({first, again, *([seen[1][1]] if two else [])}) > 1:
        alike = ", and its copies begin alike" if two and first == other else ""
        hint = "; leave seed out of its keyword arguments" if "seed" in cfg.kwargs else ""
        return f"environment {cfg.id} ignores reset(seed): equal seeds begin differently{alike}{hint}", None
    if first == other:
        return None, f"environment {cfg.id} begins alike for seeds {seed} and {seed + 1}"
    return None, None


def count_starts(envs: ChunkedEnvs, seeds: Sequence[int], enough: int) -> int | None:
    """How many distinct starts these seeds have, as far as that is below ``enough``, where it ends.

    None where a reset broke, of which the episodes will tell.
    """
    met: set[str] = set()
    for seed in seeds:
        start = reset_some(envs, {0: seed})[1][0]
        if not start:
            return None
        met.add(start)
        if len(met) >= enough:
            break
    return len(met)
