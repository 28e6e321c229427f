"""Evaluation and collection on two local nodes of Ray, beside two plain processes on the same cores.

    python -m benchmarks.cluster [--run runs/avoid] [--out docs/results/speed.json]

The two processes get the same jobs in the same way, but from a pool of Python's own: what they are faster is what Ray
costs. Both compute one thread per job. The first round, which imports, is not counted. Rounds take turns, so that a
busy machine slows both alike. Results are compared to the digit with those of one process, and at last a node is killed
in the middle. Without a run, an untrained policy is evaluated.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import keep_part, options, ratio, untrained_policy
from robolearn import seeds
from robolearn.cluster import AHEAD, CORES, open_cluster
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.errors import user_errors
from robolearn.mapper import Mapper, Needs
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.kept import KeptEpisodes
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.spread import Spread
from robolearn.training.run import Run
from robolearn.types import Trajectory

ENV = EnvConfig("envs:robolearn/Avoid-v0")
EXEC_HORIZON = 8
NODES = 2
NODE = {"num_cpus": 1, "object_store_memory": 256 << 20}


class Processes:
    """The mapper of two processes; nothing of theirs can be lost."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(NODES, multiprocessing.get_context("spawn"), initializer=one_core)
        list(self.pool.map(abs, range(NODES)))

    def places(self, needs: Needs) -> int:
        """See Mapper."""
        return NODES

    def check_shared(self, written: Path, read: Iterable[Path] = ()) -> None:
        """See Mapper; they are on one machine."""

    def map(self, function: Callable[[Any, Any], Any], common: Any, jobs: Iterable[Any], needs: Needs) -> ProcessJobs:
        """See Mapper."""
        return ProcessJobs(self.pool, pickle.dumps((function, common)), jobs)


class ProcessJobs:
    """See Jobs."""

    def __init__(self, pool: ProcessPoolExecutor, payload: bytes, jobs: Iterable[Any]):
        self.pool, self.payload, self.jobs = pool, payload, enumerate(jobs)
        self.running: dict[Future[Any], int] = {}
        self.begin()

    def begin(self) -> None:
        """As many as RayJobs has under way."""
        for number, job in islice(self.jobs, AHEAD * NODES - len(self.running)):
            self.running[self.pool.submit(call, self.payload, job)] = number

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self

    def __next__(self) -> tuple[int, Any]:
        if not self.running:
            raise StopIteration
        ended = next(iter(wait(self.running, return_when=FIRST_COMPLETED).done))
        number = self.running.pop(ended)
        self.begin()
        return number, ended.result()

    def close(self) -> None:
        """See Jobs."""
        self.jobs = enumerate(())
        wait([job for job in self.running if not job.cancel()])
        self.running = {}


def one_core() -> None:
    """What a worker of Ray is told too."""
    torch.set_num_threads(1)
    os.environ[CORES] = "1"


def call(payload: bytes, job: Any) -> Any:
    """Do a job."""
    function, common = pickle.loads(payload)
    return function(common, job)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--run", type=Path, help="evaluate its last checkpoint")
    parser.add_argument("--episodes", type=int, default=4000)
    parser.add_argument("--demonstrations", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    sizes = (8, 8, 1) if args.dry_run else (args.episodes, args.demonstrations, args.rounds)
    torch.set_num_threads(1)
    policy = Policy.load(Run.open(args.run).checkpoint("last")) if args.run else untrained_policy(FlowConfig()).eval()
    from ray.cluster_utils import Cluster

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster: Any = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        stack.callback(cluster.shutdown)
        second = cluster.add_node(**NODE)
        started = time.perf_counter()
        ray = stack.enter_context(open_cluster(cluster.address))
        assert ray is not None
        connect = time.perf_counter() - started
        processes = Processes()
        stack.callback(processes.pool.shutdown)
        study = Study(policy, folder, *sizes)
        results = {"connect_s": connect, **study.compare(processes, ray)}
        results["killed"] = study.kill(ray, lambda: cluster.remove_node(second, allow_graceful=False))
    print(f"connecting: {connect:.1f} s")
    keep_part(args.out, "cluster", results)


class Study:
    """What is done, on each of the two."""

    def __init__(self, policy: Policy, folder: Path, episodes: int, demonstrations: int, rounds: int):
        self.policy, self.folder, self.rounds = policy, folder, rounds
        self.episodes, self.demonstrations, self.number = episodes, demonstrations, 0
        self.tasks: dict[str, Callable[..., Any]] = {"evaluation": self.evaluated, "collection": self.collected}

    def evaluated(self, mapper: Mapper | None, on_done: Callable[[Any], Any] | None = None) -> list[tuple[Any, ...]]:
        """Every number of every episode."""
        spread = None if mapper is None else Spread(mapper, KeptEpisodes(self.new_path("parts"), ""))
        trajectories = roll_out(
            self.policy,
            ENV,
            range(self.episodes),
            execution=Execution(EXEC_HORIZON),
            seed=seeds.DEFAULTS.start,
            on_done=on_done,
            spread=spread,
        )
        return [digits(trajectory) for trajectory in trajectories]

    def collected(self, mapper: Mapper | None, on_done: Callable[[Any], Any] | None = None) -> str:
        """The hash of a store."""
        out = self.new_path("demos.zarr")
        collect(str(ENV.id), self.demonstrations, out, on_episode=on_done or (lambda _: None), mapper=mapper)
        return DemoStore.open(out).content_hash()

    def new_path(self, name: str) -> Path:
        """A path that nothing was written to."""
        self.number += 1
        return self.folder / f"{self.number}-{name}"

    def compare(self, processes: Mapper, ray: Mapper) -> dict[str, Any]:
        """Seconds of both in turn, and whether all results are those of one process."""
        numbers: dict[str, Any] = {}
        for name, task in self.tasks.items():
            expected, seconds, same = task(None), {"processes": list[float](), "ray": list[float]()}, True
            for number in range(self.rounds + 1):
                for where, mapper in (("processes", processes), ("ray", ray)):
                    started = time.perf_counter()
                    same &= task(mapper) == expected
                    if number:  # the first round imports and compiles
                        seconds[where].append(time.perf_counter() - started)
            speed = ratio(seconds["processes"], seconds["ray"])
            numbers[name] = {"seconds": seconds, "speed": speed, "same": same}
            print(f"{name}: Ray at {speed:.2f} of two processes; the same to the digit: {same}")
        return numbers

    def kill(self, ray: Mapper, kill: Callable[[], None]) -> dict[str, bool]:
        """Whether the results are the same where a node is lost after the first episodes."""
        alive = [kill]

        def once(_: object) -> None:
            if alive:
                alive.pop()()

        same = {name: task(ray, once) == task(None) for name, task in self.tasks.items()}
        print(f"with a node killed in the middle of the evaluation, and on one then: {same}")
        return same


def digits(trajectory: Trajectory) -> tuple[Any, ...]:
    """What is compared."""
    arrays = (trajectory.actions, trajectory.rewards, *trajectory.obs.values())
    return trajectory.reason, trajectory.success, trajectory.mode, *(array.tobytes() for array in arrays)


if __name__ == "__main__":
    with user_errors():
        main()
