import pytest
import torch

from robolearn.policies.ensemble import Ensemble
from robolearn.policies.policy import Policy
from robolearn.training.embeddings import embed_demonstrations, training_windows
from robolearn.training.run import Run


@pytest.mark.parametrize("use", ["augment", "canonical"])
def test_the_environment_says_what_its_symmetry_is(tmp_path, train_main, tiny_flags, demos, use):
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(out)]
    train_main([*flags, "--symmetry", use])
    cfg = Policy.load(Run.open(out).checkpoint()).cfg
    assert cfg.symmetry_use == use
    assert cfg.symmetry.maps["action"].matrix == ((-1.0, 0.0), (0.0, 1.0))


def test_an_environment_without_symmetry(tmp_path, train_main, tiny_flags, write_demos):
    demos = write_demos(tmp_path / "demos.zarr", env_id="envs:robolearn/PushT-v0")
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(tmp_path / "run")]
    with pytest.raises(ValueError, match="PushT-v0 declares no symmetry; choose `symmetry` ignore"):
        train_main([*flags, "--symmetry", "augment"])


@pytest.mark.parametrize(
    "keys",
    [
        ["--dataset.obs", "state=state[2:]+state[:2]"],
        ["--dataset.obs", "velocity=state[2:]", "--dataset.obs-keys", "state", "velocity"],
    ],
)
def test_what_is_made_of_turned_numbers_is_refused(tmp_path, train_main, tiny_flags, demos, keys):
    """In another order they would be turned as others, and beside them they would not be turned at all."""
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(tmp_path / "run"), *keys]
    with pytest.raises(
        ValueError, match=r"`symmetry`: .* is made of state, and the symmetry of .* says how that turns"
    ):
        train_main([*flags, "--symmetry", "augment"])


def test_scores_are_fitted_to_what_the_expert_did_where_it_was_turned_to(tmp_path, train_main, tiny_flags, demos):
    """An observation in the standard position stands beside the chunk there, not beside the one that was recorded."""
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(out)]
    train_main([*flags, "--symmetry", "canonical"])
    run = Run.open(out)
    ensemble = Ensemble.load([run.checkpoint()])
    policy, windows = ensemble.members[0], training_windows(run.config(), run.data(), ensemble.members[0])
    embeddings, chunks = embed_demonstrations(run.config(), run.data(), ensemble, len(windows))
    recorded = windows.batch(torch.arange(len(windows)))
    turned = policy.turned(recorded, {})
    assert not torch.equal(turned.actions, recorded.actions)

    def rows(obs, actions):
        both = torch.cat([ensemble.embed(obs), ensemble.normalize(actions).flatten(1)], dim=1)
        return sorted(both.double().round(decimals=4).tolist())

    assert sorted(torch.cat([embeddings, chunks], dim=1).double().round(decimals=4).tolist()) == rows(
        turned.obs, turned.actions
    )
