import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from robolearn.config import from_json, read_json, to_json, write_json
from robolearn.data.demos import Demos
from robolearn.evaluation.config import EvalConfig
from robolearn.files import BEGUN
from robolearn.locks import LOCK_FILE, HeldError, hold
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy
from robolearn.policies.registry import REGISTRY
from robolearn.policies.regression import RegressionConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.run import DataFacts, Run
from robolearn.training.session import Session
from robolearn.training.state import TrainState

DT = [-1, 0, float("inf"), float("nan"), [0.1], "0.1", True, None]
FACTS = DataFacts("demos.zarr", "abc", 0.1, 4, 40, (1, 3))


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", TrainConfig(), FACTS)


@pytest.fixture
def state(make_policy):
    return TrainState(make_policy(FlowConfig()), TrainConfig())


def save_at(run, state, *steps, best=()):
    for state.step in steps:
        run.save(state, best=state.step in best)


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


@pytest.mark.parametrize("shape", [(7, 7), (1,), (0,)])
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


def test_a_run_is_not_overwritten_by_accident(run):
    with pytest.raises(ValueError, match="exists; choose another `out`, or give `overwrite`, or `resume`"):
        Run.create(run.directory, TrainConfig(), FACTS)


def written_everywhere(directory):
    """A file of each kind that a run, its evaluation and its calibration write."""
    names = [
        "metrics.jsonl",
        "checkpoints/00000005/policy.json",
        "checkpoints/.00000006.part/train.safetensors",
        "config.json.part",
        "videos/step_00000005.mp4",
        "eval/episodes.jsonl",
        "eval/summary.json",
        "eval/report.html",
        "eval/videos/episode_0001.mp4",
        "eval/partial/episodes.jsonl",
        "gate/gate.json",
        "gate/calibration.json",
        "gate/scores.safetensors",
        "gate/partial/summary.json",
        "tube/set.json",
        "tube/episodes.safetensors",
        "gate/.new/certificate.json",
        "members/1/run.json",
        "members/1/checkpoints/00000005/train.json",
        "wandb/offline-run-1/run-1.wandb",
        "wandb/debug.log",
    ]
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    (directory / "checkpoints" / "last").symlink_to("00000005")


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(run, tmp_path):
    written_everywhere(run.directory)
    precious = tmp_path / "precious"
    precious.mkdir()
    kept = ["notes.txt", "eval/thesis.tex", "checkpoints/00000005/mine.txt", "gate/videos/x.mp4", "data/policy.json"]
    for name in kept:
        (run.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (run.directory / name).touch()
    for name in ("summary.json", "step_00000001.mp4"):
        (precious / name).touch()
    (run.directory / "videos" / "step_00000001.mp4").symlink_to(precious / "step_00000001.mp4")
    (run.directory / "members" / "2").symlink_to(precious)
    before = run.config().wandb_id
    Run.create(run.directory, TrainConfig(overwrite=True), FACTS)
    files = {p.relative_to(run.directory).as_posix() for p in run.directory.rglob("*") if p.is_file()}
    assert files == {"config.json", "data.json", *kept}
    assert sorted(p.name for p in precious.iterdir()) == ["step_00000001.mp4", "summary.json"]
    assert (run.directory / "members" / "2").is_symlink()
    assert run.config().wandb_id != before


def test_overwrite_waits_for_nobody(run):
    (run.directory / "eval").mkdir()
    with hold(run.directory / "eval"), pytest.raises(HeldError, match="eval is being written by"):
        Run.create(run.directory, TrainConfig(overwrite=True), FACTS)


def test_a_link_is_not_overwritten(run, tmp_path):
    (tmp_path / "link").symlink_to(run.directory)
    with pytest.raises(ValueError, match="is a link, so `overwrite` leaves it alone"):
        Run.create(tmp_path / "link", TrainConfig(overwrite=True), FACTS)


@pytest.mark.parametrize(
    "content", ["{}", '{"version": 2}', '{"run_version": 9}', '{"run_version": true}', "[]", "no json"]
)
def test_overwrite_needs_the_version_of_a_run(tmp_path, content):
    """A config.json makes no run: many programs write one."""
    for name in ("config.json", "data.json"):
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        Run.create(tmp_path, TrainConfig(overwrite=True), FACTS)
    assert (tmp_path / "config.json").read_text() == content


@pytest.mark.parametrize("content", ['{"version": 2}', '{"version": true}', "[]", "no json"])
def test_a_damaged_record_of_an_older_run_makes_none(tmp_path, content):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        Run.create(tmp_path, TrainConfig(overwrite=True), FACTS)
    assert (tmp_path / "run.json").read_text() == content


def as_older(run, *, record=True):
    """Write a run down as it was before its configuration said all."""
    content = read_json(run.directory / "config.json")
    assert content.pop("run_version") == 2
    model = {name: content.pop(name) for name in ("family", "backbone", "wandb_id")}
    write_json(run.directory / "config.json", content)
    if record:
        write_json(run.directory / "run.json", {"version": 1, **model})


def test_an_older_run_is_read_and_renewed_when_it_goes_on(run):
    cfg = dataclasses.replace(run.config(), family=RegressionConfig(), backbone=LSTMConfig(width=24))
    run.write(cfg, FACTS)
    as_older(run)
    assert run.config() == cfg
    run.write(run.config(), FACTS)
    assert run.config() == cfg
    assert not (run.directory / "run.json").exists()


def test_a_run_of_before_frames_keeps_learning_actions_as_they_are(run):
    content = read_json(run.directory / "config.json")
    assert content.pop("chunk_frame") == "relative"
    assert content["backbone"].pop("dropout") is None
    write_json(run.directory / "config.json", content)
    assert run.config().chunk_frame == "absolute"
    assert run.config().backbone == MLPConfig(dropout=0.0)


def test_the_oldest_runs_tell_by_their_checkpoint_what_is_trained(run, state):
    save_at(run, state, 10)
    as_older(run, record=False)
    policy = state.policy.cfg
    assert (run.config().family, run.config().backbone) == (policy.family, policy.backbone)
    with pytest.raises(ValueError, match="is no run, so `overwrite` leaves it alone"):
        Run.check_free(run.directory, overwrite=True)


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


def test_overwrite_leaves_everything_but_runs_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is no run, so `overwrite` leaves it alone"):
        Run.create(tmp_path, TrainConfig(overwrite=True), FACTS)
    assert (tmp_path / "thesis.tex").exists()


def test_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is no run: it has no config\.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="it has: none"):
        Run.open(tmp_path).checkpoint()
