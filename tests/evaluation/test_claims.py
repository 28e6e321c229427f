"""A claim about a run, its certificate, and that nothing in the file is believed."""

import json
import shutil

import numpy as np
import pytest
import torch

import robolearn as rl
from robolearn.commands.main import main
from robolearn.evaluation import claims
from robolearn.evaluation.claims import proofs_of
from robolearn.training.run import Run

ASKED = {"claim": "limits", "eps": 0.001, "low": (-9.0, -9.0), "high": (9.0, 9.0), "observations": 2, "seconds": 1.0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, train_main):
    """Of a regression and a policy of codes, with the demonstrations beside them."""
    folder = tmp_path_factory.mktemp("claims")
    rng, episodes = np.random.default_rng(0), []
    for _ in range(20):
        state = np.cumsum(0.1 * rng.standard_normal((21, 4)), axis=0).astype(np.float32)
        episodes.append(rl.Episode(obs={"state": state[:-1]}, actions=state[1:, :2]))
    demos = folder / "demos.zarr"
    rl.DemoWriter.create(demos, attrs=rl.StoreAttrs(env_id="envs:robolearn/Avoid-v0", obs_keys=("state",))).extend(
        episodes
    )
    small = ["--backbone.width", "16", "--backbone.depth", "1", "--steps", "2", "--action-horizon", "4"]
    small += ["--exec-horizon", "2", "--no-wandb", "--threads", "1", "--device", "cpu", "--dataset.path", str(demos)]
    train_main(["regression", "mlp", *small, "--out", str(folder / "regression")])
    train_main(
        ["tokens", "mlp", *small, "--family.num-bins", "4", "--family.width", "8", "--out", str(folder / "tokens")]
    )
    return folder


@pytest.fixture
def run(runs, tmp_path):
    shutil.copytree(runs / "regression", tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.mark.parametrize("family", ["regression", "tokens"])
@pytest.mark.parametrize("claim", ["limits", "robustness", "clearance", "codes"])
def test_every_claim_gives_a_certificate_that_is_shown_again(runs, tmp_path, family, claim):
    if (family, claim) == ("regression", "codes"):
        with pytest.raises(ValueError, match="`claim` codes is of the families tokens"):
            rl.verify_run(runs / family, rl.ClaimConfig(claim=claim))
        return
    out = tmp_path / "certificate.json"
    certificate = rl.verify_run(runs / family, rl.ClaimConfig(**{**ASKED, "claim": claim, "delta": 0.2}, out=out))
    assert len(certificate.observations) == 2
    assert rl.check_claim(out) == certificate
    if claim == "limits":
        assert certificate.share("proved") == 1
    if claim == "robustness":
        assert all(one.proved_radius > 0 for one in certificate.observations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["hashes"].update(weights="0"), "of another weights"),
        (lambda said: said["hashes"].update(demonstrations="0"), "of another demonstrations"),
        (lambda said: said.update(claim="all is well"), "its claim does not follow"),
        (lambda said: said["observations"][0]["lower"].__setitem__(0, -5.0), "its boxes do not follow"),
        (lambda said: said["observations"].pop(), "its boxes do not follow"),
        (
            lambda said: said["observations"][1].update(answer="falsified", witness=[0.0] * 8),
            "could not be shown again",
        ),
        (lambda said: said["observations"][1].update(answer="open"), "said to be open, which could not"),
        (lambda said: said["observations"][1].update(bound=50.0), "said to have bound 50.0, which could not"),
        (lambda said: said.update(version=0), "no certificate of version 1"),
    ],
)
def test_nothing_in_a_certificate_is_believed(run, change, message):
    path = run / "claims" / "limits.json"
    rl.verify_run(run, rl.ClaimConfig(**ASKED))
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=message):
        rl.check_claim(path)


def test_an_answer_that_was_not_reached_is_refused(run):
    """The limits are violated, and the file says that they are proved."""
    path = run / "claims" / "limits.json"
    rl.verify_run(run, rl.ClaimConfig(**{**ASKED, "low": (5.0, 5.0)}))
    said = json.loads(path.read_text())
    assert said["observations"][0]["answer"] == "falsified"
    said["observations"][0] |= {"answer": "proved", "witness": [], "boxes": 1}
    path.write_text(json.dumps(said))
    with pytest.raises(ValueError, match="is said to be proved, which could not be shown again"):
        rl.check_claim(path)


@pytest.mark.parametrize(
    "change",
    [{"answer": "open", "witness": []}, {"proved_radius": 0.4}, {"proved_radius": -0.4}]
    + [{"falsified_radius": radius} for radius in (None, 1e-3, -0.4, 0.6)],
)
def test_radii_are_shown_again(run, change):
    path = run / "claims" / "robustness.json"
    certificate = rl.verify_run(run, rl.ClaimConfig(**{**ASKED, "claim": "robustness", "eps": 0.5, "delta": 0.01}))
    one = certificate.observations[1]
    assert one.answer == "falsified"
    assert 1e-3 < one.proved_radius < one.falsified_radius < 0.4
    said = json.loads(path.read_text())
    said["observations"][1].update(change)
    path.write_text(json.dumps(said))
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"be open, which could not|have {name} {change[name]}, which could not"):
        rl.check_claim(path)


def test_what_is_open_is_open_again_with_as_many_boxes(run, capsys):
    """An error between both radii, and no time to cut its box."""
    asked = {**ASKED, "claim": "robustness", "delta": 0.01, "observations": 1, "seconds": 0.0}
    one = rl.verify_run(run, rl.ClaimConfig(**asked)).observations[0]
    between = (one.proved_radius * one.falsified_radius) ** 0.5
    certificate = rl.verify_run(run, rl.ClaimConfig(**{**asked, "eps": between}))
    assert certificate.share("open") == 1
    main(["verify", "--check", str(run / "claims" / "robustness.json")])
    out = capsys.readouterr().out
    assert "open are those that as many boxes as before do not decide" in out
    assert "no larger error is proved, and no smaller one violated, was not shown again" in out


def test_changed_weights_are_refused_in_one_line(run, capsys):
    rl.verify_run(run, rl.ClaimConfig(**ASKED))
    weights = Run(run).checkpoint() / "policy.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(SystemExit):
        main(["verify", "--check", str(run / "claims" / "limits.json")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "the certificate is of another" in lines[0]


def test_the_verb_prints_claim_and_shares(run, capsys):
    main(["verify", str(run), "--low", "-9", "-9", "--high", "9", "9", "--observations", "2"])
    out = capsys.readouterr().out
    assert "2 observations, float32: proved 100.0%, falsified 0.0%, open 0.0%" in out
    main(["verify", "--check", str(run / "claims" / "limits.json")])
    assert "proved again from the files" in capsys.readouterr().out


def test_where_no_certificate_can_be_written_nothing_is_searched(run, tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_decided", None)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        rl.verify_run(run, rl.ClaimConfig(**ASKED, out=tmp_path / "file" / "limits.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": -1.0}, "`eps` -1.0 must be a number that is not negative"),
        ({"eps": float("nan")}, "`eps` nan must be"),
        ({"high": None}, "`low` and `high` go together"),
        ({"low": (1.0,), "high": (2.0,)}, "have 1 and 1 numbers, an action has 2"),
        ({"low": (9.0, 9.0), "high": (1.0, 1.0)}, "a lower one is above its upper"),
        ({"latent": "zero"}, "has no run-time choice 'latent'"),
        ({"execution": rl.Execution(1, delay=1)}, "`execution.delay` 1: a claim is about the first actions of a chunk"),
        ({"execution": rl.Execution(1, ensembling=0.0)}, "`execution.ensembling` 0.0: a claim is about chunks"),
    ],
)
def test_what_cannot_be_asked_is_refused(runs, changes, message):
    with pytest.raises(ValueError, match=message):
        rl.verify_run(runs / "regression", rl.ClaimConfig(**{**ASKED, **changes}))


def test_a_probability_is_not_that_of_a_chunk_chosen_among_several(runs, tmp_path):
    asked = {**ASKED, "claim": "codes", "out": tmp_path / "claim.json", "execution": rl.Execution(2, candidates=8)}
    assert rl.verify_run(runs / "tokens", rl.ClaimConfig(**asked)).share("proved") == 1  # whatever is drawn
    with pytest.raises(ValueError, match=r"`execution.candidates` 8: a probability is of one draw"):
        rl.verify_run(runs / "tokens", rl.ClaimConfig(**asked, probability=0.1))


def test_a_report_shows_what_was_proved_of_the_policy_that_acts(runs, tmp_path):
    """Of the same weights: codes that the proof leaves out may be drawn where they are asked for without the floor."""
    run = Run(shutil.copytree(runs / "tokens", tmp_path / "run", symlinks=True))
    rl.verify_run(run, rl.ClaimConfig(**{**ASKED, "claim": "codes"}, min_code_probability=0.2))

    def shown(execution, **sampling):
        return len(proofs_of(run, "last", rl.load_policy(run.directory, **sampling), execution))

    assert shown(rl.Execution(2), min_code_probability=0.2) == shown(rl.Execution(1), min_code_probability=0.2) == 1
    assert shown(rl.Execution(2)) == shown(rl.Execution(2), min_code_probability=0.1) == 0
    for other in (rl.Execution(3), rl.Execution(1, delay=1), rl.Execution(2, ensembling=0.0)):
        assert shown(other, min_code_probability=0.2) == 0


def test_demonstrations_that_have_changed_are_refused(run, runs, tmp_path):
    """By the numbers of the episodes, those held out would be others, such as ones that were trained on."""
    demos = shutil.copytree(runs / "demos.zarr", tmp_path / "demos.zarr")
    config = json.loads((run / "config.json").read_text())
    config["dataset"]["path"] = [str(demos)]
    (run / "config.json").write_text(json.dumps(config))
    rl.verify_run(run, rl.ClaimConfig(**ASKED))
    rl.DemoWriter.append_to(demos).append(rl.DemoStore.open(demos).episode(0))
    with pytest.raises(ValueError, match="not the demonstrations that the run was trained on"):
        rl.verify_run(run, rl.ClaimConfig(**ASKED))


def test_boxes_are_shares_of_what_the_demonstrations_reach(run):
    """An observed number that reaches twice as far has a box twice as wide."""
    certificate = rl.verify_run(run, rl.ClaimConfig(**ASKED))
    one = certificate.observations[0]
    widths = np.subtract(one.upper, one.lower)
    demos = rl.DemoStore.open(Run(run).config().dataset.path[0])
    rows = np.concatenate([demos.episode(i).obs["state"] for i in range(20)])
    assert widths == pytest.approx(0.002 * np.tile(np.ptp(rows, axis=0), 2), rel=1e-6)
    assert torch.tensor(one.lower).shape == (8,)
