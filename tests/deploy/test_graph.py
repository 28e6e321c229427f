"""A graph computes what torch computes; what cannot be one is named."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from robolearn.deploy.graph import to_graph
from robolearn.policies.draws import draw_category, race

onnxruntime = pytest.importorskip("onnxruntime")


def run(function, **inputs):
    """A function's result as torch has it, and as its graph has it, on inputs that the graph was not made with."""
    torch.manual_seed(0)
    example = {name: torch.zeros_like(value) for name, value in inputs.items()}
    model = to_graph(function, example)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    taken = {one.name for one in session.get_inputs()}
    onnx_values = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in taken})[0]
    with torch.no_grad():
        return function(**inputs).numpy(), onnx_values


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CONV = nn.Conv1d(3, 4, 3, stride=2, padding=1)
GROUPS = nn.GroupNorm(2, 4, eps=0.1)
LAYER = nn.LayerNorm(5, elementwise_affine=False)
TABLE = normal(7, 3, seed=5)
nn.init.normal_(GROUPS.weight), nn.init.normal_(GROUPS.bias)

FUNCTIONS = {
    "arithmetic": lambda x: (2 - x) * 3 / (x.square() + 1) - torch.add(x, x, alpha=0.5),
    "exponentials": lambda x: x.exp().log1p() + torch.expm1(1e-4 * x) + (x.abs() + 0.1).sqrt(),
    "activations": lambda x: F.silu(x) + F.gelu(x) + F.softplus(x) + F.leaky_relu(x) + torch.tanh(x) + x.sigmoid(),
    "clamps": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.3) + F.relu(x),
    "choices": lambda x: torch.where(x > 0, x, 2 * x) + (x <= 0.5) * (x != 0).float(),
    "remainders": lambda x: torch.remainder(x, 0.7) + (x * 5).long().remainder(3),
    "interpolation": lambda x: torch.lerp(x, x + 1, 0.3) + torch.addcmul(x, x, x, value=0.5),
    "mixed types": lambda x: x * (x > 0) + torch.arange(5) * x.double(),
    "products": lambda x: x @ TABLE[:5] + F.linear(x, TABLE.T[:, :5], torch.ones(3)),
    "batched products": lambda x: torch.einsum("bi,bj->bij", x, x).flatten(1) @ normal(25, 2),
    "attention": lambda x: F.scaled_dot_product_attention(*[x.view(1, 1, 4, 5)] * 3),
    "convolution": lambda x: GROUPS(CONV(x[:3].view(1, 3, 5))),
    "pooling": lambda x: F.max_pool2d(x[None, None], 3, 2, 1),
    "norms": lambda x: LAYER(x) + x.log_softmax(1) + x.softmax(0),
    "pieces": lambda x: torch.cat([x[:, 1:3], x[:, -1:], *x.split([1, 4], dim=1)], dim=1),
    "stacks": lambda x: torch.stack(x.unbind(0), dim=1).flip(0).repeat(2, 3).T,
    "padding": lambda x: F.pad(x, (1, 2, 0, 1), value=0.5).repeat_interleave(2, dim=1),
    "indices": lambda x: TABLE[(x.abs() * 2).long().clamp(max=6)] + TABLE[x.argmax(1)][:, None],
    "pairs of indices": lambda x: x[torch.arange(4), x.argmax(1)] + x.gather(1, x.argmin(1, keepdim=True))[:, 0],
    "norms in float64": lambda x: F.layer_norm(x.double(), (5,)) + F.group_norm(x.double()[..., None], 5)[..., 0],
    "transposed rows": lambda x: x[0].t() * x.argmax(keepdim=True),
    "nothing but an input": lambda x: x,
    "sums": lambda x: x.sum() + x.mean(1) + x.amax(1) - x.cumsum(1)[:, -1] + x.sum((0, 1)),
    "logarithms of normal tails": lambda x: torch.special.log_ndtr(3 * x) + torch.special.ndtr(x.double()).float(),
    "races": lambda x: race(x, x.flip(1)),
    "categories": lambda x: draw_category(x, x[:, 0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_graph_computes_what_torch_computes(name):
    for seed in range(3):
        expected, onnx_values = run(FUNCTIONS[name], x=1.5 * normal(4, 5, seed=seed))
        assert onnx_values.dtype == expected.dtype
        assert onnx_values.shape == expected.shape
        np.testing.assert_allclose(onnx_values, expected, rtol=2e-6, atol=2e-6)


def test_tails_are_exact_where_float32_is_not():
    """Of noise 5 the code's draw depends on 1 - Phi(5) = 3e-7, which a difference from 1 in float32 loses."""
    noise = torch.tensor([-8.0, -5.0, -0.1, 0.0, 3.0, 5.0, 5.77])
    expected, onnx_values = run(lambda x: -(-torch.special.log_ndtr(x)).log(), x=noise)
    np.testing.assert_allclose(onnx_values, expected, rtol=0, atol=3e-6)


def test_what_no_input_reaches_is_a_constant():
    model = to_graph(lambda x: x + torch.linspace(0, 1, 5).sin().cumsum(0), {"x": torch.zeros(5)})
    assert [node.op_type for node in model.graph.node] == ["Add", "Identity"]


def test_every_node_has_a_name_of_its_own():
    """Where none has, onnxruntime 1.20 gives what it makes of two of them the same name, and then refuses the model."""
    model = to_graph(lambda x: (x + 1) * (x - 2) + x.split(2)[0].sum(), {"x": torch.zeros(4, 5)})
    names = [node.name for node in model.graph.node]
    assert len(names) > 4
    assert all(names)
    assert len(set(names)) == len(names)


def test_equal_constants_are_kept_once():
    weight = normal(64, 64)

    def twice(x):
        return x @ weight @ weight

    assert len(to_graph(twice, {"x": torch.zeros(1, 64)}).graph.initializer) == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * x.sum().item(), "decides by its own numbers"),
        (lambda x: x if x.sum() > 0 else -x, "decides by its own numbers"),
        (lambda x: x.add_(1), "overwrites a tensor"),
        (lambda x: x.sort(1).values, "it uses aten.sort.default, for which there is no node"),
        (lambda x: torch.div(x, 2, rounding_mode="floor"), "it uses aten.div.[A-Za-z_]*mode with options for which"),
        (lambda x: F.softplus(x, beta=3.0), "it uses aten.softplus.default with options for which there is no node"),
        (lambda x: x.round(decimals=1), "it uses aten.round.decimals with options for which there is no node"),
        (lambda x: x[:, torch.tensor([1, 0])], "it uses indices of other axes than the first ones, for which"),
        (lambda x: x[torch.tensor([True, False])], "it uses a mask as an index, for which"),
        (lambda x: torch.linalg.vector_norm(x, 1), "it uses a norm of order 1, for which there is no node"),
        (lambda x: torch.searchsorted(TABLE[0], x, right=True), "it uses searchsorted with right, for which"),
        (lambda x: x.long() & 3, "it uses And of the bits of integers, for which there is no node"),
        (lambda x: ~x.long(), "it uses Not of the bits of integers, for which there is no node"),
        (lambda x: x.half(), "it uses numbers of type torch.float16, for which there is no node"),
        (lambda x: torch.ones(3), "neither on observations nor on noise"),
    ],
)
def test_what_cannot_be_a_graph_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        to_graph(function, {"x": normal(2, 2)})
