"""A few trials of `python -m tests.campaigns.kills`: what a kill leaves is whole, and the command goes on from it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIAL = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.campaigns.kills.__main__ import trial, works
from tests.campaigns.kills.process import Kill
wanted = {work.name: work for work in works(Path(sys.argv[1]))}
for name, operation, signum, two in eval(sys.argv[2]):
    wrong = trial(wanted[name], Kill(operation, 0.0, signum), two=two)
    print(f"{name} {operation}: {wrong}" if wrong else "well", flush=True)
"""


def trials(folder, *chosen):
    """Run trials in a process of its own, which forks."""
    command = [sys.executable, "-c", TRIAL, str(folder), repr(chosen)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.splitlines() == ["well"] * len(chosen), done.stdout + done.stderr


@pytest.mark.long
def test_killed_collections(tmp_path):
    kill, stop = int(signal.SIGKILL), int(signal.SIGTERM)
    trials(tmp_path, ("collect", 4, kill, False), ("collect", 120, kill, True), ("collect on", 60, stop, False))


@pytest.mark.slow
def test_killed_trainings(tmp_path):
    kill = int(signal.SIGKILL)
    trials(tmp_path, ("train", 9, kill, False), ("train", 30, kill, False), ("train --resume", 20, kill, True))


@pytest.mark.slow
def test_killed_calibrations_and_evaluations(tmp_path):
    kill, stop = int(signal.SIGKILL), int(signal.SIGTERM)
    trials(tmp_path, ("calibrate gate again", 12, kill, False), ("calibrate tube again", 14, kill, False))
    trials(tmp_path, ("eval again", 14, kill, True), ("eval", 5, stop, False))
