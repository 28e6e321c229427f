"""Calibrate when a trained policy is not to be trusted: a gate, or a safety set, with a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from robolearn.config import checked
from robolearn.errors import warn
from robolearn.evaluation.calibrate_config import CalibrateConfig
from robolearn.files import StrPath, check_writable, remove
from robolearn.locks import hold
from robolearn.mapper import Mapper
from robolearn.policies.ensemble import Ensemble
from robolearn.report.counting import counting
from robolearn.rollout.clip_remarks import clip_problem, clip_remark
from robolearn.rollout.clipping import Clipped
from robolearn.rollout.kept import PARTS
from robolearn.rollout.known import check_known
from robolearn.rollout.trial import opened_trial
from robolearn.starts import judged
from robolearn.training.device import choose_device
from robolearn.training.embeddings import embed_demonstrations
from robolearn.training.run import Run
from robolearn.trust.calibrate import Rollouts, check_environment
from robolearn.trust.calibrated_set import check_position
from robolearn.trust.certificate import Certificate
from robolearn.trust.files import CERTIFICATE, describe_source, open_set, save_gate, save_set
from robolearn.trust.scores.fitted import fit_scores
from robolearn.trust.scores.registry import default_score, find_score
from robolearn.trust.sets import SafetySet
from robolearn.types import Trajectory


def calibrate(
    run: Run | StrPath,
    cfg: CalibrateConfig | None = None,
    *,
    trust: bool = False,
    console: Console | None = None,
    mapper: Mapper | None = None,
) -> Certificate:
    """Roll episodes out and set the threshold above which a run's policy is not trusted.

        certificate = calibrate(Path("runs/avoid"), CalibrateConfig(alpha=0.05, episodes=400))
        print(certificate.claim)
        report = evaluate(Path("runs/avoid"), EvalConfig(gate=True))

    The gate and its certificate go to RUN/gate; a safety set, the tube around what chunks are predicted to do, to
    RUN/tube. Episodes that had finished when it was stopped or killed lie in RUN/gate/parts, and are not rolled out
    again; what was calibrated before stays beside them.

    Args:
        run: Of `train`.
        cfg: What is calibrated, on which episodes, how the policy acts.
        trust: Make the environment that the run names, whatever module it is from.
        console: Where progress is shown; by default nowhere.
        mapper: Where episodes are rolled out, see `open_cluster`; by default here.

    Returns:
        What the certificate says: the claim, the episodes behind it, and the conditions under which it holds.

    Raises:
        UserError: The run, the environment, a score or an option does not fit, or too few episodes succeeded.
        OSError: The disk refuses.
    """
    run, cfg = run if isinstance(run, Run) else Run.open(run), checked(cfg or CalibrateConfig())
    if not trust:
        check_known(run.config().env, run.directory / "config.json", cfg.env)
    return _Calibration(run, cfg).certify(console or Console(quiet=True), mapper)


class _Calibration:
    """One calibration, opened."""

    def __init__(self, run: Run, cfg: CalibrateConfig):
        self.run, self.cfg, self.trained = run, cfg, run.config()
        checkpoints = run.members(cfg.checkpoint)
        self.ensemble = Ensemble.load(
            checkpoints, device=choose_device(cfg.device, threads=cfg.threads), **cfg.sampling
        )
        self.env = cfg.env.with_defaults(self.trained.env)
        self.execution = cfg.execution.with_defaults(self.trained.exec_horizon)
        self.source = describe_source(checkpoints, self.env, self.execution, cfg.sampling)
        self._check()

    def _check(self) -> None:
        """Find out before the work what the environment lacks for it."""
        cfg, policy, data = self.cfg, self.ensemble.cfg, self.run.data()
        with opened_trial(self.env, tuple(policy.obs_shapes)) as trial:
            if cfg.safety_set or cfg.within_set:
                check_environment(trial.envs, cfg.fallback)
            trial.fit(policy.obs_shapes, policy.action_dim, policy.images)
            if problem := clip_problem(self.env, data.action_low, data.action_high):
                warn(problem)

    def certify(self, console: Console, mapper: Mapper | None) -> Certificate:
        """Roll out, calibrate and write."""
        cfg, finished = self.cfg, []
        directory = self.run.directory / ("tube" if cfg.safety_set else "gate")
        with hold(directory), counting(cfg.num_rollouts, "calibrating", console) as count:

            def note(trajectory: Trajectory) -> None:
                finished.append(trajectory)
                count()

            check_writable(directory / CERTIFICATE)
            rollouts = Rollouts(
                self.ensemble,
                self.env,
                self.execution,
                self.source,
                cfg.seed,
                cfg.episodes,
                cfg.num_envs,
                cfg.fallback,
                note,
                mapper,
                directory / PARTS,
            )
            try:
                certificate = (self._save_set if cfg.safety_set else self._save_gate)(directory, rollouts)
            except KeyboardInterrupt:
                done = f"{len(finished)} of {cfg.num_rollouts} episodes had finished"
                warn(f"stopped: {done}; the same command goes on from there, what was calibrated before is as it was")
                raise
            remove(directory / PARTS)
        if remark := clip_remark(self.env, Clipped.from_trajectories(judged(finished))):
            warn(remark)
        return certificate

    def _save_set(self, directory: Path, rollouts: Rollouts) -> Certificate:
        cfg = self.cfg
        check_position(self.ensemble.cfg.obs_shapes, cfg.key, cfg.position)
        return save_set(directory, rollouts.calibrate_set(cfg.key, cfg.position, cfg.alpha, cfg.rounds))

    def _save_gate(self, directory: Path, rollouts: Rollouts) -> Certificate:
        cfg = self.cfg
        score = cfg.score or default_score(self.ensemble)
        acting, fitted = self._acting_set(), self._fit(score)
        calibration = rollouts.calibrate_gate(
            score, cfg.num_samples, cfg.alpha, cfg.beta, fitted, acting, band=cfg.band
        )
        return save_gate(directory, calibration, fitted)

    def _acting_set(self) -> SafetySet | None:
        if not self.cfg.within_set:
            return None
        seeds = range(self.cfg.seed, self.cfg.seed + self.cfg.episodes)
        return open_set(self.run.directory / "tube", self.source, seeds)[0].safety_set

    def _fit(self, name: str) -> dict[str, nn.Module]:
        """What the score has to know of the demonstrations."""
        score = find_score(name)
        if not score.fit:
            return {}
        embedded: Any = embed_demonstrations(self.trained, self.run.data(), self.ensemble, score.num_windows)
        return fit_scores([name], *embedded, seed=self.trained.seed)
