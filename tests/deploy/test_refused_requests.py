"""What cannot be deployed as asked is refused by name, before anything is written."""

import pytest

from robolearn.commands.main import main
from robolearn.deploy.directory import check_free
from robolearn.evaluation.config import DeployConfig
from robolearn.evaluation.deploy import deploy_run
from robolearn.files import BEGUN

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("flag", ["--gate", "--safety-set"])
def test_what_watches_over_a_policy_is_refused_by_name(run, capsys, flag):
    with pytest.raises(SystemExit):
        main(["deploy", str(run), flag])
    assert f"{flag}: a " in capsys.readouterr().err
    assert not (run / "deployed").exists()


def test_other_things_are_left_alone(run, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes exists and is no deployed policy; choose another `out`"):
        deploy_run(run, DeployConfig(out=tmp_path / "notes"))


def test_what_a_killed_deployment_left_is_in_nobodys_way(tmp_path):
    (tmp_path / "robot" / BEGUN).mkdir(parents=True)
    check_free(tmp_path / "robot")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tolerance", "inf"], "--tolerance inf must be above 0 and below 1"),
        (["--tolerance", "nan"], "--tolerance nan must be above 0"),
        (["--seed", "-1"], "--seed -1 must not be negative"),
        (["--samples", "0"], "--samples 0: each must be in 1.."),
        (["--checkpoint", "../.."], "has no checkpoint '../..'; it has: "),
        (["--checkpoint", ""], "has no checkpoint ''; it has: "),
        (["--threads-of-nothing", "1"], ""),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_written(run, tmp_path, capsys, flags, said):
    with pytest.raises(SystemExit) as end:
        main(["deploy", str(run), "--out", str(tmp_path / "robot"), *flags])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "robot").exists()


def test_a_missing_package_is_named(run, monkeypatch):
    monkeypatch.setattr("robolearn.deploy.directory.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"format onnx needs onnx and onnxruntime; pip install 'robolearn\[deploy\]'"):
        deploy_run(run)
