import json
import logging
import sys
import threading
import types
from pathlib import Path

import pytest

from robolearn.training import logger
from robolearn.training.logger import MetricsFile, WandbLogger, read_records


def test_records_beyond_the_step_and_cut_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "loss": 0.5}\n{"step": 3}\n{"step": 2, "x')
    metrics = MetricsFile(path, 2)
    metrics.log({"step": 3, "loss": 0.25})
    metrics.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records == [{"step": 1}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 0.25}]


def test_a_record_is_on_disk_at_once(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    metrics.log({"step": 1})
    assert list(read_records(tmp_path / "metrics.jsonl")) == [{"step": 1}]
    metrics.close()


def test_a_missing_file_has_no_records(tmp_path):
    assert list(read_records(tmp_path / "nothing")) == []


ODD = ["", "[1, 2]", "3", "null", '"text"', '{"loss": 1}', '{"step": NaN}', '{"step": "2"}', '{"step": true}', '{"st']


def test_odd_lines_are_no_records_and_stay_where_they_are(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        "\n".join(['{"step": 1}', *ODD, '{"step": 2, "validation_loss": NaN}', '{"step": 3}', '{"step": 4'])
    )
    assert [record["step"] for record in read_records(path)] == [1, 2, 3]
    MetricsFile(path, 2).close()
    assert path.read_text().split("\n") == ['{"step": 1}', *ODD, '{"step": 2, "validation_loss": NaN}', ""]


def test_a_kill_while_a_run_goes_on_costs_no_records(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        MetricsFile(path, 1)
    assert path.read_text() == '{"step": 1}\n'


class FakeRun:
    def __init__(self):
        self.records, self.finished = [], False

    def log(self, record, step):
        self.records.append((step, record))

    def finish(self):
        self.finished = True


def asks(key=None):
    raise AssertionError("asked for a key")


def credentials(logged_in, old=False):
    """Of Weights & Biases, which before 0.31 cannot log in without asking."""
    if old:
        return {"login": asks, "api": types.SimpleNamespace(api_key="key" if logged_in else None)}
    return {"login": lambda prompt, verify: logged_in and not prompt}


def fake_wandb(monkeypatch, init, logged_in=False, old=False):
    module = types.SimpleNamespace(init=init, Video=lambda path, **_: f"video {path}", **credentials(logged_in, old))
    monkeypatch.setitem(sys.modules, "wandb", module)


def start(tmp_path):
    return WandbLogger(tmp_path, project="p", name="n", config={"a": 1})


def raise_error(*_, **__):
    raise RuntimeError("no network")


@pytest.mark.parametrize(("logged_in", "mode"), [(False, "offline"), (True, "online")])
@pytest.mark.parametrize("old", [False, True])
def test_online_when_logged_in_otherwise_offline(tmp_path, monkeypatch, logged_in, mode, old):
    run, settings = FakeRun(), {}
    fake_wandb(monkeypatch, lambda **kwargs: settings.update(kwargs) or run, logged_in, old)
    monkeypatch.delenv("WANDB_MODE")
    wandb = start(tmp_path)
    wandb.log({"step": 3, "loss": 0.5})
    wandb.log({"step": 4, "loss": 0.25}, video=tmp_path / "v.mp4")
    wandb.close()
    assert run.records == [
        (3, {"loss": 0.5}),
        (4, {"loss": 0.25, "rollout/video": f"video {tmp_path / 'v.mp4'}"}),
    ]
    assert run.finished
    assert settings == {"mode": mode, "dir": str(tmp_path), "project": "p", "name": "n", "config": {"a": 1}}


def test_the_users_choice_of_mode_counts(tmp_path, monkeypatch):
    settings = {}
    fake_wandb(monkeypatch, lambda **kwargs: settings.update(kwargs) or FakeRun(), "key")
    monkeypatch.setenv("WANDB_MODE", "offline")
    start(tmp_path).close()
    assert settings["mode"] == "offline"


@pytest.mark.parametrize(("mode", "called"), [("disabled", []), ("offline", ["run"])])
def test_what_is_disabled_is_not_even_begun(tmp_path, monkeypatch, train_main, tiny_flags, demos, mode, called):
    names = []
    fake_wandb(monkeypatch, lambda **kwargs: names.append(kwargs["name"]) or FakeRun())
    monkeypatch.setenv("WANDB_MODE", mode)
    flags = [flag for flag in tiny_flags if flag != "--no-wandb"]
    train_main([*flags, "--dataset.path", str(demos), "--steps", "1", "--out", str(tmp_path / "run")])
    assert names == called


class BrokenRun(FakeRun):
    def log(self, record, step):
        raise OSError("No space left on device")


def hang_for_ever(**_):
    threading.Event().wait()


@pytest.mark.parametrize(
    ("init", "warning"),
    [
        (raise_error, "failed and is left out (no network)"),
        (lambda **_: BrokenRun(), "failed and is left out (No space left on device)"),
        (hang_for_ever, "did not finish"),
    ],
)
def test_a_run_goes_on_without_it(
    tmp_path, monkeypatch, caplog, train_main, tiny_flags, demos, read_metrics, init, warning
):
    fake_wandb(monkeypatch, init)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(logger, "FINISH_SECONDS", 0.2)
    monkeypatch.setattr(logger, "QUEUE_SIZE", 3)
    flags = [flag for flag in tiny_flags if flag != "--no-wandb"]
    out = tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        train_main([*flags, "--dataset.path", str(demos), "--steps", "8", "--out", str(out)])
    assert [r["step"] for r in read_metrics(out) if "loss" in r] == list(range(1, 9))
    assert [warning in record.getMessage() for record in caplog.records] == [True]


def test_it_may_not_even_be_installed(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    start(tmp_path).close()
    assert "Weights & Biases failed" in caplog.text
