"""Several recipes, each trained with several seeds, and what their policies reach from the same starts.

    OUT/RECIPE/SEED          a run, as of train, with its evaluation in eval/
    OUT/sweep.json           what came out, a row per recipe

What is finished is not done again, and what was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robolearn.config import checked, finite, first_difference, read_json, to_json, write_json
from robolearn.errors import UserError
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import describe_evaluation, evaluate
from robolearn.evaluation.sweep_config import SweepConfig
from robolearn.files import finish_replacing
from robolearn.mapper import Mapper, Needs
from robolearn.report.results import EPISODES_FILE, PAGE_FILE, SUMMARY_FILE
from robolearn.stats.bootstrap import grouped_mean, grouped_share
from robolearn.stats.value import Estimate
from robolearn.training.begun import check_begun_with
from robolearn.training.config import TrainConfig
from robolearn.training.device import choose_device
from robolearn.training.recipes import RECIPES
from robolearn.training.run import Run
from robolearn.training.signals import passed_on
from robolearn.training.train import train

FILE = "sweep.json"
NUMBERS = ("success", "max_score", "return")
LEARNING = ("steps", "batch_size", "lr", "weight_decay", "warmup_steps", "grad_clip", "ema_decay", "amp", "num_members")


@dataclass(frozen=True)
class SweepRow:
    """What a recipe reaches, with intervals over its trainings and the starts.

    Attributes:
        recipe: Its name.
        trainings: How many.
        numbers: success, where the environment tells of it; max_score, where there is one; and return.
    """

    recipe: str
    trainings: int
    numbers: dict[str, Estimate] = field(default_factory=dict)


def sweep(
    cfg: SweepConfig,
    *,
    trust: bool = False,
    mapper: Mapper | None = None,
    on_done: Callable[[str], Any] = lambda _: None,
) -> list[SweepRow]:
    """Train and evaluate what is missing, and compare.

        rows = sweep(SweepConfig(("avoid", "runs/mine"), seeds=(0, 1, 2)))

    Args:
        cfg: What.
        trust: Make the environments that data and runs name, whatever modules they are from.
        mapper: Where trainings run, see `open_cluster`; by default here, one after the other. All see the same folders.
        on_done: Called with the path of every run that is finished, also those that were finished before.

    Returns:
        A row per recipe, in their order.

    Raises:
        UserError: A recipe is unknown or is not the one of a run that is there, its data do not fit or have changed, an
            episode broke, or a machine does not see the folders.
        KeyboardInterrupt: Ctrl-C or a termination; checkpoints and what is finished are kept.
    """
    cfg = checked(cfg)
    device = choose_device(cfg.device, threads=cfg.threads)
    plans = [_plan(recipe, seed, cfg, device) for recipe in cfg.recipes for seed in cfg.seeds]
    evaluation = EvalConfig(episodes=cfg.episodes, videos=0, device=plans[0].device, threads=cfg.threads)
    check_begun_with([(Run(plan.out), plan.dataset.paths) for plan in plans if plan.out], "choose another `out`")
    missing = [plan for plan in plans if not _is_finished(plan, evaluation)]
    for plan in (plan for plan in plans if plan not in missing):
        on_done(str(plan.out))
    with closing(_work(missing, (evaluation, trust), mapper, Needs(cfg.threads, device.type == "cuda"))) as finished:
        for plan in finished:
            on_done(str(plan.out))
    count = len(cfg.seeds)
    rows = [_row(plans[i * count : (i + 1) * count], evaluation) for i in range(len(cfg.recipes))]
    write_json(Path(cfg.out) / FILE, finite({"config": to_json(cfg, {}), "rows": [to_json(row, {}) for row in rows]}))
    return rows


def _plan(recipe: str, seed: int, cfg: SweepConfig, device: torch.device) -> TrainConfig:
    """What is trained, and where."""
    if recipe in RECIPES:
        options = RECIPES[recipe]
    elif Run(recipe).exists():
        options = dataclasses.replace(Run.open(recipe).config(), wandb_id=None, overwrite=False)
    else:
        raise UserError(f"{recipe} is neither a recipe ({', '.join(RECIPES)}) nor a run")
    chosen: dict[str, Any] = {"steps": options.steps if cfg.steps is None else cfg.steps, "seed": seed, "wandb": False}
    location = {"out": Path(cfg.out) / Path(recipe).name / str(seed), "device": device.type, "threads": cfg.threads}
    plan = dataclasses.replace(options, **chosen, **location)
    _check_begun(plan)
    return plan


def _check_begun(plan: TrainConfig) -> None:
    """Refuse to take a run for what it is not; a training could go on with another learning rate, for example."""
    assert plan.out is not None
    run = Run(plan.out)
    if not run.exists():
        return
    before = run.config()
    try:
        plan.check_resumes(before)
    except UserError as error:
        raise UserError(f"{plan.out}: {error}") from None
    free = {f.name for f in dataclasses.fields(plan)} - {*LEARNING}
    if differs := first_difference(plan, before, {}, free):
        raise UserError(f"{plan.out}: {differs}; choose another `out`")


def _work(
    plans: Sequence[TrainConfig], common: tuple[EvalConfig, bool], mapper: Mapper | None, needs: Needs
) -> Generator[TrainConfig]:
    if mapper is None or not plans:
        for plan in plans:
            _reach(common, plan)
            yield plan
        return
    out = plans[0].out
    assert out is not None
    mapper.check_shared(Path(out).parents[1], {path for plan in plans for path in plan.dataset.paths})
    with closing(mapper.map(_reach, common, plans, needs)) as jobs:
        for number, _ in jobs:
            yield plans[number]


def _reach(common: tuple[EvalConfig, bool], plan: TrainConfig) -> None:
    """Train and evaluate, as far as that was not done before."""
    evaluation, trust = common
    assert plan.out is not None
    run = Run(plan.out)
    run.clear_unfinished()
    if not (run.exists() and run.is_complete()):
        with passed_on():
            run = train(plan, resume=run.exists(), trust=trust)
    evaluate(run, evaluation, trust=trust)


def _is_finished(plan: TrainConfig, evaluation: EvalConfig) -> bool:
    """Whether a run is evaluated, and its page drawn: that comes last, and shows what no file keeps of episodes."""
    assert plan.out is not None
    return _numbers(plan, evaluation) is not None and (Path(plan.out) / "eval" / PAGE_FILE).exists()


def _numbers(plan: TrainConfig, evaluation: EvalConfig) -> dict[str, list[Any]] | None:
    """Name -> a number of every episode of a complete evaluation like this one; None before there is one."""
    assert plan.out is not None
    run, folder = Run(plan.out), Path(plan.out) / "eval"
    finish_replacing(folder)
    if not (run.exists() and run.is_complete()):
        return None
    summary: Any = read_json(folder / SUMMARY_FILE) if (folder / SUMMARY_FILE).exists() else {"partial": True}
    if "partial" in summary or not _is_asked(run, evaluation, summary.get("evaluated", {})):
        return None
    records = [json.loads(line) for line in (folder / EPISODES_FILE).read_text("utf-8").splitlines()]
    if broken := next((one for one in records if one["broken"]), None):
        raise UserError(f"{folder}: episode {broken['episode']} is {broken['reason']}; a sweep needs all of them")
    return {name: [one[name] for one in records] for name in NUMBERS} if len(records) == evaluation.episodes else None


def _is_asked(run: Run, evaluation: EvalConfig, there: dict[str, Any]) -> bool:
    """Whether an evaluation says that it is the one asked for; others go to RUN/eval too. Older ones say less."""
    trained, checkpoint = run.config(), run.checkpoint(evaluation.checkpoint)
    env, execution = evaluation.env.with_defaults(trained.env), evaluation.execution.with_defaults(trained.exec_horizon)
    asked = describe_evaluation(evaluation, env, execution, checkpoint)
    return {**asked, **there} == asked


def _row(plans: Sequence[TrainConfig], evaluation: EvalConfig) -> SweepRow:
    evaluations = [numbers for plan in plans if (numbers := _numbers(plan, evaluation)) is not None]
    assert len(evaluations) == len(plans)
    assert plans[0].out is not None
    row = SweepRow(Path(plans[0].out).parent.name, len(plans))
    for name in NUMBERS:
        values = [numbers[name] for numbers in evaluations]
        if not any(value is None for one in values for value in one):
            table = np.array(values, float)
            row.numbers[name] = grouped_share(table, table.size) if name == "success" else grouped_mean(table)
    return row
