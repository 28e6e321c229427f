"""Ray: jobs on the nodes of a cluster; the only place that imports it, and only where a cluster is asked for.

    driver    payload (function and what is common, once) + a job      ->  a worker on some node
    worker    threads, cores, folder and module path as in the driver  ->  the result, or what was refused

A job whose worker or node is lost is begun again elsewhere. What a job refuses, a UserError, is raised in the driver as
it is; a defect comes with the worker's traceback.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import robolearn
from robolearn.errors import UserError, one_line
from robolearn.files import remove
from robolearn.mapper import Mapper, Needs

NAMED = ("auto", "local")
CONNECT_TIMEOUT = 5.0  # [s]; without it Ray waits for minutes, and then ends the program
RETRIES = 5  # of a job whose worker is lost
AHEAD = 2  # jobs that are begun or wait at a node, per place; so no node waits for the driver
GRACE = 30.0  # [s] that stopped jobs have to save
HANDED_ON = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "ROBOLEARN_SHARED")  # variables that decide what a job does
CORES = "ROBOLEARN_CORES"


@contextmanager
def open_cluster(address: str | None) -> Iterator[Mapper | None]:
    """Connect to a Ray cluster, and leave it in the end.

        with open_cluster("auto") as mapper:
            report = evaluate(run, cfg, mapper=mapper)

    Args:
        address: auto for the cluster that this machine belongs to, HOST:PORT for that of a head node, local for a new
            one on this machine; None for none, and then no Ray is needed.

    Yields:
        What functions take as ``mapper``. A connection that the program has made itself is used and kept.

    Raises:
        UserError: Ray is not installed, nothing answers, or a node has no or another robolearn.
    """
    if address is None:
        yield None
        return
    if importlib.util.find_spec("ray") is None:
        raise UserError("`cluster` needs Ray; pip install 'robolearn[cluster]'")
    import ray

    connected = ray.is_initialized()
    if not connected:
        _connect(address)
    try:
        mapper = RayMapper()
        mapper.check_code()
        yield mapper
    finally:
        if not connected:
            ray.shutdown()


def _connect(address: str) -> None:
    """Ray's own way to connect, which takes the handler of SIGTERM away and prints; here it does neither."""
    import ray

    if address not in NAMED:
        _check_answers(address)
    before = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody has asked for a report to its makers
        quiet["include_dashboard"] = False
    try:
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(_refusal(address, error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UserError(f"`cluster` {address}: give auto, local or HOST:PORT of the head node, as in 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"`cluster` {address}: nothing answers there ({one_line(error)})") from error


def _refusal(address: str, error: Exception) -> str:
    if not isinstance(error, ConnectionError):
        return f"`cluster` {address}: {one_line(error)}"
    if address == "auto" and "RAY_ADDRESS" not in os.environ:
        return (
            "`cluster` auto: this machine belongs to no running Ray cluster; begin one with `ray start --head`, "
            "or give HOST:PORT, or local"
        )
    where = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    return f"`cluster` {address}: connecting to {where} failed; a cluster with a token needs RAY_AUTH_MODE=token"


class RayMapper:
    """Jobs as Ray tasks, on the cluster that this process is connected to."""

    def places(self, needs: Needs) -> int:
        """See Mapper."""
        if slots := room(needs):
            return slots
        nodes = [node["Resources"] for node in _nodes()]
        if needs.gpu and not any(node.get("GPU", 0) for node in nodes):
            raise UserError("`device` cuda: no node of the cluster offers a GPU; choose cpu")
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        raise UserError(f"`threads` {needs.threads}: no node of the cluster offers so many CPUs, but at most {most}")

    def map(self, function: Callable[[Any, Any], Any], common: Any, jobs: Iterable[Any], needs: Needs) -> RayJobs:
        """See Mapper."""
        self.places(needs)  # where no job could ever run it is said now
        return RayJobs(function, common, jobs, needs)

    def check_shared(self, written: Path, read: Iterable[Path] = ()) -> None:
        """See Mapper."""
        written.mkdir(parents=True, exist_ok=True)
        token = written.resolve() / f".seen-by-all-{secrets.token_hex(8)}"
        token.touch()
        try:
            paths = [str(token), *(str(path.resolve()) for path in read)]
            for host, (_, missing) in self._ask(paths):
                if missing:
                    path = written if missing[0] == str(token) else missing[0]
                    raise UserError(f"node {host} does not see {path}; it has to lie in a folder that all nodes share")
        finally:
            remove(token)

    def check_code(self) -> None:
        """Raise a UserError where a node cannot run what this process runs."""
        for host, (version, _) in self._ask([]):
            if version != robolearn.__version__:
                raise UserError(f"node {host}: {version}; robolearn {robolearn.__version__} has to be installed there")

    def _ask(self, paths: list[str]) -> list[tuple[str, tuple[str, list[str]]]]:
        """What each node says of itself: its name, its robolearn, and which paths it does not see."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task: Any = ray.remote(_looker())
        asked = {}
        for node in _nodes():
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)  # a node may be lost meanwhile
            asked[task.options(num_cpus=0, scheduling_strategy=there).remote(_setting(1), paths)] = node
        return [(node["NodeManagerHostname"], ray.get(answer)) for answer, node in asked.items()]


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def room(needs: Needs) -> int:
    """How many such jobs the nodes that are there can do at once."""
    slots = 0
    for offered in (node["Resources"] for node in _nodes()):
        cpus, gpus = (int(offered.get(kind, 0)) for kind in ("CPU", "GPU"))
        slots += min(cpus // needs.threads, gpus) if needs.gpu else cpus // needs.threads
    return slots


class RayJobs:
    """See Jobs."""

    def __init__(self, function: Callable[[Any, Any], Any], common: Any, jobs: Iterable[Any], needs: Needs):
        import ray
        from ray import cloudpickle

        self._needs, self._jobs = needs, enumerate(jobs)
        self._setting, self._payload = _setting(needs.threads), ray.put(cloudpickle.dumps((function, common)))
        options: dict[str, Any] = {"num_cpus": needs.threads, "num_gpus": int(needs.gpu), "max_retries": RETRIES}
        self._task: Any = ray.remote(_caller()).options(**options)
        self._running: dict[Any, int] = {}
        self._begin()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return self

    def __next__(self) -> tuple[int, Any]:
        import ray

        try:
            if not self._running:
                raise StopIteration
            (ended, *_), _ = ray.wait(list(self._running))
            result, number = _result(ended), self._running.pop(ended)
            self._begin()
        except BaseException:
            self.close()
            raise
        return number, result

    def close(self) -> None:
        """See Jobs; those that have not saved after some time are ended."""
        import ray
        from ray.exceptions import RayError

        running, self._running, self._jobs = list(self._running), {}, enumerate(())
        for force in (False, True) if running else ():
            for job in running:
                with suppress(RayError, ValueError):
                    ray.cancel(job, force=force)
            _, running = ray.wait(running, num_returns=len(running), timeout=GRACE, fetch_local=False)
            if not running:
                return

    def _begin(self) -> None:
        wanted = AHEAD * max(1, room(self._needs))  # where all nodes are lost one job waits for the next
        for number, job in itertools.islice(self._jobs, max(0, wanted - len(self._running))):
            self._running[self._task.remote(self._setting, self._payload, job)] = number


def _result(ended: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        refused, value = ray.get(ended)
    except RayTaskError:
        raise  # a defect, with the worker's traceback
    except RayError as error:
        said = f"a job lost its worker {RETRIES + 1} times; the last time: {one_line(error)}"
        raise UserError(f"{said}; is there memory enough for as many jobs as a node has CPUs?") from error
    if refused:
        raise value
    return value


def _setting(threads: int) -> dict[str, Any]:
    """What a worker takes over from this process."""
    environ = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    return {"threads": threads, "folder": os.getcwd(), "path": list(sys.path), "environ": environ}


def _caller() -> Callable[..., Any]:
    """What a worker runs, made anew so that it travels as code: a worker without robolearn has to be able to say so."""

    def call(setting: dict[str, Any], payload: bytes, job: Any) -> tuple[bool, Any]:
        import os
        import sys

        sys.path[:] = [*setting["path"], *(path for path in sys.path if path not in setting["path"])]
        os.environ.update(setting["environ"])
        if os.path.isdir(setting["folder"]):
            os.chdir(setting["folder"])
        from robolearn.cluster import answer

        return answer(payload, job, setting["threads"])

    return inspect.unwrap(call)  # without the type checks of tests, which cannot travel


def _looker() -> Callable[..., Any]:
    """What tells of a node; see `_caller`."""

    def look(setting: dict[str, Any], paths: list[str]) -> tuple[str, list[str]]:
        import os
        import sys

        sys.path[:] = [*setting["path"], *(path for path in sys.path if path not in setting["path"])]
        try:
            import robolearn

            version = robolearn.__version__
        except ImportError as error:
            version = f"importing robolearn failed ({error})"
        return version, [path for path in paths if not os.path.exists(path)]

    return inspect.unwrap(look)


def answer(payload: bytes, job: Any, threads: int) -> tuple[bool, Any]:
    """Do a job in a worker; returns whether it was refused, and the result or the refusal.

    A path or module that is missing is refused with the name of the node; other nodes may have it.
    """
    import torch
    from ray import cloudpickle

    torch.set_num_threads(threads)
    os.environ[CORES] = str(threads)
    try:
        function, common = cloudpickle.loads(payload)
    except ImportError as error:
        return True, UserError(f"node {socket.gethostname()}: {one_line(error)}; install there what is installed here")
    try:
        return False, function(common, job)
    except UserError as error:
        return True, error
    except OSError as error:
        return True, UserError(f"node {socket.gethostname()}: {one_line(error)}")
