import pytest
import torch

from robolearn.trust.scores.laplace import fit_last_layer


def data(m, d=4, p=3, noise=0.3, seed=0):
    """Features, and targets of a random linear layer with noise."""
    generator = torch.Generator().manual_seed(seed)
    x, weight = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((m, d), (d + 1, p)))
    clean = x @ weight[:-1] + weight[-1]
    return x, clean + noise * torch.randn(m, p, generator=generator, dtype=torch.float64)


def test_variance_is_that_of_the_gaussian_process_with_the_same_prior():
    """The other way to compute it: k(x, x) + s^2 - k (K + s^2 I)^-1 k' with k = (x y' + 1) / lam."""
    x, y = data(30)
    new = 3 * torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lam, s = 0.7, 0.3
    layer = fit_last_layer(x, y, lam, s)

    def kernel(a, b):
        return (a @ b.T + 1) / lam

    cross, gram = kernel(new, x), kernel(x, x) + s**2 * torch.eye(30)
    expected = kernel(new, new).diagonal() + s**2 - (cross * torch.linalg.solve(gram, cross.T).T).sum(1)
    torch.testing.assert_close(layer.variance(new), expected)
    torch.testing.assert_close(layer.predict(new), cross @ torch.linalg.solve(gram, y))


def coverage(standardize):
    """Mean squared standardized error over 300 layers, from the prior, of 8 demonstrations each."""
    squares = []
    for seed in range(300):
        x, y = data(28, seed=seed)
        layer = fit_last_layer(x[:8], y[:8], 1.0, 0.3)
        new, truth = x[8:], y[8:]
        squares.append(((layer.predict(new) - truth).square() / standardize(layer, new)[:, None]).mean())
    return torch.stack(squares).mean().item()


def test_errors_are_of_the_size_that_is_said():
    assert coverage(lambda layer, new: layer.variance(new)) == pytest.approx(1, abs=0.05)


def test_noise_alone_says_too_little():
    assert coverage(lambda layer, new: torch.full((len(new),), layer.noise.item() ** 2)) > 1.5


def test_uncertain_away_from_the_demonstrations():
    x, y = data(200)
    layer = fit_last_layer(x.float(), y.float())
    near, far = layer.variance(torch.zeros(1, 4)), layer.variance(torch.full((1, 4), 20.0))
    noise = layer.noise.item()
    assert noise == pytest.approx(0.3, rel=0.1)
    assert near.item() == pytest.approx(noise**2, rel=0.05)
    assert far > 2 * near
    assert far.dtype == torch.float32


def test_what_has_no_posterior():
    x, _ = data(20)
    with pytest.raises(ValueError, match=r"precision 0\.0 and noise None must be above 0"):
        fit_last_layer(x, x, 0.0)
    with pytest.raises(ValueError, match=r"noise 0\.0 must be above 0"):
        fit_last_layer(x, torch.zeros_like(x))
