"""A mixture may take its teacher from a run."""

import pytest
import torch

from robolearn.policies.policy import Policy
from robolearn.training.run import Run

MIXTURE = ["mixture", "mlp", "--family.num-observations", "8", "--family.pairs", "2", "--family.num-codes", "4"]


@pytest.fixture
def flags(tiny_flags, demos):
    return [*tiny_flags[2:], "--dataset.path", str(demos)]


def test_one_command_trains_teacher_and_student(tmp_path, train_main, flags, read_metrics):
    out = tmp_path / "run"
    train_main([*MIXTURE, *flags, "--steps", "10", "--out", str(out)])
    losses = {name for record in read_metrics(out) for name in record if name.endswith("loss")}
    assert losses == {"teacher_loss", "codes_loss", "loss", "validation_loss"}


@pytest.mark.parametrize("dropout", ["0", "0.5"])
def test_a_resumed_student_is_the_same(tmp_path, train_main, flags, dropout):
    """Bit by bit: the samples of the teacher are drawn again."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = [*flags, "--backbone.dropout", dropout]
    train_main([*MIXTURE, *flags, "--steps", "10", "--out", str(whole)])
    command = [*MIXTURE, *flags, "--steps", "10", "--checkpoint-every", "9", "--keep-every", "9"]
    train_main([*command, "--out", str(parts)])
    (parts / "checkpoints" / "last").unlink()
    (parts / "checkpoints" / "last").symlink_to("00000009")
    train_main(["--resume", str(parts)])
    ours, theirs = (Policy.load(Run.open(run).checkpoint("10")).state_dict() for run in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_teacher_is_taken_from_a_run(tmp_path, train_main, flags, read_metrics):
    teacher, out = tmp_path / "teacher", tmp_path / "run"
    train_main(["score", "mlp", *flags, "--dataset.num-episodes", "3", "--steps", "3", "--out", str(teacher)])
    train_main([*MIXTURE, "--family.teacher-run", str(teacher), *flags, "--steps", "6", "--out", str(out)])
    losses = {name for record in read_metrics(out) for name in record if name.endswith("loss")}
    assert losses == {"codes_loss", "loss", "validation_loss"}
    theirs, ours = (Policy.load(Run.open(run).checkpoint()) for run in (teacher, out))
    for one, other in (
        (theirs.family.state_dict(), ours.family.teacher.state_dict()),
        (theirs.normalizer.state_dict(), ours.normalizer.state_dict()),  # of fewer episodes than the student's
    ):
        assert all(torch.equal(other[name], one[name]) for name in one)


def test_a_teacher_of_other_noise_levels_is_taken_with_them(tmp_path, train_main, flags):
    def levels(part):
        return [f"--{part}.sigma-min", "0.002", f"--{part}.sigma-max", "40"]

    teacher = tmp_path / "teacher"
    train_main(["score", "mlp", *flags, *levels("family"), "--steps", "1", "--out", str(teacher)])
    taken = [*MIXTURE, *flags, "--family.teacher-run", str(teacher), *levels("family.teacher")]
    train_main([*taken, "--steps", "2", "--out", str(tmp_path / "run")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flow", "mlp"], "expected a run of the family score"),
        (["score", "mlp", "--action-horizon", "5"], "its action_horizon is 5, here it is 4"),
        (["score", "mlp", "--prefix-horizon", "2"], "its prefix_horizon is 2, here it is 0"),
        (
            ["score", "mlp", "--family.sigma-max", "40"],
            r"its noise levels are 0.01 .. 40.0, here they are 0.01 .. 10.0; "
            "give --family.teacher.sigma-min 0.01 --family.teacher.sigma-max 40.0",
        ),
        (["score", "mlp", "--family.sigma-min", "0.002"], r"its noise levels are 0.002 .. 10.0"),
    ],
)
def test_a_teacher_that_does_not_fit(tmp_path, train_main, flags, arguments, message):
    teacher = tmp_path / "teacher"
    train_main([*arguments[:2], *flags, *arguments[2:], "--steps", "1", "--out", str(teacher)])
    with pytest.raises(ValueError, match=message):
        train_main([*MIXTURE, "--family.teacher-run", str(teacher), *flags, "--out", str(tmp_path / "run")])
    with pytest.raises(ValueError, match="is no run"):
        train_main([*MIXTURE, "--family.teacher-run", str(tmp_path), *flags, "--out", str(tmp_path / "run")])
