"""A fixed part of the campaign of broken inputs: refused in one line, or nothing of meaning was broken."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_part_of_the_campaign(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.campaigns.broken_inputs",
        "--number",
        "25",
        "--out",
        str(tmp_path / "out.json"),
    ]
    kinds = ["--kinds", "store", "zip", "checkpoint", "gate"]
    done = subprocess.run([*command, *kinds], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())["seeds"]["0"]
    assert found["failing"] == []
    assert found["total"]["refused"] > 40
