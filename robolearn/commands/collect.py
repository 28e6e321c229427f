"""Record a scripted expert.

Physics runs on all cores. Ctrl-C keeps the finished episodes; the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from robolearn import seeds
from robolearn.commands.episodes_bar import episodes_bar
from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Cluster, JsonValue
from robolearn.commands.stopping import goes_on
from robolearn.paths import url_of


@dataclass(frozen=True)
class Options:
    """Options of a collection."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment with its module, e.g. envs:robolearn/Avoid-v0."""
    out: Path
    """Store to write, e.g. datasets/avoid.zarr."""
    episodes: int = 1000
    """Episodes the store shall hold."""
    seed: int = seeds.DEMONSTRATIONS.start
    """Seed of the first episode; each attempt takes the next one."""
    num_envs: int = 64
    """Environments stepped together; the data do not depend on it."""
    keep_failures: bool = False
    """Also keep episodes in which the expert failed."""
    env_kwargs: Annotated[dict[str, JsonValue], arg(name="env.kwargs")] = field(default_factory=dict)
    """Keyword arguments of gymnasium.make, values as in JSON: look random; the store keeps them."""
    cluster: Cluster = None


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, record, and say what the store holds."""
    given = read_flags(Options, arguments, prog, __doc__)
    from robolearn.cluster import open_cluster
    from robolearn.data.collect import collect

    bar = episodes_bar(given.episodes, lambda now: f"{now.dropped} dropped")
    with goes_on(given.out), open_cluster(given.cluster) as mapper, bar as show:
        how = (given.seed, given.num_envs, given.keep_failures, show, given.env_kwargs, mapper)
        done = collect(given.env, given.episodes, given.out, *how)
        show(done)
    earlier = f", {done.before} of them there before" if done.before else ""
    print(f"{url_of(given.out)}: {done.stored} episodes{earlier}; {done.dropped} attempts of the expert dropped")
