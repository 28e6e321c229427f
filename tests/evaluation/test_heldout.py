"""A policy is compared with what was held out, in the actions' units, beside repeating the action before."""

import json

import numpy as np
import pytest
import torch

from robolearn.commands.main import main
from robolearn.data.attrs import StoreAttrs
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.evaluation import heldout
from robolearn.evaluation.heldout import HOLD, HOLD_STATE, POLICY, HeldOutErrors, compare_with_heldout
from robolearn.policies.policy import Policy
from robolearn.training.assemble import open_demos
from robolearn.training.run import Run


@pytest.fixture
def recorded(trained_pair):
    """The actions of each held-out episode."""
    run = Run.open(trained_pair)
    demos = Demos.open(run.config().dataset.path)
    return {i: demos.stores[0].episode(i).actions for i in run.data().validation_episodes}


def test_errors_are_those_of_the_next_action(trained_pair, recorded, monkeypatch):
    """A policy whose chunks begin with the same action always: its errors are known."""

    def sample(self, obs, n, *, generator):
        chunk = torch.arange(4.0)[:, None] + torch.tensor([0.5, -0.25])
        return chunk.expand(len(obs["state"]), n, 4, 2)

    monkeypatch.setattr(Policy, "sample", sample)
    heldout = compare_with_heldout(trained_pair)
    assert set(heldout.errors) == {POLICY, HOLD}
    assert heldout.episodes == tuple(recorded)
    for row, actions in enumerate(recorded.values()):
        wrong = np.abs(actions[1:] - np.array([0.5, -0.25])).mean(0)
        np.testing.assert_allclose(heldout.errors[POLICY][row], wrong, rtol=1e-5)
        np.testing.assert_allclose(heldout.errors[HOLD][row], np.abs(np.diff(actions, axis=0)).mean(0), rtol=1e-5)


def test_everything_is_kept_and_printed(trained_pair, capsys):
    main(["heldout", str(trained_pair), "--device", "cpu"])
    kept = json.loads((trained_pair / "heldout.json").read_text())
    printed = capsys.readouterr().out
    errors = np.array(kept["raw"]["policy"])
    assert kept["error"]["policy"]["value"] == pytest.approx(errors.mean())
    assert np.isfinite(kept["loss"]["value"])
    assert "action[0]" in printed
    assert f"{len(errors)} held-out episodes" in printed
    main(["heldout", str(trained_pair), "--device", "cpu"])
    assert json.loads((trained_pair / "heldout.json").read_text()) == kept


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        (("x", "y"), ["x", "y"]),
        (("x", "x"), ["action[0]", "action[1]"]),
        (("x",), ["action[0]", "action[1]"]),
        (("x", "y", "z"), ["action[0]", "action[1]"]),
    ],
)
def test_every_dimension_is_shown_however_the_store_names_them(trained_pair, monkeypatch, named, shown):
    demos = open_demos(Run.open(trained_pair).config())
    demos.attrs = StoreAttrs(names={"action": named})
    monkeypatch.setattr(heldout, "open_demos", lambda cfg: demos)
    compare_with_heldout(trained_pair)
    assert list(json.loads((trained_pair / "heldout.json").read_text())["dimensions"]) == shown


def test_demonstrations_that_have_changed_are_refused(tmp_path, write_demos, train_main, tiny_flags):
    """A first store that has grown moves the numbers of the second's episodes: others would count as held out."""
    stores = [str(write_demos(tmp_path / f"{name}.zarr", seed=seed)) for seed, name in enumerate("ab")]
    run = tmp_path / "run"
    train_main([*tiny_flags, "--dataset.path", *stores, "--steps", "1", "--out", str(run)])
    compare_with_heldout(run)
    DemoWriter.append_to(stores[0]).append(DemoStore.open(stores[0]).episode(0))
    with pytest.raises(UserError, match="not the demonstrations that the run was trained on"):
        compare_with_heldout(run)


def test_where_no_file_can_be_written_nothing_is_compared(trained_pair, monkeypatch):
    monkeypatch.setattr(heldout, "FILE", "config.json/heldout.json")
    monkeypatch.setattr(heldout, "_look_at", None)
    with pytest.raises(OSError, match=r"config\.json"):
        compare_with_heldout(trained_pair)


def test_the_difference_is_paired_by_episode():
    """Episodes differ by far more than the two do, and the interval of their difference does not show it."""
    base = np.linspace(1, 50, 12)[:, None] + np.zeros((12, 3))
    errors = {POLICY: base - 0.1, HOLD: base, HOLD_STATE: base + 1}
    heldout = HeldOutErrors(tuple(range(12)), ("x", "y", "z"), base[:, 0], errors)
    difference = heldout.difference()
    assert difference.value == pytest.approx(-0.1)
    assert difference.high < 0
    assert heldout.mean_error().high - heldout.mean_error().low > 10
    assert heldout.difference(HOLD_STATE).value == pytest.approx(-1.1)


def test_without_held_out_episodes(tmp_path, demos, train_main, tiny_flags):
    run = tmp_path / "all"
    flags = ["--dataset.validation-fraction", "0", "--dataset.path", str(demos), "--steps", "1", "--out", str(run)]
    train_main([*tiny_flags, *flags])
    with pytest.raises(UserError, match=r"no episodes were held out; train with `dataset\.validation_fraction` 0\.1"):
        compare_with_heldout(run)
