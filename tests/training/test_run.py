import shutil

import pytest
import torch

from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.training.config import TrainConfig
from robolearn.training.run import DataFacts, Run
from robolearn.training.state import TrainState

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
    assert again.config() == TrainConfig()
    assert again.data() == FACTS


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
    with pytest.raises(ValueError, match=r"train\.safetensors: damaged"):
        run.restore(state)


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
    with pytest.raises(ValueError, match="exists; choose another --out, or give --overwrite, or --resume"):
        Run.create(run.directory, TrainConfig(), FACTS)
    (run.directory / "old").touch()
    Run.create(run.directory, TrainConfig(overwrite=True), FACTS)
    assert not (run.directory / "old").exists()


def test_overwrite_leaves_everything_but_runs_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is no run, so --overwrite leaves it alone"):
        Run.create(tmp_path, TrainConfig(overwrite=True), FACTS)
    assert (tmp_path / "thesis.tex").exists()


def test_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is no run: it has no config\.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="it has: none"):
        Run.open(tmp_path).checkpoint()
