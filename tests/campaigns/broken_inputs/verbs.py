"""Runs and what came of them, given to the verbs that deploy, compare and hold out."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robolearn.commands.main import main as cli
from robolearn.evaluation import compare as comparing
from tests.campaigns.broken_inputs.mutations import Rng, break_bytes, break_document
from tests.campaigns.broken_inputs.runs import COUNTS, LAST, NUMBERS, REALS, Checkpoint, Flags, train
from tests.campaigns.broken_inputs.subjects import write_store
from tests.campaigns.broken_inputs.transfers import break_file, drop
from tests.campaigns.kills.training import CPU
from tests.campaigns.kills.work import ENV


class Deployed(Checkpoint):
    """A deployed policy that is checked."""

    name = "deployed"

    def make(self) -> None:
        """Train and deploy; the run is out of reach then."""
        write_store(self.folder / "store.zarr")
        train(self.folder / "store.zarr", self.folder / "run")
        from robolearn.deploy import check

        check.TIMED = 2
        cli(["deploy", str(self.folder / "run"), "--out", str(self.base), "--steps", "1"])
        (self.folder / "run").rename(self.folder / "moved")

    def mutate(self, target: Path, rng: Rng) -> str:
        """A file."""
        files = sorted(path for path in target.iterdir() if path.is_file())
        path = files[int(rng.integers(len(files)))]
        return f"{path.name}: {break_file(path, rng)}" if rng.random() < 0.5 else break_bytes(path, rng)

    def run(self, target: Path) -> Any:
        """Check it, and say what it found."""
        cli(["deploy", "--check", str(target)])
        comparison = json.loads((target / "check.json").read_text())
        return {name: comparison[name] for name in ("largest_difference", "actions", "actions_above", "compared_with")}


class Deploying(Checkpoint):
    """A run that is deployed."""

    name = "deploy"
    files: ClassVar[tuple[str, ...]] = (*Checkpoint.files, "config.json", "data.json", "metrics.jsonl")

    def run(self, target: Path) -> Any:
        """Deploy it."""
        from robolearn.deploy import check

        check.TIMED = 2
        out = self.folder / "out"
        drop(out)
        cli(["deploy", str(target), "--out", str(out), "--steps", "1"])
        comparison = json.loads((out / "check.json").read_text())
        drop(out)
        return comparison["actions_above"]

    def left(self) -> list[str]:
        """What a refusal left behind."""
        return sorted(path.name for path in self.folder.glob("out*"))


# In the target, where nothing of the machine can be overwritten.
PATHS = (
    "{target}/config.json",
    "{target}/config.json/x",
    "{target}/checkpoints",
    "{target}/fifo",
    "{target}/\x1b[2J/x",
)
OUTS = PATHS[:-1]
WORDS = ("", "text", "99", "-1", "../..", "\x1b[2J", "9" * 30)
ENV_IDS = ("", "text", ":", "os:x", "envs:nothing-v0", "a:b:c")
VERBS: dict[str, dict[str, tuple[str, ...]]] = {
    "import": {
        **dict.fromkeys(("--episodes", "--image-size"), COUNTS),
        "--cameras": ("", "text", "state", "none top"),
        "--out": OUTS,
        "FORMAT": ("", "text", "robomimic", "lerobot", "minari", "act", "d4rl", "adroit", "diffusion_policy"),
        "SRC": PATHS,
    },
    "export": {
        **dict.fromkeys(("--episodes", "--fps"), (*REALS, "0")),
        "--images": ("", "text", "png"),
        "--out": OUTS,
        "FORMAT": ("", "text", "npz", "d4rl", "adroit", "auto"),
        "STORE": PATHS,
    },
    "inspect": {
        "--env.id": ENV_IDS,
        "--env.obs": ("", "=", "state", "state=", "state=nothing", "state=observation[9]", "state=observation["),
        "--env.kwargs": ("", "x", "nothing 3"),
        "--env.max-episode-steps": COUNTS,
        "--html": OUTS,
        "STORE": PATHS,
    },
    "compare": {
        **dict.fromkeys(
            ("--max-episodes", "--num-envs", "--threads", "--a.steps", "--b.execution.exec-horizon"), COUNTS
        ),
        **dict.fromkeys(("--margin", "--alpha"), (*NUMBERS, "1", "2")),
        **dict.fromkeys(("--a.checkpoint", "--b.sampler"), WORDS),
        "--by": ("", "text", "return"),
        "--env.return-range": (*NUMBERS, "1 1", "2 1", "nan 1", "0 inf"),
        "--env.id": ENV_IDS,
        "--seed": REALS,
        "--out": tuple(path for path in OUTS if path != "{target}/checkpoints"),  # a folder will do
        "--b.fallback": ("text", "hold"),
        "RUN_B": PATHS,
    },
    "deploy": {
        **dict.fromkeys(("--samples", "--steps", "--exec-horizon", "--candidates"), COUNTS),
        **dict.fromkeys(("--checkpoint", "--sampler"), WORDS),
        "--tolerance": (*NUMBERS, "0"),
        "--ensembling": REALS,
        "--format": ("", "text", "pt2"),
        "--seed": REALS,
        "--out": OUTS,
        "--check": PATHS,
        "RUN": PATHS,
    },
    "heldout": {
        **dict.fromkeys(("--checkpoint", "--sampler"), WORDS),
        **dict.fromkeys(("--steps", "--threads"), COUNTS),
        "--device": ("gpu", "cuda:99", ""),
        "RUN": PATHS,
    },
}


class VerbFlags(Flags):
    """Options and paths, of verbs on files, that cannot be."""

    name = "flags of verbs"
    flags = VERBS

    def make(self) -> None:
        """Train a run, and save what is imported."""
        super().make()
        np.savez(self.folder / "demos.npz", state=np.zeros((9, 2)), action=np.zeros((9, 2)))

    def do(self, target: Path, command: str, flag: str, value: str) -> None:
        """Run the command with an option, or with another path in the place of one."""
        store, out, run = self.folder / "store.zarr", ("--out", str(target / "out")), str(target)
        whole = {
            "import": {"FORMAT": "npz", "SRC": str(self.folder / "demos.npz")},
            "export": {"FORMAT": "robomimic", "STORE": str(store)},
            "inspect": {"STORE": str(store)},
            "compare": {"RUN_A": run, "RUN_B": run},
            "deploy": {"RUN": run},
            "heldout": {"RUN": run},
        }[command]
        os.mkfifo(target / "fifo")
        value = value.replace("{target}", run)
        places = {**whole, flag: value} if flag in whole else whole
        more = () if flag in whole else (f"{flag}={value}",) if " " not in value else (flag, *value.split())
        fixed = () if flag == "--out" or command in ("inspect", "heldout") else out
        env = ("--env.id", ENV) if command == "inspect" and flag.startswith("--env.") and flag != "--env.id" else ()
        quick = ("--max-episodes", "2", "--num-envs", "2", "--env.max-episode-steps", "2", "--trust")
        few = quick if command == "compare" and flag not in quick else ()
        by = ("--by", "return") if flag == "--env.return-range" else ()
        cli([command, *places.values(), *fixed, *env, *few, *by, *more])

    def left(self) -> list[str]:
        """What a refusal left behind."""
        return []


class HeldOut(Checkpoint):
    """A run that is measured on what it held out."""

    name = "held out"
    files: ClassVar[tuple[str, ...]] = (*Checkpoint.files, "config.json", "data.json", "metrics.jsonl")

    def run(self, target: Path) -> Any:
        """Measure."""
        cli(["heldout", str(target), *CPU])
        return json.loads((target / "heldout.json").read_text())["loss"]


class Compared(Checkpoint):
    """Two runs that are compared, and a comparison that is gone on with."""

    name = "compare"

    def make(self) -> None:
        """Train one, copy it, begin a comparison."""
        write_store(self.folder / "store.zarr")
        train(self.folder / "store.zarr", self.base / "a")
        shutil.copytree(self.base / "a", self.base / "b", symlinks=True)
        with suppress(SystemExit):  # no verdict yet
            compare(self.base, 2)

    def mutate(self, target: Path, rng: Rng) -> str:
        """A file of B, or of the comparison."""
        names = ("a/config.json", f"b/{LAST}/policy.json", "b/config.json", "out/comparison.json", "out/pairs.jsonl")
        path = target / names[int(rng.integers(len(names)))]
        if path.suffix == ".json" and rng.random() < 0.6:
            return f"{path.parent.name}/{break_document(path, rng)}"
        return f"{path.parent.name}/{path.name}: {break_file(path, rng)}"

    def run(self, target: Path) -> Any:
        """Go on until there is a verdict."""
        compare(target, 40)
        told = json.loads((target / "out" / "comparison.json").read_text())
        return told["verdict"], told["difference"], told["pairs"]


def compare(folder: Path, pairs: int) -> None:
    """Compare without a page."""
    comparing.write_page = lambda path, comparison: None
    ask = ("--max-episodes", str(pairs), "--num-envs", "2", "--margin", "0.5", "--by", "score", "--trust")
    short = ("--env.max-episode-steps", "4", "--out", str(folder / "out"))
    cli(["compare", str(folder / "a"), str(folder / "b"), *ask, *short, *CPU])
