import pytest

from robolearn.policies.policy import Policy
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
