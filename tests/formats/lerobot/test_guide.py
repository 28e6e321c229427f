"""The guide's commands work as they stand there, on a small data set of the name that they give it."""

import json
import re
import shlex
from pathlib import Path

import numpy as np

from robolearn.commands.main import main
from robolearn.data.store import DemoStore

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "demonstrations.md"


def test_the_commands_of_the_guide(make_set, kit, tmp_path, monkeypatch):
    made = make_set("v3.0", (4, 3), name="my_lerobot_set")
    for camera in ("top", "wrist"):
        made.cameras[f"observation.images.{camera}"] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    made.write()
    monkeypatch.chdir(tmp_path)
    section = PAGE.read_text().partition("## From LeRobot")[2].partition("\n## ")[0]
    commands = re.findall(r"^ {4}python -m robolearn (.*)$", section, flags=re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        main(shlex.split(command))
    back = json.loads((tmp_path / "their_set" / "meta" / "info.json").read_text())
    assert back["features"]["observation.images.wrist"]["dtype"] == "image"
    keys = {name: DemoStore.open(f"{name}.zarr").attrs.obs_keys for name in ("my_set", "low_dim", "small")}
    assert keys == {"my_set": ("state", "top", "wrist"), "low_dim": ("state",), "small": ("state", "top")}
    assert DemoStore.open("kept.zarr").attrs.videos == ("top", "wrist")
    assert DemoStore.open("small.zarr").shapes["top"] == (96, 96, 3)
    np.testing.assert_array_equal(
        DemoStore.open("my_set.zarr").read("state"), DemoStore.open("low_dim.zarr").read("state")
    )
