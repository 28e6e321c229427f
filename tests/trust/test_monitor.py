"""Scores of every family alike, and what they need."""

import numpy as np
import pytest
import torch

from robolearn.errors import UserError
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.policies.gp import GPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.registry import FAMILIES
from robolearn.rollout.streams import episode_stream
from robolearn.trust import guard
from robolearn.trust.gate import Gate
from robolearn.trust.monitor import Monitor
from robolearn.trust.scores.fitted import fit_scores
from robolearn.trust.scores.registry import SCORES, default_score, register_score
from robolearn.trust.scores.score import Score
from robolearn.types import Trajectory

FINITE = ("exact-disagreement", "exact-entropy")
OWN = ("denoising", "dropout", "exact-deviation", *FINITE)  # of some families alone
OF_SAMPLES = ("stac", "entropy", "variance")  # of one policy
DETERMINISTIC = ("regression", "mip", "gp")
COMMON = [name for name, score in SCORES.items() if not score.fit and name not in OWN]


def look(rng, count=3):
    """Observations of some environments, and chunks to be executed."""
    obs = {"state": rng.standard_normal((count, 2, 4)).astype(np.float32)}
    return np.arange(count), obs, rng.standard_normal((count, 4, 2)).astype(np.float32)


def watched(ensemble, names, num_envs=3, **choices):
    """Scores at the first and at the second replanning."""
    monitor = Monitor(ensemble, names, 8, num_envs, seed=0, period=2, **choices)
    monitor.reset(range(num_envs), range(num_envs))
    rng = np.random.default_rng(0)
    return [monitor.watch(*look(rng))[0] for _ in range(2)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_scores_of_samples(family, make_policy):
    """On two members of random weights; those of one policy's samples where it has different ones."""
    ensemble = Ensemble([make_policy(FAMILIES[family](), seed=seed) for seed in range(2)])
    names = [name for name in COMMON if family not in DETERMINISTIC or name not in ("stac", "entropy")]
    first, second = watched(ensemble, names)
    for name in names:
        assert first[name].shape == (3,)
        assert np.isfinite(second[name]).all(), name
    assert (first["stac-single"] == 0).all()
    assert (second["stac-single"] > 0).all()
    assert second["disagreement"].mean() > 0  # an unbiased estimate, of either sign where members agree


@pytest.mark.parametrize("name", OF_SAMPLES)
@pytest.mark.parametrize("family", DETERMINISTIC)
def test_samples_that_are_all_alike_are_not_compared(family, name, make_policy):
    """It would be the same number whatever is planned, stac 0.787 and the others 0: a gate on it would never alarm."""
    ensemble = Ensemble([make_policy(FAMILIES[family]())])
    with pytest.raises(UserError, match=f"score {name}: .* are the same chunk; choose stac-single"):
        watched(ensemble, [name])
    assert default_score(ensemble) == "stac-single"


def test_the_default_score_is_of_what_there_is_to_compare(make_policy):
    policies = [make_policy(FlowConfig(), seed=seed) for seed in range(2)]
    assert [default_score(Ensemble(policies[:count])) for count in (1, 2)] == ["stac", "disagreement"]
    assert default_score(Ensemble([make_policy(GPConfig(std_scale=1.0))])) == "stac"


def test_a_plan_is_compared_with_what_was_executed_and_not_with_what_was_put_aside(make_policy):
    """As if what took its place had been planned."""
    ensemble, rng = Ensemble([make_policy(FlowConfig())]), np.random.default_rng(0)
    slots, obs, planned = look(rng)
    instead, after = rng.standard_normal((1, 4, 2)).astype(np.float32), look(rng)
    seen = []
    for replaces in (True, False):
        monitor = Monitor(ensemble, ["stac-single"], 8, 3, seed=0, period=2)
        monitor.reset(range(3), range(3))
        monitor.watch(slots, obs, planned if replaces else np.concatenate([planned[:1], instead, planned[2:]]))
        if replaces:
            monitor.replace(slots[1:2], instead)
        seen.append(monitor.watch(*after)[0]["stac-single"])
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("family", ["flow", "diffusion", "score"])
def test_families_that_denoise_have_the_denoising_loss(family, make_policy):
    ensemble = Ensemble([make_policy(FAMILIES[family]())])
    assert all((scores["denoising"] > 0).all() for scores in watched(ensemble, ["denoising"]))


def test_other_families_say_which_do(make_policy):
    ensemble = Ensemble([make_policy(FAMILIES["cvae"]())])
    with pytest.raises(ValueError, match="does not denoise chunks; choose from diffusion"):
        watched(ensemble, ["denoising"])


def test_a_finite_distribution_is_scored_without_samples(make_policy):
    cfg = MixtureConfig(variant="plain", num_codes=4, sampler="student")
    ensemble = Ensemble([make_policy(cfg, seed=seed) for seed in range(2)])
    scores = watched(ensemble, FINITE)[0]
    assert (scores["exact-disagreement"] > 0).all()
    assert (scores["exact-entropy"] >= 0).all()
    with pytest.raises(ValueError, match="no finite distribution"):
        watched(Ensemble([make_policy(MixtureConfig())]), ["exact-entropy"])


def test_a_gaussian_process_is_asked_for_its_own_doubt(make_policy):
    """Where the inducing points are, and far from them; without any sample."""
    policy = make_policy(GPConfig(num_inducing=6, width=3))
    ensemble, seen = Ensemble([policy]), torch.from_numpy(look(np.random.default_rng(0))[1]["state"])
    family = policy.family
    with torch.no_grad():
        family.inducing[:3] = family.features(policy.encode({"state": seen}))
        family.root.fill_diagonal_(-3.0)
        family.log_length.fill_(-3.0)
    near, far = (scores["exact-deviation"] for scores in watched(ensemble, ["exact-deviation"]))
    assert (near < far).all()
    np.testing.assert_allclose(near, family.doubt(policy.encode({"state": seen})).detach(), rtol=1e-5)
    with pytest.raises(ValueError, match="what a Gaussian process says of itself, the policy gp"):
        watched(Ensemble([make_policy(FlowConfig())]), ["exact-deviation"])


def test_fitted_scores_do_not_need_samples(make_policy, monkeypatch):
    ensemble = Ensemble([make_policy(FlowConfig(), seed=seed) for seed in range(2)])
    generator = torch.Generator().manual_seed(0)
    embeddings, chunks = torch.randn(200, 8, generator=generator), torch.randn(200, 8, generator=generator)
    fitted = fit_scores(["neighbour", "mahalanobis", "laplace"], embeddings, chunks, seed=0)
    monkeypatch.setattr(Ensemble, "act", None)
    for scores in watched(ensemble, list(fitted), fitted=fitted):
        assert all((values > 0).all() for values in scores.values())
    assert set(fitted) < {name for name, score in SCORES.items() if score.fit}


@pytest.mark.parametrize("names", [COMMON, ["denoising"]])
def test_scores_do_not_depend_on_who_runs_beside(make_policy, names):
    """Neither on the number of environments nor on the place, to the last bit."""
    ensemble = Ensemble([make_policy(FlowConfig(), seed=seed) for seed in range(2)])
    together, alone = (Monitor(ensemble, names, 8, n, seed=0, period=2) for n in (7, 1))
    together.reset(range(7), range(7))
    alone.reset([0], [4])
    rng = np.random.default_rng(1)
    for _ in range(3):
        slots, obs, chunks = look(rng, 7)
        one = {"state": obs["state"][4:5]}
        scores, expected = together.watch(slots, obs, chunks)[0], alone.watch(np.array([0]), one, chunks[4:5])[0]
        for name in names:
            assert scores[name][4] == expected[name][0], name


class Listening(Ensemble):
    """Keeps the noise that it is asked for chunks with."""

    def act(self, obs, noise, prefix=None):
        self.heard = noise.unflatten(0, (-1, 8))
        return super().act(obs, noise, prefix)


def test_noise_is_that_of_the_episode_and_not_the_controllers(make_policy):
    """Each environment draws from the stream of its own episode, and goes on in it from one replanning to the next."""
    ensemble = Listening([make_policy(FlowConfig(), seed=seed) for seed in range(2)])
    monitor, episodes = Monitor(ensemble, ["entropy"], 8, 3, seed=5, period=2), (7, 3, 4)
    monitor.reset([0, 1, 2], episodes)
    streams = [torch.Generator().manual_seed(episode_stream(5, episode, 1)) for episode in episodes]
    controllers = [torch.Generator().manual_seed(episode_stream(5, episode)) for episode in episodes]
    rng = np.random.default_rng(0)
    for _ in range(2):
        monitor.watch(*look(rng))
        for slot in range(3):
            assert torch.equal(ensemble.heard[slot], ensemble.noise(8, generator=streams[slot]))
            assert not torch.equal(ensemble.heard[slot], ensemble.noise(8, generator=controllers[slot]))
    assert not torch.equal(ensemble.heard[0], ensemble.heard[1])


def test_a_new_episode_has_no_plan_to_compare_with(make_policy):
    monitor = Monitor(Ensemble([make_policy(FlowConfig())]), ["stac", "stac-single"], 8, 2, seed=0, period=2)
    monitor.reset([0, 1], [0, 1])
    rng = np.random.default_rng(0)
    slots, *seen = look(rng, 2)
    monitor.watch(slots, *seen)
    monitor.reset([1], [2])
    scores = monitor.watch(slots, *look(rng, 2)[1:])[0]
    assert scores["stac"][0] > 0 == scores["stac"][1]
    assert scores["stac-single"][0] > 0 == scores["stac-single"][1]
    monitor.forget(np.array([0]))
    scores = monitor.watch(slots, *look(rng, 2)[1:])[0]
    assert scores["stac"][0] == 0 < scores["stac"][1]


def test_a_score_sees_what_was_sampled_before(make_policy, monkeypatch):
    seen = []
    probe = Score("probe", lambda one: seen.append(one) or one.samples[0].mean((1, 2, 3)))
    monkeypatch.setitem(SCORES, "probe", probe)
    watched(Ensemble([make_policy(FlowConfig(), seed=seed) for seed in range(2)]), ["probe"])
    assert torch.equal(seen[1].before[:3], seen[0].samples[0, :3])
    assert seen[1].before.abs().max() > 0 == seen[0].before.abs().max()


def test_the_clock_counts_the_steps_of_an_episode(make_policy):
    monitor, rng = (
        Monitor(Ensemble([make_policy(FlowConfig())]), ["time"], 8, 2, seed=0, period=2),
        np.random.default_rng(0),
    )
    monitor.reset([0, 1], [0, 1])
    times = [monitor.watch(*look(rng, 2))[0]["time"].tolist()]
    monitor.watch(np.array([1]), *look(rng, 1)[1:])
    times.append(monitor.watch(*look(rng, 2))[0]["time"].tolist())
    monitor.reset([1], [2])
    times.append(monitor.watch(*look(rng, 2))[0]["time"].tolist())
    assert times == [[0, 0], [2, 4], [4, 0]]


def test_the_draws_of_the_denoising_loss_are_the_same_at_every_replanning(make_policy):
    """Equal plans at equal observations have equal losses."""
    monitor = Monitor(Ensemble([make_policy(FlowConfig())]), ["denoising"], 8, 3, seed=4, period=2)
    monitor.reset(range(3), range(3))
    seen = look(np.random.default_rng(0))
    one, other = (monitor.watch(*seen)[0]["denoising"] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_inconsistency_is_between_plans_of_the_acting_policy(make_policy):
    """Other members do not change it."""
    members = [make_policy(FlowConfig(), seed=seed) for seed in range(2)]
    alone, together = (watched(Ensemble(part), ["stac", "stac-single"]) for part in (members[:1], members))
    for name in ("stac", "stac-single"):
        assert (alone[1][name] > 0).all()
        np.testing.assert_array_equal(alone[1][name], together[1][name])


def test_the_time_of_a_gate_is_that_of_scores_and_gate(make_policy, monkeypatch):
    """Both are called in what is timed, with the gate's own score."""
    called = []
    monkeypatch.setattr(
        guard.latency, "time_calls", lambda call, repeats: [call() for _ in range(repeats)] and {"p50_ms": 1.0}
    )
    watch = Monitor.watch
    monkeypatch.setattr(Monitor, "watch", lambda *args: called.append(args[0].names) or watch(*args))
    intervenes = Gate.intervenes
    monkeypatch.setattr(Gate, "intervenes", lambda *args: called.append("gate") or intervenes(*args))
    zeros = np.zeros(4)
    trajectory = Trajectory(
        0, 0, {"state": np.zeros((5, 4), np.float32)}, np.zeros((4, 2)), zeros, zeros, True, -1, "time"
    )
    gate = Gate("entropy", 8, 1.0, 1.0)
    guard.time_gate(gate, Ensemble([make_policy(FlowConfig())]), {}, trajectory, period=2, repeats=2)
    assert called == [("entropy",), "gate"] * 2


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda seen: seen.executed.norm(dim=2), r"a tensor \[4, 4\]"),
        (lambda seen: seen.executed.norm(), r"a tensor \[\]"),
        (lambda seen: seen.executed.flatten(1).norm(dim=1).numpy(), "ndarray"),
        (lambda seen: None, "NoneType"),
    ],
)
def test_a_score_of_ones_own_is_a_number_for_each_environment(call, shown, make_policy, monkeypatch):
    monkeypatch.setitem(SCORES, "mine", Score("mine", call))
    with pytest.raises(UserError, match=rf"score mine returned {shown}; expected a tensor \[4\], one number per env"):
        watched(Ensemble([make_policy(FlowConfig())]), ["mine"])


def test_what_a_score_of_ones_own_fits_is_a_module_and_is_restored(monkeypatch):
    score = Score("mine", lambda seen: seen.elapsed, fit=lambda embeddings, chunks, generator: {}, restore=dict)
    monkeypatch.setitem(SCORES, "mine", score)
    with pytest.raises(UserError, match=r"score mine: its fit returned dict; expected a torch\.nn\.Module"):
        fit_scores(["mine"], torch.zeros(3, 2), torch.zeros(3, 2), seed=0)
    with pytest.raises(UserError, match="score other: give fit and restore together"):
        register_score(Score("other", lambda seen: seen.elapsed, fit=score.fit))
    assert "other" not in SCORES
