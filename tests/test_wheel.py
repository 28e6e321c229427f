"""The wheel, installed where nothing else is, does everything without a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["flow", "mlp", "--backbone.width", "16", "--backbone.depth", "1", "--batch-size", "8", "--warmup-steps", "2"]
QUIET = ["--no-wandb", "--device", "cpu"]
AGENT = """
from pathlib import Path
import numpy as np
import robolearn as rl
print(rl.Agent(Path("run")).act({"state": np.zeros(4)}).shape)
"""


def call(*command, cwd):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
def test_an_installed_package_collects_trains_and_evaluates(tmp_path):
    wheels, folder = tmp_path / "wheels", tmp_path / "empty"
    folder.mkdir()
    for name in ("robolearn", "envs"):
        shutil.copytree(ROOT / name, tmp_path / "source" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", wheels, tmp_path / "source", cwd=tmp_path)
    call(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    scripts = tmp_path / "env" / "bin"
    (wheel,) = wheels.glob("*.whl")
    call(scripts / "pip", "install", "--constraint", ROOT / "constraints.txt", wheel, cwd=tmp_path)

    def robolearn(*arguments):
        return call(scripts / "robolearn", *arguments, cwd=folder)

    assert "calibrate" in robolearn("--help")
    robolearn("collect", "envs:robolearn/Avoid-v0", "--episodes", "6", "--out", "demos.zarr")
    assert "6 episodes" in robolearn("inspect", "demos.zarr")
    said = robolearn("train", *TINY, *QUIET, "--dataset.path", "demos.zarr", "--steps", "20", "--out", "run")
    assert "next: robolearn eval" in said
    robolearn("eval", "run", "--episodes", "4", "--videos", "1", "--device", "cpu")
    assert (folder / "run" / "eval" / "report.html").stat().st_size > 10_000
    assert list((folder / "run" / "eval" / "videos").glob("*.mp4"))
    assert call(scripts / "python", "-c", AGENT, cwd=folder) == "(2,)\n"
    assert "py.typed" in {path.name for path in tmp_path.glob("env/lib/python*/site-packages/robolearn/*")}
