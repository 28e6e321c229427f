import pytest

from robolearn.locks import HeldError, hold
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from tests.training.runs import FACTS


def test_a_run_is_not_overwritten_by_accident(run):
    with pytest.raises(ValueError, match="exists; choose another `out`, or give `overwrite`, or `resume`"):
        Run.create(run.directory, TrainConfig(), FACTS)


def written_everywhere(directory):
    """A file of each kind that a run, its evaluation and its calibration write."""
    names = [
        "metrics.jsonl",
        "heldout.json",
        "checkpoints/00000005/policy.json",
        "checkpoints/.00000006.part/train.safetensors",
        "config.json.part",
        "videos/step_00000005.mp4",
        "eval/episodes.jsonl",
        "eval/summary.json",
        "eval/report.html",
        "eval/videos/episode_0001.mp4",
        "eval/partial/episodes.jsonl",
        "eval/parts/budget-2/0000000.safetensors",
        "gate/gate.json",
        "gate/calibration.json",
        "gate/scores.safetensors",
        "gate/partial/summary.json",
        "gate/parts/0/0000032.safetensors",
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


def test_overwrite_leaves_everything_but_runs_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is no run, so `overwrite` leaves it alone"):
        Run.create(tmp_path, TrainConfig(overwrite=True), FACTS)
    assert (tmp_path / "thesis.tex").exists()
