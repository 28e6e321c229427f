"""Learn to act in an environment in a handful of trials: plan ENV [cem|icem] --out DIRECTORY.

A few episodes of random actions come first. Then a model is fitted to all that was seen, the next episode is planned in
it, step by step, and so on. Ctrl-C keeps the finished episodes; the same command goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Plugins, build, import_plugins, mirror, subcommands, values
from robolearn.commands.stopping import goes_on
from robolearn.dynamics.config import SEARCHES
from robolearn.paths import url_of
from robolearn.planning.config import PlanConfig
from robolearn.rollout.env_config import EnvConfig

if TYPE_CHECKING:
    from robolearn.planning.directory import TrialResult

Run = mirror(
    PlanConfig,
    ("out", "trials", "random_episodes", "seed", "overwrite"),
    doc="How many episodes, and where they go.",
)
Model = mirror(
    PlanConfig,
    ("model", "num_members", "probabilistic", "hidden", "depth", "angles", "obs_keys", "reward", "termination"),
    doc="What plans are tried in.",
)
Fit = mirror(PlanConfig, ("fit_steps", "batch_size", "lr"), doc="How it is fitted.")
Plans = mirror(PlanConfig, ("horizon", "propagation", "num_particles"), doc="How far ahead, and with how much doubt.")
Env = mirror(EnvConfig, ("kwargs", "max_episode_steps", "timeout", "obs", "success_key", "stop_on_success", "clip"))
Searches = {name: mirror(cls) for name, cls in SEARCHES.items()}


@dataclass(frozen=True)
class Options:
    """Options of a plan run."""

    environment: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment with its module, e.g. envs:robolearn/Push-v0; of gymnasium's own the name alone: Pendulum-v1."""
    run: OmitArgPrefixes[Run]
    search: subcommands(Searches) = field(default_factory=Searches["icem"])
    model: OmitArgPrefixes[Model] = field(default_factory=Model)
    fit: OmitArgPrefixes[Fit] = field(default_factory=Fit)
    plans: OmitArgPrefixes[Plans] = field(default_factory=Plans)
    env: Env = field(default_factory=Env)
    plugin: Plugins = ()


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, plan, and print a line per episode."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__, cascade=True, choices={"--search.": SEARCHES})
    flat = values(given.run, given.model, given.fit, given.plans)
    cfg = PlanConfig(env=EnvConfig(id=given.environment, **values(given.env)), search=build(given.search), **flat)
    from robolearn.planning.plan import plan

    with goes_on(cfg.out, overwrite=cfg.overwrite):
        results = plan(cfg, on_trial=lambda result: print(line(result), flush=True)).results()
    best = max((result for result in results if result.kind == "planned"), key=lambda one: one.total, default=None)
    reached = f"; the best planned return is {best.total:.4g}, of episode {best.episode}" if best else ""
    print(f"{url_of(cfg.out)}: {len(results)} episodes{reached}")


def line(result: TrialResult) -> str:
    """What came of an episode."""
    error = f", model error {result.model_error:.3f}" if result.model_error is not None else ""
    reward = f", of rewards {result.reward_error:.3f}" if result.reward_error is not None else ""
    spent = f"{result.seconds + result.fit_seconds:.1f} s"
    return f"{result.kind} {result.episode}: return {result.total:.4g} in {result.steps} steps{error}{reward}, {spent}"
