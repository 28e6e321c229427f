"""How near a policy is to the demonstrations that its training held out: what there is where no environment is.

A small error does not make a policy act well, and a good policy may go the other way around an obstacle. The
comparison with holding the last action says whether it has learned anything that was not in its input.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from robolearn import seeds
from robolearn.config import finite, write_json
from robolearn.data.demos import Demos
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.evaluation.config import PolicyChoice
from robolearn.files import StrPath
from robolearn.policies.policy import Policy
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate
from robolearn.training.device import choose_device
from robolearn.training.run import Run
from robolearn.types import Array

FILE = "heldout.json"
ROWS = 256  # windows that are looked at together


@dataclass(frozen=True)
class HeldOutErrors:
    """Errors of the action that would be executed next, over the steps of held-out episodes but the first.

    Attributes:
        episodes: Numbers of the episodes.
        names: Of the actions' dimensions.
        policy: Mean absolute error of each episode and dimension [e, a], in the actions' units.
        hold: The same of repeating the action before.
        loss: Mean loss of each episode [e].
    """

    episodes: tuple[int, ...]
    names: tuple[str, ...]
    policy: Array
    hold: Array
    loss: Array

    def of(self, errors: Array, dim: int | None = None) -> Estimate:
        """Mean over the episodes, of one dimension or of all, with its interval."""
        return bootstrap(errors.mean(1) if dim is None else errors[:, dim], lambda x: x.mean(-1))

    @property
    def loss_estimate(self) -> Estimate:
        """Mean loss over the episodes, with its interval."""
        return bootstrap(self.loss, lambda x: x.mean(-1))

    @property
    def difference(self) -> Estimate:
        """Error of the policy less that of holding, paired by episode; below 0 the policy is nearer."""
        return bootstrap((self.policy - self.hold).mean(1), lambda x: x.mean(-1))

    def to_json(self) -> dict[str, Any]:
        """Estimates and the numbers that they are recomputed from."""
        both = {"policy": self.policy, "hold": self.hold}
        return {
            "loss": asdict(self.loss_estimate),
            **{name: asdict(self.of(errors)) for name, errors in both.items()},
            "difference": asdict(self.difference),
            "dimensions": {
                name: {which: asdict(self.of(errors, dim)) for which, errors in both.items()}
                for dim, name in enumerate(self.names)
            },
            "episodes": list(self.episodes),
            "raw": {"loss": self.loss.tolist(), **{name: errors.tolist() for name, errors in both.items()}},
        }


def compare_with_heldout(run: Run | StrPath, choice: PolicyChoice | None = None) -> HeldOutErrors:
    """Compare a policy with the demonstrations that its training held out, and keep it in RUN/heldout.json.

        errors = compare_with_heldout("runs/mine")
        print(errors.of(errors.policy), errors.of(errors.hold))

    Args:
        run: Trained with a share of the episodes held out, `dataset.validation_fraction`.
        choice: Which policy, and where it runs.

    Raises:
        UserError: No episodes were held out, or none has two steps.
    """
    run, choice = run if isinstance(run, Run) else Run.open(run), choice or PolicyChoice()
    cfg, data = run.config(), run.data()
    if not data.validation_episodes:
        raise UserError(f"{run.directory}: no episodes were held out; train with `dataset.validation_fraction` 0.1")
    device = choose_device(choice.device, threads=choice.threads)
    policy = Policy.load(run.checkpoint(choice.checkpoint), device=device, **choice.sampling)
    demos = Demos.open(cfg.dataset.path)
    errors = []
    for episode in data.validation_episodes:
        windows = Windows.from_store(
            demos, list(policy.cfg.obs_shapes), cfg.obs_horizon, cfg.action_horizon, np.array([episode]), device
        )
        if len(windows) > 1:
            errors.append((episode, *_episode_errors(policy, windows)))
    if not errors:
        raise UserError(f"{run.directory}: no held-out episode has two steps")
    episodes, policies, holds, losses = zip(*errors, strict=True)
    names = demos.attrs.names.get("action", ())
    names = names or tuple(f"action[{dim}]" for dim in range(len(policies[0])))
    found = HeldOutErrors(episodes, names, np.stack(policies), np.stack(holds), np.array(losses))
    write_json(run.directory / FILE, finite(found.to_json()))
    return found


@torch.inference_mode()
def _episode_errors(policy: Policy, windows: Windows) -> tuple[Array, Array, float]:
    """Mean absolute errors of policy and holding [a], and the mean loss, of one episode."""
    generator = torch.Generator(policy.device).manual_seed(seeds.FIXED)
    predicted, recorded, losses = [], [], []
    for index in torch.arange(len(windows), device=policy.device).split(ROWS):
        batch = windows.batch(index)
        recorded.append(batch.actions[:, 0])
        predicted.append(policy.sample(batch.obs, 1, generator=generator)[:, 0, 0])
        draws = policy.validation_draws(len(index), generator=generator)
        losses.append(policy.validation_loss(batch, draws).item() * len(index))
    actions, chosen = torch.cat(recorded), torch.cat(predicted)
    error = (chosen - actions)[1:].abs().mean(0)
    hold = (actions[:-1] - actions[1:]).abs().mean(0)
    return error.cpu().numpy(), hold.cpu().numpy(), sum(losses) / len(windows)
