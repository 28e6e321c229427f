"""A deployed policy acts as the evaluation does, without torch; what was damaged is refused in one line."""

import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.deploy import runtime
from robolearn.deploy.check import Check, compare
from robolearn.deploy.directory import RUNTIME_FILE, sha256
from robolearn.evaluation.agent import Agent
from robolearn.evaluation.config import ActConfig, DeployConfig, EvalConfig
from robolearn.evaluation.deploy import check_deployed, deploy_run
from robolearn.evaluation.evaluate import evaluate
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution

pytest.importorskip("onnxruntime")
SHORT = EnvConfig(max_episode_steps=9)
QUICK = {"p50_ms": 1.0, "p99_ms": 1.0}


@pytest.fixture(autouse=True)
def without_page_and_times(monkeypatch):
    """What acts is compared; the page and the latency take longer than that."""
    monkeypatch.setattr("robolearn.evaluation.evaluate.write_report", lambda *_: None)
    monkeypatch.setattr("robolearn.rollout.latency.time_calls", lambda call, repeats: QUICK)
    times = iter(range(1, 10_000))  # the runtime is asked first, and so is faster

    def in_turn(calls, repeats):
        return [{"p50_ms": float(next(times)), "cpu_ms": 0.5, "waited": 0.0} for _ in calls]

    monkeypatch.setattr("robolearn.deploy.check.times_in_turn", in_turn)


@pytest.fixture
def run(trained_pair):
    return trained_pair


def rewrite(directory, **changes):
    """A policy.json that another one would have written."""
    facts = json.loads((directory / "policy.json").read_text()) | changes
    (directory / "policy.json").write_text(json.dumps(facts | {"sha256": runtime.digest_of(facts)}))


DEPLOYED = []


@pytest.fixture
def deployed(run, tmp_path_factory):
    """A deployed policy in its run; written once, a copy for each test."""
    if not DEPLOYED:
        directory, check = deploy_run(run, DeployConfig(out=tmp_path_factory.mktemp("deployed") / "robot"))
        assert check.is_equal
        DEPLOYED.append(directory)
    copy = shutil.copytree(DEPLOYED[0], run / "deployed")
    rewrite(copy, run=str(run))
    return copy


def drive(agent, trajectory):
    observations = [{key: rows[i] for key, rows in trajectory.obs.items()} for i in range(len(trajectory))]
    return runtime.follow(agent, trajectory.episode, observations)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"execution": Execution(exec_horizon=2, candidates=3)},
        {"execution": Execution(ensembling=0.1)},
        {"execution": Execution(exec_horizon=2, delay=1), "sampler": "heun", "steps": 2},
        {"execution": Execution(exec_horizon=3, keep_noise=True), "seed": 107_000},
    ],
)
def test_a_deployed_policy_acts_as_in_the_evaluation(run, tmp_path, choices):
    report = evaluate(run, EvalConfig(device="cpu", threads=1, **choices, episodes=3, env=SHORT, videos=0))
    directory, check = deploy_run(run, DeployConfig(**choices, out=tmp_path / "robot"))
    agent = runtime.Agent(directory)
    for trajectory in reversed(report.trajectories):
        np.testing.assert_allclose(drive(agent, trajectory), trajectory.actions, rtol=0, atol=1e-5)
    assert check.largest_difference <= 1e-5
    assert check.actions == 20  # of one held-out episode


def test_it_acts_in_the_environment_as_in_the_evaluation(run, deployed):
    """Closed loop: what differs in one action would lead elsewhere."""
    import gymnasium as gym

    report = evaluate(run, EvalConfig(device="cpu", threads=1, episodes=2, env=SHORT, videos=0))
    agent, env = runtime.Agent(deployed), gym.make("envs:robolearn/Avoid-v0", max_episode_steps=9)
    for trajectory in report.trajectories:
        obs, _ = env.reset(seed=trajectory.seed)
        agent.reset(trajectory.episode)
        for expected in trajectory.actions:
            action = agent.act(obs)
            np.testing.assert_allclose(action, expected, rtol=0, atol=1e-5)
            obs, *_ = env.step(action)
    env.close()


def test_neither_torch_nor_robolearn_is_needed(deployed, tmp_path):
    away = shutil.copytree(deployed, tmp_path / "robot")
    code = f"""
import sys
sys.path = [p for p in sys.path if p]
sys.modules["torch"] = sys.modules["robolearn"] = None  # importing them fails
sys.path.insert(0, {str(away)!r})
import numpy as np
from robolearn_runtime import Agent
agent = Agent({str(away)!r})
agent.reset()
print(agent.act({{"state": np.zeros(4)}}).tolist())
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    agent = runtime.Agent(deployed)
    agent.reset()
    np.testing.assert_array_equal(json.loads(done.stdout), agent.act({"state": np.zeros(4)}).astype(float))


def test_the_runtime_checks_itself(deployed):
    done = subprocess.run([sys.executable, str(deployed / RUNTIME_FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("largest difference of 20 actions: ")


def test_several_samples_are_those_of_the_trained_policy(run, tmp_path):
    import torch

    from robolearn.evaluation.acting import load_policy

    directory, _ = deploy_run(run, DeployConfig(samples=(4,), out=tmp_path / "robot"))
    policy, seen = runtime.Policy(directory), np.full((1, 4), 0.1, np.float32)
    noise = runtime.Stream(5).normal((4, *policy.facts["noise_shape"]))
    with torch.no_grad():
        expected = load_policy(run).act({"state": torch.from_numpy(seen[None])}, torch.from_numpy(noise))
    np.testing.assert_allclose(policy.chunks({"state": seen}, noise), expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="no network for 2 samples; there are some for 1, 4"):
        policy.chunks({"state": seen}, noise[:2])


def test_policy_json_says_what_the_policy_is(deployed):
    facts = json.loads((deployed / "policy.json").read_text())
    assert (facts["obs_horizon"], facts["action_horizon"], facts["control_dt"]) == (1, 4, 0.05)
    assert facts["observations"]["state"]["shape"] == [4]
    assert facts["execution"]["exec_horizon"] == 2
    assert facts["sampler"]["steps"] == facts["sampler"]["evaluations"] == 20
    assert set(facts["files"]) == {"sampler-1.onnx", "reference.npz", RUNTIME_FILE}
    assert Check.read(deployed).is_equal


# The agent of robolearn


def test_an_agent_takes_what_was_deployed_in_its_run(run, deployed):
    agent, torch_agent = (Agent(run, ActConfig(device="cpu", threads=1), runtime=r) for r in ("auto", "torch"))
    assert (agent.runtime, torch_agent.runtime) == ("onnx", "torch")
    for episode in (0, 5):
        seen = [{"state": np.full(4, 0.01 * i)} for i in range(7)]
        one, other = (runtime.follow(a, episode, seen) for a in (agent, torch_agent))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="'state' is missing"):
        agent.act({})


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (ActConfig(steps=3), "was deployed for other weights, another sampler or execution"),
        (ActConfig(execution=Execution(exec_horizon=1)), "was deployed for other weights"),
    ],
)
def test_an_agent_that_acts_otherwise_takes_torch_and_says_so(run, deployed, capsys, cfg, message):
    assert Agent(run, dataclasses.replace(cfg, device="cpu", threads=1)).runtime == "torch"
    assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match=message):
        Agent(run, cfg, runtime="onnx")


def test_an_agent_takes_nothing_that_was_found_to_differ_or_to_be_slow(run, deployed, capsys):
    check = Check.read(deployed)
    for changes, message in (
        ({"actions_above": 1, "largest_difference": 0.1}, "differs by 0.1 from the trained policy"),
        ({"runtime_ms": 9.0, "torch_ms": 8.0}, "was not found to be faster"),
    ):
        dataclasses.replace(check, **changes).write(deployed)
        assert Agent(run, ActConfig(device="cpu", threads=1)).runtime == "torch"
        assert message in capsys.readouterr().err


def test_without_onnxruntime_an_agent_takes_torch_and_says_nothing(run, deployed, capsys, monkeypatch):
    monkeypatch.setattr("robolearn.evaluation.deployed.find_spec", lambda name: None)
    assert Agent(run, ActConfig(device="cpu", threads=1)).runtime == "torch"
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match=r"onnxruntime is not installed; pip install 'robolearn\[deploy\]'"):
        Agent(run, runtime="onnx")


def test_a_run_that_was_not_deployed_is_named(run):
    with pytest.raises(ValueError, match="has not been deployed"):
        Agent(run, runtime="onnx")


# What is refused


def change(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


DAMAGES = {
    "weights": (lambda d: change(d / "sampler-1.onnx", b"\x00", b"\x01"), "sampler-1.onnx: changed since"),
    "observations": (lambda d: (d / "reference.npz").write_bytes(b""), "reference.npz: changed since"),
    "runtime": (lambda d: change(d / RUNTIME_FILE, b"torch", b"Torch"), f"{RUNTIME_FILE}: changed since"),
    "gone": (lambda d: (d / "sampler-1.onnx").unlink(), "sampler-1.onnx: missing"),
    "execution": (
        lambda d: change(d / "policy.json", b'"exec_horizon": 2', b'"exec_horizon": 1'),
        "policy.json: changed since",
    ),
    "version": (
        lambda d: change(d / "policy.json", b'"version": 1', b'"version": 2'),
        "version 2, this runtime reads 1",
    ),
    "no policy.json": (lambda d: (d / "policy.json").unlink(), "is no deployed policy: it has no policy.json"),
    "half of it": (lambda d: (d / "policy.json").write_text('{"version": 1'), "policy.json: damaged"),
    "a list": (lambda d: (d / "policy.json").write_text("[1]"), "policy.json: damaged"),
    "lists in lists": (lambda d: (d / "policy.json").write_text("[" * 100_000), "policy.json: damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_is_refused_in_one_line(run, deployed, capsys, damage):
    spoil, message = DAMAGES[damage]
    spoil(deployed)
    with pytest.raises(runtime.RefusedError, match=message) as error:
        runtime.Agent(deployed)
    assert "\n" not in str(error.value)
    with pytest.raises(SystemExit) as end:
        main(["deploy", "--check", str(deployed)])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({}, "observation 'state' is missing"),
        ({"state": np.zeros(3)}, r"'state' has shape \(3,\), the policy was trained on \(4,\)"),
        ({"state": np.full(4, np.nan)}, "'state' is not finite"),
    ],
)
def test_an_observation_that_does_not_fit_is_refused(deployed, observation, message):
    agent = runtime.Agent(deployed)
    agent.reset()
    with pytest.raises(runtime.RefusedError, match=message):
        agent.act(observation)


@pytest.mark.parametrize("flag", ["--gate", "--safety-set"])
def test_what_watches_over_a_policy_is_refused_by_name(run, capsys, flag):
    with pytest.raises(SystemExit):
        main(["deploy", str(run), flag])
    assert f"{flag}: a " in capsys.readouterr().err
    assert not (run / "deployed").exists()


def test_the_guide_explains_every_entry_of_the_description(deployed):
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md").read_text()
    facts = json.loads((deployed / "policy.json").read_text())
    assert [name for name in facts if f"`{name}`" not in guide] == []
    assert facts["observations"] == {"state": {"input": "obs0", "shape": [4], "dtype": "float32"}}


def test_other_things_are_left_alone(run, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes holds something else than a deployed policy"):
        deploy_run(run, DeployConfig(out=tmp_path / "notes"))


# The check


def test_a_check_compares_with_the_run_and_says_what_it_found(run, deployed, capsys):
    (deployed / "check.json").unlink()
    main(["deploy", "--check", str(deployed)])
    out = capsys.readouterr().out
    assert "largest difference of 20 actions on recorded observations" in out
    check = Check.read(deployed)
    assert check.compared_with == str(run)
    assert check.torch_ms is not None


def test_a_check_says_that_the_machine_was_busy(run, deployed, capsys, monkeypatch):
    times = {"p50_ms": 208.0, "cpu_ms": 7.0, "waited": 0.9}
    monkeypatch.setattr("robolearn.deploy.check.times_in_turn", lambda calls, _: [times] * len(calls))
    main(["deploy", "--check", str(deployed)])
    out = capsys.readouterr().out
    assert "a plan takes 208.000 ms (7.000 ms of CPU time), with torch 208.000 ms" in out
    assert "measured on a busy machine: planning took 208 ms by the clock in the median, 7 ms of CPU time" in out
    assert Check.read(deployed).waited == 0.9
    before = json.loads((deployed / "check.json").read_text())
    for name in ("runtime_cpu_ms", "torch_cpu_ms", "waited"):
        del before[name]
    (deployed / "check.json").write_text(json.dumps(before))
    assert Check.read(deployed).busy_remark is None  # of a check before it was measured nothing is known


def test_a_check_without_the_run_takes_what_it_did(run, deployed, tmp_path):
    away = deployed.rename(tmp_path / "robot")
    shutil.rmtree(run)
    check = check_deployed(away)
    assert check.compared_with == "the actions of when it was deployed"
    assert check.is_equal
    assert check.torch_ms is None


def test_a_run_that_was_trained_on_is_not_compared_with(run, deployed, capsys):
    last = (run / "checkpoints" / "last").resolve()
    change(last / "policy.safetensors", b"\x3d", b"\x3e")
    assert check_deployed(deployed).compared_with == "the actions of when it was deployed"
    assert "has other weights or options by now" in capsys.readouterr().err


def test_a_policy_that_differs_ends_with_status_1(deployed, capsys):
    with pytest.raises(SystemExit) as end:
        main(["deploy", "--check", str(deployed), "--tolerance", "1e-30"])
    assert end.value.code == 1
    assert "actions differ by more than 1e-30" in capsys.readouterr().err
    assert not Check.read(deployed).is_equal


def test_actions_that_differ_are_counted(deployed, monkeypatch):
    """One that is no number differs too."""
    monkeypatch.setattr(runtime, "difference", lambda *_: np.array([0.0, 0.5, 2.0, np.nan]))
    check = compare(runtime.Policy(deployed), None, None, "itself", 1.0)
    assert (check.actions, check.actions_above, check.is_equal) == (4, 2, False)


def test_without_demonstrations_the_observations_are_random(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("robolearn.evaluation.deploy.MOST_STEPS", 8)
    config = json.loads((run / "config.json").read_text())
    config["dataset"]["path"] = [str(tmp_path / "gone.zarr")]
    (run / "config.json").write_text(json.dumps(config))
    _, check = deploy_run(run)
    assert check.observed == "random observations"
    assert check.actions == 8
    assert "checked on random ones" in capsys.readouterr().err


def test_files_elsewhere_are_not_opened(deployed):
    for files in ({"../policy.json": "0" * 64}, {}):
        rewrite(deployed, files=files)
        with pytest.raises(runtime.RefusedError, match="names files that do not belong to it"):
            runtime.Policy(deployed)


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


def test_a_network_that_is_none_is_refused_in_one_line(deployed):
    (deployed / "sampler-1.onnx").write_bytes(b"no\nnetwork")
    facts = json.loads((deployed / "policy.json").read_text())
    rewrite(deployed, files=facts["files"] | {"sampler-1.onnx": sha256(deployed / "sampler-1.onnx")})
    with pytest.raises(runtime.RefusedError, match=r"sampler-1.onnx: onnxruntime [\d.]+ refuses it") as error:
        runtime.Agent(deployed)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_program_of_torch_acts_alike(run, tmp_path):
    directory, check = deploy_run(run, DeployConfig(format="torch", steps=2, out=tmp_path / "robot"))
    assert check.is_equal
    assert runtime.Agent(directory).policy.facts["networks"] == {"1": "sampler-1.pt2"}
    with zipfile.ZipFile(directory / "sampler-1.pt2", "a") as program:
        program.writestr("sampler-1/data/sample_inputs/more.pt", b"pickled")
    with pytest.raises(runtime.RefusedError, match="holds pickled objects"):
        runtime.load_torch(directory / "sampler-1.pt2", 1)


def test_a_missing_package_is_named(run, monkeypatch):
    monkeypatch.setattr("robolearn.deploy.directory.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"format onnx needs onnx and onnxruntime; pip install 'robolearn\[deploy\]'"):
        deploy_run(run)
