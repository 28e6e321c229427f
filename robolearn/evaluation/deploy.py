"""Deploy a trained run: write it as a directory that acts without torch, and check that it acts alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from robolearn import seeds
from robolearn.config import checked
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.normalizer import buffer_names
from robolearn.data.store import DemoStore
from robolearn.deploy import runtime
from robolearn.deploy.check import Check, Plan, compare
from robolearn.deploy.directory import Recorded, acts_alike, check_free, check_installed, describe, write_directory
from robolearn.errors import UserError, warn
from robolearn.evaluation.acting import Acting
from robolearn.evaluation.agent import Agent
from robolearn.evaluation.config import CHOICES, ActConfig, DeployConfig
from robolearn.evaluation.deployed import DEPLOYED
from robolearn.files import StrPath
from robolearn.images import ImageLayout
from robolearn.locks import hold
from robolearn.paths import url_of
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import Prefix
from robolearn.rollout.execution import Execution
from robolearn.training.run import Run
from robolearn.types import Array, is_image

MOST_EPISODES, MOST_STEPS = 8, 64  # of the observations that lie in the directory


def deploy_run(
    run: Run | StrPath, cfg: DeployConfig | None = None, *, tolerance: float = runtime.TOLERANCE
) -> tuple[Path, Check]:
    """Write a trained run as a directory that acts without torch, and check it.

        directory, check = deploy_run(Path("runs/avoid"), DeployConfig(out=Path("robot")))
        assert check.is_equal

    Args:
        run: Of `train`.
        cfg: Which policy of it, how its chunks are executed, and as what it is written.
        tolerance: See `check_deployed`.

    Returns:
        The directory, and what `check_deployed` says of it.

    Raises:
        UserError: The policy cannot be written in this format, a package is missing, a gate or a safety set is asked
            for, or an option does not fit.
    """
    run, cfg = run if isinstance(run, Run) else Run.open(run), checked(cfg or DeployConfig())
    check_installed(cfg.format)
    directory = run.directory / DEPLOYED if cfg.out is None else Path(cfg.out)
    check_free(directory)
    acting, agent = _open(run, cfg), Agent(run, cfg, runtime="torch")
    episodes, attrs = _observations(run, acting.policy)
    facts = {
        **describe(acting.policy, acting.execution, acting.checkpoint),
        "control_dt": run.data().control_dt,
        "units": {} if attrs is None else attrs.units,
        "seed": cfg.seed,
        "run": url_of(run.directory.absolute()),
        "observed": "random observations" if attrs is None else "recorded observations",
    }
    samples = sorted({acting.execution.candidates, *cfg.samples})
    with hold(directory):
        write_directory(directory, acting.policy, facts, cfg.format, samples, episodes, _follow(agent))
        return directory, check_deployed(directory, run, tolerance=tolerance)


def check_deployed(
    directory: StrPath, run: Run | StrPath | None = None, *, tolerance: float = runtime.TOLERANCE
) -> Check:
    """Compare a deployed policy with the trained one on the observations that lie beside it; writes check.json.

        assert check_deployed(Path("robot")).is_equal

    Args:
        directory: What `deploy_run` wrote.
        run: What it was deployed from; by default where that was then. If it is not there, or has other weights by
            now, the actions count that it had then.
        tolerance: Most that an action may differ, in units of the normalized action.

    Raises:
        UserError: The directory is damaged, was changed, or is of another version.
    """
    try:
        policy = runtime.Policy(directory)
        trained = _trained(policy, run)
        if trained is None:
            check = compare(policy, None, None, "the actions of when it was deployed", tolerance)
        else:
            home, acting, agent = trained
            check = compare(policy, _follow(agent), _plan(acting.policy), str(home.directory), tolerance)
    except runtime.RefusedError as error:
        raise UserError(str(error)) from None
    check.write(Path(directory))
    return check


def _open(run: Run, cfg: ActConfig) -> Acting:
    return Acting.open(run, cfg, run.config().env, episodes=1)


def _follow(agent: Agent) -> Callable[[int, list[Recorded]], Array]:
    return lambda episode, observations: runtime.follow(agent, episode, observations)


def _trained(policy: runtime.Policy, run: Run | StrPath | None) -> tuple[Run, Acting, Agent] | None:
    """The run that a directory is from, if it is there and has the same weights."""
    facts = policy.facts
    home = run if isinstance(run, Run) else Run(facts["run"] if run is None else run)
    if not home.exists():
        if run is not None:
            raise UserError(f"{home.directory} is no run")
        return None
    cfg = ActConfig(
        checkpoint=facts["weights"]["checkpoint"],
        **{name: facts["sampler"].get(name) for name in CHOICES},
        execution=Execution(**facts["execution"]),
        device="cpu",
        threads=policy.threads,
        seed=facts["seed"],
    )
    try:
        acting = _open(home, cfg)
    except UserError as error:
        problem = str(error)
    else:
        if acts_alike(facts, describe(acting.policy, acting.execution, acting.checkpoint)):
            return home, acting, Agent(home, cfg, runtime="torch")
        problem = f"{home.directory} has other weights or options by now"
    warn(f"{problem}; compared with the actions of when it was deployed")
    return None


def _plan(policy: Policy) -> Plan:
    """The trained policy, asked as the runtime is."""
    horizon = policy.cfg.prefix_horizon
    prefix = (
        Prefix(torch.zeros(1, horizon, policy.cfg.action_dim), torch.zeros(1, dtype=torch.int64)) if horizon else None
    )

    @torch.inference_mode()
    def plan(window: dict[str, Array], noise: Array) -> object:
        return policy.act(
            {key: torch.from_numpy(rows[None]) for key, rows in window.items()}, torch.from_numpy(noise), prefix
        )

    return plan


def _observations(run: Run, policy: Policy) -> tuple[list[Recorded], StoreAttrs | None]:
    """Held-out episodes as they were recorded, and what their store says of itself.

    Where no demonstrations can be read, random numbers in the range that they had, and None.
    """
    shapes, facts = policy.cfg.obs_shapes, run.data()
    try:
        demos = Demos.open(run.config().dataset.path, run.config().dataset.keymap)
        chosen = (facts.validation_episodes or facts.training_episodes or tuple(range(MOST_EPISODES)))[:MOST_EPISODES]
        return [_recorded(demos, index, policy) for index in chosen], demos.attrs
    except (UserError, OSError) as error:
        warn(f"no recorded observations ({error}); the policy is checked on random ones")
    rng = np.random.default_rng(seeds.FIXED)
    return [{key: _random(policy, key, shape, rng) for key, shape in shapes.items()}], None


def _recorded(demos: Demos, index: int, policy: Policy) -> Recorded:
    for store in demos.stores:
        if index < store.num_episodes:
            episode = store.episode(index)
            return {key: _rows(policy, store, key, episode.obs.get(key)) for key in policy.cfg.obs_shapes}
        index -= store.num_episodes
    raise UserError("the demonstrations have fewer episodes than when the run was trained")


def _random(policy: Policy, key: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if is_image(shape):
        return rng.integers(0, 256, (MOST_STEPS, *shape), dtype=np.uint8)
    center, scale = (policy.normalizer.get_buffer(name).numpy() for name in buffer_names(key))
    return (center + scale * rng.uniform(-1, 1, (MOST_STEPS, *shape))).astype(np.float32)


def _rows(policy: Policy, store: DemoStore, key: str, rows: Array | None) -> Array:
    """The first rows of an episode, as the policy sees them."""
    shape = policy.cfg.obs_shapes[key]
    if rows is not None and is_image(shape):
        try:
            rows = policy.cfg.images.get(key, ImageLayout()).read(rows[:MOST_STEPS], shape)
        except ValueError as error:
            raise UserError(f"{store.path}: data/{key} {error}") from None
    if rows is None or rows.shape[1:] != shape:
        raise UserError(f"{store.path}: data/{key} is not what the policy was trained on")
    return rows[:MOST_STEPS] if is_image(shape) else rows[:MOST_STEPS].astype(np.float32)
