"""Ray: a local cluster of two nodes gives the same to the digit, also where one is killed; without a flag, no Ray."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from robolearn import cluster as cluster_module
from robolearn.cluster import open_cluster
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.mapper import Needs
from robolearn.rollout.env_config import EnvConfig
from tests.processes import wait_for

ROOT = Path(__file__).parents[1]
LINE = "tests.data.line_env:test/Line-v0"
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.mark.long
def test_without_the_flag_ray_is_not_imported(tmp_path):
    code = (
        "import sys; from robolearn.commands.main import main; "
        f"main(['collect', {LINE!r}, '--episodes', '2', '--out', {str(tmp_path / 'x.zarr')!r}]); "
        "print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(cluster_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs Ray; pip install 'robolearn\[cluster\]'"), open_cluster("auto"):
        pass
    with open_cluster(None) as mapper:
        assert mapper is None


@pytest.mark.parametrize("address", ["somewhere", "ray://1.2.3.4:10001", "host:port", ":6379"])
def test_what_is_no_address_is_refused(address):
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    with pytest.raises(UserError, match=r"give auto, local or HOST:PORT"), open_cluster(address):
        pass


def test_an_address_that_does_not_answer_is_one_line():
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match=f"`cluster` {address}: nothing answers there"), open_cluster(address):
        pass


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Two nodes of a CPU each, to which this process is connected; processes that test side by side take turns."""
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    from ray.cluster_utils import Cluster

    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"), ExitStack() as stack:
        environ = stack.enter_context(pytest.MonkeyPatch.context())
        environ.setenv("RAY_TMPDIR", stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        environ.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environ.setenv("RAY_worker_niceness", "0")  # Ray's workers step back by 15, and would wait for all other tests
        environ.setenv("RAY_AUTH_MODE", "disabled")  # else a token that is there would be asked for
        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        stack.callback(made.shutdown)
        made.add_node(**NODE)
        handler = signal.getsignal(signal.SIGTERM)
        with open_cluster(made.address):
            assert signal.getsignal(signal.SIGTERM) is handler
            assert ray.is_initialized()
            yield made


@pytest.fixture
def mapper(nodes):
    with open_cluster("auto") as mapper:
        yield mapper


def square(folder, job):
    """The first two wait for the file `go`."""
    (folder / f"{job}-{os.getpid()}").touch()
    while job < 2 and not (folder / "go").exists():
        time.sleep(0.05)
    return os.environ["ROBOLEARN_CORES"], job**2


def refused(_, job):
    if job == 0:
        raise UserError("this cannot be")
    if job == 1:
        Path("/nowhere/at/all").read_text()
    return [][job]


def pause(folder, job):
    (folder / str(job)).touch()
    while True:
        time.sleep(0.05)


@pytest.mark.slow
def test_two_nodes_give_the_same(mapper, tmp_path, trained_pair):
    stores, episodes = [], []
    cfg = EvalConfig(episodes=6, num_envs=2, videos=0, device="cpu", threads=1, env=EnvConfig(max_episode_steps=8))
    for name, where in (("here", None), ("there", mapper)):
        collect(LINE, 60, tmp_path / f"{name}.zarr", mapper=where)
        stores.append(DemoStore.open(tmp_path / f"{name}.zarr").content_hash())
        evaluate(trained_pair, dataclasses.replace(cfg, out=tmp_path / name), mapper=where)
        episodes.append((tmp_path / name / "episodes.jsonl").read_text())
    assert stores[0] == stores[1]
    assert episodes[0] == episodes[1]


@pytest.mark.slow
def test_what_no_node_offers_is_said_at_once(mapper):
    assert mapper.places(Needs()) == 2
    with pytest.raises(UserError, match="`threads` 2: no node of the cluster offers so many CPUs, but at most 1"):
        mapper.map(square, None, [0], Needs(2))
    with pytest.raises(UserError, match="no node of the cluster offers a GPU"):
        mapper.map(square, None, [0], Needs(1, gpu=True))


@pytest.mark.slow
def test_what_a_job_refuses_comes_back(mapper, tmp_path):
    with pytest.raises(UserError, match=r"^this cannot be$"):
        next(mapper.map(refused, None, [0], Needs()))
    with pytest.raises(UserError, match=f"^node {socket.gethostname()}: /nowhere/at/all: No such file"):
        next(mapper.map(refused, None, [1], Needs()))
    with pytest.raises(IndexError, match=r"(?s)in refused.*list index out of range"):
        next(mapper.map(refused, None, [2], Needs()))
    with pytest.raises(UserError, match=f"node {socket.gethostname()} does not see {tmp_path}/missing"):
        mapper.check_shared(tmp_path, [tmp_path / "missing"])
    mapper.check_shared(tmp_path / "runs", [tmp_path])
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.slow
def test_jobs_that_are_closed_end(mapper, tmp_path):
    jobs = mapper.map(pause, tmp_path, range(5), Needs())
    wait_for(lambda: list(tmp_path.iterdir()))
    jobs.close()
    assert list(jobs) == []
    assert next(mapper.map(square, tmp_path, [3], Needs())) == (0, ("1", 9))


@pytest.mark.long
def test_the_same_with_a_node_killed_in_the_middle(nodes, mapper, tmp_path):
    """The last one, as a node is missing then; not marked slow, so that a cluster is part of every run of the tests."""
    jobs = mapper.map(square, tmp_path, range(6), Needs())
    wait_for(lambda: list(tmp_path.glob("0-*")) and list(tmp_path.glob("1-*")))
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
    (tmp_path / "go").touch()
    assert sorted(jobs) == [(job, ("1", job**2)) for job in range(6)]
    begun = [path.name.partition("-")[0] for path in tmp_path.glob("*-*")]
    assert sorted([*"012345", *{name for name in begun if begun.count(name) > 1}]) == sorted(begun)
    assert len(begun) == 7
