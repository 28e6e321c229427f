"""On a device that is not the CPU nothing is mixed, and training and acting do not wait; see tests/pretend."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "pretend" / "waits.py"
SLOW = pytest.mark.slow
UNDRAWN, TIMED = ("regression", "mip", "gp"), ("diffusion", "score", "flow", "flowmap")


def waits_of(part):
    result = subprocess.run(
        [sys.executable, SCRIPT, part], capture_output=True, text=True
    )  # the device holds a process
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.mark.parametrize("backbone", ["mlp", "unet", *(pytest.param(n, marks=SLOW) for n in ("transformer", "lstm"))])
def test_steps_and_plans_of_every_family(backbone):
    report = waits_of(backbone)
    assert len(report) == 12
    for family, seen in report.items():
        assert all(waits == {} for waits in seen["train"].values()), (family, seen["train"])
        # Observations go there, and noise and the times of all evaluations where there are some; a chunk comes back.
        assert seen["plan"] == {"copy": 2 + (family not in UNDRAWN) + (family in TIMED)}, family


def test_what_a_gpu_would_repeat():
    report = waits_of("repeated")
    assert len(report) == 13
    assert all(waits == {} for seen in report.values() for waits in seen.values()), report
    assert report["mixture"].keys() == {"teacher", "codes", "policy"}
    assert report["by turns"].keys() == {"critic", "critic+policy"}


def test_what_else_a_training_or_a_plan_has():
    report = waits_of("extras")
    for case in ("images", "angles", "augment", "canonical", "prefix"):
        assert report[case] == {"policy": {}}, case
    assert report["plan of images"] == {"copy": 5}
    assert report["one score"] == report["four scores"] == {"copy": 7}
    # Conjugate gradients stop when they are through, which the host asks in each of at most ten iterations.
    assert 0 < report["cgd"]["policy"]["_local_scalar_dense"] <= 10
