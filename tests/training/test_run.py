import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from robolearn.config import from_json, to_json
from robolearn.data.demos import Demos
from robolearn.evaluation.config import EvalConfig
from robolearn.files import BEGUN
from robolearn.locks import LOCK_FILE
from robolearn.policies.flow import FlowConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import REGISTRY
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.run import Run
from robolearn.training.session import Session
from robolearn.training.state import TrainState
from tests.training.runs import FACTS, save_at

DT = [-1, 0, float("inf"), float("nan"), [0.1], "0.1", True, None]


def names(run):
    return sorted(p.name for p in run.checkpoints.iterdir())


def test_configuration_and_facts_come_back(run):
    again = Run.open(run.directory)
    assert again.config() == TrainConfig(wandb_id=again.config().wandb_id)
    assert again.config().wandb_id
    assert again.data() == FACTS


def test_text_is_a_path_everywhere(tmp_path, run, state, demos):
    text = str(run.directory)
    assert Run(text).directory == Run.open(text).directory == run.directory
    with pytest.raises(ValueError, match="exists; choose another `out`"):
        Run.check_free(text, overwrite=False)
    assert Run.create(str(tmp_path / "other"), TrainConfig(), FACTS).directory == tmp_path / "other"
    state.ema.module.save(str(tmp_path / "policy"))
    assert Policy.load(str(tmp_path / "policy")).cfg == state.policy.cfg
    cfg = TrainConfig(
        dataset=DatasetConfig("a.zarr", cache_dir="cache"), out="runs/x", family=MixtureConfig(teacher_run="t")
    )
    paths = (
        DatasetConfig((Path("a.zarr"),), cache_dir=Path("cache")),
        Path("runs/x"),
        MixtureConfig(teacher_run=Path("t")),
    )
    assert (cfg.dataset, cfg.out, cfg.family) == paths
    assert EvalConfig(out="o").out == Path("o")
    assert len(Demos.open(str(demos)).stores) == 1
    again = from_json(TrainConfig, to_json(cfg, REGISTRY), REGISTRY)
    assert again == cfg


def test_the_bar_shows_no_number_before_there_is_one(run, state):
    def shown(session):
        console = Console(record=True, width=200, quiet=False, file=io.StringIO())
        console.print(session.bar.get_renderable())
        return console.export_text()

    with Session(run, state, FACTS) as session:
        assert "nan" not in shown(session)
        session.record({"step": 1, "loss": 0.25, "steps_per_s": 7.0})
        assert "loss 0.2500  7 steps/s" in shown(session)


def test_a_run_goes_on_in_the_named_run_of_weights_and_biases(tmp_path):
    assert Run.create(tmp_path / "named", TrainConfig(wandb_id="mine"), FACTS).config().wandb_id == "mine"


def test_the_newest_and_the_best_are_kept(run, state):
    save_at(run, state, 10, 20, 30, best=(10, 20))
    assert names(run) == ["00000020", "00000030", "best", "last"]
    assert run.checkpoint("last").resolve().name == "00000030"
    assert run.checkpoint("best").resolve().name == "00000020"
    assert run.best_step() == 20


def test_every_nth_is_kept(run, make_policy):
    state = TrainState(make_policy(FlowConfig()), TrainConfig(keep_every=20))
    save_at(run, state, 10, 20, 30, 40, 50)
    assert names(run) == ["00000020", "00000040", "00000050", "last"]


def test_a_checkpoint_holds_the_moving_average_and_no_pickle(run, state):
    state.ema.module.family.net.out.bias.data += 1
    save_at(run, state, 10)
    loaded = Policy.load(run.checkpoint())
    assert torch.equal(loaded.family.net.out.bias, state.ema.module.family.net.out.bias)
    files = sorted(p.name for p in run.checkpoint().iterdir())
    assert files == ["policy.json", "policy.safetensors", "train.json", "train.safetensors"]


@pytest.mark.parametrize("leftover", [".00000020.part", ".last.part", ".best.part", "00000020"])
def test_what_a_kill_left_behind_does_no_harm(run, state, leftover):
    save_at(run, state, 10, best=(10,))
    path = run.checkpoints / leftover
    if leftover in (".last.part", ".best.part"):
        path.symlink_to("00000020")
    else:
        shutil.copytree(run.checkpoint(), path)
        (path / "policy.safetensors").write_bytes(b"cut")
    Policy.load(run.checkpoint())
    save_at(run, state, 20)
    Policy.load(run.checkpoint())
    assert names(run) == ["00000010", "00000020", "best", "last"]


def test_restore_goes_on_from_the_last(run, state, make_policy):
    save_at(run, state, 10)
    other = TrainState(make_policy(FlowConfig(), seed=5), TrainConfig())
    run.restore(other)
    assert other.step == 10
    assert all(torch.equal(a, other.tensors()[name]) for name, a in state.tensors().items())


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-9])])
def test_a_damaged_state_is_named(run, state, damage):
    save_at(run, state, 10)
    damage(run.checkpoint() / "train.safetensors")
    with pytest.raises(ValueError, match=r"train\.safetensors: (damaged|no such file)"):
        run.restore(state)


@pytest.mark.parametrize("step", [-1, 0.5, 10.0, 1 << 32, 1e400, "10", True, None, [10], "absent"])
def test_an_absurd_step_is_named(run, state, step):
    save_at(run, state, 10)
    content = {} if step == "absent" else {"step": step}
    (run.checkpoint() / "train.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"train\.json: ") as caught:
        run.restore(state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(7, 7), (1,), (0,), ()])
def test_an_optimizer_state_of_another_shape_is_named(run, state, shape):
    save_at(run, state, 10)
    path = run.checkpoint() / "train.safetensors"
    player = next(iter(state.optimizers))
    save_file({**load_file(path), f"optimizer.{player}.0.exp_avg": torch.zeros(shape)}, path)
    with pytest.raises(ValueError, match=r"train\.safetensors: .*exp_avg does not fit its parameter"):
        run.restore(state)


@pytest.mark.parametrize("value", DT)
def test_a_control_step_that_cannot_be_is_refused_in_data_json(run, value):
    path = run.directory / "data.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "control_dt": value}))
    with pytest.raises(ValueError, match=r"control_dt") as caught:
        run.data()
    assert "\n" not in str(caught.value)


def test_a_state_of_another_policy_is_named(run, state, make_policy):
    save_at(run, state, 10)
    other = TrainState(make_policy(FlowConfig(), action_dim=3), TrainConfig())
    with pytest.raises(ValueError, match=r"train\.safetensors: .*not of this") as caught:
        run.restore(other)
    assert "\n" not in str(caught.value)


def test_an_unknown_checkpoint_lists_those_there_are(run, state):
    with pytest.raises(ValueError, match="has no checkpoint 'last'; it has: none"):
        run.checkpoint()
    save_at(run, state, 10, 20, best=(10,))
    assert run.checkpoint("20").name == "00000020"
    with pytest.raises(ValueError, match="no checkpoint '7'; it has: 00000010, 00000020, best, last"):
        run.checkpoint("7")


@pytest.mark.parametrize("stray", ["x.part", "00000020.part", "notes", "00000099"])
def test_stray_files_among_the_checkpoints_stay_and_stop_nothing(run, state, stray):
    (run.checkpoints / stray).write_text("mine")
    (run.checkpoints / "folder.part").mkdir()
    save_at(run, state, 10, 20)
    assert (run.checkpoints / stray).read_text() == "mine"
    assert (run.checkpoints / "folder.part").is_dir()
    assert run.last_step() == 20


def test_a_copy_without_links_goes_on(run, state, tmp_path):
    """cp -L, some archives and file systems turn the links into directories."""
    save_at(run, state, 10, best=(10,))
    copy = Run(shutil.copytree(run.directory, tmp_path / "copy", symlinks=False))
    assert (copy.last_step(), copy.best_step()) == (10, 10)
    save_at(copy, state, 20, best=(20,))
    assert names(copy) == ["00000020", "best", "last"]
    assert copy.best_step() == 20


def test_what_a_kill_left_of_the_beginning_is_no_run_and_in_nobodys_way(tmp_path):
    directory = tmp_path / "run"
    (directory / BEGUN).mkdir(parents=True)
    (directory / BEGUN / "config.json").touch()
    (directory / LOCK_FILE).touch()
    with pytest.raises(ValueError, match="is no run"):
        Run.open(directory)
    assert Run.create(directory, TrainConfig(), FACTS).data() == FACTS


def test_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is no run: it has no config\.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="it has: none"):
        Run.open(tmp_path).checkpoint()
