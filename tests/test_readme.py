"""Every command of the README and of the first guides runs, made short; one that is new has to be listed here."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FEW = "--episodes 20"
AVOID = "--env.id envs:robolearn/Avoid-v0"
SHORT_TRAINING = "--no-wandb --steps 20 --batch-size 16 --checkpoint-every 10"
# Enough for some episodes to succeed, of which calibration needs one.
SHORT_ENSEMBLE = "--no-wandb --num-members 2 --steps 400 --batch-size 64 --lr 3e-3 --warmup-steps 50 --ema-decay 0.98"

# Page -> its commands -> what makes each short here; None where it is tried in another way below.
COMMANDS: dict[str, dict[str, str | None]] = {
    "docs/install.md": {
        "python3 -m venv .venv": None,
        'python -m pip install -e ".[dev,pusht,robotics,formats,deploy,cluster,remote]" -c constraints.txt': None,
        "python -m robolearn collect envs:robolearn/Avoid-v0 --episodes 2000 --out datasets/avoid.zarr": FEW,
        "python train.py --recipe avoid --out runs/avoid": SHORT_TRAINING,
        "python eval.py runs/avoid": "--episodes 2 --videos 1",
        "python -m pytest": None,
    },
    "README.md": {
        "make run": None,
        "make test": None,
        "python -m robolearn import auto recordings --out my.zarr": None,  # the guide to formats runs imports
        "python -m robolearn inspect my.zarr": "",
        "python train.py diffusion unet --dataset.path my.zarr --out runs/mine --steps 50000": SHORT_TRAINING,
        "python train.py --resume runs/mine": "--steps 30",
        "python eval.py runs/mine --env.id my_package:my/Task-v0": f"{AVOID} --episodes 2 --videos 0",
        "python -m robolearn calibrate runs/mine --env.id my_package:my/Task-v0": None,  # so little never succeeds
        "python eval.py runs/mine --env.id my_package:my/Task-v0 --gate": None,
        "python -m robolearn deploy runs/mine --out robot": "--steps 2",
    },
    "docs/safety.md": {
        "python train.py cvae --num-members 5 --out runs/five": SHORT_ENSEMBLE,
        "python -m robolearn calibrate runs/five": "--episodes 60 --alpha 0.5",
        "python eval.py runs/five --gate": "--episodes 2 --videos 0",
        "python -m robolearn calibrate runs/five --safety-set --candidates 32 --rounds 5 --env.kwargs moved 0.06": (
            "--episodes 30 --candidates 4 --rounds 1"
        ),
        "python eval.py runs/five --safety-set --candidates 32 --env.kwargs moved 0.06": (
            "--episodes 2 --videos 0 --candidates 4"
        ),
    },
}


def commands_of(page: str) -> list[str]:
    blocks = re.findall(r"^    (\S.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    lines = [re.sub(r"\s+#.*", "", line).replace(".venv/bin/", "") for line in blocks]
    return [line for line in lines if line.split()[0] in ("make", "python", "python3")]


def make_lines(target: str) -> str:
    command = ["make", "--dry-run", "--always-make", target]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", COMMANDS)
def test_pages_show_the_commands_known_here(page):
    assert commands_of(page) == list(COMMANDS[page])


def test_make_does_what_is_shown_by_hand():
    by_hand = list(COMMANDS["docs/install.md"])
    for target, commands in (("run", by_hand[:-1]), ("test", by_hand[-1:])):
        made = make_lines(target).replace("--quiet --editable", "-e").replace("--constraint", "-c")
        for command in commands:
            assert command in made.replace(".venv/bin/", ""), f"make {target} lacks: {command}"


@pytest.mark.slow
def test_the_commands_run(tmp_path):
    """The whole tour, in an empty folder with the commands linked into it."""
    for name in ("train.py", "eval.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    for command, short in (item for page in COMMANDS.values() for item in page.items()):
        if short is None:
            continue
        arguments = [*shlex.split(command)[1:], *shlex.split(short)]
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if "collect" in command:
            (tmp_path / "my.zarr").symlink_to(tmp_path / "datasets" / "avoid.zarr")
    assert (tmp_path / "runs" / "avoid" / "eval" / "report.html").stat().st_size > 10_000
