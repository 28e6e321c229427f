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
from robolearn.config import checked, finite, write_json
from robolearn.data.windows import Windows
from robolearn.errors import UserError
from robolearn.evaluation.config import PolicyChoice
from robolearn.files import StrPath, check_writable
from robolearn.policies.policy import Policy
from robolearn.stats.bootstrap import bootstrap
from robolearn.stats.value import Estimate
from robolearn.training.assemble import open_demos, read_windows
from robolearn.training.device import choose_device
from robolearn.training.episodes import Kept, keep_episodes
from robolearn.training.run import Run
from robolearn.types import Array

FILE = "heldout.json"
POLICY, HOLD, HOLD_STATE, STATE = "policy", "last action", "present state", "state"
ROWS = 256  # windows that are looked at together


@dataclass(frozen=True)
class HeldOutErrors:
    """Errors of the action that would be executed next, over the steps of held-out episodes but the first.

    Attributes:
        episodes: Numbers of the episodes.
        names: Of the actions' dimensions.
        loss: Mean loss of each episode [e].
        errors: Who says what is done next -> mean absolute error of each episode and dimension [e, a], in the
            actions' units: the policy; HOLD, who repeats the action before; and HOLD_STATE, who stays where the
            state is, where that has the actions' dimensions.
    """

    episodes: tuple[int, ...]
    names: tuple[str, ...]
    loss: Array
    errors: dict[str, Array]

    def mean_loss(self) -> Estimate:
        """Over the episodes, with its interval."""
        return bootstrap(self.loss, lambda x: x.mean(-1))

    def mean_error(self, who: str = POLICY, dim: int | None = None) -> Estimate:
        """Over the episodes, of one dimension or of all, with its interval."""
        errors = self.errors[who]
        return bootstrap(errors.mean(1) if dim is None else errors[:, dim], lambda x: x.mean(-1))

    def difference(self, who: str = HOLD) -> Estimate:
        """Error of the policy less that of another, paired by episode; below 0 the policy is nearer."""
        return bootstrap((self.errors[POLICY] - self.errors[who]).mean(1), lambda x: x.mean(-1))

    def to_json(self) -> dict[str, Any]:
        """Estimates and the numbers that they are recomputed from."""
        return {
            "loss": asdict(self.mean_loss()),
            "error": {who: asdict(self.mean_error(who)) for who in self.errors},
            "policy less": {who: asdict(self.difference(who)) for who in self.errors if who != POLICY},
            "dimensions": {
                name: {who: asdict(self.mean_error(who, dim)) for who in self.errors}
                for dim, name in enumerate(self.names)
            },
            "episodes": list(self.episodes),
            "raw": {"loss": self.loss.tolist(), **{who: errors.tolist() for who, errors in self.errors.items()}},
        }


def compare_with_heldout(run: Run | StrPath, choice: PolicyChoice | None = None) -> HeldOutErrors:
    """Compare a policy with the demonstrations that its training held out, and keep it in RUN/heldout.json.

        errors = compare_with_heldout("runs/mine")
        print(errors.mean_error(), errors.mean_error("last action"))

    Args:
        run: Trained with a share of the episodes held out, `dataset.validation_fraction`.
        choice: Which policy, and where it runs.

    Raises:
        UserError: No episodes were held out, none has two steps, or the demonstrations are gone or others now.
        OSError: The file cannot be written; that is found out first.
    """
    run, choice = run if isinstance(run, Run) else Run.open(run), checked(choice or PolicyChoice())
    cfg, data = run.config(), run.data()
    if not data.validation_episodes:
        raise UserError(f"{run.directory}: no episodes were held out; train with `dataset.validation_fraction` 0.1")
    check_writable(run.directory / FILE)
    device = choose_device(choice.device, threads=choice.threads)
    policy = Policy.load(run.checkpoint(choice.checkpoint), device=device, **choice.sampling)
    demos, keys = open_demos(cfg), tuple(policy.cfg.obs_shapes)
    # In a store that has grown, or is another, the numbers of those held out may be of episodes that were trained on.
    parts, _ = keep_episodes(demos, cfg, [*keys, "action"], Kept(data, step=0))
    recorded = read_windows(cfg, demos.part(parts["validation"]), keys, None, device, policy.cfg.images)
    losses, errors = {}, []
    for episode in data.validation_episodes:
        windows = recorded.for_episodes([episode])
        if len(windows) > 1:
            losses[episode], episode_errors = _look_at(policy, windows)
            errors.append(episode_errors)
    if not errors:
        raise UserError(f"{run.directory}: no held-out episode has two steps")
    names = _names(demos.attrs.names.get("action", ()), policy.cfg.action_dim)
    joined = {who: np.stack([episode_errors[who] for episode_errors in errors]) for who in errors[0]}
    result = HeldOutErrors(tuple(losses), names, np.array(list(losses.values())), joined)
    write_json(run.directory / FILE, finite(result.to_json()))
    return result


def _names(said: tuple[str, ...], dims: int) -> tuple[str, ...]:
    """Of the actions' dimensions, as the store names them where it has another name for each."""
    return said if len(said) == len(set(said)) == dims else tuple(f"action[{dim}]" for dim in range(dims))


@torch.inference_mode()
def _look_at(policy: Policy, windows: Windows) -> tuple[float, dict[str, Array]]:
    """The mean loss of one episode, and the mean absolute errors [a] of all who say what is done next."""
    generator = torch.Generator(policy.device).manual_seed(seeds.FIXED)
    recorded, chosen, states, losses = [], [], [], []
    for index in torch.arange(len(windows), device=policy.device).split(ROWS):
        batch = windows.batch(index)
        recorded.append(batch.actions[:, 0])
        chosen.append(policy.sample(batch.obs, 1, generator=generator)[:, 0, 0])
        states.append(batch.obs[STATE][:, -1] if STATE in batch.obs else batch.actions[:, :0, 0])
        draws = policy.validation_draws(len(index), generator=generator)
        losses.append(policy.validation_loss(batch, draws).item() * len(index))
    actions = torch.cat(recorded)
    said = {POLICY: torch.cat(chosen)[1:], HOLD: actions[:-1], HOLD_STATE: torch.cat(states)[1:]}
    told = {who: values for who, values in said.items() if values.shape == actions[1:].shape}
    errors = {who: (values - actions[1:]).abs().mean(0).cpu().numpy() for who, values in told.items()}
    return sum(losses) / len(windows), errors
