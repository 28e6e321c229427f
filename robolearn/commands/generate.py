"""Make more demonstrations of a few.

Each is cut where the hand begins to deal with another object, carried over to where the objects are in a new episode,
executed in the environment, and recorded if it succeeds. Ctrl-C keeps the finished episodes; the same command goes on
from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.episodes_bar import episodes_bar
from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, import_plugins, mirror, values
from robolearn.commands.stopping import goes_on
from robolearn.generation.config import GenerateConfig, SceneConfig
from robolearn.paths import url_of
from robolearn.rollout.env_config import EnvConfig

How = mirror(GenerateConfig, ("sources", "tries", "order", "noise", "seed", "num_envs", "obs_keys", "obs"))
Scene, Env = mirror(SceneConfig), mirror(EnvConfig)


@dataclass(frozen=True)
class Options:
    """Options of a generation."""

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The demonstrations."""
    out: Path
    """Store to write, e.g. datasets/push_generated.zarr."""
    episodes: int = 1000
    """Episodes the store shall hold."""
    how: OmitArgPrefixes[How] = field(default_factory=How)
    scene: Scene = field(default_factory=Scene)
    env: Env = field(default_factory=Env)
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, generate, and say what the store holds."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = GenerateConfig(**values(given.how), scene=build(given.scene), env=build(given.env))
    from robolearn.generation.generate import generate

    with goes_on(given.out), episodes_bar(given.episodes, lambda now: f"{now.attempts} attempts") as show:
        done = generate(given.store, given.episodes, given.out, cfg, on_episode=show)
        show(done)
    earlier = f", {done.before} of them there before" if done.before else ""
    print(f"{url_of(given.out)}: {done.stored} episodes{earlier}, from {done.sources} demonstrations")
    print(f"attempts: {done.attempts}; starts at which none succeeded: {done.unsolved}")
