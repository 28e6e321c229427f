import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.bench.rows import BUDGETS, REFERENCE, ROWS, TASKS, Cost, choose
from robolearn.bench.unit import Unit
from robolearn.policies.family import Family
from robolearn.policies.flow import FlowConfig
from tests.bench.tiny import FLOW, TASK

TOKENS = choose("row", ["tokens"], ROWS)[0]


@given(st.integers(100, 50_000), st.floats(0.3, 20), st.floats(0, 0.5), st.sampled_from(sorted(BUDGETS)))
def test_steps_use_up_the_budget(steps, step_cost, start_share, budget):
    task = dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, steps=steps))
    row = dataclasses.replace(FLOW, cost=Cost(step_cost, start_share * steps))
    used = row.cost.start + row.cost.step * row.num_steps(task, budget)
    assert used == pytest.approx(BUDGETS[budget] * steps, abs=100 * step_cost)


def test_a_task_may_know_a_row_s_cost_better():
    row = dataclasses.replace(FLOW, cost=Cost(2.0))
    task = dataclasses.replace(TASK, train=dataclasses.replace(TASK.train, steps=1_000))
    assert row.num_steps(task, "compute") == 500
    assert row.num_steps(dataclasses.replace(task, costs={"flow": Cost(4.0, 200.0)}), "compute") == 200
    assert row.num_steps(dataclasses.replace(task, costs={"another": Cost(4.0)}), "compute") == 500


def test_the_reference_row_has_the_steps_of_the_task():
    reference = choose("row", [REFERENCE], ROWS)[0]
    for task in TASKS:
        assert reference.num_steps(task, "compute") == task.train.steps
        assert set(task.costs) | set(task.own) <= {row.name for row in ROWS}


def test_a_row_may_have_options_of_its_own():
    task = dataclasses.replace(TASK, own={"flow": {"draws_per_window": 8}})
    assert task.options(FLOW) == dataclasses.replace(TASK.train, family=FlowConfig(draws_per_window=8))
    assert task.options(TOKENS) == dataclasses.replace(TASK.train, family=TOKENS.family)
    assert Unit(task, FLOW, "compute", 0, Path("runs")).request().family == FlowConfig(draws_per_window=8)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_setting_is_valid(row, make_policy):
    names = [setting.name for setting in row.settings]
    assert len(set(names)) == len(names)
    for setting in row.settings:
        family: Family = make_policy(row.family).family
        family.reconfigure(**setting.runtime)


def test_names_are_unique_and_unknown_ones_listed():
    for entries in (TASKS, ROWS):
        assert len({entry.name for entry in entries}) == len(entries)
    assert choose("row", [], ROWS) == list(ROWS)
    assert [row.name for row in choose("row", ["flow", "regression"], ROWS)] == ["regression", "flow"]
    with pytest.raises(ValueError, match=r"unknown row 'nope'; choose from regression, .*flow"):
        choose("row", ["flow", "nope"], ROWS)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_langevin_is_a_way_to_sample_what_score_is_trained_to(task):
    """So that what is chosen for the one on a task is the other's too."""
    rows = {row.name: row for row in ROWS}
    assert task.options(rows["langevin"]) == task.options(rows["score"])
