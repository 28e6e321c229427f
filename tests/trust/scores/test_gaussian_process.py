import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from robolearn.trust.scores.fitted import fit_scores
from robolearn.trust.scores.gaussian_process import GP, choose_points, fit_gaussian_process, posterior
from robolearn.trust.scores.registry import SCORES
from robolearn.trust.scores.score import Score

ONE = torch.tensor(1.0, dtype=torch.float64)


def data(n, d=2, p=3, noise=0.2, seed=0):
    """Points of a cube, and smooth functions of them with noise."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(n, d, generator=generator, dtype=torch.float64) - 1
    waves = 2 * torch.randn(d, p, generator=generator, dtype=torch.float64)
    return x, torch.sin(x @ waves) + noise * torch.randn(n, p, generator=generator, dtype=torch.float64)


def conditioned(x, y, points, length=0.7, ratio=20.0):
    """The posterior at these points, with scales that are given."""
    scales = torch.tensor([length, ratio], dtype=torch.float64)
    return posterior(torch.cdist(points, points), torch.cdist(points, x), y, *scales)


def exact(x, y, length, ratio, noise):
    """The Gaussian process of scikit-learn, with all scales given."""
    kernel = ConstantKernel(ratio * noise**2, "fixed") * Matern(length, "fixed", nu=2.5)
    kernel = kernel + WhiteKernel(noise**2, "fixed")
    return GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(x.numpy(), y.numpy())


def test_with_all_demonstrations_as_points_it_is_the_exact_process_of_scikit_learn():
    x, y = data(40)
    new = 4 * torch.rand(25, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 2
    process = fit_gaussian_process(x, y, num_inducing=40)
    assert len(process.points) == 40
    scales = (process.length.item(), process.ratio.item(), process.noise.item())
    white, asked = ((z - process.centre) / process.scale for z in (x, new))
    mean, std = exact(white, y - process.mean, *scales).predict(asked.numpy(), return_std=True)
    torch.testing.assert_close(process.variance(new), torch.from_numpy(std[:, 0] ** 2), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(process.predict(new), torch.from_numpy(mean) + process.mean, rtol=0, atol=1e-6)


def test_the_bound_of_all_points_is_the_marginal_likelihood_and_that_of_fewer_is_below():
    x, y = data(40)
    full = conditioned(x, y, x)
    likelihood = exact(x, y, 0.7, 20.0, full.noise.item()).log_marginal_likelihood_value_
    assert full.bound.item() == pytest.approx(likelihood, abs=1e-4)
    order = choose_points(x, 0.7 * ONE, 40)
    bounds = [conditioned(x, y, x[order[:m]]).bound.item() for m in (5, 10, 20, 40)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(likelihood, abs=1e-4)


def test_its_noise_maximizes_the_likelihood():
    x, y = data(40)
    best = conditioned(x, y, x)
    around = [
        exact(x, y, 0.7, 20.0, factor * best.noise.item()).log_marginal_likelihood_value_ for factor in (0.97, 1.03)
    ]
    assert max(around) < best.bound.item()


def test_length_and_ratio_are_a_maximum_of_the_likelihood():
    x, y = data(60)
    process = fit_gaussian_process(x, y)
    white, scales = (x - process.centre) / process.scale, (process.length.item(), process.ratio.item())
    best = conditioned(white, y - process.mean, white, *scales).bound
    for longer, larger in ((1.1, 1.0), (0.9, 1.0), (1.0, 1.2), (1.0, 0.8)):
        assert conditioned(white, y - process.mean, white, longer * scales[0], larger * scales[1]).bound < best


def test_variance_goes_from_the_noise_to_the_priors():
    x, y = data(3000, d=1, p=40)
    process = fit_gaussian_process(5 + 100 * x.float(), y.float())  # in units that standardizing has to remove
    noise, prior = process.noise.item() ** 2, process.noise.item() ** 2 * (1 + process.ratio.item())
    assert process.noise.item() == pytest.approx(0.2, rel=0.02)
    assert process.variance(torch.full((1, 1), 5.0)).item() == pytest.approx(noise, rel=0.02)
    assert process.variance(torch.full((1, 1), 1e5)).item() == pytest.approx(prior, rel=1e-6)
    assert prior > 3 * noise


def test_errors_on_new_demonstrations_are_of_the_size_that_is_said():
    x, y = data(2000, seed=3)
    process = fit_gaussian_process(x[:1000], y[:1000], num_inducing=50)
    assert len(process.points) == 50
    standardized = (process.predict(x[1000:]) - y[1000:]).square() / process.variance(x[1000:])[:, None]
    assert standardized.mean().item() == pytest.approx(1, abs=0.1)  # 3000 squares: a standard deviation of 0.026


def test_points_are_where_the_others_leave_most_variance():
    crowd = 0.01 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    corners = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [5.0, -5.0]], dtype=torch.float64)
    chosen = choose_points(torch.cat([crowd, corners]), ONE, 4)
    assert set(chosen.tolist()) >= {200, 201, 202}
    assert choose_points(crowd[:1].repeat(50, 1), ONE, 10).tolist() == [0]  # the same again says nothing new


def test_each_point_leaves_what_the_process_leaves_of_its_variance():
    """A naive version: the next point is where the exact variance without noise, given those before, is largest."""
    x, _ = data(30)
    kernel = torch.from_numpy(Matern(0.7, nu=2.5)(x.numpy()))
    chosen = choose_points(x, 0.7 * ONE, 12).tolist()
    for count in range(1, 12):
        seen = chosen[:count]
        left = 1 - (kernel[:, seen] @ torch.linalg.solve(kernel[seen][:, seen], kernel[seen])).diagonal()
        assert left[chosen[count]] == pytest.approx(left.max().item(), abs=1e-9)


def test_what_cannot_be_learned():
    x, y = data(20)
    with pytest.raises(ValueError, match="at least 2 finite demonstrations and 1 inducing point, got 1 and 256"):
        fit_gaussian_process(x[:1], y[:1])
    with pytest.raises(ValueError, match="got 20 and 0"):
        fit_gaussian_process(x, y, 0)
    with pytest.raises(ValueError, match="at least 2 finite"):
        fit_gaussian_process(x, y / 0)
    with pytest.raises(ValueError, match="whose chunks are all the same"):
        fit_gaussian_process(x, torch.ones_like(y))


def test_targets_without_noise_and_features_without_spread_are_learned():
    x, _ = data(100)
    process = fit_gaussian_process(torch.cat([x, torch.ones(100, 1)], 1), x @ torch.ones(2, 1, dtype=torch.float64))
    assert process.variance(torch.cat([x, torch.ones(100, 1)], 1)).isfinite().all()


def test_it_is_fitted_to_more_windows_than_the_others(scores_of_before):
    seen = {}

    def note(name, number):
        def fit(embeddings, chunks, generator):
            seen[name] = len(embeddings), len(chunks)
            return torch.nn.Identity()

        SCORES[name] = Score.of_embeddings(name, fit, lambda state: torch.nn.Identity(), number)

    note("many", GP.num_windows)
    note("few", 3)
    fit_scores(["few", "many"], torch.zeros(5000, 1), torch.zeros(5000, 1), seed=0)
    assert seen == {"few": (3, 3), "many": (5000, 5000)}
