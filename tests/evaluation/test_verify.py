"""The verb verify: its answer is a line of its own, and what cannot be asked is refused in one line."""

import re

import numpy as np
import pytest
import torch

import robolearn as rl
from robolearn.commands.main import main
from robolearn.evaluation.verify_config import VerifyConfig

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper = onnx.helper

DECLARED = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
BOX = f"{DECLARED}\n(assert (<= -1 X_0 1))(assert (<= 0.1 X_1 0.3))\n"
UNSAFE = {"sat": "(assert (<= Y_0 -0.25))", "unsat": "(assert (or (>= Y_0 5) (and (<= Y_1 -7) (<= Y_0 Y_1))))"}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A ReLU network of two inputs and outputs, as a file."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(6, 2)).astype(np.float32),
        "b": rng.normal(size=6).astype(np.float32) / 4,
        "v": np.float32([[1, -1, 0.5, 0, 0.25, -0.5], [-1, 0, 1, 0.5, 0, 0.5]]) / 2,
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v"], ["y"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    path = tmp_path_factory.mktemp("verify") / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def asked(tmp_path):
    def write(text, name="property.vnnlib"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_violation_is_printed_as_the_competition_writes_it(network, asked, capsys):
    """And onnxruntime, given the numbers that were printed, finds it too."""
    main(["verify", str(network), "--property", str(asked(BOX + UNSAFE["sat"])), "--timeout", "20"])
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "sat"
    assert re.fullmatch(r"\(\(X_0 \S+\)\n\(X_1 \S+\)\n\(Y_0 \S+\)\n\(Y_1 \S+\)\)", "\n".join(rest))
    numbers = dict(re.findall(r"\((\w+) (\S+?)\)", "\n".join(rest)))
    x = np.float32([[numbers["X_0"], numbers["X_1"]]])
    assert x.astype(float).tolist() == [[float(numbers["X_0"]), float(numbers["X_1"])]]
    assert -1 <= x[0, 0] <= 1
    assert 0.1 <= x[0, 1].astype(float) <= 0.3
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    assert y[0].tolist() == pytest.approx([float(numbers["Y_0"]), float(numbers["Y_1"])], abs=1e-5)
    assert y[0, 0] <= -0.25


def test_a_proof_is_one_word_and_how_it_went_is_beside_it(network, asked, capsys):
    main(["verify", str(network), "--property", str(asked(BOX + UNSAFE["unsat"]))])
    captured = capsys.readouterr()
    assert captured.out == "unsat\n"
    assert re.fullmatch(r"\d+ boxes in \d+\.\d+ s\n", captured.err)


def test_too_little_time_is_unknown(network, asked, capsys):
    """The first output is just above -0.31 everywhere."""
    main(["verify", str(network), "--property", str(asked(BOX + "(assert (<= Y_0 -0.32))")), "--timeout", "1e-9"])
    captured = capsys.readouterr()
    assert captured.out == "unknown\n"
    assert captured.err.startswith("the time is up; 0 boxes in ")
    assert captured.err.endswith("the margin of every input is at least -inf\n")


def test_from_python(network, asked):
    verdict = rl.verify_network(network, str(asked(BOX + UNSAFE["unsat"])), VerifyConfig(timeout=20.0))
    assert verdict.answer == "unsat"
    violated = rl.verify_network(str(network), asked(BOX + UNSAFE["sat"]))
    assert float(violated.witness.y[0]) <= -0.25
    assert torch.equal(violated.witness.x, violated.witness.x.float().double())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "it is empty"),
        (f"{BOX}(assert (<= Y_0 1)", "line 3: a parenthesis that is opened here is not closed"),
        (
            f"{DECLARED}(assert (<= 1 X_0 0))(assert (<= 0 X_1 1))",
            "lower bound 1.0 of X_0 is above its upper bound 0.0",
        ),
        (f"{BOX}(assert (<= Y_0 nan))", "line 3: nan is not finite"),
        (f"(declare-const X_2 Real){BOX}", "declares 3 inputs up to X_2; the network has 2"),
        (f"(declare-const Y_2 Real){BOX}", "declares 3 outputs up to Y_2; the network has 2"),
        (f"{BOX}(assert (<= Y_5 1))", "Y_5 is neither a number nor a variable"),
        (f"{BOX}(assert (< Y_0 1))", "< is not a condition that is known"),
        (f"{DECLARED}(assert (<= 0 X_0 1))", "X_1 has no lower bound"),
    ],
)
def test_a_property_that_cannot_be_asked_is_one_line(network, asked, capsys, text, line):
    path = asked(text)
    error = refused(capsys, str(network), "--property", str(path))
    assert error.startswith(f"error: {path}: ")
    assert line in error


def refused(capsys, *arguments):
    """What a refusal says: one line, nothing on stdout, exit status 2."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    return captured.err


def test_files_that_are_not_there_or_not_networks_are_one_line(network, asked, tmp_path, capsys):
    path = asked(BOX)
    assert "No such file" in refused(capsys, str(tmp_path / "no.onnx"), "--property", str(path))
    assert "No such file" in refused(capsys, str(network), "--property", str(tmp_path / "no.vnnlib"))
    assert "is a folder; give a network in ONNX" in refused(capsys, str(tmp_path), "--property", str(path))
    assert "Is a directory" in refused(capsys, str(network), "--property", str(tmp_path))
    assert "it is no ONNX file" in refused(capsys, str(path), "--property", str(path))
    assert "the path after --property is empty" in refused(capsys, str(network), "--property", "")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_one_line(network, asked, capsys, seconds):
    said = refused(capsys, str(network), "--property", str(asked(BOX)), "--timeout", seconds)
    assert said.startswith("error: --timeout ")


def test_an_operation_without_bounds_is_named(asked, tmp_path, capsys):
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Div", ["x", "x"], ["y"])], "network", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "n.onnx")
    assert "divides by what depends on its input" in refused(
        capsys, str(tmp_path / "n.onnx"), "--property", str(asked(BOX))
    )
