"""The guide's commands, on small data of the names that it gives them; and a training on what they import."""

import re
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.formats.transfer import export_demos
from robolearn.types import Episode

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "demonstrations.md"
COMMAND = re.compile(r"^ {4}python -m robolearn (.*)$", flags=re.MULTILINE)


def store(path, camera):
    attrs = StoreAttrs(obs_keys=("state", camera), env_id="gymnasium:Pendulum-v1", control_dt=0.05)
    rng, episodes = np.random.default_rng(0), []
    for i in range(4):
        state = rng.normal(size=(12, 3)).astype(np.float32)
        images = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
        episodes.append(Episode({"state": state, camera: images}, state[:, :1], {"seed": i}))
    DemoWriter.create(path, attrs=attrs).extend(episodes)
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder in which the commands of the guide were run, imports and exports."""
    folder = tmp_path_factory.mktemp("guide")
    given = {camera: store(folder / f"{camera}.zarr", camera) for camera in ("agentview_image", "top")}
    for name in ("low_dim.hdf5", "image.hdf5"):
        export_demos(given["agentview_image"], folder / name, "robomimic")
    export_demos(given["top"], folder / "sim_transfer_cube", "act")
    export_demos(given["top"], folder / "human-v2", "minari")
    export_demos(given["top"], folder / "replay", "diffusion_policy")
    shutil.make_archive(str(folder / "replay.zarr"), "zip", folder / "replay")
    (folder / "recordings").mkdir()
    state = np.random.default_rng(0).normal(size=(40, 3))
    for i in range(4):
        np.savez(folder / "recordings" / f"{i}.npz", state=state[10 * i : 10 * i + 10], action=state[:10, :1])
    with h5py.File(folder / "halfcheetah.hdf5", "w") as file:
        ends = np.arange(40) % 10 == 9
        file.update({"observations": state, "actions": state[:, :1], "rewards": state[:, 0], "timeouts": ends})
    patch = pytest.MonkeyPatch()
    with patch.context() as inside:
        inside.chdir(folder)
        text = PAGE.read_text()
        section = text[text.index("## From other formats") : text.index("## Look at it")]
        for command in COMMAND.findall(section):
            main(shlex.split(command))
    return folder


def test_the_commands_of_the_guide(imported):
    keys = {path.stem: DemoStore.open(path).attrs.obs_keys for path in sorted(imported.glob("*.zarr"))}
    assert keys["lift"] == keys["lift_small"] == ("state", "agentview_image")
    assert keys["cube"] == keys["umi"] == keys["door"] == ("state", "top")
    assert keys["cheetah"] == keys["mine"] == ("state",)
    assert keys["arm"] == ("agent_pos", "height")
    assert DemoStore.open(imported / "lift_small.zarr").shapes["agentview_image"] == (84, 84, 3)
    assert DemoStore.open(imported / "cheetah.zarr").num_episodes == 4
    assert DemoStore.open(imported / "lift_v2.zarr").encoding == "zarr v2, directory"
    assert (imported / "lift_act" / "episode_3.hdf5").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lift", "cube", "door", "umi", "cheetah", "mine"])
def test_training_needs_no_line_of_code(imported, tmp_path, train_main, tiny_flags, name):
    flags = ["--dataset.path", str(imported / f"{name}.zarr"), "--dataset.obs-keys", "state"]
    train_main([*tiny_flags, *flags, "--steps", "2", "--out", str(tmp_path / "run")])
    assert (tmp_path / "run" / "config.json").is_file()


@pytest.mark.slow
def test_what_minari_names_is_evaluated(imported, tmp_path, train_main, eval_main, tiny_flags, capsys):
    run = tmp_path / "run"
    flags = ["--dataset.path", str(imported / "door.zarr"), "--dataset.obs-keys", "state", "--steps", "2"]
    train_main([*tiny_flags, *flags, "--out", str(run)])
    eval_main([str(run), "--episodes", "2", "--env.max-episode-steps", "6"])
    assert "return" in capsys.readouterr().out
