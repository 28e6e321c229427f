"""Initial boxes as models, and the enclosure of radii and old symbols in new symbols."""

import numpy as np
import torch

from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.symbols import absorbed, initial_states


def support(models, directions):
    """How far the zonotope of symbols and radii reaches in directions [k, n], per box: [b, k]."""
    basis = models[0].basis
    plain = basis.size - basis.symbols
    columns = torch.stack([x.coefficients[:, plain:, 0] for x in models], 1)
    radii = torch.stack([x.radius for x in models], 1)
    return (directions @ columns).abs().sum(2) + radii @ directions.abs().T


def test_the_zonotope_of_the_symbols_holds_the_old_one(random_model):
    """A centered zonotope holds another one if it reaches as far in every direction: 5 000 of them, and the axes."""
    basis, rng = Basis(variables=2, order=2, symbols=9, degree=0), np.random.default_rng(0)
    directions = torch.cat([torch.from_numpy(rng.normal(size=(5000, 3))), torch.eye(3).double()])
    for size in (0.1, 1.0):
        models = [random_model(basis, rng, boxes=20, size=size, radius=0.2) for _ in range(3)]
        result = absorbed(models)
        before, after = support(models, directions), support(result, directions)
        assert (after >= before - 1e-14).all()
        assert (after <= 1.7 * before).all(), "not much is given away"
        for x, y in zip(models, result, strict=True):
            assert not y.radius.any()
            kept = basis.size - basis.symbols
            assert torch.equal(x.coefficients[:, :kept], y.coefficients[:, :kept])


def test_nothing_is_lost_while_there_is_room():
    """Two models and eight symbols: what a few radii became is kept as it is."""
    basis = Basis(variables=1, order=1, symbols=8, degree=1)
    models = initial_states(basis, torch.zeros(1, 2).double(), torch.tensor([[1.0, 0.0]]).double())
    for radius in (0.125, 0.25):
        models = absorbed([x.widened(torch.tensor([radius]).double()) for x in models])
        models[1] = models[1] + models[0] * 0.5
    reach = support(models, torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double())[0]
    np.testing.assert_allclose(reach, [0.375, 0.375 + 0.125 * 0.5 * 2 + 0.25 * 0.5], rtol=1e-9)


def test_initial_boxes_are_their_models():
    lower = torch.tensor([[0.1, -3.0, 0.7], [0.2, -2.0, 0.7]]).double()
    upper = torch.tensor([[0.3, -1.0, 0.7], [0.3, -1.0, 0.7]]).double()
    states = initial_states(Basis(2, 2, 6, 2), lower, upper)
    for i, x in enumerate(states):
        least, most = x.bounds()
        assert (least <= lower[:, i]).all()
        assert (most >= upper[:, i]).all()
        np.testing.assert_allclose(most - least, upper[:, i] - lower[:, i], atol=1e-12)
    assert [x.coefficients[0, 1:3, 0].gt(0).tolist() for x in states] == [[True, False], [False, True], [False, False]]
