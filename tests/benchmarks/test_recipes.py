"""What trials of recipes train: a plain training and one thing added, whatever the tasks of the comparison say."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.recipes import RECIPES, SEED, make_trials
from robolearn.bench.rows import ROWS, TASKS, choose
from robolearn.nets.mlp import MLPConfig


def requests(recipe, rows=("tokens", "flow"), **changed):
    tasks = [dataclasses.replace(task, train=dataclasses.replace(task.train, **changed)) for task in TASKS]
    trials = make_trials(tasks, choose("row", rows, ROWS), choose("recipe", [recipe], RECIPES), Path("runs"))
    return [unit.request() for *_, unit in trials]


def test_plain_is_plain_whatever_the_task_says():
    other = {"obs_noise": 0.3, "chunk_frame": "relative", "backbone": MLPConfig(dropout=0.4)}
    for request in [*requests("plain"), *requests("plain", **other)]:
        assert (request.backbone.dropout, request.obs_noise, request.chunk_frame) == (0, 0, "absolute")
        assert request.seed == SEED


@pytest.mark.parametrize(
    ("recipe", "dropout", "noise", "frame"),
    [
        ("dropout", 0.2, 0.0, "absolute"),
        ("noise", 0.0, 0.05, "absolute"),
        ("dropout-noise", 0.2, 0.05, "absolute"),
        ("decay", 0.0, 0.0, "absolute"),
        ("frame", 0.0, 0.0, "relative"),
        ("frame-dropout", 0.1, 0.0, "relative"),
        ("frame-noise", 0.1, 0.05, "relative"),
    ],
)
def test_a_recipe_changes_what_its_name_says_and_nothing_else(recipe, dropout, noise, frame):
    for request, plain in zip(requests(recipe), requests("plain"), strict=True):
        assert (request.backbone.dropout, request.obs_noise, request.chunk_frame) == (dropout, noise, frame)
        backbone = dataclasses.replace(request.backbone, dropout=0.0)
        undone = dataclasses.replace(request, backbone=backbone, obs_noise=0.0, chunk_frame="absolute")
        assert dataclasses.replace(undone, weight_decay=plain.weight_decay) == plain
        assert (request.weight_decay != plain.weight_decay) == (recipe == "decay")


def test_no_two_trials_share_a_directory():
    trials = make_trials(list(TASKS), list(ROWS), list(RECIPES), Path("runs"))
    assert len({unit.directory for *_, unit in trials}) == len(trials)
