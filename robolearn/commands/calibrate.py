"""Roll out episodes and set the threshold above which a run's policy is not trusted.

The gate and its certificate go to RUN/gate; an evaluation with --gate uses them. A safety set, the tube around what
chunks are predicted to do, goes to RUN/tube, for --safety-set. Sampler, steps, execution and environment have to be
given as they will be used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes, Positional

from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import (
    Cluster,
    Plugins,
    Trust,
    build,
    import_plugins,
    mirror,
    next_step,
    repeated,
    values,
)
from robolearn.evaluation.calibrate_config import CalibrateConfig
from robolearn.evaluation.config import CHOICES
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution

Gate = mirror(
    CalibrateConfig,
    ("score", "alpha", "beta", "band", "within_set", "episodes", "seed", "num_samples", "num_envs"),
    doc="What is promised, and on how many episodes.",
)
Tube = mirror(
    CalibrateConfig,
    ("safety_set", "rounds", "key", "position", "fallback"),
    doc="A safety set instead of a gate.",
)
ASKED = ("checkpoint", *CHOICES)
Choice = mirror(CalibrateConfig, (*ASKED, "device", "threads"), doc="Which policy, and how it is asked.")
Chunks = mirror(Execution, ("exec_horizon", "candidates", "keep_noise"))  # a gate's controller takes no other
Env = mirror(EnvConfig)
AS_USED = {*ASKED, "plugin", "trust", *(f.name for f in dataclasses.fields(Chunks))}
AS_USED |= {f"env.{f.name}" for f in dataclasses.fields(Env)}
"""Flags that an evaluation has to be given too."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a calibration."""

    run: Positional[Path]
    """Run directory that train.py wrote."""
    gate: OmitArgPrefixes[Gate] = dataclasses.field(default_factory=Gate)
    tube: OmitArgPrefixes[Tube] = dataclasses.field(default_factory=Tube)
    policy: OmitArgPrefixes[Choice] = dataclasses.field(default_factory=Choice)
    execution: OmitArgPrefixes[Chunks] = dataclasses.field(default_factory=Chunks)
    env: Env = dataclasses.field(default_factory=Env)
    cluster: Cluster = None
    plugin: Plugins = ()
    trust: Trust = False


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, calibrate, and show what the certificate says."""
    import_plugins(arguments)
    given: Any = read_flags(Options, arguments, prog, __doc__)
    cfg = CalibrateConfig(
        **values(given.gate, given.tube, given.policy), execution=build(given.execution), env=build(given.env)
    )
    from rich.console import Console

    from robolearn.cluster import open_cluster
    from robolearn.evaluation.calibrate import calibrate
    from robolearn.trust.calibrate import describe

    with open_cluster(given.cluster) as mapper:
        certificate = calibrate(given.run, cfg, trust=given.trust, console=Console(), mapper=mapper)
    print("\n".join(describe(certificate)))
    watched = ["--gate"] * (not cfg.safety_set) + ["--safety-set"] * (cfg.safety_set or cfg.within_set)
    same = [argument for argument in repeated(arguments, AS_USED) if Path(argument) != given.run]
    print(next_step(prog, "eval", given.run, *same, *watched))
