import enum
import json
import re
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robolearn.config import checked, first_difference, from_json, read_json, since, to_json, write_json
from robolearn.errors import UserError
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import FamilyConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import PolicyConfig
from robolearn.policies.registry import REGISTRY
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from tests.unchecked import unchecked


@dataclass(frozen=True)
class Everything:
    number: float
    pair: tuple[int, str] = (1, "a")
    kind: Literal["x", "y"] = "x"
    path: Path | None = None
    family: FamilyConfig = field(default_factory=FlowConfig)
    either: int | str | None = None
    flags: dict[str, bool] = field(default_factory=dict)
    several: tuple[Path, ...] = ()


def through_text(value):
    return from_json(type(value), json.loads(json.dumps(to_json(value, REGISTRY))), REGISTRY)


@pytest.mark.parametrize(
    "value",
    [
        TrainConfig(),
        TrainConfig(
            dataset=DatasetConfig(path=(Path("x/y.zarr"), Path("z.zarr")), obs_keys=("a", "b"), cache_dir=Path("c")),
            env=EnvConfig("envs:robolearn/Avoid-v0", {"obs_type": "state"}, 7),
            lr=1.0,
            out=Path("runs/a"),
            keep_every=5,
            wandb=False,
        ),
        PolicyConfig(DiffusionConfig("eps", 20, "ddim", 3), UNetConfig((8, 16)), {"a": (2, 3), "b": ()}, 2, 1, 4),
        PolicyConfig(RegressionConfig(), MLPConfig(), {"b": (1,), "a": (1,)}, 2, 1, 4, {"a": (0,)}),
        Everything(1.5, (2, "b"), "y", Path("p"), RegressionConfig(), "text", {"on": True}, (Path("a"), Path("b"))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip(value):
    assert through_text(value) == value


@dataclass(frozen=True)
class Changed:
    way: Literal["old", "new"] = since("new", before="old")


def test_files_of_before_a_field_keep_what_they_meant():
    assert Changed().way == "new"
    assert from_json(Changed, {}, {}).way == "old"
    assert from_json(Changed, {"way": "new"}, {}).way == "new"
    assert through_text(Changed()) == Changed()


def test_the_order_of_the_keys_survives():
    """The encoder concatenates in this order."""
    cfg = PolicyConfig(RegressionConfig(), MLPConfig(), {"b": (1,), "a": (1,)}, 2, 1, 4)
    assert list(through_text(cfg).obs_shapes) == ["b", "a"]


@given(
    st.builds(
        Everything,
        number=st.floats(allow_nan=False, allow_infinity=False),
        pair=st.tuples(st.integers(), st.text()),
        kind=st.sampled_from(["x", "y"]),
        path=st.none(),
        several=st.just(()),
        family=st.sampled_from([FlowConfig(), FlowConfig(steps=3), RegressionConfig()]),
        either=st.one_of(st.none(), st.integers(), st.text()),
        flags=st.dictionaries(st.text(), st.booleans()),
    )
)
def test_round_trip_of_anything(value):
    assert through_text(value) == value


def test_a_single_value_will_do_for_a_tuple_of_any_length():
    """Runs of before an option took several values must load."""
    assert from_json(Everything, {"number": 2, "several": "a"}, REGISTRY) == Everything(2.0, several=(Path("a"),))
    assert from_json(TrainConfig, {"dataset": {"path": "a.zarr"}}, REGISTRY).dataset.path == (Path("a.zarr"),)


def test_a_whole_number_will_do_for_a_float():
    assert from_json(Everything, {"number": 2}, REGISTRY) == Everything(2.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "Everything: expected an object, found []"),
        ({}, "Everything: field 'number' is missing"),
        ({"number": 1, "size": 2}, "Everything: unknown field 'size'; it has number, pair"),
        ({"number": "1"}, "Everything.number: expected float, found '1'"),
        ({"number": True}, "Everything.number: expected float, found True"),
        ({"number": 1, "pair": "ab"}, "Everything.pair: expected a list, found 'ab'"),
        ({"number": 1, "pair": [1]}, "Everything.pair: expected 2 entries, found [1]"),
        ({"number": 1, "pair": [1, 2]}, "Everything.pair: expected str, found 2"),
        ({"number": 1, "several": 3}, "Everything.several: expected a path, found 3"),
        ({"number": 1, "several": None}, "Everything.several: expected a list, found None"),
        ({"number": 1, "kind": "z"}, "Everything.kind: expected one of x, y, found 'z'"),
        ({"number": 1, "path": 3}, "Everything.path: expected a path, found 3"),
        ({"number": 1, "either": 1.5}, "Everything.either: expected int or str, found 1.5"),
        ({"number": 1, "flags": {"on": 1}}, "Everything.flags.on: expected bool, found 1"),
        ({"number": 1, "flags": [1]}, "Everything.flags: expected an object, found [1]"),
        ({"number": 1, "family": {}}, "Everything.family: expected an object with a type, found {}"),
        (
            {"number": 1, "family": {"type": "mlp"}},
            "Everything.family.type: expected one of regression, mip, gmm, gp, cvae, gan, diffusion, score, flow, "
            "flowmap, tokens, mixture, found 'mlp'",
        ),
        (
            {"number": 1, "family": {"type": "flow", "steps": 0}},
            "flow: steps 0 must be at least 1",
        ),
    ],
)
def test_bad_input_is_one_line(data, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        from_json(Everything, data, REGISTRY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match="not JSON") as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing.json: no such file"):
        read_json(tmp_path / "nothing.json")


def test_files_are_for_people(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1]})
    assert read_json(tmp_path / "a.json") == {"a": [1]}
    assert (tmp_path / "a.json").read_text().count("\n") > 2


def test_a_kill_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"a": 1})

    def cut_off(path, text, **_):
        path.write_bytes(text[:3].encode())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", cut_off)
        with pytest.raises(KeyboardInterrupt):
            write_json(tmp_path / "a.json", {"a": 2})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    write_json(tmp_path / "a.json", {"a": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"obs_horizon": 0}, "`obs_horizon` 0 must be at least 1"),
        ({"batch_size": 0}, "`batch_size` 0 must be at least 1"),
        ({"prefix_horizon": 16}, "`prefix_horizon` 16 must be at least 0 and below `action_horizon` 16"),
        ({"prefix_horizon": -1}, "`prefix_horizon` -1 must be at least 0"),
        ({"obs_noise": -0.1}, "`obs_noise` -0.1 must not be negative"),
        ({"exec_horizon": 17}, "`exec_horizon` 17 must be at most `action_horizon` 16"),
        ({"dataset": DatasetConfig(validation_fraction=1.0)}, r"`dataset.validation_fraction` 1.0 must be in \[0, 1\)"),
    ],
)
def test_impossible_training_options(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


@dataclass(frozen=True)
class Inner:
    width: int = 3
    kwargs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Other:
    width: int = 3


@dataclass(frozen=True)
class Outer:
    steps: int = 1
    places: tuple = ("a",)
    inner: object = Inner()
    out: str | None = None


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"steps": 2}, "`steps` was 1, it is 2 now"),
        ({"places": ("a", "b")}, "`places` was a, it is a b now"),
        ({"places": ()}, "`places` was a, it is none now"),
        ({"inner": Inner(4)}, "`inner.width` was 3, it is 4 now"),
        ({"inner": Inner(kwargs={"look": "real"})}, "`inner.kwargs` was {}, it is {'look': 'real'} now"),
        ({"inner": Other()}, "`inner` was Inner, it is other now"),
        ({"out": "x"}, ""),
        ({}, ""),
    ],
)
def test_what_differs_is_named(now, said):
    assert first_difference(Outer(**now), Outer(), {"other": Other}, free=("out",)) == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symmetry": "all"}, "TrainConfig.symmetry: expected one of ignore, augment, canonical, found 'all'"),
        ({"steps": 3.5}, "TrainConfig.steps: expected int, found 3.5"),
        ({"wandb": "off"}, "TrainConfig.wandb: expected bool, found 'off'"),
        (
            {"dataset": unchecked(DatasetConfig(), padding="none")},
            "TrainConfig.dataset.padding: expected one of masked, held",
        ),
        ({"family": "flow"}, "TrainConfig.family: expected an object with a type, found 'flow'"),
    ],
)
def test_a_program_is_held_to_the_kinds_of_fields_as_a_command_line_is(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        checked(unchecked(TrainConfig(), **options), REGISTRY)


def test_a_program_may_count_in_numpy_and_give_any_sequence():
    dataset = unchecked(DatasetConfig(), drop_episodes=range(2), obs_keys=["a"])
    counted = unchecked(TrainConfig(), seed=np.int64(3), lr=np.float32(0.5), steps=np.uint8(7), dataset=dataset)
    config = checked(counted, REGISTRY)
    assert config == TrainConfig(seed=3, lr=0.5, steps=7, dataset=DatasetConfig(drop_episodes=(0, 1), obs_keys=("a",)))
    assert type(config.seed) is int
    assert type(config.lr) is float
    assert through_text(config) == config


class Mode(enum.Enum):
    FAST = 1


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (Mode, Mode.FAST, "Mode"),
        (list[float], [1.0], "list[float]"),
        (set[str], {"a"}, "set[str]"),
        (np.ndarray, np.ones(2), "ndarray"),
        (type, float, "type"),
        (Mode | None, Mode.FAST, "Mode"),
    ],
)
def test_a_field_of_a_kind_that_no_file_keeps_is_told_which_kinds_there_are(kind, value, name):
    """Before anything is trained with it: what was, could not be opened again."""
    declared = make_dataclass("Own", [("field", kind)], frozen=True)
    with pytest.raises(UserError, match=rf"^Own\.field is declared as {re.escape(name)}, which no file keeps; .*Path"):
        checked(declared(value))
