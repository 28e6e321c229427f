"""Everything that needs a real GPU, in one command of at most nine minutes that prints JSON.

    python -m benchmarks.gpu [--parts NAME ...] [--out docs/results/gpu.json]
    python -m benchmarks.gpu --device cpu --dry-run          # the same code in a minute, without a GPU

Parts: what agrees with the CPU (grid), training that is saved and resumed (resume), bfloat16 and torch.compile
(precision, compile), steps per second (speed), the same of steps that are repeated from a recording, and whether they
train alike (capture), the time of one plan (latency), training from images and rolling out (images), and the tests
marked gpu (tests). A part that fails says why, the others go on, and the command exits with 1.
The file is written after every part.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import ACTION, ACTION_HORIZON, CPU, OBS_HORIZON, make_windows, options, untrained_policy
from robolearn import seeds
from robolearn.config import write_json
from robolearn.data.collect import collect
from robolearn.data.normalizer import Normalizer
from robolearn.data.windows import Windows
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.unet import UNetConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import BACKBONES, FAMILIES, BackboneConfig, FamilyConfig
from robolearn.report.facts import machine_facts
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.latency import time_calls
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from robolearn.training.assemble import assemble, open_demos
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.device import Processes, choose_device
from robolearn.training.fit import Hooks, Record, fit
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState
from robolearn.training.step import optimize

STATE = 20
# Of numbers of the size 1, in float32 with full precision of matrix products. Samplers with many steps multiply
# differences of rounding, and a draw at the edge between two codes falls to either side: so a share of rows.
LOSS_TOLERANCE, SAMPLE_TOLERANCE, SHARE = 1e-4, 2e-3, 0.95
ROWS = 64
SHORT_MIXTURE = MixtureConfig(num_observations=64, pairs=4, num_codes=8)  # the others begin without a teacher
IMAGE_TASK = "envs:robolearn/AvoidPixels-v0"

Report = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    steps: int = 600
    """Training steps behind a rate; a tenth of them are not timed."""
    calls: int = 100
    """Plans behind a latency."""
    image_episodes: int = 100
    image_steps: int = 1500
    rollouts: int = 40


DRY = Size(steps=20, calls=3, image_episodes=2, image_steps=10, rollouts=1)


class Clock(Hooks):
    """Notes what was logged, and when: a record waits for the device."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.times: list[float] = []

    def record(self, record: Record) -> None:
        """Note it."""
        if "steps_per_s" in record:
            self.records.append(record)
            self.times.append(time.perf_counter())

    def steps_per_s(self) -> float:
        """Rate after the first record."""
        return (self.records[-1]["step"] - self.records[0]["step"]) / (self.times[-1] - self.times[0])


def windows_of(device: torch.device) -> Windows:
    """Random demonstrations there."""
    return make_windows(STATE, device=device)


def shaken(policy: Policy) -> Policy:
    """With noise on its weights, as layers that start at zero hide mistakes."""
    for parameter in policy.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return policy


def train(state: TrainState, windows: Windows) -> Clock:
    """Run the loop to its end."""
    clock = Clock()
    fit(state, windows, None, Processes(windows.device), clock)
    return clock


def grid(device: torch.device, size: Size) -> Report:
    """Each family on each backbone: losses and samples as on the CPU, and some steps of training."""
    here, there, pairs = windows_of(CPU), windows_of(device), {}
    for family, backbone in itertools.product(FAMILIES, BACKBONES):
        cfg = SHORT_MIXTURE if family == "mixture" else FAMILIES[family]()
        policy = shaken(untrained_policy(cfg, BACKBONES[backbone](), state=STATE))
        pairs[f"{family}/{backbone}"] = compare(policy.eval(), device, here) | {
            "trains": train_briefly(untrained_policy(cfg, BACKBONES[backbone](), state=STATE), there)
        }
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


def to(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Move tensors."""
    return {key: value.to(device) for key, value in tensors.items()}


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


PRECISIONS: tuple[Literal["off", "on"], ...] = ("off", "on")
STEPPED: dict[str, tuple[FamilyConfig, BackboneConfig]] = {
    "flow/mlp": (FlowConfig(), MLPConfig()),
    "diffusion/unet": (DiffusionConfig(), UNetConfig()),
}
"""Whose training steps are timed."""
NETWORKS: tuple[Literal["lenet", "resnet18"], ...] = ("lenet", "resnet18")


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


COMPILED: dict[str, tuple[FamilyConfig, BackboneConfig]] = {
    "flow/mlp": (FlowConfig(), MLPConfig()),
    "gan/mlp": (GanConfig(), MLPConfig()),
}


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


def speed(device: torch.device, size: Size) -> Report:
    """Training steps per second at batch 256, beside the arithmetic that a step takes and what the card can do."""
    report: Report = {"matmul_bf16_tflops": matmul_tflops(device, size)}
    for name, (family, backbone) in STEPPED.items():
        for amp, compiles in itertools.product(PRECISIONS, (False, True)):
            windows = windows_of(device)
            cfg = TrainConfig(steps=size.steps, amp=amp, compile=compiles, log_every=max(1, size.steps // 10))
            state = TrainState(untrained_policy(family, backbone, state=STATE).to(device), cfg)
            flops = step_flops(state, windows)
            torch.compiler.reset()
            rate = train(state, windows).steps_per_s()
            label = f"{name}, {'bfloat16' if amp == 'on' else 'float32'}{', compiled' if compiles else ''}"
            report[label] = {"steps_per_s": rate, "gflop_per_step": flops / 1e9, "tflops": rate * flops / 1e12}
    return report | {"passed": True}


def capture(device: torch.device, size: Size) -> Report:
    """Steps per second at batch 256 as they are asked for and repeated from a recording, and what both end with.

    With torch.compile as well, whose results are others: there only the rates are compared.
    """
    report, differences = Report(), list[float]()
    kinds = list(itertools.product(STEPPED.items(), (False, True)))
    for (name, (family, backbone)), compiles in kinds if device.type == "cuda" else kinds[:1]:  # nothing is recorded
        weights, rates = list[torch.Tensor](), list[float]()
        for captures in (False, True):
            windows, log_every = windows_of(device), max(1, size.steps // 10)
            cfg = TrainConfig(steps=size.steps, amp="off", compile=compiles, capture=captures, log_every=log_every)
            state = TrainState(untrained_policy(family, backbone, state=STATE).to(device), cfg)
            torch.compiler.reset()
            rates.append(train(state, windows).steps_per_s())
            weights.append(torch.cat([p.detach().flatten() for p in state.ema.module.parameters()]))
        difference = float((weights[0] - weights[1]).abs().max())
        differences += [] if compiles else [difference]
        report[f"{name}{', compiled' if compiles else ''}"] = {
            "steps_per_s": rates[0],
            "captured_steps_per_s": rates[1],
            "largest_difference": difference,
        }
    return report | {"bit_for_bit": max(differences) == 0, "passed": max(differences) < 1e-5}


def image_speed(device: torch.device, size: Size) -> Report:
    """Training steps per second from images at batch 64, by both networks for cameras."""
    report: Report = {}
    for network, amp in itertools.product(NETWORKS, PRECISIONS):
        windows = make_image_windows(device)
        vision = VisionConfig(network=network)
        cfg = PolicyConfig(FlowConfig(), MLPConfig(), windows.obs_shapes, ACTION, 1, ACTION_HORIZON, vision=vision)
        policy = Policy(cfg, Normalizer({"action": (ACTION,)})).to(device)
        options = TrainConfig(
            steps=size.image_steps // 5, batch_size=64, amp=amp, log_every=max(1, size.image_steps // 50)
        )
        rate = train(TrainState(policy, options), windows).steps_per_s()
        report[f"{network}, {'bfloat16' if amp == 'on' else 'float32'}"] = {"steps_per_s": rate}
    return report | {"passed": True}


def make_image_windows(device: torch.device) -> Windows:
    """Random demonstrations of one camera."""
    generator = torch.Generator().manual_seed(seeds.FIXED)
    image = torch.randint(0, 256, (1000, 96, 96, 3), generator=generator, dtype=torch.uint8)
    actions = torch.rand(1000, ACTION, generator=generator) * 2 - 1
    return Windows({"image": image}, actions, list(range(100, 1001, 100)), 1, ACTION_HORIZON, device=device)


def step_flops(state: TrainState, windows: Windows) -> int:
    """Floating-point operations of matrix products and convolutions in one step."""
    probe = copy.deepcopy(state.policy)
    state = TrainState(probe, dataclasses.replace(state.cfg, amp="off", compile=False))
    index = torch.arange(state.cfg.batch_size, device=windows.device)
    with FlopCounterMode(display=False) as counter:
        optimize(state, probe, windows.batch(index), slice(None))
    return counter.get_total_flops()


def matmul_tflops(device: torch.device, size: Size) -> float:
    """What a large product of bfloat16 matrices reaches in the same run [TFLOP/s]."""
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b).sum().item()  # the first call chooses an algorithm
    with synchronized(device) as seconds:
        for _ in range(10):
            torch.mm(a, b)
    return 10 * 2 * side**3 / seconds[0] / 1e12


@contextmanager
def synchronized(device: torch.device) -> Iterator[list[float]]:
    """Seconds until the device is through with what was asked of it within."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds.append(time.perf_counter() - started)


@torch.inference_mode()
def latency(device: torch.device, size: Size) -> Report:
    """From one observation on the host to one chunk on the host, by the default U-Net and MLP, here and on the CPU."""
    report: Report = {}
    families = {
        "DDIM-10, unet": (DiffusionConfig(sampler="ddim", steps=10), UNetConfig()),
        "flow, mlp": (FlowConfig(), MLPConfig()),
    }
    for name, (family, backbone) in families.items():
        for where in dict.fromkeys((device, CPU)):
            policy = untrained_policy(family, backbone, state=STATE).to(where).eval()
            times = time_calls(
                functools.partial(plan, policy, torch.Generator(where).manual_seed(seeds.FIXED)), size.calls
            )
            report[f"{name}, {where.type}"] = times | {"nfe": policy.family.nfe}
    return report | {"passed": True}


def plan(policy: Policy, generator: torch.Generator) -> torch.Tensor:
    """One chunk on the host from one observation on the host."""
    obs = {"state": torch.zeros(1, OBS_HORIZON, STATE)}
    return policy.act(to(obs, policy.device), policy.family.noise(1, generator=generator)).cpu()


def images(device: torch.device, size: Size) -> Report:
    """Train on AvoidPixels from its scripted expert's demonstrations, and roll the policy out."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "avoid_pixels.zarr"
        collect(IMAGE_TASK, size.image_episodes, data)
        dataset = DatasetConfig((data,), obs_keys=("image", "state"), validation_fraction=0.0)
        cfg = TrainConfig(
            dataset=dataset,
            obs_horizon=1,
            steps=size.image_steps,
            batch_size=64,
            vision=VisionConfig(shift=0),
            log_every=max(1, size.image_steps // 10),
        )
        cfg, state, windows, _, facts = assemble(cfg, open_demos(cfg), device)
    clock = train(state, windows)
    started = time.perf_counter()
    trajectories = roll_out(
        state.ema.module,
        EnvConfig(IMAGE_TASK),
        range(size.rollouts),
        execution=Execution(cfg.exec_horizon),
        seed=seeds.ROLLOUTS.start,
    )
    seconds = time.perf_counter() - started
    summary = summarize(trajectories, num_modes=None, control_dt=facts.control_dt)
    return {
        "demonstrations": facts.num_episodes,
        "steps_per_s": clock.steps_per_s(),
        "losses": [clock.records[0]["loss"], clock.records[-1]["loss"]],
        "rollout_steps_per_s": sum(len(t.actions) for t in trajectories) / seconds,
        "success": None if summary.success is None else summary.success.value,
        "episodes": len(trajectories),
        "passed": clock.records[-1]["loss"] < clock.records[0]["loss"],
    }


def marked_tests(device: torch.device, size: Size) -> Report:
    """The tests that need a GPU; without one they skip, and say so."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-rs", "tests/gpu"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    lines = result.stdout.strip().splitlines() or [result.stderr.strip()]
    passed = result.returncode == 0 and (device.type != "cuda" or "skipped" not in lines[-1])
    return {"last_line": lines[-1], "tail": [] if passed else lines[-30:], "passed": passed}


PARTS: dict[str, Callable[[torch.device, Size], Report]] = {
    "grid": grid,
    "resume": resume,
    "precision": precision,
    "compile": compiling,
    "speed": speed,
    "capture": capture,
    "image_speed": image_speed,
    "latency": latency,
    "images": images,
    "tests": marked_tests,
}


def card(device: torch.device) -> str:
    """Name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def main() -> int:
    """Run the parts, write the file after each, print it; return the exit status."""
    parser = options(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    args = parser.parse_args()
    device = choose_device(args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    result: Report = {"card": card(device), **machine_facts(str(device)), "parts": {}}
    for name in args.parts:
        started = time.perf_counter()
        try:
            report = PARTS[name](device, DRY if args.dry_run else Size())
        except Exception:  # whatever it is, the other parts are worth their measurement
            report = {"passed": False, "error": traceback.format_exc().splitlines()[-12:]}
        result["parts"][name] = {**report, "seconds": round(time.perf_counter() - started, 1)}
        print(
            f"{name}: {'passed' if report['passed'] else 'FAILED'} in {result['parts'][name]['seconds']} s",
            file=sys.stderr,
        )
        if args.out:
            write_json(args.out, result)
    print(json.dumps(result, indent=1))
    return 0 if all(report["passed"] for report in result["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
