"""A fixed part of the campaign of broken inputs: refused in one line, or nothing of meaning was broken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(folder, number, *kinds):
    """How many cases are refused; all others come to what the whole one comes to."""
    out = folder / "out.json"
    command = [sys.executable, "-m", "tests.campaigns.broken_inputs", "--number", str(number), "--out", str(out)]
    done = subprocess.run([*command, "--kinds", *kinds], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(out.read_text())["seeds"]["0"]
    assert report["failing"] == []
    return report["total"]["refused"]


@pytest.mark.long
@pytest.mark.parametrize(("number", "least"), [(6, 9), pytest.param(25, 40, marks=pytest.mark.slow)])
def test_a_part_of_the_campaign(tmp_path, number, least):
    assert refused(tmp_path, number, "store", "zip", "checkpoint", "gate") > least


@pytest.mark.long
@pytest.mark.parametrize(("number", "least"), [(5, 2), pytest.param(15, 8, marks=pytest.mark.slow)])
def test_a_part_of_the_campaign_over_deployed_policies(tmp_path, number, least):
    assert refused(tmp_path, number, "deployed") > least


@pytest.mark.slow
def test_a_part_of_the_campaign_over_files_and_verbs(tmp_path):
    kinds = ("import", "export", "deploy", "held out", "compare", "flags of verbs")
    assert refused(tmp_path, 25, *kinds) > 60
