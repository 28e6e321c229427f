"""ONNX: every operation against onnxruntime, and files that cannot be read."""

from importlib.metadata import version

import numpy as np
import pytest
import torch
from packaging.version import Version

from robolearn.errors import UserError
from robolearn.verify.formats.onnx_network import read_network
from robolearn.verify.formats.onnx_operations import OPERATIONS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, FLOAT, DOUBLE, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64
HALF = onnx.TensorProto.FLOAT16
RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values):
    return np.array(values, np.int64)


def model(nodes, shape, constants=(), *, opset=20, result="y", kind=FLOAT, declared=None):
    """A network of these nodes, from x to a result."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info(result, kind, declared)],
            [onnx.numpy_helper.from_array(value, name) for name, value in dict(constants).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )


def single(op, shape, *others, opset=20, outputs=1, result=0, **attributes):
    """A network of one operation, which reads x and constants; None leaves an input out."""
    names = ["" if one is None else f"c{i}" for i, one in enumerate(others)]
    node = helper.make_node(op, ["x", *names], [f"y{i}" for i in range(outputs)], **attributes)
    constants = {name: value for name, value in zip(names, others, strict=True) if name}
    return model([node], shape, constants, opset=opset, result=f"y{result}")


def chain(*nodes, shape=(1, 3), constants=(), opset=20):
    """A network of (operation, inputs, output, attributes)."""
    made = [helper.make_node(op, inputs, [out], **(dict(*rest))) for op, inputs, out, *rest in nodes]
    return model(made, shape, constants, opset=opset)


IMAGE, ROW = (1, 4, 6, 6), (1, 6)
NORMS = [numbers(4) ** 2 + 0.1 for _ in range(4)]
NETWORKS = {
    "gemm": single("Gemm", ROW, numbers(6, 3), numbers(3)),
    "gemm turned and scaled": single("Gemm", ROW, numbers(3, 6), numbers(1, 3), transB=1, alpha=0.5, beta=2.0),
    "gemm, input turned": single("Gemm", (6, 1), numbers(6, 3), transA=1),
    "matmul": single("MatMul", ROW, numbers(6, 3)),
    "matmul of many": single("MatMul", (1, 2, 3, 6), numbers(2, 6, 4)),
    "add": single("Add", ROW, numbers(6)),
    "add, broadcast": single("Add", (1, 3, 1), numbers(2, 1, 4)),
    "sub": single("Sub", ROW, numbers(6)),
    "mul": single("Mul", ROW, numbers(6)),
    "div": single("Div", ROW, numbers(6)),
    "neg": single("Neg", ROW),
    "abs": single("Abs", ROW),
    "flatten": single("Flatten", IMAGE, axis=2),
    "flatten, from behind": single("Flatten", IMAGE, axis=-1),
    "flatten all": single("Flatten", IMAGE, axis=0),
    "reshape": single("Reshape", IMAGE, whole(0, -1, 9)),
    "reshape with zeros allowed": single("Reshape", IMAGE, whole(2, -1), allowzero=1),
    "squeeze": single("Squeeze", (1, 3, 1, 2), whole(2)),
    "squeeze all": single("Squeeze", (1, 3, 1, 2)),
    "squeeze 11": single("Squeeze", (1, 3, 1, 2), opset=11, axes=[0, 2]),
    "unsqueeze": single("Unsqueeze", (1, 3), whole(-1, 1)),
    "unsqueeze 11": single("Unsqueeze", (1, 3), opset=11, axes=[0, 3]),
    "transpose": single("Transpose", (1, 2, 3), perm=[0, 2, 1]),
    "transpose all": single("Transpose", (1, 2, 3)),
    "concat": single("Concat", (1, 3), numbers(1, 2), axis=-1),
    "slice": single("Slice", (1, 8), whole(1), whole(7), whole(1), whole(2)),
    "slice backward": single("Slice", (1, 8), whole(-1), whole(-(2**62)), whole(-1), whole(-3)),
    "slice, no axes": single("Slice", (4, 8), whole(1, -5), whole(99, -1)),
    "slice 9": single("Slice", (4, 8), opset=9, starts=[1], ends=[-1], axes=[1]),
    "split": single("Split", (1, 6), whole(1, 2, 3), outputs=3, result=2, axis=1),
    "split evenly": single("Split", (1, 6), outputs=3, result=1, axis=1, opset=13),
    "split unevenly": single("Split", (1, 7), outputs=3, result=2, axis=1, num_outputs=3),
    "split 11": single("Split", (1, 6), outputs=2, result=1, axis=-1, split=[2, 4], opset=11),
    "gather": single("Gather", (1, 6), whole(3, -1, 0), axis=1),
    "gather one": single("Gather", (2, 3, 4), np.array(-2, np.int64), axis=-2),
    "gather a table": single("Gather", (1, 6), np.array([[0, 1], [5, 2]], np.int64), axis=-1),
    "conv": single("Conv", IMAGE, numbers(3, 4, 3, 3), numbers(3)),
    "conv, all options": single(
        *("Conv", IMAGE, numbers(4, 2, 3, 2)),
        **{"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1], "kernel_shape": [3, 2]},
    ),
    "conv same": single("Conv", IMAGE, numbers(3, 4, 3, 2), auto_pad="SAME_UPPER", strides=[2, 1]),
    "conv same, lower": single("Conv", IMAGE, numbers(3, 4, 3, 2), auto_pad="SAME_LOWER", strides=[2, 1]),
    "conv valid": single("Conv", IMAGE, numbers(3, 4, 3, 3), auto_pad="VALID"),
    "conv 1": single("Conv", (1, 4, 9), numbers(3, 4, 3), numbers(3), pads=[1, 1]),
    "batch normalization": single("BatchNormalization", IMAGE, *NORMS, epsilon=0.1),
    "batch normalization of a row": single("BatchNormalization", (1, 4), *NORMS, opset=9, momentum=0.8),
    "layer normalization": single("LayerNormalization", (1, 5, 4), numbers(4), numbers(4), epsilon=0.01),
    "max pool": single("MaxPool", IMAGE, kernel_shape=[2, 3], strides=[2, 1], pads=[1, 1, 1, 1]),
    "max pool on one side": single("MaxPool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 2, 0], dilations=[1, 2]),
    "max pool 1": single("MaxPool", (1, 2, 8), kernel_shape=[3], ceil_mode=1),
    "average pool": single("AveragePool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
    "average pool, padded": single("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 2, 1]),
    "average pool with padding": single("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
    "average pool 1": single("AveragePool", (1, 2, 8), kernel_shape=[3], strides=[2]),
    "global average pool": single("GlobalAveragePool", IMAGE),
    "relu": single("Relu", ROW),
    "leaky relu": single("LeakyRelu", ROW, alpha=0.2),
    "leaky relu as it comes": single("LeakyRelu", ROW),
    "clip": single("Clip", ROW, np.float32(-0.5), np.float32(0.3)),
    "clip above": single("Clip", ROW, None, np.float32(0.3)),
    "clip, limits exchanged": single("Clip", ROW, np.float32(1), np.float32(-1)),
    "clip 6": single("Clip", ROW, opset=6 + 1, min=-0.2, max=0.1),
    "tanh": single("Tanh", ROW),
    "sigmoid": single("Sigmoid", ROW),
    "sin": single("Sin", ROW),
    "cos": single("Cos", ROW),
    "softmax": single("Softmax", (1, 3, 4), axis=1),
    "softmax as it comes": single("Softmax", (1, 3, 4)),
    "softmax 11": single("Softmax", (1, 3, 4), opset=11),
    "gelu": single("Gelu", ROW),
    "gelu by tanh": single("Gelu", ROW, approximate="tanh"),
    "identity": single("Identity", ROW),
    "dropout": single("Dropout", ROW, np.float32(0.9)),
    "dropout 7": single("Dropout", ROW, opset=7, ratio=0.9),
    "cast": single("Cast", ROW, to=FLOAT),
    "cast of a constant to half its digits": chain(
        *(("Cast", ["c"], "h", {"to": HALF}), ("Cast", ["h"], "k", {"to": FLOAT}), ("Mul", ["x", "k"], "y")),
        constants={"c": np.float32(0.1)},
    ),
    "pow": single("Pow", ROW, np.float32(2)),
    "max": single("Max", ROW, numbers(6), numbers(1)),
    "min": single("Min", ROW, numbers(6)),
    "pad": single("Pad", (1, 2, 3), whole(0, 1, 2, 0, 0, 1), np.float32(0.5)),
    "pad along axes": single("Pad", (1, 2, 3), whole(1, 2), None, whole(-1), opset=18),
    "pad 10": single("Pad", (1, 2, 3), opset=10, pads=[0, 1, 2, 0, 0, 1], value=0.25),
    "reduce mean": single("ReduceMean", (1, 3, 4), whole(-1), keepdims=0),
    "reduce mean 13": single("ReduceMean", (1, 3, 4), opset=13, axes=[1]),
    "reduce sum": single("ReduceSum", (1, 3, 4), whole(1, 2)),
    "reduce sum of all": single("ReduceSum", (1, 3, 4)),
    "reduce nothing": single("ReduceSum", (1, 3, 4), noop_with_empty_axes=1),
    "expand": single("Expand", (1, 3, 1), whole(2, 1, 4)),
    "a residual": chain(("Relu", ["x"], "r"), ("Add", ["x", "r"], "y")),
    "a product of two": chain(("Sigmoid", ["x"], "s"), ("Mul", ["s", "x"], "y")),
    "a matrix of two": chain(
        ("Transpose", ["x"], "t", {"perm": [0, 2, 1]}), ("MatMul", ["x", "t"], "y"), shape=(1, 2, 3)
    ),
    "shapes computed from shapes": chain(
        ("Shape", ["x"], "s"),
        ("Gather", ["s", "zero"], "n"),
        ("Unsqueeze", ["n", "axis"], "u"),
        ("Div", ["seven", "two"], "three"),
        ("Cast", ["three"], "float", {"to": FLOAT}),
        ("Cast", ["float"], "again", {"to": INT64}),
        ("Concat", ["u", "again", "rest"], "shape", {"axis": 0}),
        ("Reshape", ["x", "shape"], "r"),
        ("ReduceSum", ["r", "two"], "y"),
        shape=(1, 6),
        constants={"zero": np.array(0, np.int64), "axis": whole(0), "seven": whole(7), "two": whole(2)}
        | {"rest": whole(-1)},
    ),
    "constants of all kinds": chain(
        ("Constant", [], "a", {"value": onnx.numpy_helper.from_array(numbers(1, 3))}),
        ("Constant", [], "b", {"value_float": 0.25}),
        ("Constant", [], "c", {"value_floats": [0.5, 1.5, 2.5]}),
        ("Constant", [], "i", {"value_ints": [-1]}),
        ("Constant", [], "k", {"value_int": 0}),
        ("Gather", ["c", "k"], "g"),
        ("Add", ["x", "a"], "p"),
        ("Mul", ["p", "b"], "q"),
        ("Add", ["q", "g"], "r"),
        ("Reshape", ["r", "i"], "y"),
    ),
}


def runtime(network, rows):
    """What onnxruntime computes of flat inputs, one by one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(network.SerializeToString(), options, ["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in source.shape]
    return np.stack([session.run(None, {source.name: row.reshape(shape)})[0].ravel() for row in rows])


def read(network, path):
    path.write_bytes(network.SerializeToString())
    return read_network(path)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_an_operation_computes_what_onnxruntime_computes(network, tmp_path, request):
    if "[reduce nothing]" in request.node.name and Version(version("onnxruntime")) < Version("1.24"):
        pytest.skip("onnxruntime before 1.24 reduces all axes where it is to reduce none")
    imported = read(network, tmp_path / "network.onnx")
    rows = np.random.default_rng(1).normal(size=(4, imported.input_size)).astype(np.float32)
    expected = runtime(network, rows)
    assert imported.output_size == expected.shape[1]
    replayed = torch.stack([imported.replay(row) for row in torch.tensor(rows)])
    np.testing.assert_allclose(replayed, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(imported.batched(torch.tensor(rows)), expected, rtol=2e-5, atol=2e-6)
    doubles = imported.batched(torch.tensor(rows).double())
    assert doubles.dtype == torch.float64
    np.testing.assert_allclose(doubles, expected, rtol=2e-5, atol=2e-6)


def test_every_operation_is_among_those_that_are_compared():
    assert {node.op_type for network in NETWORKS.values() for node in network.graph.node} == set(OPERATIONS)


def test_a_network_in_float64_is_replayed_in_float64(tmp_path):
    made = model([helper.make_node("Tanh", ["x"], ["y"])], (1, 2), kind=DOUBLE)
    x = torch.tensor([0.1, 1e-9], dtype=torch.float64)
    assert torch.equal(read(made, tmp_path / "n.onnx").replay(x), x.tanh())
    single_ = read(single("Tanh", (1, 2)), tmp_path / "n.onnx")
    assert torch.equal(single_.replay(x), x.float().tanh().double())


def test_a_constant_in_float64_is_cast_to_float32(tmp_path):
    nodes = [("Cast", ["c"], "f", FLOAT), ("Cast", ["f"], "d", DOUBLE)]
    made = [helper.make_node(op, inputs, [out], to=kind) for op, inputs, out, kind in nodes]
    made.append(helper.make_node("Mul", ["x", "d"], ["y"]))
    network = read(model(made, (1, 1), {"c": np.array(0.1)}, kind=DOUBLE), tmp_path / "n.onnx")
    assert float(network.replay(torch.ones(1))) == float(np.float32(0.1)) != 0.1


def test_a_gemm_of_four_axes_takes_all_but_the_first_as_one(tmp_path):
    weight = numbers(3, 4)
    made = single("Gemm", (1, 1, 2, 2), weight, transB=1)
    x = torch.arange(4.0)
    assert torch.allclose(read(made, tmp_path / "n.onnx").replay(x).float(), torch.tensor(weight) @ x)


def test_all_outside_networks_compute_what_onnxruntime_computes(outside):
    files = sorted(outside.glob("**/*.onnx"))
    assert len(files) == 3 + 45 + 4
    for path in files:
        network = onnx.load(path)
        if path.name == "acc.onnx":  # onnxruntime refuses its Gemm of four axes, and versions before 7
            network = modern(network)
        imported = read_network(path)
        rows = np.random.default_rng(1).normal(size=(3, imported.input_size)).astype(np.float32)
        expected, largest = runtime(network, rows), imported.batched(torch.tensor(rows)).abs().max()
        difference = np.abs(torch.stack([imported.replay(row) for row in torch.tensor(rows)]).numpy() - expected).max()
        assert difference < 1e-5 * largest, path.name


def modern(network):
    """The same network with a Flatten behind its Sub, in a later version, and with an output of unknown shape."""
    network.graph.node[1].input[0] = "flat"
    network.graph.node.insert(1, helper.make_node("Flatten", ["input_Sub"], ["flat"]))
    network.graph.output[0].type.tensor_type.ClearField("shape")
    network.opset_import[0].version = 9
    for node in network.graph.node:
        for attribute in [one for one in node.attribute if one.name == "broadcast"]:
            node.attribute.remove(attribute)
    return network


def broken(change, **options):
    """A network of one Relu, changed."""
    made = single("Relu", (1, 2), **options)
    change(made)
    return made


def external(made):
    weights = made.graph.initializer.add(name="w", data_type=FLOAT, dims=[1])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")


def damaged(made):
    made.graph.initializer.add(name="w", data_type=FLOAT, dims=[3], raw_data=b"1234")


def texts(made):
    made.graph.initializer.add(name="w", data_type=onnx.TensorProto.STRING, dims=[1], string_data=[b"a"])


def own_domain(made):
    made.graph.node[0].domain = "com.mine"


def second_input(made):
    made.graph.input.append(helper.make_tensor_value_info("z", FLOAT, [1]))


def second_output(made):
    made.graph.output.append(helper.make_tensor_value_info("x", FLOAT, [1]))


def no_shape(made):
    made.graph.input[0].type.tensor_type.ClearField("shape")


def open_axis(made):
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"


def of_integers(made):
    made.graph.input[0].type.tensor_type.elem_type = INT64


def sparse(made):
    made.graph.sparse_initializer.add()


def huge(made):
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40


def no_nodes(made):
    del made.graph.node[:]


def unnamed(made):
    made.graph.node[0].name = "a\nb"
    made.graph.node[0].input[0] = "nowhere"


MEAN = single("BatchNormalization", (1, 4), *NORMS, training_mode=1, outputs=3)
REFUSED = {
    "Erf is not supported; known are Abs, Add,": single("Erf", ROW),
    "Einsum, Erf are not supported": chain(("Erf", ["x"], "e"), ("Einsum", ["e"], "y", {"equation": "ij->ji"})),
    "com.mine.Relu is not supported": broken(own_domain),
    "the weights w lie in another file": broken(external),
    "the weights w are damaged": broken(damaged),
    "the weights w are of type": broken(texts),
    "the weights c0 are not finite": single("Add", ROW, np.float32([np.nan])),
    "it has 2 inputs and 1 outputs": broken(second_input),
    "it has 1 inputs and 2 outputs": broken(second_output),
    "its input x has no shape": broken(no_shape),
    "axis 1 of its input x has no size": broken(open_axis),
    "its input x holds numbers of type 7": broken(of_integers),
    "its input x has 1099511627776 numbers": broken(huge),
    "sparse are not supported": broken(sparse),
    "it has no network in it": broken(no_nodes),
    r"node 1, Relu a\\nb reads nowhere, which nothing before it gives": broken(unnamed),
    "node 1, Relu: its attribute slope is not supported": single("Relu", ROW, slope=1.0),
    "node 1, BatchNormalization: training_mode 1 is not supported": MEAN,
    "node 1, Dropout: it is in training mode": single("Dropout", ROW, np.float32(0.5), np.array(True)),
    "node 1, MatMul cannot be computed: ": single("MatMul", ROW, numbers(5, 3)),
    "node 1, Reshape cannot be computed": single("Reshape", ROW, whole(6, 0), allowzero=1),
    "node 1, Cast: a cast to the type 11 is not supported": single("Cast", ROW, to=DOUBLE),
    "node 1, Cast: a cast to the type 7": single("Cast", ROW, to=INT64),
    "node 1, MaxPool: ceil_mode 1 is not supported": single(
        "MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
    ),
    "node 1, MaxPool: pooling over 3 axes": single("MaxPool", (1, 1, 3, 3, 3), kernel_shape=[2, 2, 2]),
    "node 1, MaxPool: storage_order 1": single("MaxPool", IMAGE, kernel_shape=[3, 3], storage_order=1),
    "node 1, Conv: auto_pad MIRROR": single("Conv", IMAGE, numbers(3, 4, 3, 3), auto_pad="MIRROR"),
    "node 1, Conv: its kernel_shape": single("Conv", IMAGE, numbers(3, 4, 3, 3), kernel_shape=[2, 2]),
    "node 1, AveragePool: dilations": single("AveragePool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]),
    "node 1, AveragePool: its window has not the 2 axes": single("AveragePool", IMAGE, kernel_shape=[2]),
    "node 1, Pad: mode reflect": single("Pad", (1, 2, 3), whole(0, 1, 1, 0, 0, 1), mode="reflect"),
    "node 1, Pow: an exponent that is not one number": single("Pow", ROW, numbers(6)),
    "node 1, Squeeze: axis 1 has 6 numbers": single("Squeeze", ROW, whole(1)),
    "node 1, Reshape: its input 1 holds no integers": single("Reshape", ROW, numbers(2)),
    "node 1, Reshape: its input 1 is missing": single("Reshape", ROW),
    "node 1, Unsqueeze: it has no axes": single("Unsqueeze", ROW),
    "node 1, Gather: its input 1 depends on the input": chain(("Gather", ["x", "x"], "y")),
    "node 1, Clip: its input 1 depends on the input": chain(("Clip", ["x", "x"], "y")),
    "node 1, Add: axis 0 is not supported": single("Add", (2, 2), numbers(2), opset=6, axis=0, broadcast=1),
    "node 1, Constant: it has no number": chain(("Constant", [], "c", {"value_string": "a"}), ("Add", ["x", "c"], "y")),
}


@pytest.mark.parametrize(("line", "network"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_cannot_be_read_is_named_in_one_line(line, network, tmp_path):
    with pytest.raises(UserError, match=line) as error:
        read(network, tmp_path / "network.onnx")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("content", [b"", b"(assert", NETWORKS["gemm"].SerializeToString()[:-40], b"\x00" * 100])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"network\.onnx: it (is no ONNX file|has no network)"):
        read_network(path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("robolearn.verify.formats.onnx_network.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx; pip install 'robolearn\[deploy\]'"):
        read_network(tmp_path / "network.onnx")


def test_the_hash_is_that_of_the_file(tmp_path):
    path = tmp_path / "network.onnx"
    before = read(single("Add", ROW, numbers(6)), path).sha256
    assert before == read_network(path).sha256 != read(single("Add", ROW, numbers(6)), path).sha256
