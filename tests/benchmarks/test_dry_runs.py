"""Every benchmark has a dry run, which goes through all its code with tiny sizes; one that is new has to be listed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robolearn.config import read_json, write_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("ROBOLEARN_SHARED", ROOT.parent / "shared")) / "data"
# File or package -> what its dry run needs beside --dry-run, in the folder that `prepared` makes.
BENCHMARKS: dict[str, str] = {
    "cluster.py": "--run runs/avoid --out out.json",
    "compare.py": "--out out.json",
    "conformal.py": "--out out.json",
    "cores.py": "--cases flow/mlp --out out.json",
    "ddim_plan.py": "--out out.json",
    "deploy.py": "--out out.json",
    "doctor": "--out out.json",
    "doubt.py": "datasets/push.zarr --out out.json",
    "dynamics.py": "--out out.json",
    "ensembles.py": "--out out.json",
    "exact_scores.py": "--out out.json",
    "execution.py": "runs/avoid --out execution.json",
    "field.py": "--seeds 0 --out out.json --work field",
    "generation.py": "push datasets/push.zarr --out out.json",
    "gpu": "--device cpu",
    "growth": "summary calibration --figure growth.png --out out.json",
    "human.py": "pusht pusht.zarr --out out.json",
    "lecture.py": "--out out.json",
    "looks.py": "--picture looks.png --out out.json",
    "loader.py": "--store datasets/avoid.zarr --out out.json",
    "make_run.py": "before --store datasets/avoid.zarr --out out.json",
    "padding_and_rates": "run --out out",
    "perception.py": "--dataset datasets/avoid_pixels.zarr --out out.json",
    "planning.py": "--out out.json --work plans",
    "planning_ends.py": "--out out.json --work plans",
    "planning_rewards.py": "--out out.json --work plans",
    "pretraining": "avoid_pixels datasets/avoid_pixels.zarr --out out.json --work pretraining",
    "pretraining/told.py": "datasets/avoid_pixels.zarr --out out.json --work told",
    "products.py": "--out out.json",
    "pusht_replay.py": "pusht.zarr --out out.json",
    "recipes.py": "--task avoid --rows tokens flow --recipes plain dropout draws --out out.json",
    "replanning.py": "units/avoid-plain/flow/compute/99/run --settings euler-1 --out out.json",
    "rollout.py": "--out out.json",
    "safety": "run --workers 2",
    "simulator.py": "avoid datasets/avoid.zarr --out out.json",
    "small_data.py": "datasets/push.zarr --out out.json",
    "speed.py": "--out out.json",
    "stacked_seeds.py": "--seeds 2 --batch 2",
    "startup.py": "--out out.json",
    "symmetry.py": "--seeds 0 --out out.json",
    "take_over.py": "",
    "train_step.py": "--out out.json",
    "translation": "datasets/avoid_pixels.zarr datasets/avoid_pixels.zarr --seeds 0 --out out.json --work translation",
    "verify/agreement.py": "--out out.json",
    "verify/avoid.py": "--runs runs/verify --out out.json --figures .",
    "verify/growth.py": "--out out.json --figure growth.png",
    "verify/outside.py": "SHARED/verification/rl_benchmarks --out out.json",
    "verify/soundness.py": "--out out.json",
    "verify/policies.py": "--runs runs/verify --out out.json",
    "verify/closed_loop.py": "SHARED/verification/closed_loop --seconds 20 --out out.json --picture out.png",
    "video.py": "--out out.json",
    "world": "",
    "views.py": "--dataset datasets/avoid_pixels.zarr --out out.json",
    "world/aloha.py": "--out out.json",
    "world/g1.py": "SHARED/lerobot/v21_g1 --out out.json",
    "world/hdf5.py": "--out out.json",
    "world/lerobot.py": "--out out.json",
    "world/metaworld.py": "--out out.json",
    "world/trips.py": "--out out.json",
}
PACKAGES = {
    "cluster.py": "ray",
    "human.py": "gym_pusht",
    "world/aloha.py": "gym_aloha",
    "world/metaworld.py": "metaworld",
}
CAMPAIGNS = ("tests/campaigns/broken_inputs", "tests/campaigns/kills")
# What they share.
COMMON = (
    "avoid_read.py",
    "avoid_told.py",
    "common.py",
    "drawing.py",
    "growth/point.py",
    "peer.py",
    "planning_curves.py",
    "startup_probe.py",
    "tables.py",
    "trainings.py",
    "verify/avoid_drawing.py",
    "verify/avoid_starts.py",
    "verify/networks.py",
)
COMMON += ("world/aloha_task.py", "world/commands.py", "world/speeds.py")
# Those of a second or two.
QUICK = ("compare.py", "conformal.py", "exact_scores.py", "loader.py", "train_step.py")


def source(name: str) -> Path:
    path = ROOT / (name if name in CAMPAIGNS else f"benchmarks/{name}")
    return path if path.suffix else path / "__main__.py"


def calls_itself(path: Path) -> bool:
    return 'if __name__ == "__main__"' in path.read_text()


def command(name: str, arguments: str) -> list[str]:
    path = source(name).relative_to(ROOT).with_suffix("")
    module = ".".join(path.parts).removesuffix(".__main__")
    return [sys.executable, "-m", module, *arguments.split()]


def run(name: str, arguments: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}
    done = subprocess.run(command(name, arguments), cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{name} {arguments}\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    return done.stdout


def write_pusht(path: Path) -> None:
    """Episodes of Push-T in which nothing moves but the pusher, a little."""
    rng, episodes = np.random.default_rng(0), []
    for i in range(4):
        state = np.tile([200.0, 200.0, 300.0, 300.0, 0.5], (30, 1)).astype(np.float32)
        state[:, :2] += rng.uniform(-5, 5, (30, 2))
        episodes.append(Episode({"state": state}, state[:, :2] + 1, {"seed": i}))
    attrs = StoreAttrs(env_id="gym_pusht:gym_pusht/PushT-v0", control_dt=0.1, obs_keys=("state",))
    DemoWriter.create(path, attrs=attrs).extend(episodes)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with demonstrations of Avoid, AvoidPixels, Insert, Push and Push-T, and a run on Avoid."""
    folder = tmp_path_factory.mktemp("benchmarks")
    (folder / "train.py").symlink_to(ROOT / "train.py")
    (folder / "before").symlink_to(ROOT)
    write_pusht(folder / "pusht.zarr")
    for name, task in (("avoid", "Avoid"), ("avoid_pixels", "AvoidPixels"), ("insert", "Insert"), ("push", "Push")):
        made = ["collect", f"envs:robolearn/{task}-v0", "--episodes", "6", "--out", f"datasets/{name}.zarr"]
        subprocess.run([sys.executable, "-m", "robolearn", *made], cwd=folder, check=True, capture_output=True)
    tiny = "train.py flow mlp --steps 2 --batch-size 8 --backbone.width 16 --no-wandb --out runs/avoid"
    subprocess.run([sys.executable, *tiny.split()], cwd=folder, check=True, capture_output=True)
    unit = folder / "units/avoid-plain/flow/compute/99"
    unit.mkdir(parents=True)
    (unit / "run").symlink_to(folder / "runs/avoid")
    return folder


def test_every_benchmark_is_listed():
    there = {p.name for p in (ROOT / "benchmarks").glob("*.py") if p.name != "__init__.py"}
    there |= {p.parent.name for p in (ROOT / "benchmarks").glob("*/__main__.py")}
    for path in (ROOT / "benchmarks").glob("*/*.py"):
        if not path.name.startswith("__") and (path.parent.name in ("verify", "world") or calls_itself(path)):
            there.add(f"{path.parent.name}/{path.name}")
    assert there == {*BENCHMARKS, *COMMON}


@pytest.mark.parametrize("name", [*BENCHMARKS, *CAMPAIGNS])
def test_every_benchmark_offers_a_dry_run(name):
    """Read from the source: starting 17 Pythons takes longer than a test should."""
    assert re.search(r'"--dry-run"|options\(__doc__', source(name).read_text())


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_quick_dry_runs(name, tmp_path):
    arguments = BENCHMARKS[name].replace("--store datasets/avoid.zarr", "--store none.zarr")
    run(name, f"{arguments} --dry-run", tmp_path)
    assert (tmp_path / "out.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in (*BENCHMARKS, *CAMPAIGNS) if name not in QUICK])
def test_dry_runs(name, prepared):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    for needed in re.findall(r"SHARED/(\S+)", BENCHMARKS.get(name, "")):
        if not (SHARED / needed).exists():
            pytest.skip(f"{SHARED}/{needed} is not there")
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "docs" / "results").iterdir()}
    (prepared / "out.json").unlink(missing_ok=True)  # of another benchmark, which is not to be gone on with
    run(name, f"{BENCHMARKS.get(name, '').replace('SHARED', str(SHARED))} --dry-run", prepared)
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "docs" / "results").iterdir()} == before


@pytest.mark.slow
def test_a_study_that_is_complete_is_not_done_again(tmp_path):
    """The same numbers from the same runs; what is missing of them is measured again, without another training."""
    command = f"{BENCHMARKS['field.py']} --dry-run"
    run("field.py", command, tmp_path)
    kept = read_json(tmp_path / "out.json")
    weights = [(path, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*.safetensors"))]
    write_json(tmp_path / "out.json", {name: part for name, part in kept.items() if not name.endswith("dense")})
    run("field.py", command, tmp_path)
    again = read_json(tmp_path / "out.json")
    assert {name: part["episodes"] for name, part in again.items()} == {n: p["episodes"] for n, p in kept.items()}
    assert [(path, path.stat().st_mtime_ns) for path in sorted(tmp_path.rglob("*.safetensors"))] == weights


@pytest.mark.slow
def test_the_loader_opens_a_store(prepared):
    assert "open to first batch" in run("loader.py", f"{BENCHMARKS['loader.py']} --dry-run", prepared)
