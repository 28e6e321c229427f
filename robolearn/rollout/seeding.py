"""Whether an environment's starts follow from seeds, asked of it before it is used.

    round      0    1    2   ...   n - 1
    copy 0     s    s+1  s+2 ...   s+n-1       each seed is given to both, never in the same round:
    copy 1     s+1  s+2  s+3 ...   s           it has to begin alike in both

Some environments ignore the seed of ``reset``; in some, such as Meta-World's, all copies then draw the same starts from
a keyword argument. Twenty episodes in four copies are five starts there. One that has few starts may draw the same
for a seed twice by chance, so what rests on seeds tries more of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robolearn.rollout.chunked import ChunkedEnvs, reset_some
from robolearn.rollout.env_config import EnvConfig

NUM_SEEDS = 16  # that are tried where more is to be known than whether seeds do anything


def find_seed_fault(cfg: EnvConfig, envs: ChunkedEnvs, seed: int, num_seeds: int = 2) -> tuple[str | None, str | None]:
    """Reset the first two environments, or the only one twice as often, and compare how they begin.

    Args:
        cfg: Of the environments, for messages.
        envs: Environments.
        seed: The first that is tried.
        num_seeds: How many are, at least 2.

    Returns:
        What is wrong with seeds, so that no episode can be repeated; and what is odd, as some begin alike. None where
        nothing is, or where a reset broke, of which the episodes themselves will tell.
    """
    both = _starts_twice(envs, range(seed, seed + num_seeds))
    if both is None:
        return None, None
    starts, again, alike = both
    if starts != again:
        hint = "; leave seed out of its keyword arguments" if "seed" in cfg.kwargs else ""
        copies = ", and its copies begin alike" if alike else ""
        return f"environment {cfg.id} ignores reset(seed): equal seeds begin differently{copies}{hint}", None
    met = len(set(starts.values()))
    if met == 1:
        last = f"{'and' if num_seeds == 2 else '..'} {seed + num_seeds - 1}"
        return None, f"environment {cfg.id} begins alike for seeds {seed} {last}"
    return None, few_starts(cfg, met, num_seeds) if met < num_seeds else None


def _starts_twice(envs: ChunkedEnvs, seeds: Sequence[int]) -> tuple[Mapping[int, str], Mapping[int, str], bool] | None:
    """How each seed begins, how it begins once more, and whether copies begin alike in every round for other seeds.

    None where a reset broke.
    """
    shifted = [*seeds[1:], seeds[0]]
    two = envs.num_envs > 1
    given = [{0: a, 1: b} for a, b in zip(seeds, shifted, strict=True)] if two else [{0: s} for s in (*seeds, *shifted)]
    rounds = []
    for one in given:
        rounds.append(reset_some(envs, one)[1])
        if not all(rounds[-1].values()):
            return None
    once = [began[0] for began in rounds[: len(seeds)]]
    again = [began[1] for began in rounds] if two else [began[0] for began in rounds[len(seeds) :]]
    alike = two and once == again
    return dict(zip(seeds, once, strict=True)), dict(zip(shifted, again, strict=True)), alike


def few_starts(cfg: EnvConfig, met: int, num_seeds: int) -> str:
    """That an environment has been met to begin from so many distinct starts, fewer than seeds were tried."""
    return f"environment {cfg.id} begins from {met} distinct starts for the first {num_seeds} seeds"


def count_starts(envs: ChunkedEnvs, seeds: Sequence[int]) -> int | None:
    """How many distinct starts these seeds have; None where a reset broke, of which the episodes will tell."""
    met = set()
    for seed in seeds:
        start = reset_some(envs, {0: seed})[1][0]
        if not start:
            return None
        met.add(start)
    return len(met)
