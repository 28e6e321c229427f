"""A trained run and a claim about it: the policy, its held-out observations, the boxes around them, and the hashes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robolearn.config import to_json
from robolearn.data.demos import Demos
from robolearn.errors import UserError
from robolearn.evaluation.verify_config import ClaimConfig
from robolearn.policies.policy import CONFIG_FILE, WEIGHTS_FILE, Policy
from robolearn.rollout.execution import Execution
from robolearn.rollout.known import check_known
from robolearn.rollout.making import action_space_of, facts_of
from robolearn.training.assemble import open_demos
from robolearn.training.device import choose_device
from robolearn.training.episodes import Kept, keep_episodes
from robolearn.training.run import Run
from robolearn.trust.certificate import hash_json
from robolearn.verify.certificate import METHOD, VERSION, ClaimCertificate, Shown, file_hash
from robolearn.verify.claims.claim import Claim
from robolearn.verify.claims.clearance import Clearance
from robolearn.verify.claims.codes import UnsafeProbability
from robolearn.verify.claims.limits import Limits
from robolearn.verify.claims.robustness import Robustness
from robolearn.verify.claims.subject import Coded, Plain
from robolearn.verify.policy import noise_radius, size_of, subject_of


def execution_problem(cfg: ClaimConfig, execution: Execution) -> str | None:
    """Say why a claim does not speak of what is executed like this, the option first; None where it does."""
    if execution.ensembling is not None:
        return f"ensembling` {execution.ensembling}: a claim is about chunks, and what is executed are means of several"
    if execution.delay:
        return f"delay` {execution.delay}: a claim is about the first actions of a chunk, and later ones are executed"
    if execution.candidates > 1 and cfg.claim == "codes" and cfg.probability:
        return f"candidates` {execution.candidates}: a probability is of one draw, and a chunk of several is executed"
    return None


@dataclass(frozen=True, eq=False)
class Asked:
    """A run and a claim about it: everything that follows from both."""

    run: Run
    cfg: ClaimConfig
    trust: bool

    def __post_init__(self) -> None:
        choose_device("cpu", threads=self.cfg.threads)
        self.execution.check(self.policy.cfg.action_horizon, self.policy.cfg.prefix_horizon)
        if problem := execution_problem(self.cfg, self.execution):
            raise UserError(f"`execution.{problem}; leave it out")
        if self.cfg.claim == "codes" and not isinstance(self.subject, Coded):
            raise UserError("`claim` codes is of the families tokens, variant bins, and mixture, variant plain")

    @cached_property
    def policy(self) -> Policy:
        """As it acts."""
        sampling: dict[str, Any] = self.cfg.sampling
        return Policy.load(self.run.checkpoint(self.cfg.checkpoint), **sampling)

    @cached_property
    def execution(self) -> Execution:
        """How many of its actions are executed."""
        return self.cfg.execution.with_defaults(self.run.config().exec_horizon)

    @property
    def steps(self) -> int:
        """Actions that are executed of a chunk."""
        return self.execution.period

    @cached_property
    def subject(self) -> Plain | Coded:
        """The policy for proofs."""
        return subject_of(self.policy, self.steps, self.cfg.precision)

    @cached_property
    def demos(self) -> Demos:
        """The episodes that the run was made with.

        Raises:
            UserError: They are gone, or others now.
        """
        facts, cfg = self.run.data(), self.run.config()
        whole = open_demos(cfg)
        # In a store that has grown, or is another, the numbers of those held out may be of others.
        keep_episodes(whole, cfg, [*self.policy.cfg.obs_shapes, "action"], Kept(facts, step=0))
        numbers = np.unique(np.array([*facts.training_episodes, *facts.validation_episodes], int))
        return whole.part(numbers) if len(numbers) else whole

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of all that the answers follow from."""
        checkpoint, normalizer = self.run.checkpoint(self.cfg.checkpoint), self.policy.normalizer
        numbers = {name: tensor.tolist() for name, tensor in normalizer.state_dict().items()}
        files = {"weights": WEIGHTS_FILE, "configuration": CONFIG_FILE}
        return {
            **{name: file_hash(checkpoint / file) for name, file in files.items()},
            "normalizer": hash_json(numbers),
            "claim": hash_json([self.claim.words, self.claim.numbers, to_json(self.cfg, {})]),
            "demonstrations": self.demos.content_hash([*self.policy.cfg.obs_shapes, "action"]),
        }

    @cached_property
    def ranges(self) -> Tensor:
        """How far each number of a window reaches in the demonstrations, float64 [n]."""
        parts = []
        for key in self.policy.cfg.obs_shapes:
            rows = np.concatenate([rows.reshape(len(rows), -1) for _, _, rows in self.demos.slabs(key)])
            parts.append(rows.max(0).astype(float) - rows.min(0))
        return torch.from_numpy(np.concatenate(parts)).repeat(self.policy.cfg.obs_horizon)

    @cached_property
    def held_out(self) -> list[tuple[int, int, np.ndarray]]:
        """Episode, step and window [n] of held-out observations, or of those trained on where none are held out."""
        facts, keys, horizon = self.run.data(), self.policy.cfg.obs_shapes, self.policy.cfg.obs_horizon
        chosen = facts.validation_episodes or facts.training_episodes
        part, windows = self.demos.part(np.searchsorted(self.demos.numbers, np.array(chosen, int))), []
        rows = {key: np.concatenate([slab for _, _, slab in part.slabs(key)]) for key in keys}
        flat = np.concatenate([one.reshape(len(one), -1) for one in rows.values()], 1).astype(np.float32)
        start = 0
        for number, end in zip(part.numbers, part.episode_ends, strict=True):
            for row in range(start, end):
                window = [max(start, row - back) for back in reversed(range(horizon))]
                windows.append((int(number), row - start, flat[window].reshape(-1)))
            start = int(end)
        count = self.cfg.observations or len(windows)
        index = np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int))
        return [windows[i] for i in index]

    @cached_property
    def windows(self) -> Tensor:
        """The observations, float64 [b, n], without noise."""
        return torch.from_numpy(np.stack([window for _, _, window in self.held_out])).double()

    def boxes(self, error: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [b, n] of errors [b] around the observations, with the box of noise behind."""
        noise = self.subject.size - size_of(self.policy)
        radius = torch.full((len(error), noise), noise_radius(noise, self.cfg.noise_share), dtype=torch.float64)
        by = torch.cat([error[:, None] * self.ranges, radius], 1)
        center = torch.cat([self.windows, torch.zeros_like(radius)], 1)
        return center - by, center + by

    @cached_property
    def asked_boxes(self) -> tuple[Tensor, Tensor]:
        """Those that the claim is about."""
        return self.boxes(torch.full((len(self.windows),), self.cfg.eps, dtype=torch.float64))

    @cached_property
    def claim(self) -> Claim:
        """What is claimed."""
        if self.cfg.claim == "robustness":
            if self.subject.size > size_of(self.policy):
                raise UserError("`claim` robustness is of policies without noise; of cvae with `latent` zero")
            action = 2 * self.policy.normalizer.get_buffer("action_scale").double().flatten()
            reference = torch.cat([self.subject.act(x[None]).lower for x in self.windows])
            return Robustness(reference, self.cfg.delta * action, self.steps)
        if self.cfg.claim == "clearance":
            return self._clearance()
        if self.cfg.claim == "limits":
            return self._limits()
        safe = self._clearance() if self.cfg.clearance_of_codes else self._limits()
        return UnsafeProbability(safe, self.cfg.probability)

    def _limits(self) -> Limits:
        size = self.policy.cfg.action_dim
        if self.cfg.low is None or self.cfg.high is None:
            self._check_known()
            space = action_space_of(self.run.config().env)
            low, high = (np.asarray(side, float).reshape(-1) for side in (space.low, space.high))
        else:
            low, high = np.array(self.cfg.low, float), np.array(self.cfg.high, float)
        if low.shape != (size,) or high.shape != (size,):
            raise UserError(f"`low` and `high` have {len(low)} and {len(high)} numbers, an action has {size}")
        return Limits(torch.from_numpy(low), torch.from_numpy(high), self.steps)

    def _clearance(self) -> Clearance:
        self._check_known()
        distance = facts_of(self.run.config().env).clearance
        if distance is None or self.policy.cfg.action_dim < 2:
            raise UserError(f"{self.run.config().env.id} declares no clearance; `claim` limits needs none")
        return Clearance(distance, self.steps, self.policy.cfg.action_dim, self.cfg.least_clearance)

    def _check_known(self) -> None:
        if not self.trust:
            check_known(self.run.config().env, self.run.directory / "config.json")

    @property
    def places(self) -> tuple[Shown, ...]:
        """The boxes, of which nothing is known yet."""
        lower, upper = (side.tolist() for side in self.asked_boxes)
        pairs = zip(self.held_out, lower, upper, strict=True)
        return tuple(Shown(*window[:2], tuple(low), tuple(high), "open", None, 0) for window, low, high in pairs)

    def certificate(self, shown: tuple[Shown, ...]) -> ClaimCertificate:
        """What was shown, in a form that can be checked."""
        noise = self.subject.size - size_of(self.policy)
        share = f"for all noise in a box of probability {self.cfg.noise_share:g}" if noise else "whatever the noise"
        words = f"for every observation within {self.cfg.eps:g} of each number's range, {share}: {self.claim.words}"
        assumptions = [*self.claim.assumptions]
        if self.policy.cfg.prefix_horizon:
            assumptions.append("no action of the chunk is decided before it is drawn")
        if isinstance(self.claim, Robustness) and isinstance(self.subject, Coded):
            assumptions.append("the error does not change which code is drawn")
        precision = "float32" if isinstance(self.subject, Coded) else self.cfg.precision
        home = str(self.run.directory.absolute())
        return ClaimCertificate(
            VERSION, words, tuple(assumptions), METHOD, precision, to_json(self.cfg, {}), home, self.hashes, shown
        )
