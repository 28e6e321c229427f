"""Whatever was changed beside a certificate, or in it, is noticed when it is opened."""

import errno
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from robolearn.config import read_json, write_json
from robolearn.errors import one_line
from robolearn.policies.flow import FlowConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.trust.calibrated_gate import BandCalibration, ThresholdCalibration
from robolearn.trust.calibrated_set import calibrate_again, calibrate_set, choosing
from robolearn.trust.certificate import Source
from robolearn.trust.conformal.halves import drawn_halves
from robolearn.trust.files import describe_source, hash_files, open_gate, open_set, save_gate, save_set
from robolearn.types import Trajectory

SOURCE = Source("weights", "envs:robolearn/Avoid-v0", "options")
NEW = range(1000, 1010)


@pytest.fixture
def gate(tmp_path):
    """The directory of a gate on 30 episodes."""
    rng = np.random.default_rng(0)
    episodes = (tuple(range(30)), tuple(rng.random(30).tolist()), (True,) * 25 + (False,) * 5)
    save_gate(tmp_path / "gate", ThresholdCalibration(SOURCE, "stac", 8, 0.1, None, *episodes))
    return tmp_path / "gate"


def trajectory(seed, noise=0.01, length=22):
    """A number that follows its action, with noise."""
    rng = np.random.default_rng(seed)
    actions = rng.standard_normal((length, 2)).astype(np.float32)
    moved = np.cumsum(actions + noise * rng.standard_normal((length, 2)), 0)
    obs = {"state": np.concatenate([np.zeros((1, 2)), moved]).astype(np.float32)}
    zeros = np.zeros(length)
    return Trajectory(seed, seed, obs, actions, zeros, zeros, True, -1, "success")


def calibrated_set():
    return calibrate_set([trajectory(seed) for seed in range(60)], "state", (0, 1), 4, 0.1, SOURCE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sets") / "tube"
    save_set(directory, calibrated_set())
    return directory


@pytest.fixture
def tube(made, tmp_path):
    """The directory of a safety set on 60 episodes."""
    return shutil.copytree(made, tmp_path / "tube")


def edit(path, **changes):
    write_json(path, {**read_json(path), **changes})


def certify_again(directory):
    """Make the hashes those of the changed files, as somebody who wants to deceive would."""
    edit(directory / "certificate.json", files=hash_files(directory))


def test_a_full_disk_leaves_the_set_of_before(tmp_path, monkeypatch):
    """And names it; safetensors would call it an error of its own, and let its owner alone read what it writes."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save_set(tmp_path, calibrated_set())
    before = hash_files(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="No space") as error:
        save_set(tmp_path, calibrated_set())
    assert one_line(error.value) == f"{tmp_path}: No space left on device"
    assert hash_files(tmp_path) == before
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_what_was_not_changed_is_opened(gate, tube):
    calibration, certificate = open_gate(gate, SOURCE, NEW)
    assert certificate.threshold == calibration.derive_gate().threshold
    assert set(certificate.files) == {"calibration.json"}
    calibrated, certificate = open_set(tube, SOURCE, NEW)
    assert certificate.threshold == calibrated.safety_set.height
    assert calibrated.safety_set.radius.min() > 0
    assert set(certificate.files) == {"calibration.json", "episodes.safetensors"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [2.0] * 30}, "the certificate says claim .* above 2 at any replanning"),
        ({"scores": [math.nan] * 30}, "expected float, found nan"),
        ({"score": "entropy"}, "the certificate says claim .* a stac score .*, its files give .* a entropy score"),
        ({"num_samples": 2}, "every member draws 8 samples.*, its files give .* 2 samples"),
        ({"alpha": 0.2}, "at most 0.1 .*, its files give .* at most 0.2"),
        ({"beta": 0.5}, "no threshold on score stac keeps both promises"),
        ({"success": [True] * 30}, "the certificate says"),
    ],
)
def test_an_edited_gate_is_refused(gate, changes, message):
    """Also by somebody who makes the hash that of the edited file."""
    edit(gate / "calibration.json", **changes)
    with pytest.raises(ValueError, match="calibrate again"):
        open_gate(gate, SOURCE, NEW)
    certify_again(gate)
    with pytest.raises(ValueError, match=message):
        open_gate(gate, SOURCE, NEW)


@pytest.fixture
def band(tmp_path):
    """The directory of a band on 60 episodes of different lengths."""
    rng = np.random.default_rng(0)
    scores = tuple(tuple(rng.random(rng.integers(3, 9)).tolist()) for _ in range(60))
    success = (True,) * 50 + (False,) * 10
    save_gate(tmp_path / "gate", BandCalibration(SOURCE, "stac", 8, 0.1, None, tuple(range(60)), scores, success))
    return tmp_path / "gate"


def test_a_band_is_kept_by_the_scores_that_it_is_derived_from(band):
    calibration, certificate = open_gate(band, SOURCE, NEW)
    gate = calibration.derive_gate()
    assert len(gate.form.center) == 6
    assert (certificate.threshold, certificate.num_calibration) == (gate.threshold, 25)
    with pytest.raises(ValueError, match=r"2 of the seeds 58 .. 67 were calibrated on"):  # also those of the form
        open_gate(band, SOURCE, range(58, 68))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[2.0, 1.0]] * 60}, "the certificate says claim"),
        ({"scores": [[]] * 60}, "an episode has no score"),
        ({"scores": [[1.0, math.nan]] * 60}, "expected float, found nan"),
        ({"type": "threshold"}, "GateCalibration.scores: expected float"),
        ({"type": "other"}, "expected one of threshold, band"),
        ({"success": [True] * 60}, "the certificate says claim"),
    ],
)
def test_an_edited_band_is_refused(band, change, message):
    edit(band / "calibration.json", **change)
    with pytest.raises(ValueError, match="calibrate again"):
        open_gate(band, SOURCE, NEW)
    certify_again(band)
    with pytest.raises(ValueError, match=message):
        open_gate(band, SOURCE, NEW)


@pytest.mark.parametrize("kind", ["gate", "tube"])
def test_what_an_earlier_version_wrote_is_refused_in_one_line(request, kind):
    """Version 1 had a gate beside what it is derived from, and numbered nothing."""
    directory, open_it = request.getfixturevalue(kind), open_gate if kind == "gate" else open_set
    path = directory / "certificate.json"
    old = {name: value for name, value in read_json(path).items() if name not in ("version", "threshold")}
    write_json(path, {**old, "alpha": 0.1, "beta": None, "gate": {"threshold": 1.0}})
    write_json(directory / "gate.json", {"threshold": 1.0})
    with pytest.raises(ValueError, match=r"certificate.json is of version 1, and version 3 is read; calibrate again$"):
        open_it(directory, SOURCE, NEW)
    if kind == "gate":
        calibration = ThresholdCalibration(SOURCE, "stac", 8, 0.4, None, (1, 2, 3), (0.1, 0.2, 0.3), (True,) * 3)
        save_gate(directory, calibration)
        assert open_gate(directory, SOURCE, NEW)[0] == calibration
        assert not (directory / "gate.json").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.01},
        {"alpha": 0.099},  # gives the same rank
        {"beta": 0.1},
        {"claim": "never fails"},
        {"conditions": []},
        {"num_calibration": 1000},
        {"spread": [0.0, 0.001]},
        {"threshold": 1.0},
        {"version": 2},
        {"gate": {"score": "entropy", "num_samples": 8, "threshold": 1.0, "release": 0.5}},
        {"files": {}},
        {"source": {"checkpoint": "weights", "env_id": SOURCE.env_id, "configuration": "x", "chosen_by": "the policy"}},
    ],
)
@pytest.mark.parametrize("kind", ["gate", "tube"])
def test_an_edited_certificate_is_refused(request, kind, changes):
    directory = request.getfixturevalue(kind)
    edit(directory / "certificate.json", **changes)
    with pytest.raises(ValueError, match="calibrate again"):
        (open_gate if kind == "gate" else open_set)(directory, SOURCE, NEW)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 0.01},
        {"score": "entropy"},
        {"success": [True] * 30},
        {"seeds": [*range(1, 31)]},
        {"source": {"checkpoint": "weights", "env_id": SOURCE.env_id, "configuration": "x", "chosen_by": "the policy"}},
        {"source": {"checkpoint": "weights", "env_id": SOURCE.env_id, "configuration": "options", "chosen_by": "x"}},
    ],
)
def test_edited_calibration_episodes_are_refused(gate, changes):
    edit(gate / "calibration.json", **changes)
    with pytest.raises(ValueError, match=r"calibrate again|at least 99 are needed"):
        open_gate(gate, SOURCE, NEW)


@pytest.mark.parametrize("name", ["calibration.json", "episodes.safetensors"])
def test_every_file_of_a_set_is_hashed(tube, name):
    """One more space is enough; of the episodes another header."""
    path = tube / name
    if name.endswith("json"):
        path.write_text(path.read_text() + " ")
    else:
        save_file(load_file(path), path, metadata={"a": "b"})
    with pytest.raises(ValueError, match=f"{name}: the certificate is not of this file"):
        open_set(tube, SOURCE, NEW)


def test_a_fitted_score_is_hashed(gate):
    """Also one that was not there when it was certified."""
    (gate / "scores.safetensors").write_bytes(b"more")
    with pytest.raises(ValueError, match=r"scores.safetensors: the certificate is not of this file"):
        open_gate(gate, SOURCE, NEW)


@pytest.mark.parametrize(
    ("field", "change", "message"),
    [
        ("scale", lambda x: [v / 1000 for v in x], "the scale are not those of its episodes"),
        ("scale", lambda x: [-v for v in x], "the scale are not"),
        ("scale", lambda x: [math.nan for _ in x], "SetCalibration.scale: expected float, found nan"),
        ("scale", lambda x: x[:-1], "the scale are not|largest errors are not"),
        ("scale", lambda x: [], "the tube has no steps"),
        ("weights", lambda x: [[2 * v for v in row] for row in x], "the weights are not those of its episodes"),
        (
            "weights",
            lambda x: [[math.nan for _ in row] for row in x],
            "SetCalibration.weights: expected float, found nan",
        ),
        ("weights", lambda x: x[:1], "the weights are not"),
        ("position", lambda x: [1, 0][:1], "the scale are not"),
        ("position", lambda x: [0, 7], "must be numbers of 'state'"),
        ("key", lambda x: "elsewhere", "the policy|certificate"),
    ],
)
def test_a_set_is_derived_again_from_its_episodes(tube, field, change, message):
    """Also by somebody who makes the hash that of the edited file."""
    path = tube / "calibration.json"
    edit(path, **{field: change(read_json(path)[field])})
    with pytest.raises(ValueError, match=r"calibrate again|must be numbers"):
        open_set(tube, SOURCE, NEW)
    if field != "key":  # a name; the episodes hold numbers
        certify_again(tube)
        with pytest.raises(ValueError, match=message):
            open_set(tube, SOURCE, NEW)


def test_a_height_that_its_episodes_do_not_give_is_refused(tube):
    """Threshold, peaks, certificate and hashes all fit each other, but not the episodes."""
    for name, field in (("calibration.json", "peaks"), ("certificate.json", "threshold")):
        value = read_json(tube / name)[field]
        edit(tube / name, **{field: [peak / 1024 for peak in value] if field == "peaks" else value / 1024})
    certify_again(tube)
    with pytest.raises(ValueError, match="the largest errors are not those of its episodes"):
        open_set(tube, SOURCE, NEW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("fitting.states"), "damaged"),
        (lambda a: a.update({"fitting.lengths": a["fitting.lengths"][:-1]}), "do not fit their lengths"),
        (lambda a: a.update({"fitting.lengths": a["fitting.lengths"] * -1}), "holds no episodes"),
        (lambda a: a.update({"fitting.lengths": np.zeros(0, int)}), "holds no episodes"),
        (lambda a: a.update({"fitting.states": a["fitting.states"] * 2}), "are not those of its episodes"),
        (lambda a: a.update({"calibrating.states": a["calibrating.states"] * np.nan}), "are not those of its episodes"),
    ],
)
def test_odd_episodes_are_refused(tube, change, message):
    path = tube / "episodes.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)
    certify_again(tube)
    with pytest.raises(ValueError, match=message):
        open_set(tube, SOURCE, NEW)


@pytest.mark.parametrize("name", ["calibration.json", "certificate.json", "episodes.safetensors"])
def test_a_missing_or_damaged_file_is_named(tube, name):
    (tube / name).write_bytes(b"{]")
    with pytest.raises(ValueError, match=name):
        open_set(tube, SOURCE, NEW)
    (tube / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: no such file"):
        open_set(tube, SOURCE, NEW)


def test_seeds_that_it_was_made_of_are_refused(gate, tube):
    """Of a set also those that only fitted its model."""
    with pytest.raises(ValueError, match=r"1 of the seeds 29 .. 38 were calibrated on"):
        open_gate(gate, SOURCE, range(29, 39))
    for seed, *_ in drawn_halves(60):
        with pytest.raises(ValueError, match=rf"1 of the seeds {seed} .. {seed} were calibrated on"):
            open_set(tube, SOURCE, range(seed, seed + 1))
    open_set(tube, SOURCE, range(60, 70))


def test_half_of_the_episodes_fit_and_the_other_half_calibrates():
    calibrated = calibrated_set()
    fitted, others = drawn_halves(60)
    assert (calibrated.calibration.spent, calibrated.calibration.seeds) == (tuple(fitted), tuple(others))
    for motions, half in ((calibrated.fitting, fitted), (calibrated.calibrating, others)):
        for motion, seed in zip(motions, half, strict=True):
            np.testing.assert_array_equal(motion.states, trajectory(seed).obs["state"])
    # The errors of the halves tell them apart: those that fitted it would give another height.
    assert calibrated.calibration.peaks == tuple(calibrated.safety_set.worst_errors(calibrated.calibrating))
    assert calibrated.calibration.peaks != tuple(calibrated.safety_set.worst_errors(calibrated.fitting))


def test_a_tube_is_widened_until_the_episodes_in_which_it_acts_ask_for_no_more():
    first = calibrated_set()
    acting = choosing(SOURCE, first.safety_set, "hold")
    wider = calibrate_again(first, [trajectory(seed, noise=0.05) for seed in range(100, 140)], acting)
    assert wider.safety_set.height > first.safety_set.height
    assert wider.calibration.acted == first.safety_set.height
    assert not wider.confirmed
    again = choosing(SOURCE, wider.safety_set, "hold")
    last = calibrate_again(wider, [trajectory(seed) for seed in range(200, 240)], again)
    assert last.confirmed
    assert last.safety_set.height == wider.safety_set.height
    assert last.calibration.seeds == tuple(range(200, 240))
    assert set(last.seeds) == {*range(60), *range(100, 140), *range(200, 240)}
    for one, covers in ((first, False), (wider, False), (last, True)):
        used = choosing(SOURCE, one.safety_set, "hold")
        assert (one.calibration.source.gap(used) == "") == covers
        assert one.calibration.source.gap(choosing(SOURCE, one.safety_set, "stop"))
    assert [one.calibration.source for one in (first, wider, last)] == [SOURCE, acting, again]


def test_a_set_that_was_calibrated_again_is_kept(tmp_path):
    first = calibrated_set()
    recalibrated = calibrate_again(
        first, [trajectory(seed) for seed in range(100, 140)], choosing(SOURCE, first.safety_set, "hold")
    )
    save_set(tmp_path / "tube", recalibrated)
    opened, certificate = open_set(tmp_path / "tube", SOURCE, NEW)
    assert opened.safety_set.height == certificate.threshold == recalibrated.safety_set.height
    acting = choosing(SOURCE, opened.safety_set, "hold")
    assert (opened.calibration.source.gap(acting) == "") == recalibrated.confirmed
    edit(tmp_path / "tube" / "calibration.json", acted=1e-3)
    with pytest.raises(ValueError, match="calibrate again"):
        open_set(tmp_path / "tube", SOURCE, NEW)


@pytest.fixture
def checkpoints(make_policy, tmp_path):
    """Those of two members."""
    for seed in range(2):
        make_policy(FlowConfig(), seed=seed).save(tmp_path / str(seed))
    return [tmp_path / "0", tmp_path / "1"]


def describe(checkpoints, env=None, execution=None, sampling=None):
    return describe_source(checkpoints, env or EnvConfig("x"), execution or Execution(2), sampling or {})


@pytest.mark.parametrize("member", [0, 1])
@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_every_file_of_every_member_is_hashed(checkpoints, member, name):
    """The normalizer is among the weights."""
    before = describe(checkpoints)
    path = checkpoints[member] / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert describe(checkpoints).checkpoint != before.checkpoint
    assert describe(checkpoints).configuration == before.configuration


def test_the_members_and_their_order_are_hashed(checkpoints):
    hashes = {describe(part).checkpoint for part in (checkpoints, checkpoints[::-1], checkpoints[:1])}
    assert len(hashes) == 3


def test_everything_that_changes_an_episode_is_in_the_configuration(checkpoints):
    others = [
        describe(checkpoints, EnvConfig("x", {"moved": 0.06})),
        describe(checkpoints, EnvConfig("x", max_episode_steps=10)),
        describe(checkpoints, execution=Execution(3)),
        describe(checkpoints, execution=Execution(2, candidates=3)),
        describe(checkpoints, execution=Execution(2, keep_noise=True)),
        describe(checkpoints, sampling={"steps": 3}),
    ]
    assert len({describe(checkpoints).configuration, *(other.configuration for other in others)}) == 7
    assert describe(checkpoints, EnvConfig("y")).env_id == "y"
