"""What has to come out as on a CPU: losses and samples, resumed runs, bfloat16 and torch.compile."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.common import CPU, OBS_HORIZON, untrained_policy
from benchmarks.gpu.study import PRECISIONS, STATE, Clock, Report, Size, to, train, windows_of
from robolearn import seeds
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import BACKBONES, FAMILIES, BackboneConfig, FamilyConfig
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import fit
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState

# Of numbers of the size 1, in float32 with full precision of matrix products. Samplers with many steps multiply
# differences of rounding, and a draw at the edge between two codes falls to either side: so a share of rows.
LOSS_TOLERANCE, SAMPLE_TOLERANCE, SHARE = 1e-4, 2e-3, 0.95
ROWS = 64
SHORT_MIXTURE = MixtureConfig(num_observations=64, pairs=4, num_codes=8)  # the others begin without a teacher
COMPILED: dict[str, tuple[FamilyConfig, BackboneConfig]] = {
    "flow/mlp": (FlowConfig(), MLPConfig()),
    "gan/mlp": (GanConfig(), MLPConfig()),
}


def shaken(policy: Policy) -> Policy:
    """With noise on its weights, as layers that start at zero hide mistakes."""
    for parameter in policy.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return policy


def grid(device: torch.device, size: Size) -> Report:
    """Each family on each backbone: losses and samples as on the CPU, and some steps of training."""
    here, there, pairs = windows_of(CPU), windows_of(device), {}
    for family, backbone in itertools.product(FAMILIES, BACKBONES):
        cfg = SHORT_MIXTURE if family == "mixture" else FAMILIES[family]()
        one, other = (untrained_policy(cfg, BACKBONES[backbone](), state=STATE) for _ in range(2))
        # What a family takes from the demonstrations before its first step is there only then: without it `gp` has an
        # infinite loss.
        trains = train_briefly(one, here) and train_briefly(other, there)
        pairs[f"{family}/{backbone}"] = compare(shaken(one).eval(), device, here) | {"trains": trains}
    wrong = [name for name, pair in pairs.items() if not (pair["agrees"] and pair["trains"])]
    worst = {key: max(pair[key] for pair in pairs.values()) for key in ("loss_error", "sample_error")}
    tolerances = {"loss": LOSS_TOLERANCE, "sample": SAMPLE_TOLERANCE, "share_of_rows": SHARE}
    return {"pairs": pairs, "wrong": wrong, "worst": worst, "tolerances": tolerances, "passed": not wrong}


@torch.no_grad()
def compare(policy: Policy, device: torch.device, windows: Windows) -> Report:
    """Validation loss and samples of one policy here and there, from the same draws."""
    generator, other = torch.Generator().manual_seed(seeds.FIXED), copy.deepcopy(policy).to(device)
    batch = windows.batch(torch.arange(ROWS) * 50)
    draws = policy.validation_draws(ROWS, generator=generator)
    noise = policy.family.noise(ROWS, generator=generator)
    moved = dataclasses.replace(
        batch, obs=to(batch.obs, device), actions=batch.actions.to(device), mask=batch.mask.to(device)
    )
    one, two = policy.validation_loss(batch, draws), other.validation_loss(moved, to(draws, device)).cpu()
    chunks, others = policy.act(batch.obs, noise), other.act(moved.obs, noise.to(device)).cpu()
    error = (chunks - others).abs().flatten(1).amax(1)
    loss_error, share = (
        float((one - two).abs() / one.abs().clamp(min=1)),
        float((error < SAMPLE_TOLERANCE).float().mean()),
    )
    return {
        "loss_error": loss_error,
        "sample_error": float(error.quantile(SHARE)),
        "share": share,
        "agrees": loss_error <= LOSS_TOLERANCE and share >= SHARE,
    }


def train_briefly(policy: Policy, windows: Windows) -> bool:
    """Whether a few steps of every player leave finite weights; a loss that is not finite raises."""
    steps = 20 if isinstance(policy.cfg.family, MixtureConfig) else 4
    state = TrainState(policy.to(windows.device), TrainConfig(steps=steps, batch_size=16, warmup_steps=1, amp="off"))
    train(state, windows)
    return all(bool(p.isfinite().all()) for p in policy.parameters())


def resume(device: torch.device, size: Size) -> Report:
    """A run that is stopped and resumed ends as one that was not; its checkpoint loads and goes on on a CPU."""
    windows, facts = windows_of(device), DataFacts("random", "none", 0.1, 50, 5000, ())
    cfg = TrainConfig(steps=20, batch_size=64, warmup_steps=2, amp="off")
    whole, again = (
        TrainState(untrained_policy(FlowConfig(), MLPConfig(), state=STATE).to(device), cfg) for _ in range(2)
    )
    train(whole, windows)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", cfg, facts)
        half = TrainState(untrained_policy(FlowConfig(), MLPConfig(), state=STATE).to(device), cfg)
        half.cfg = dataclasses.replace(cfg, checkpoint_every=10)
        hooks = StopAt(run)
        fit(half, windows, None, Processes(device), hooks)
        run.restore(again)
        train(again, windows)
        policy = Policy.load(run.checkpoint("last"), device="cpu")
        here = windows_of(CPU)
        moved = TrainState(untrained_policy(FlowConfig(), MLPConfig(), state=STATE), cfg)
        run.restore(moved)
        on_cpu = train(moved, here)
    errors = [
        float((a - b).detach().abs().max())
        for a, b in zip(whole.policy.parameters(), again.policy.parameters(), strict=True)
    ]
    sampled = policy.sample({"state": torch.zeros(2, OBS_HORIZON, STATE)}, 3, generator=torch.Generator())
    goes_on = on_cpu.records[-1]["step"] == cfg.steps and bool(sampled.isfinite().all())
    return {
        "largest_difference": max(errors),
        "bit_for_bit": max(errors) == 0,
        "goes_on_on_cpu": goes_on,
        "passed": max(errors) < 1e-5 and goes_on,
    }


class StopAt(Clock):
    """Saves once, as a run that is killed soon after."""

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.saved = run, False

    def checkpoint(self, state: TrainState) -> None:
        """Save the first time only."""
        if not self.saved:
            self.run.save(state)
        self.saved = True


def precision(device: torch.device, size: Size) -> Report:
    """Flow on an MLP with and without bfloat16: both learn, to nearly the same loss."""
    losses = {}
    for amp in PRECISIONS:
        windows = windows_of(device)
        policy = untrained_policy(FlowConfig(), MLPConfig(), state=STATE).to(device)
        cfg = TrainConfig(steps=size.steps, amp=amp, warmup_steps=10, log_every=max(1, size.steps // 10))
        clock = train(TrainState(policy, cfg), windows)
        losses[amp] = [clock.records[0]["loss"], clock.records[-1]["loss"]]
    ratio = losses["on"][-1] / losses["off"][-1]
    return {"losses": losses, "ratio": ratio, "passed": abs(ratio - 1) < 0.1}


def compiling(device: torch.device, size: Size) -> Report:
    """The same training with and without --compile ends at nearly the same loss; how long compiling takes."""
    report: Report = {}
    for name, (family, backbone) in COMPILED.items():
        losses, seconds = [], []
        for compiles in (False, True):
            windows = windows_of(device)
            cfg = TrainConfig(steps=10, batch_size=64, warmup_steps=2, amp="off", compile=compiles, log_every=5)
            state = TrainState(untrained_policy(family, backbone, state=STATE).to(device), cfg)
            torch.compiler.reset()  # what was compiled before counts against the number of variants
            started = time.perf_counter()
            losses.append(train(state, windows).records[-1]["loss"])
            seconds.append(time.perf_counter() - started)
        report[name] = {
            "losses": losses,
            "seconds": seconds,
            "passed": abs(losses[0] - losses[1]) < 1e-2 * abs(losses[0]),
        }
    return report | {"passed": all(one["passed"] for one in report.values())}
