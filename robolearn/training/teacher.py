"""Takes the teacher of a distilled policy from another run."""

from __future__ import annotations

from dataclasses import fields

from robolearn.errors import UserError
from robolearn.files import StrPath
from robolearn.policies.mixture import Mixture
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.score import Score
from robolearn.training.run import Run

OF_ITS_OWN = ("family", "obs_noise")  # what a student may have otherwise
LEVELS = ("sigma_min", "sigma_max")  # in which a network was told noise levels; all else is in its weights


def take_teacher(policy: Policy, directory: StrPath) -> None:
    """Copy the last checkpoint's network, observation encoder and normalizer into a mixture.

    Args:
        policy: Of the family mixture; changed in place.
        directory: Run of a score policy with the same backbone, observations and horizons.

    Raises:
        UserError: There is no such run, or it does not fit.
    """
    teacher = Policy.load(Run.open(directory).checkpoint("last"), device=policy.device)
    assert isinstance(policy.family, Mixture)
    if not isinstance(teacher.family, Score):
        raise UserError(f"`family.teacher_run` {directory}: expected a run of the family score")
    for name in [f.name for f in fields(PolicyConfig) if f.name not in OF_ITS_OWN]:
        theirs, ours = getattr(teacher.cfg, name), getattr(policy.cfg, name)
        if theirs != ours:
            raise UserError(f"`family.teacher_run` {directory}: its {name} is {theirs}, here it is {ours}")
    low, high = (getattr(teacher.family.cfg, name) for name in LEVELS)
    ours = tuple(getattr(policy.family.teacher.cfg, name) for name in LEVELS)
    if (low, high) != ours:
        raise UserError(
            f"`family.teacher_run` {directory}: its noise levels are {low} .. {high}, here they are {ours[0]} .. "
            f"{ours[1]}; give --family.teacher.sigma-min {low} --family.teacher.sigma-max {high}"
        )
    policy.family.teacher.load_state_dict(teacher.family.state_dict())
    policy.encoder.load_state_dict(teacher.encoder.state_dict())
    policy.normalizer.load_state_dict(teacher.normalizer.state_dict())
    policy.frame.load_state_dict(teacher.frame.state_dict())
