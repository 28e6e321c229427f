import pytest
import torch

from robolearn.policies.family import Chunks
from robolearn.policies.mip import MIP, MIPConfig

COND = torch.zeros(3, 1, 1)


def test_the_loss_weighs_guess_and_refinement(nets_giving):
    """A network that is off by its time plus 0.1: guess off by 0.1, refinement by t* + 0.1."""
    actions = torch.full((3, 4, 2), 0.3)
    family = MIP(MIPConfig(), nets_giving(lambda x, cond, time: 0.4 + time[:, :, None].expand_as(x)), 4, 2)
    draws = {"noise": torch.zeros(3, 4, 2)}
    loss, details = family.loss(Chunks(actions, COND, torch.ones(3, 4, dtype=torch.bool)), draws)
    assert details["guess"].item() == pytest.approx(0.1**2)
    assert details["refined"].item() == pytest.approx(1.0**2)
    assert loss.item() == pytest.approx(0.1**2 / 0.9**2 + 1.0**2 / 0.1**2, rel=1e-5)


def test_the_refinement_sees_the_guess_and_no_noise(nets_giving):
    seen = []

    def net(x, cond, time):
        seen.append((x.unique().tolist(), time.unique().item()))
        return x + 0.25

    chunk = MIP(MIPConfig(refine_time=0.8), nets_giving(net), 4, 2).sample(COND, torch.zeros(3, 0))
    assert seen == [([0.0], 0.0), ([0.25], pytest.approx(0.8))]
    assert (chunk == 0.5).all()


def test_impossible_configurations():
    with pytest.raises(ValueError, match=r"refine_time 1.0 must be in \(0, 1\)"):
        MIPConfig(refine_time=1.0)
