"""Runs that are broken: checkpoints, what they are resumed from, their files, gates and safety sets; and flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from safetensors.numpy import load_file

from robolearn.commands.main import main as cli
from robolearn.evaluation import evaluate as evaluation
from tests.campaigns.broken_inputs.mutations import Rng, break_bytes, break_document, break_tensors
from tests.campaigns.broken_inputs.subjects import Subject, write_store
from tests.campaigns.kills.training import CPU, eval_main, train_main
from tests.campaigns.kills.work import ENV

MODEL = ("flow", "mlp", "--backbone.width", "8", "--backbone.depth", "1", "--amp", "off", "--no-wandb")
SHORT = ("--obs-horizon", "1", "--action-horizon", "2", "--exec-horizon", "2", "--batch-size", "8")
OFTEN = ("--dataset.validation-fraction", "0.25", "--log-every", "1", "--checkpoint-every", "2", "--warmup-steps", "1")
LAST = "checkpoints/last"


def train(store: Path, out: Path, *more: str) -> None:
    """Two steps."""
    path = ("--dataset.path", str(store), "--out", str(out), "--steps", "2")
    train_main([*MODEL, *SHORT, *OFTEN, *path, *CPU, *more])


def evaluate(run: Path, *more: str) -> Any:
    """Two episodes without video or page; what happened in them."""
    evaluation.write_report = lambda path, report: path.write_text("page")
    evaluation.measure_latency = lambda *_, **__: {"p50_ms": 1.0}
    eval_main([str(run), "--episodes", "2", "--num-envs", "2", "--videos", "0", "--steps", "1", "--trust", *CPU, *more])
    return (run / "eval" / "episodes.jsonl").read_text()


class Checkpoint(Subject):
    """A policy that is evaluated. Flipped weights that stay finite are another policy, so none are flipped."""

    name = "checkpoint"
    env, dim, cut = ENV, 2, ()
    files: ClassVar[tuple[str, ...]] = (f"{LAST}/policy.json", f"{LAST}/policy.safetensors")

    def make(self) -> None:
        """Train a run."""
        write_store(self.folder / "store.zarr", self.env, self.dim)
        train(self.folder / "store.zarr", self.base, *self.cut)

    def mutate(self, target: Path, rng: Rng) -> str:
        """A file."""
        path = target / self.files[int(rng.integers(len(self.files)))]
        if path.suffix == ".safetensors":
            return break_tensors(path, rng) if rng.random() < 0.6 else break_around(path, rng)
        if path.suffix == ".jsonl" or rng.random() < 0.4:
            return break_bytes(path, rng)
        return break_document(path, rng)

    def run(self, target: Path) -> Any:
        """Evaluate."""
        return evaluate(target)


def break_around(path: Path, rng: Rng) -> str:
    """Break the head of a safetensors file, or its length: its numbers have no checksum."""
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    head = path.with_name("head")
    head.write_bytes(content[:size])
    said = break_bytes(head, rng)
    body = content[size:] if rng.random() < 0.7 else content[size : size + int(rng.integers(len(content) - size))]
    path.write_bytes((head.read_bytes() if head.exists() else b"") + body)
    head.unlink(missing_ok=True)
    return f"{path.name}: {said}, {len(body)} bytes of numbers"


class Resumed(Checkpoint):
    """A run that is gone on with."""

    name = "resumed run"
    files: ClassVar[tuple[str, ...]] = (
        f"{LAST}/train.json",
        f"{LAST}/train.safetensors",
        f"{LAST}/policy.json",
        "config.json",
        "data.json",
        "metrics.jsonl",
    )

    def run(self, target: Path) -> Any:
        """A third step."""
        train_main(["--resume", str(target), "--steps", "3", *CPU])
        weights = load_file(target / LAST / "policy.safetensors")
        data = json.loads((target / "data.json").read_text())
        return {
            "weights": {name: array.tobytes().hex() for name, array in weights.items()},
            "data": {name: data[name] for name in ("content_hash", "control_dt", "num_steps", "validation_episodes")},
        }


class RunFiles(Checkpoint):
    """The files of a run that is evaluated."""

    name = "run files"
    files: ClassVar[tuple[str, ...]] = ("config.json", "data.json", "metrics.jsonl")

    def run(self, target: Path) -> Any:
        """Evaluate; the results hold times, which depend on control_dt."""
        return evaluate(target), json.loads((target / "eval" / "summary.json").read_text())["summary"]


class Gate(Checkpoint):
    """A gate with a fitted score."""

    name = "gate"
    kind, use = ("--score", "laplace"), ("--gate", "--fallback", "hold")
    files: ClassVar[tuple[str, ...]] = tuple(
        f"gate/{name}" for name in ("certificate.json", "calibration.json", "scores.safetensors")
    )

    def make(self) -> None:
        """Train and calibrate."""
        super().make()
        few = ("--episodes", "24", "--num-samples", "2", "--steps", "1", "--trust")
        cli(["calibrate", str(self.base), *self.kind, *few, *CPU])

    def mutate(self, target: Path, rng: Rng) -> str:
        """Numbers too: everything is hashed."""
        if rng.random() < 0.3:
            return break_bytes(target / self.files[int(rng.integers(len(self.files)))], rng)
        return super().mutate(target, rng)

    def run(self, target: Path) -> Any:
        """Evaluate with it."""
        happened = evaluate(target, *self.use)
        gate = json.loads((target / "eval" / "summary.json").read_text())["gate"]
        return happened, {name: value for name, value in gate.items() if not name.endswith("_ms")}


class Tube(Gate):
    """A safety set."""

    name = "safety set"
    env, dim, cut = "envs:robolearn/Avoid-v0", 4, ("--env.max-episode-steps", "6")
    kind, use = ("--safety-set",), ("--safety-set", "--fallback", "hold")
    files: ClassVar[tuple[str, ...]] = tuple(
        f"tube/{name}" for name in ("certificate.json", "calibration.json", "episodes.safetensors")
    )


NUMBERS = ("-1", "nan", "inf", "-inf", "1e400", "", "text", "99999999999999999999999", "0x10", "-0.5", "\x1b[2J")
REALS = tuple(value for value in NUMBERS if not value.startswith("99"))  # a large one may be meant
COUNTS = (*NUMBERS, "0", "0.5", "1.5")
FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        **dict.fromkeys(("--steps", "--batch-size", "--obs-horizon", "--action-horizon", "--exec-horizon"), COUNTS),
        **dict.fromkeys(("--log-every", "--checkpoint-every", "--num-members", "--threads"), COUNTS),
        **dict.fromkeys(("--backbone.width", "--dataset.num-episodes", "--keep-every"), COUNTS),
        **dict.fromkeys(("--rollout-every", "--warmup-steps", "--prefix-horizon", "--seed"), NUMBERS),
        **dict.fromkeys(("--lr", "--weight-decay", "--grad-clip", "--ema-decay"), REALS),
        "--dataset.validation-fraction": (*NUMBERS, "1", "1.5"),
        "--dataset.obs-keys": ("", "text", "action2", "../state"),
        "--dataset.path": ("", "nowhere", "/", "/dev/null", "\x1b[2J"),
        "--dataset.angles": ("", "text", "state", "state:9", "state:-1", "state:x", "x:0"),
        "--env.id": ("", "text", ":", "os:x", "envs:nothing-v0", "a:b:c"),
        "--device": ("gpu", "cuda:99", ""),
        "--amp": ("maybe", ""),
    },
    "eval": {
        **dict.fromkeys(("--episodes", "--num-envs", "--steps", "--exec-horizon", "--candidates"), COUNTS),
        **dict.fromkeys(("--threads", "--env.max-episode-steps", "--env.timeout"), COUNTS[:-2]),
        **dict.fromkeys(("--seed", "--videos", "--budget", "--budgets", "--ensembling", "--delay"), REALS),
        **dict.fromkeys(("--checkpoint", "--sampler"), ("", "text", "99", "-1", "../..", "\x1b[2J", "²", "9" * 30)),
        "--env.id": ("", "text", ":", "os:x", "envs:nothing-v0", "a:b:c"),
        "--fallback": ("text", "", "hold", "watch"),
        "--out": ("/proc/x",),
        "--device": ("gpu", ""),
    },
    "calibrate": {
        **dict.fromkeys(("--episodes", "--num-samples", "--num-envs", "--candidates", "--steps"), COUNTS),
        **dict.fromkeys(("--threads", "--env.max-episode-steps", "--exec-horizon"), COUNTS),
        **dict.fromkeys(("--alpha", "--beta"), (*NUMBERS, "0", "1", "2")),
        "--seed": (*NUMBERS, "0", "100000"),
        "--rounds": NUMBERS,
        "--env.timeout": (*NUMBERS, "0"),
        **dict.fromkeys(("--score", "--key", "--checkpoint", "--sampler"), ("", "text", "-1", "\x1b[2J")),
        "--position": (*NUMBERS, "0 0", "0 9", "-1 0"),
        "--fallback": ("text", "watch", "replan", ""),
        "--env.id": ("", "text", ":", "os:x", "envs:nothing-v0"),
    },
}


class Flags(Subject):
    """Options out of their range."""

    name = "flags"
    flags = FLAGS

    def make(self) -> None:
        """Train a run."""
        write_store(self.folder / "store.zarr")
        train(self.folder / "store.zarr", self.base)

    def mutate(self, target: Path, rng: Rng) -> str:
        """Choose a command, an option and a value that it cannot have."""
        command = sorted(self.flags)[int(rng.integers(len(self.flags)))]
        flag = sorted(self.flags[command])[int(rng.integers(len(self.flags[command])))]
        values = self.flags[command][flag]
        value = values[int(rng.integers(len(values)))]
        (target / "asked").write_text(json.dumps([command, flag, value]))
        return f"{command} {flag} {value!r}"

    def run(self, target: Path) -> Any:
        """Run the command with it, by default well."""
        if not (target / "asked").exists():
            return "whole"
        command, flag, value = json.loads((target / "asked").read_text())
        (target / "asked").unlink()
        self.do(target, command, flag, value)
        return "accepted"

    def do(self, target: Path, command: str, flag: str, value: str) -> None:
        """Run the command with the option."""
        rollouts = ("--rollout-every", "1", "--rollout-episodes", "1") if flag == "--env.id" else ()
        given = [f"{flag}={value}"] if " " not in value else [flag, *value.split()]
        commands: dict[str, Callable[[], None]] = {
            "train": lambda: train(self.folder / "store.zarr", target / "out", "--trust", *rollouts, *given),
            "eval": lambda: evaluate(target, *given),
            "calibrate": lambda: self.calibrate(target, flag, *given),
        }
        commands[command]()

    def calibrate(self, target: Path, flag: str, *given: str) -> None:
        """A gate, or a safety set where the option is of one."""
        kind = ["--safety-set"] if flag in ("--rounds", "--key", "--position", "--fallback") else []
        few = ("--episodes", "24", "--num-samples", "2", "--trust")
        cli(["calibrate", str(target), *kind, *few, *CPU, *given])
