"""On a device that is not the CPU nothing is mixed, and training and acting do not wait; see tests/pretend."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "pretend" / "waits.py"
UNDRAWN, TIMED = ("regression", "mip", "gp"), ("diffusion", "score", "flow", "flowmap")


def waits_of(*parts):
    """What waits, part by part; all in one process, which the device holds."""
    result = subprocess.run([sys.executable, SCRIPT, *parts], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    reports = json.loads(result.stdout)
    assert tuple(reports) == parts
    return reports


def check_backbone(report):
    assert len(report) == 12
    for family, seen in report.items():
        assert all(waits == {} for waits in seen["train"].values()), (family, seen["train"])
        # Observations go there, and noise and the times of all evaluations where there are some; a chunk comes back.
        assert seen["plan"] == {"copy": 2 + (family not in UNDRAWN) + (family in TIMED)}, family


def check_repeated(report):
    assert len(report) == 13
    assert all(waits == {} for seen in report.values() for waits in seen.values()), report
    assert report["mixture"].keys() == {"teacher", "codes", "policy"}
    assert report["by turns"].keys() == {"critic", "critic+policy"}


def check_extras(report):
    for case in ("images", "angles", "augment", "canonical", "prefix"):
        assert report[case] == {"policy": {}}, case
    assert report["plan of images"] == {"copy": 5}
    assert report["one score"] == report["four scores"] == {"copy": 7}
    # Conjugate gradients stop when they are through, which the host asks in each of at most ten iterations.
    assert 0 < report["cgd"]["policy"]["_local_scalar_dense"] <= 10


@pytest.mark.long
def test_what_waits():
    """Of steps and plans of every family on two backbones, of what a GPU would repeat, and of all else there may be."""
    reports = waits_of("mlp", "unet", "repeated", "extras")
    check_backbone(reports["mlp"])
    check_backbone(reports["unet"])
    check_repeated(reports["repeated"])
    check_extras(reports["extras"])


@pytest.mark.slow
def test_what_waits_on_other_backbones():
    for report in waits_of("transformer", "lstm").values():
        check_backbone(report)
