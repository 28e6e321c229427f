"""What becomes of single operations of torch, and what of them is refused."""

import pytest
import torch
from torch import nn

from robolearn.errors import UserError
from robolearn.verify.crown import relax
from robolearn.verify.lowering import lower

torch.manual_seed(0)
MATRIX = torch.randn(3, 4)
WITHOUT_BIAS = nn.Linear(4, 3, bias=False).requires_grad_(False)


def batch_norm(layer):
    torch.manual_seed(1)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer.requires_grad_(False).eval()


OF_ONE_SAMPLE = {
    "matrix times vector": lambda x: MATRIX @ x,
    "vector times matrix": lambda x: x @ MATRIX.T,
    "vector times vector": lambda x: torch.dot(x, MATRIX[0]).view(1),
    "vector times itself": lambda x: torch.dot(x, x).view(1),
    "linear without a bias": WITHOUT_BIAS,
    "maximum of all": lambda x: x.max().view(1),
    "maxima of an axis": lambda x: x.view(2, 2).amax(0),
    "maxima of both axes": lambda x: x.view(1, 2, 2).amax((-1, 1), keepdim=True),
    "maxima with their places": lambda x: x.view(2, 2).max(-1, keepdim=True).values,
    "pooled in one dimension": lambda x: nn.functional.max_pool1d(x.view(1, 1, 4), 2, 1),
    "normalized over batches before": lambda x: BATCH_NORM(x.view(1, 4)),
    "normalized channels": lambda x: CHANNEL_NORM(x.view(1, 2, 2, 1)),
}
BATCH_NORM = batch_norm(nn.BatchNorm1d(4))
CHANNEL_NORM = batch_norm(nn.BatchNorm2d(2, affine=False))


@pytest.mark.parametrize("name", OF_ONE_SAMPLE)
def test_an_operation_computes_what_torch_does_and_has_bounds(name):
    function, generator = OF_ONE_SAMPLE[name], torch.Generator().manual_seed(3)
    for precision in ("exact", "float32"):
        graph = lower(function, torch.zeros(4), precision)
        for _ in range(20):
            x = torch.randn(4, generator=generator)
            y = function(x).flatten().double()
            assert torch.allclose(graph(x[None])[0], y, atol=1e-5)
            least, most = relax(graph, x[None] - 0.1, x[None] + 0.1).bounds[-1]
            assert (least[0] <= y).all()
            assert (y <= most[0]).all()


WITH_NUMBERS = {
    "a factor": lambda x: x * 0.7,
    "a divisor": lambda x: x / 0.7,
    "a sum": lambda x: (x - 0.7) + 0.7,
    "a difference": lambda x: torch.rsub(x, 0.7, alpha=-0.3),
    "a difference of both": lambda x: torch.sub(x, x, alpha=0.7),
    "a factor of a number": lambda x: torch.add(x, 0.7, alpha=0.3),
    "a factor of a product": lambda x: torch.addcmul(x, x, x, value=-0.7),
    "a limit": lambda x: x.clamp(min=0.7),
    "a limit above": lambda x: torch.clamp(x, max=-0.7),
    "two limits": lambda x: nn.functional.hardtanh(x, 0.1, 0.7),
    "limits exchanged": lambda x: x.clamp(0.7, -0.7) + 0 * x,
    "a slope": lambda x: nn.functional.leaky_relu(x, 3.3),
    "a division without rounding": lambda x: torch.div(x, 0.7, rounding_mode=None),
}


@pytest.mark.parametrize("name", WITH_NUMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_those_that_the_network_computes_with(name, dtype):
    """At points: a network in float64 takes 0.7 for what float64 has of it, one in float32 for what float32 has."""
    function, generator = WITH_NUMBERS[name], torch.Generator().manual_seed(3)
    graph = lower(function, torch.zeros(4, dtype=dtype), "float32" if dtype == torch.float32 else "exact")
    for _ in range(20):
        x = torch.randn(4, generator=generator, dtype=dtype)
        y = function(x).double()
        least, most = relax(graph, x[None], x[None]).bounds[-1]
        assert (least[0] <= y).all()
        assert (y <= most[0]).all()
        assert torch.allclose(least[0], most[0], atol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda x: x.max(-1).indices.double(), "max.dim returns"),
        (lambda x: x.gather(0, x.max(0, keepdim=True).indices), "max.dim returns"),
        (lambda x: nn.functional.max_pool1d(x.view(1, 4), 2, return_indices=True)[1] + x[0], "max_pool2d.* returns"),
        (lambda x: x.clamp(torch.zeros(4), torch.ones(4)), "aten.clamp.Tensor"),
        (lambda x: x.view(2, 2).t().as_strided((4,), (1,)), "aten.as_strided"),
        (lambda x: nn.functional.layer_norm(x, (4,), eps=0.0), "with an epsilon of 0.0"),
        (lambda x: 2**x, "the power of a tensor"),
        (lambda x: x**x, "the power of a tensor"),
        (lambda x: x**3, "the power 3"),
        (lambda x: x.clamp(min=float("nan")), "by what is none"),
        (lambda x: torch.div(x, 0.5, rounding_mode="floor"), "aten.div.Tensor_mode with rounding_mode"),
        (lambda x: torch.div(x, 0.5, rounding_mode="trunc"), "aten.div.Tensor_mode with rounding_mode"),
        (lambda x: x.sum(0, dtype=torch.float16).view(1), "aten.sum.* with another dtype"),
        (lambda x: nn.functional.batch_norm(x.view(2, 2), torch.zeros(2), torch.ones(2), training=True), "its batch"),
    ],
)
def test_what_has_no_bounds_is_never_taken_for_a_constant(function, line):
    with pytest.raises(UserError, match=line):
        lower(function, torch.arange(4.0))
