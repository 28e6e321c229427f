"""Compare the families: quality, coverage and speed on one backbone and one budget.

Ctrl-C keeps what is finished; the same command goes on from there. Several processes may share the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from tyro.conf import Positional, arg

from robolearn.bench.comparison import Comparison, is_store, own, published
from robolearn.bench.cost import keep_cost
from robolearn.bench.expert import ask_expert
from robolearn.bench.kept import NOTHING, Kept, pack, read_kept
from robolearn.bench.latency import measure_again
from robolearn.bench.results import result_files, write_results
from robolearn.bench.rows import ROWS, choose
from robolearn.bench.triangle import make_units, work
from robolearn.bench.unit import Unit
from robolearn.cluster import open_cluster
from robolearn.commands.flags import read_flags
from robolearn.commands.parsing import Cluster, build, mirror
from robolearn.commands.stopping import goes_on
from robolearn.errors import UserError
from robolearn.files import check_writable
from robolearn.mapper import Mapper
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.device import choose_device

What = Literal["triangle", "latency", "cost", "pack"]
JUDGED = ("id", "kwargs", "max_episode_steps", "timeout", "obs", "success_key", "stop_on_success", "clip")
Env = mirror(EnvConfig, JUDGED, doc="Environment for a store of your own.")


@dataclass(frozen=True)
class Options:
    """Options of a comparison."""

    what: Annotated[Positional[What], arg(metavar="{triangle,latency,cost,pack}")]
    """triangle trains and measures; latency measures that of finished rows again, for a quiet machine; cost measures
    what a training step of each row costs; pack puts what is finished into one file, KEPT."""
    task: tuple[str, ...] = ("avoid",)
    """Tasks, such as avoid."""
    rows: tuple[str, ...] = ()
    """Rows, such as flow diffusion; all by default."""
    seeds: tuple[int, ...] = ()
    """Training seeds; by default the first ones, as many as the task asks for: five or three."""
    budget: tuple[str, ...] = ("compute",)
    """compute, equal training compute; converged, three times as much."""
    data: Path = Path("datasets")
    """Folder that holds the demonstrations, one store per task; or a store of your own, which then is the task."""
    env: Env = field(default_factory=Env)
    steps: int | None = None
    """Training steps of the row flow on a store of your own, by default 18000; the others take as long."""
    runs: Path | None = None
    """Where runs and raw results go; by default runs/triangle, for a store of your own runs/bench."""
    kept: Path | None = None
    """Raw results in one file, which count where RUNS has none; by default what was published beside runs/triangle, and
    none beside other runs."""
    out: Path | None = None
    """Path, without suffix, of the .json, .md and .png that hold all results in runs, also earlier ones; by default
    docs/results/triangle, for a store of your own RUNS/TASK/results."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and sample; auto takes the GPU if there is one."""
    threads: int = 1
    """CPU threads; a process per core does more than a thread per core."""
    cluster: Cluster = None

    def comparison(self) -> Comparison:
        """Tasks and places: those of a store of one's own, or the published ones.

        Raises:
            UserError: An option belongs to the other kind.
        """
        if is_store(self.data):
            return own(self.data, build(self.env), self.steps, self.runs, self.kept, self.out)
        if build(self.env) != EnvConfig() or self.steps is not None:
            raise UserError("`env.id` and `steps` belong to a store of your own, `data` STORE; the tasks have theirs")
        return published(self.task, self.data, self.runs, self.kept, self.out)


def main(arguments: Sequence[str], prog: str) -> None:
    """Parse, do what is asked, and print the results."""
    given: Any = read_flags(Options, arguments, prog, __doc__)
    comparison, rows = given.comparison(), choose("row", given.rows, ROWS)
    kept = NOTHING
    if comparison.kept and (given.what != "pack" or comparison.kept.exists()):
        kept = read_kept(comparison.kept)
    units = make_units(comparison.tasks, rows, given.budget, given.seeds, comparison.runs, kept)
    device = choose_device(given.device, threads=given.threads)
    if given.cluster is not None and given.what != "triangle":
        raise UserError("`cluster` is for triangle; the others measure times on this machine, or only write")
    if given.what == "cost":
        for task, row in ((task, row) for task in comparison.tasks for row in rows):
            print(keep_cost(task, row, comparison.data, comparison.runs, device), flush=True)
    elif given.what == "pack":
        if comparison.kept is None:
            raise UserError("pack needs a file to write, `kept` FILE")
        print(f"{comparison.kept}: {pack(comparison.kept, comparison.runs, kept)} files")
    else:
        with open_cluster(given.cluster) as mapper:
            compare(given.what, comparison, units, kept, device, mapper)


def compare(
    what: What,
    comparison: Comparison,
    units: Sequence[Unit],
    kept: Kept,
    device: torch.device,
    mapper: Mapper | None = None,
) -> None:
    """Train and measure, or measure latency again; then write the results."""
    busy: Sequence[Unit] = []
    for file in result_files(comparison.out):
        check_writable(file)  # and not behind the trainings
    with goes_on(comparison.runs, "rows"):
        if what == "latency":
            for line in measure_again(units, device):
                print(line, flush=True)
        else:
            for task in comparison.tasks:
                ask_expert(task, comparison.data, comparison.runs, kept)
            busy = work(units, comparison.data, device, mapper)
    for unit in busy:
        print(f"{unit.name}: another process works on it")
    print(write_results(comparison.out, comparison.known, ROWS, comparison.runs, kept))
