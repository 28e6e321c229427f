"""The ledger of seeds: ranges do not meet, and no seed stands anywhere else."""

import ast
import itertools
from pathlib import Path

import pytest

from robolearn import seeds
from robolearn.bench.rows import TASKS

ROOT = Path(__file__).parents[1]
GENERATORS = {"default_rng", "manual_seed", "SeedSequence", "RandomState", "seed"}


def literals(source):
    """Lines on which a number is given as a seed, or lies where the ledger has seeds of episodes."""
    numbers = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and is_spent(node.value):
            numbers.add(node.lineno)
        numbers |= {value.lineno for name, value in named(node) if is_seed(name, value)}
    return sorted(numbers)


def is_spent(value):
    """Whether a range starts there; from a million on numbers are mostly sizes of something else."""
    return type(value) is int and 0 < value < 1_000_000 and value in {spent.start for spent in seeds.EPISODES.values()}


def is_seed(name, value):
    """Whether a number is written where a seed is meant; a plain number of seeds is how many there are."""
    name = name.lower()
    return "seed" in name and holds_number(value) and not (name.endswith("seeds") and isinstance(value, ast.Constant))


def holds_number(node):
    if isinstance(node, ast.Tuple | ast.List):
        return any(holds_number(element) for element in node.elts)
    return isinstance(node, ast.Constant) and type(node.value) is int


def named(node):
    """Pairs of a name and the expression that it is given."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from pairs(target, value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.arguments():
            positional = [*node.posonlyargs, *node.args]
            given = [*zip(positional[::-1], node.defaults[::-1], strict=False), *zip(node.kwonlyargs, node.kw_defaults)]  # noqa: B905
            yield from ((argument.arg, value) for argument, value in given if value is not None)
        case ast.Dict():
            yield from ((str(k.value), v) for k, v in zip(node.keys, node.values) if isinstance(k, ast.Constant))  # noqa: B905
        case ast.Call():
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in GENERATORS:
                yield from (("seed", argument) for argument in node.args)
            option = next((str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)), "")
            for keyword in node.keywords:
                yield option if keyword.arg == "default" else keyword.arg or "", keyword.value


def pairs(target, value):
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        starred = any(isinstance(element, ast.Starred) for element in (*target.elts, *value.elts))
        values = [value] * len(target.elts) if starred else value.elts  # any of them may be what a name is given
        for t, v in zip(target.elts, values, strict=True):
            yield from pairs(t, v)
    else:
        yield getattr(target, "id", getattr(target, "attr", "")), value


def test_ranges_of_episodes_and_of_trainings_do_not_meet():
    for kind in (seeds.EPISODES.values(), (seeds.TRAININGS, seeds.TUNING)):
        for one, other in itertools.combinations(kind, 2):
            assert max(one.start, other.start) >= min(one.stop, other.stop), (one, other)


def test_every_range_of_episodes_is_in_the_ledger():
    ranges = {name: value for name, value in vars(seeds).items() if isinstance(value, range)}
    others = {"DECISIONS", "TRAININGS", "TUNING"}
    assert sorted(map(str, seeds.EPISODES.values())) == sorted(str(v) for n, v in ranges.items() if n not in others)
    assert seeds.TAKEN.items() <= seeds.EPISODES.items()


def test_what_is_measured_fits_into_its_range():
    for task in TASKS:
        assert len(task.parts["evaluation"]) == task.num_states
        assert set(task.parts["evaluation"]) <= {*seeds.TRIANGLE, *seeds.EVALUATION}
        assert set(task.parts["selection"]) <= set(seeds.SELECTION)


def test_no_seed_stands_outside_the_ledger():
    """What is in `envs/` takes all of its seeds from outside."""
    paths = [*ROOT.glob("robolearn/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("*.py")]
    seed_lines = {path.relative_to(ROOT).as_posix(): literals(path.read_text()) for path in paths}
    assert {path: lines for path, lines in seed_lines.items() if lines and path != "robolearn/seeds.py"} == {}


@pytest.mark.parametrize(
    "line",
    [
        "first = 300_000",
        "SEED = 7",
        "SHIFT, SEED = 'bias', 0",
        "seed: int = 0",
        "def f(x=1, seed=0): pass",
        "def f(*, seed: int = 3): pass",
        "evaluate(policy, seed=5)",
        "np.random.default_rng(0)",
        "rng = np.random.default_rng([seed, 3])",
        "torch.Generator(device).manual_seed(1)",
        "parser.add_argument('--seeds', nargs='+', default=[0, 1, 2])",
        "asked = {'seed': 0}",
    ],
)
def test_a_seed_that_is_written_down_is_noticed(line):
    assert literals(line) == [1]


def test_what_is_no_seed_is_left_alone():
    assert (
        literals("seed = seeds.FIXED\nrng = default_rng(seed)\nsteps = 60_000\nseeds = range(n)\nNUM_SEEDS = 3") == []
    )
