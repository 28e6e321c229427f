"""What a policy of codes does to a linear plant lies in its tubes, and from proved cells it never touches anything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.avoid import Avoid
from robolearn.verify.loop.cells import Cells
from robolearn.verify.loop.chunked import explore, tube
from robolearn.verify.loop.servo import Servo
from tests.verify.loop.crossing import STEPS, Exploding, Lanes, clearance, crossing, reachability, rollouts, servo


def places(n, low=(-0.04, -0.3), high=(0.04, -0.26), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, (n, 2)))


def test_the_servo_is_mujocos():
    """Avoid's rod over chunks of random targets, some beyond the walls: the departure that proofs assume is 1e-9."""
    task, rng = Avoid(), np.random.default_rng(0)
    model = task.model
    walls = torch.tensor([[-0.32, -0.32], [0.32, 0.40]], dtype=torch.float64)
    plant = Servo.critically_damped(model.actuator_gainprm[0, 0], 1.0, 0.005, 10, *walls, departure=1e-9)
    state, targets = rng.uniform(-0.3, 0.3, (8, 4)), rng.uniform(-0.4, 0.45, (8, 32, 2))
    import mujoco

    trajectories = plant.run(torch.from_numpy(state), torch.from_numpy(targets)).numpy()
    data = mujoco.MjData(model)
    for one, chunk, states in zip(state, targets, trajectories, strict=True):
        data.qpos[:], data.qvel[:] = one[:2], one[2:]
        for target, after in zip(chunk, states.reshape(32, 10, 4), strict=True):
            data.ctrl[:] = task.control(target)
            for expected in after:
                mujoco.mj_step(model, data)
                np.testing.assert_allclose(np.r_[data.qpos, data.qvel], expected, rtol=0, atol=1e-11)


def test_a_chunk_unrolled_is_the_chunk_run():
    plant, generator = servo(), torch.Generator().manual_seed(0)
    state = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    chunk = 0.1 * torch.rand(5, 3, 2, generator=generator, dtype=torch.float64)
    held, response = plant.unrolled(3)
    unrolled = torch.einsum("uij,bj->bui", held, state) + torch.einsum("uita,bta->bui", response, chunk)
    torch.testing.assert_close(unrolled, plant.run(state, chunk), rtol=0, atol=1e-13)
    assert 0 < plant.rounding(3) < 1e-9


@settings(max_examples=100)
@given(
    low=st.tuples(*[st.floats(-1, 1)] * 2),
    extent=st.tuples(*[st.floats(0, 0.3)] * 2),
    halved=st.lists(st.integers(0, 10_000), max_size=6),
    share=st.tuples(*[st.floats(0, 1)] * 2),
)
def test_every_point_of_a_box_is_in_a_cell_that_covers_it(low, extent, halved, share):
    cells = Cells(np.array([-0.04, -0.3]), np.array([0.11, 0.07]), finest=3)
    lower = np.array(low)
    upper = lower + extent
    for which in halved:
        leaves = [cell for cell in cells.covering(lower, upper) if cell[0] < 3]
        if leaves:
            cells.halve(leaves[which % len(leaves)])
    point = np.minimum(lower + np.array(share) * extent, upper)
    covering = list(cells.covering(lower, upper))
    assert len(set(covering)) == len(covering)
    assert any((cells.box(cell)[0] <= point).all() and (point <= cells.box(cell)[1]).all() for cell in covering)
    for cell in covering:  # and nothing far away
        assert (cells.box(cell)[0] <= upper + 1e-6).all()
        assert (cells.box(cell)[1] >= lower - 1e-6).all()


def boxes(n=40, width=0.02, seed=0):
    center = places(n, low=(-0.2, -0.3), high=(0.2, 0.2), seed=seed)
    radius = width * torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return center - radius, center + radius


@pytest.mark.parametrize("floor", [0.0, 0.05, 0.49, 0.9])
def test_every_code_that_is_drawn_is_allowed(floor):
    """Of 500 points per box; and codes that none of them draws are mostly not allowed. 0.9 leaves the likeliest."""
    policy = Lanes()
    asked = crossing(policy, floor=floor)
    low, high = boxes(width=0.003)
    allowed = asked.codes.seen(low, high).allowed()
    share = torch.rand(500, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = (low + share * (high - low)).flatten(0, 1).float()
    probability = policy.logits(policy.features(points)).softmax(1)
    least = probability.amax(1, keepdim=True).clamp(max=floor)
    drawn = (probability >= least).unflatten(0, (500, -1)).any(0)
    assert (allowed | ~drawn).all()
    assert (allowed == drawn).float().mean() > 0.9


def test_bounds_that_are_no_numbers_leave_no_code_out():
    """Over the wide box nothing is known: all codes may be drawn, and none keeps clear. Over a point one is likely."""
    asked = crossing(Exploding(), floor=0.05)
    wide, point = (np.array([0.0, 0.0]), np.array([1.0, 1.0])), (np.array([0.3, 0.1]), np.array([0.3, 0.1]))
    seen = asked.codes.seen(*(torch.from_numpy(np.stack(side)) for side in zip(wide, point, strict=True)))
    assert not seen.head(None).middle[0].isfinite().any()
    assert seen.probabilities()[0].tolist() == [1.0, 1.0]
    assert seen.allowed().tolist() == [[True, True], [False, True]]
    both, one = explore(asked, [wide, point])
    assert [passage.code for passage in both] == [0, 1]
    assert not any(passage.clearance > 0 for passage in both)
    assert [passage.code for passage in one] == [1]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("wall", [0.4, 0.1])
def test_states_stay_in_their_tube(code, wall):
    """500 rollouts per box, of any velocity within its bounds; a wall that targets lie behind changes nothing."""
    policy = Lanes(wobble=0.05)
    asked = crossing(policy)
    object.__setattr__(asked, "servo", servo(wall=wall))
    low, high = boxes()
    bounds = tube(asked, asked.codes.seen(low, high), code)
    generator = torch.Generator().manual_seed(2)
    share = torch.rand(500, 1, 4, generator=generator, dtype=torch.float64).round(decimals=1)  # corners among them
    position = low + share[..., :2] * (high - low)
    velocity = (asked.rest * (2 * share[..., 2:] - 1)).expand_as(position)
    state = torch.cat([position, velocity], dim=2).flatten(0, 1)
    chunk = policy.chunk(policy.features(state[:, :2].float()), code).double()
    states = asked.servo.run(state, chunk).unflatten(0, (500, -1))
    assert (states >= bounds.lower).all()
    assert (states <= bounds.upper).all()
    spread, width = states.amax(0) - states.amin(0), bounds.upper - bounds.lower
    assert (width[..., :2] < 3 * spread[..., :2] + 0.02).float().mean() > 0.95  # and it is no tube around everything


@pytest.mark.parametrize("blocked", [-0.13, 0.13])
def test_a_proved_rod_never_touches_and_arrives(blocked):
    """10,000 rollouts with random codes from the proved cells, one lane half blocked: there are rods that touch."""
    asked = crossing(centers=((0.0, 0.0), (blocked, 0.03)), radii=(0.06, 0.06))
    analysis = reachability(asked, finest=3)
    low, high = (np.array(corner) for corner in zip(*map(analysis.cells.box, analysis.leaves), strict=True))
    proved = np.array([cell in analysis.proved for cell in analysis.leaves])
    positions = places(10_000, seed=3)
    inside = ((low <= positions.numpy()[:, None]) & (positions.numpy()[:, None] <= high)).all(2)
    sure = torch.from_numpy((inside & proved).any(1))
    least, arrived = rollouts(asked, positions)
    assert (least[sure] > 0).all()
    assert arrived[sure].all()
    assert 0.05 < sure.float().mean() < 0.95
    assert (least[~sure] <= 0).float().mean() > 0.2


def test_what_is_in_nobodys_way_is_proved_as_a_whole():
    analysis = reachability(crossing())
    assert all(cell in analysis.proved for cell in analysis.leaves)
    assert max(analysis.proved.values()) <= 12


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"centers": ((-0.115, -0.15), (0.115, -0.15)), "radii": (0.03, 0.03)}, "both lanes are blocked half way"),
        ({"most_steps": 8}, "the finish is too far for so few actions"),
        ({"rest": torch.full((2,), 0.2, dtype=torch.float64)}, "the rod is faster than what is assumed"),
        ({"floor": 0.0}, "any code may be drawn anywhere"),
    ],
)
def test_what_may_go_wrong_is_not_proved(changes, why):
    analysis = reachability(crossing(**changes), finest=1)
    assert not any(cell in analysis.proved for cell in analysis.leaves), why


def test_an_obstacle_passed_between_two_plannings_is_noticed():
    """Both ends of the chunk are clear of it: a disc that each rod meets on the way."""
    asked = crossing(centers=((-0.09, -0.2), (0.09, -0.2)), radii=(0.02, 0.02))
    low, high = boxes(8, width=0.001)
    low, high = 0 * low + torch.tensor([-0.001, -0.28]), 0 * high + torch.tensor([0.001, -0.279])
    both = explore(asked, [(low[0].numpy(), high[0].numpy())])[0]
    assert [passage.code for passage in both] == [0, 1]
    for passage in both:
        end = torch.tensor(np.r_[passage.lower, 0, 0])
        assert clearance(asked, end) > 0.02
        assert passage.clearance < 0


def test_time_that_is_over_leaves_what_is_proved():
    analysis = reachability(crossing())
    analysis.known.clear()
    analysis.proved.clear()
    assert not analysis.run(seconds=0.0)
    assert not analysis.proved
    assert analysis.run()
    assert all(cell in analysis.proved for cell in analysis.leaves)


def test_a_chunk_is_as_long_as_it_is_executed():
    """Of a chunk of four actions two are executed: the tube is that of two."""
    asked = crossing(steps=2)
    low, high = boxes(3, width=0.001)
    assert tube(asked, asked.codes.seen(low, high), 0).lower.shape == (3, 2 * asked.servo.substeps, 4)
    assert STEPS == 4
