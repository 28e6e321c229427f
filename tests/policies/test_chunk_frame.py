"""Chunks relative to where they start: what the frame finds, and that a policy acts in it as it learned in it."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.chunk_frame import RelativeFrame, ScaledFrame
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.types import Batch

STEPS = 4


def demonstrations(n=4000, seed=0):
    """A target that goes away from a place that is observed, left or right, and a velocity that says which way.

    Returns:
        State [n, 2], of which the second number says nothing, and actions [n, STEPS, 2].
    """
    generator = torch.Generator().manual_seed(seed)
    position, other = 2 * torch.rand(2, n, generator=generator) - 1
    way = 2.0 * torch.randint(2, (n,), generator=generator) - 1
    target = position[:, None] + 0.01 * way[:, None] * torch.arange(STEPS)
    actions = torch.stack([target, way[:, None].expand(-1, STEPS)], dim=2)
    return torch.stack([position, other], dim=1), actions


def fitted(state, actions, mask=None):
    frame = RelativeFrame(state.shape[1], tuple(actions.shape[1:]))
    frame.fit(state, actions, torch.ones(actions.shape[:2], dtype=torch.bool) if mask is None else mask)
    return frame


def test_a_place_is_a_start_and_a_decision_is_none():
    state, actions = demonstrations()
    frame = fitted(state, actions)
    start = frame.start(state)[:, 0]
    torch.testing.assert_close(start[:, 0], state[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(start[:, 1], actions[:, 0, 1].mean().expand(len(state)), rtol=0, atol=0.01)


def test_every_step_has_its_own_reach():
    """0.01 way t is what is left of the target, so that its reach grows with the steps from the least there is."""
    state, actions = demonstrations()
    frame = fitted(state, actions)
    torch.testing.assert_close(frame.reach[:, 0], torch.tensor([0.001, 0.01, 0.02, 0.03]), rtol=0.01, atol=0)
    torch.testing.assert_close(frame.reach[:, 1], torch.ones(STEPS), rtol=0.01, atol=0)


def test_chunks_in_a_frame_have_unit_variance():
    """4000 normal numbers of any spread, and one jerk that is not to count as a reach."""
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(4000, 1, generator=generator)
    actions = 0.2 * torch.randn(4000, STEPS, 3, generator=generator)
    actions[0] = 1e4
    frame = fitted(state, actions)
    inside = frame.enter(actions, frame.start(state))[1:]
    torch.testing.assert_close(inside.square().mean(0).sqrt(), torch.ones(STEPS, 3), rtol=0.03, atol=0)
    assert inside.abs().max() < RelativeFrame.limit


def test_what_is_not_known_before_is_away_from_its_mean():
    """Speeds of two kinds that an observation does not tell, beside a place that it does; both far from the middle."""
    state, actions = demonstrations()
    actions = 0.2 * actions + torch.tensor([0.5, -0.7])
    frame = fitted(state, actions)
    inside = frame.enter(actions, frame.start(state))
    torch.testing.assert_close(inside.mean((0, 1)), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(inside[:, 1:].std(0), torch.ones(STEPS - 1, 2), atol=0.05, rtol=0)
    torch.testing.assert_close(frame.reach[:, 1], torch.full((STEPS,), 0.2), atol=0.01, rtol=0)


def test_padding_does_not_count():
    state, actions = demonstrations()
    mask = torch.ones(len(state), STEPS, dtype=torch.bool)
    mask[::2, 2:] = False
    padded = torch.where(mask[:, :, None], actions, torch.full_like(actions, 50.0))
    torch.testing.assert_close(fitted(state, padded, mask).reach, fitted(state, actions).reach, rtol=0.01, atol=1e-5)


def test_steps_that_no_demonstration_has_are_as_the_first():
    state, actions = demonstrations()
    mask = torch.arange(STEPS).expand(len(state), -1) < 2
    frame = fitted(state, actions, mask)
    assert torch.equal(frame.reach[2:], frame.reach[:1].expand(2, -1))


def test_numbers_that_never_change_stay_finite():
    state, actions = demonstrations()
    actions[:, :, 1] = 0.3
    frame = fitted(state, actions)
    inside = frame.enter(actions, frame.start(state))
    assert inside.isfinite().all()
    torch.testing.assert_close(frame.leave(inside, frame.start(state)), actions)


@given(st.integers(0, 100), st.integers(1, 3))
def test_in_and_out_again_is_the_same(seed, action_dim):
    generator = torch.Generator().manual_seed(seed)
    frame = RelativeFrame(3, (STEPS, action_dim))
    for value in frame.buffers():
        value.uniform_(0.1, 2.0, generator=generator)
    state = torch.randn(5, 3, generator=generator)
    chunks = torch.randn(5, STEPS, action_dim, generator=generator)
    start = frame.start(state)
    torch.testing.assert_close(frame.leave(frame.enter(chunks, start), start), chunks)


def test_starts_keep_their_digits_under_autocast():
    state, actions = demonstrations()
    frame = fitted(state, actions)
    with torch.autocast("cpu", torch.bfloat16):
        inside = frame.start(state)
    assert torch.equal(inside, frame.start(state))


def test_a_policy_learns_and_acts_in_the_same_frame(make_policy):
    """The loss of what the policy itself does is nothing, at each observation and for each of its noises."""
    policy = make_policy(RegressionConfig(), chunk_frame="relative")
    obs = {"state": torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        acted = policy.act(obs, torch.zeros(12, 1, 1)).unflatten(0, (6, 2))
        for chunks in acted.unbind(1):
            batch = Batch(obs, chunks, torch.ones(6, 4, dtype=torch.bool))
            assert policy.loss(batch, {})[0] < 1e-6
        plain = make_policy(RegressionConfig())
        away = acted[:, 0] - plain.act(obs, torch.zeros(6, 1, 1))
    assert away.abs().min() > 1e-3


def test_chunks_start_at_the_last_observation(make_policy):
    policy = make_policy(RegressionConfig(), chunk_frame="relative")
    with torch.no_grad():
        policy.frame.weight.uniform_(generator=torch.Generator().manual_seed(1))
        obs = {"state": torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0))}
        torch.testing.assert_close(policy.start(policy.encode(obs)), policy.frame.start(policy.state(obs)))


def test_images_alone_have_no_start(make_policy):
    policy = make_policy(RegressionConfig(), obs_shapes={"camera": (32, 32, 3)}, chunk_frame="relative")
    obs = {"camera": torch.zeros(2, 2, 32, 32, 3, dtype=torch.uint8)}
    assert policy.state(obs).shape == (2, 0)
    assert policy.act(obs, torch.zeros(2, 1, 1)).shape == (2, 4, 2)


def test_what_was_saved_is_loaded_also_from_before_there_were_frames(tmp_path, make_policy):
    obs = {"state": torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))}
    noise = torch.zeros(3, 1, 1)
    framed, plain = make_policy(RegressionConfig(), chunk_frame="relative"), make_policy(RegressionConfig())
    framed.save(tmp_path / "framed")
    assert torch.equal(Policy.load(tmp_path / "framed").act(obs, noise), framed.act(obs, noise))
    plain.save(tmp_path / "plain")
    path = tmp_path / "plain/policy.json"
    raw = json.loads(path.read_text())
    assert (raw.pop("chunk_frame"), raw.pop("obs_noise")) == ("absolute", 0.0)
    path.write_text(json.dumps(raw))
    assert torch.equal(Policy.load(tmp_path / "plain").act(obs, noise), plain.act(obs, noise))


def test_a_flow_finds_narrow_ways_where_their_range_is_its_unit():
    """Two ways of 0.01 per step, places all over [-1, 1]: from noise of width 1 a short training does not see them."""

    def distance(frame):
        torch.manual_seed(0)
        shapes = {"state": (1,)}
        cfg = PolicyConfig(FlowConfig(steps=10), MLPConfig(64, 2), shapes, 1, 1, STEPS, chunk_frame=frame)
        policy = Policy(cfg, Normalizer({**shapes, "action": (1,)}))
        state, actions = (x[..., :1] for x in demonstrations())
        mask = torch.ones(len(state), STEPS, dtype=torch.bool)
        if isinstance(policy.frame, RelativeFrame):
            policy.frame.fit(state, actions, mask)
        optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3, fused=True)
        generator = torch.Generator().manual_seed(0)
        for _ in range(400):
            rows = torch.randint(len(state), (128,), generator=generator)
            batch = Batch({"state": state[rows, None]}, actions[rows], mask[rows])
            loss, _ = policy.loss(batch, policy.draws(128, generator=generator))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        position = torch.linspace(-0.8, 0.8, 9)[:, None, None]
        with torch.no_grad():
            gone = policy.eval().sample({"state": position}, 20, generator=generator)[..., -1, 0] - position[:, :, 0]
        return (gone.abs() - 0.03).abs().median().item()

    assert distance("relative") < 0.005
    assert distance("absolute") > 0.01


def test_diffusion_clips_where_chunks_end(make_policy):
    """Normalized actions end at 1, those of unit variance hardly before 5."""
    for frame, limit in (("absolute", 1.0), ("relative", RelativeFrame.limit)):
        family = make_policy(DiffusionConfig(prediction="x0"), chunk_frame=frame).family
        family.net = torch.nn.Identity()  # of the backbone nothing is left
        family.net.forward = lambda x, cond, level: 1e3 * torch.ones_like(x)
        chunks = family.denoiser(torch.zeros(1, 2, 4), [50])(torch.zeros(1, 4, 2), 0)
        assert torch.equal(chunks, limit * torch.ones_like(chunks))


def scaled(actions, mask=None):
    frame = ScaledFrame(3, tuple(actions.shape[1:]))
    mask = torch.ones(actions.shape[:2], dtype=torch.bool) if mask is None else mask
    frame.fit(torch.randn(len(actions), 3, generator=torch.Generator().manual_seed(0)), actions, mask)
    return frame


def test_a_scaled_frame_knows_mean_and_spread_alone():
    generator = torch.Generator().manual_seed(0)
    actions = 0.3 + torch.tensor([0.01, 0.2]) * torch.randn(4000, STEPS, 2, generator=generator)
    frame = scaled(actions)
    one, other = (frame.start(torch.full((1, 3), value)) for value in (0.0, 9.0))
    assert torch.equal(one, other)
    inside = frame.enter(actions, one.expand(4000, 1, 2))
    torch.testing.assert_close(inside.mean((0, 1)), torch.zeros(2), atol=0.01, rtol=0)
    torch.testing.assert_close(inside.std(0), torch.ones(STEPS, 2), atol=0.05, rtol=0)


def test_a_scaled_frame_does_not_look_at_padding():
    actions = torch.zeros(10, STEPS, 1)
    actions[:5, 0], actions[:, 1:] = 1.0, 100.0
    mask = torch.zeros(10, STEPS, dtype=torch.bool)
    mask[:, 0] = True
    frame = scaled(actions, mask)
    torch.testing.assert_close(frame.bias, torch.tensor([0.5]))
    torch.testing.assert_close(frame.reach, torch.full((STEPS, 1), 0.5))


def test_what_rarely_changes_keeps_its_spread():
    """One step in 2000 is a jump; in units of the other steps it would be beyond all that a family can learn."""
    actions = torch.zeros(4000, STEPS, 1)
    actions[::2000] = 1.0
    frame = scaled(actions)
    assert frame.enter(actions, frame.start(torch.zeros(4000, 3))).abs().max() < 50
