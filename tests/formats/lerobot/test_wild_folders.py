"""Folders as they are found, and any byte of any file changed."""

import json

import numpy as np
import pytest

from robolearn.errors import UserError
from tests.formats.lerobot.wild import intact, read, with_camera


def test_links_and_hidden_folders(make_set, tmp_path):
    """A cache keeps links to where the files are; a folder that leads back to itself is entered once."""
    made = make_set()
    root = made.write()
    (root / "data").rename(tmp_path / "elsewhere")
    (root / "data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(root)
    (root / ".cache").mkdir()
    (root / ".cache" / "episode_000009.parquet").write_text("half of it")
    intact(read(root)[0], made)


def test_any_bytes_changed(make_set, kit):
    """A flipped or cut-off file is refused in one line, or imported; it never ends in a traceback."""
    rng = np.random.default_rng(0)
    root = with_camera(make_set, kit, "v3.0", (3, 2)).write()
    outcomes = {"imported": 0, "refused": 0}
    for path in sorted(file for file in root.rglob("*") if file.is_file()):
        content = path.read_bytes()
        for _ in range(4):
            changed = bytearray(content)
            if rng.random() < 0.3:
                del changed[rng.integers(len(changed)) :]
            else:
                changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
            path.write_bytes(changed)
            try:
                read(root)
                outcomes["imported"] += 1
            except UserError:
                outcomes["refused"] += 1
            if (root.parent / "out.zarr").exists():
                (root.parent / "out.zarr").rename(root.parent / f"{sum(outcomes.values())}.zarr")
        path.write_bytes(content)
    assert min(outcomes.values()) >= 2, outcomes


def test_the_command_says_what_to_do(make_set, kit, capsys):
    from robolearn.commands.main import main

    root = with_camera(make_set, kit).write()
    next(root.rglob("*.mp4")).unlink()
    with pytest.raises(SystemExit):
        main(["import", "auto", str(root), "--out", str(root.parent / "x.zarr")])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--cameras none imports all 3 episodes without images" in error
    assert json.loads((root / "meta" / "info.json").read_text())["fps"] == 10
