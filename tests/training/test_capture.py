"""Steps that are recorded and repeated: those of the plain loop, bit by bit, on a CPU that plays a CUDA graph."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from robolearn.data.ahead import Ahead
from robolearn.data.windows import Windows
from robolearn.policies.family import Family, Player
from robolearn.policies.flow import Flow, FlowConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.registry import FAMILIES
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.training import step as steps
from robolearn.training.capture import PLAIN_STEPS, CudaRecorder, capture_problem
from robolearn.training.config import TrainConfig
from robolearn.training.course import DeviceCourse, HostCourse
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.state import TrainState
from robolearn.training.swag import SwagConfig
from tests.training.recorder import CpuRecorder

CPU = torch.device("cpu")
STEPS, HALF = 24, 12
SHORT_MIXTURE = MixtureConfig(num_observations=8, pairs=2, num_codes=4, codes_share=0.2)
CASES = {name: (SHORT_MIXTURE if name == "mixture" else family(), "mlp", {}) for name, family in FAMILIES.items()} | {
    "two quantizers": (TokensConfig("residual-vq", quantiser_share=0.5, width=8), "lstm", {}),
    "by turns": (GanConfig(critic_steps=2), "mlp", {}),
    "spectra": (GanConfig(objective="hinge"), "mlp", {}),
    "bfloat16": (FlowConfig(), "unet", {"amp": "on"}),
    "drawn members": (FlowConfig(), "transformer", {"swag": SwagConfig(share=0.5, rank=3)}),
}


class Records(Hooks):
    """Keeps what was logged, and what was saved."""

    def __init__(self):
        self.records, self.saved = [], {}

    def record(self, record):
        self.records.append({k: v for k, v in record.items() if k != "steps_per_s"})

    def checkpoint(self, state):
        self.saved[state.step] = {name: tensor.clone() for name, tensor in state.tensors().items()}


def make_windows():
    generator = torch.Generator().manual_seed(0)
    obs, actions = {"state": torch.randn(40, 4, generator=generator)}, torch.rand(40, 2, generator=generator)
    return Windows(obs, actions, [20, 40], 2, 4)


def make_state(make_policy, family, backbone="mlp", options=None, *, capture=False):
    torch.manual_seed(0)
    default = {"steps": STEPS, "warmup_steps": 4, "log_every": 5, "checkpoint_every": HALF, "amp": "off"}
    cfg = TrainConfig(batch_size=8, **(default | (options or {})), capture=capture)
    return TrainState(make_policy(family, backbone).train(), cfg)


@pytest.fixture
def recorder(monkeypatch):
    """Stands in for a GPU's; trainings with `capture` are then recorded here."""
    recorder = CpuRecorder()
    monkeypatch.setattr(steps, "CudaRecorder", lambda *_: recorder)
    monkeypatch.setattr(steps, "capture_problem", lambda *_: None)
    return recorder


def train(state):
    hooks = Records()
    assert fit(state, make_windows(), None, Processes(CPU), hooks)
    return hooks


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("name", CASES)
def test_repeated_steps_are_the_plain_ones(make_policy, recorder, name):
    """In their rates, averages, schedules and random numbers, and in what they log."""
    plain = train(make_state(make_policy, *CASES[name]))
    repeated = train(make_state(make_policy, *CASES[name], capture=True))
    assert repeated.records == plain.records
    assert_same(repeated.saved[STEPS], plain.saved[STEPS])
    assert recorder.repeated == STEPS - PLAIN_STEPS * len(recorder.recorded)


@pytest.mark.parametrize("name", ["flow", "by turns"])
@pytest.mark.parametrize("captures", [True, False])
def test_a_resumed_training_ends_as_one_that_was_not(make_policy, recorder, name, captures):
    """Also where only one of both is recorded."""
    whole = train(make_state(make_policy, *CASES[name], capture=True))
    half = make_state(make_policy, *CASES[name], capture=captures)
    half.restore(whole.saved[HALF], HALF)
    assert_same(train(half).saved[STEPS], whole.saved[STEPS])


class Prepared(Family):
    """The loss of the first player reads what is made anew when the second begins, who moves at every other step."""

    def __init__(self):
        super().__init__(None, 4, 2)
        self.first, self.late, self.target = nn.Linear(1, 1), nn.Linear(1, 1), torch.zeros(1)

    def players(self):
        return {"first": Player(self.first), "late": Player(self.late, (0.5, 1.0), every=2)}

    def begin(self, player, examples, *, generator):
        self.target = torch.full((1,), 1.0 if player == "first" else 3.0)

    def draw(self, source):
        return {"x": source.uniform(1), "weight": source.scheduled("weight", lambda progress: 1 + progress)}

    def loss(self, data, draws, *, player="policy"):
        error = getattr(self, player)(draws["x"]) - self.target
        return (draws["weight"][:, None] * error.square()).mean(), {}

    def sample(self, cond, noise):
        return noise

    nfe = 1


def test_what_a_family_prepares_is_recorded_anew(make_policy, recorder, monkeypatch):
    monkeypatch.setattr(FlowConfig, "build", lambda *_: Prepared())
    plain = train(make_state(make_policy, FlowConfig()))
    repeated = train(make_state(make_policy, FlowConfig(), capture=True))
    assert_same(repeated.saved[STEPS], plain.saved[STEPS])
    assert len(recorder.recorded) == 3  # the first alone, before and after the other begins, and both


def test_a_loss_that_asks_the_device_cannot_be_recorded(make_policy, recorder, monkeypatch):
    exact = Flow.loss

    def asking(self, data, draws, *, player="policy"):
        loss, details = exact(self, data, draws, player=player)
        return loss, {**details, "share": torch.full_like(loss, data.mask.float().mean().item())}

    monkeypatch.setattr(Flow, "loss", asking)
    with pytest.raises(RuntimeError, match="makes the host wait"):
        train(make_state(make_policy, FlowConfig(), capture=True))


def test_a_run_of_one_step_has_nothing_to_repeat(make_policy, recorder):
    train(make_state(make_policy, FlowConfig(), options={"steps": 1}, capture=True))
    assert recorder.recorded == []


def test_on_a_cpu_a_line_says_why_not(make_policy, capsys):
    plain = train(make_state(make_policy, RegressionConfig()))
    other = train(make_state(make_policy, RegressionConfig(), capture=True))
    assert_same(other.saved[STEPS], plain.saved[STEPS])
    assert capsys.readouterr().err.count("only a GPU records steps, and this training is on cpu") == 1


def test_what_cannot_be_recorded_is_named(make_policy):
    state, windows = make_state(make_policy, FlowConfig()), Ahead(make_windows())
    game = make_state(make_policy, GanConfig(objective="wgan-gp", optimizer="cgd"))
    for one in (state, game):
        one.policy = SimpleNamespace(device=torch.device("cuda"))
    one, two = Processes(CPU), Processes(CPU)
    two.count = 2
    assert capture_problem(state, windows, one) is None
    assert "several processes" in capture_problem(state, windows, two)
    assert "competitive gradient descent" in capture_problem(game, windows, one)
    windows.waits = True
    assert "too large for memory" in capture_problem(state, windows, one)


def test_a_course_on_a_device_is_that_of_the_host():
    """Within a table, in the next, and after a step out of turn."""
    course, numbers = DeviceCourse(5, CPU), {"third": lambda step: step / 3, "power": lambda step: 1.5**-step}
    for step in (0, 1, 2, 3, 4, 5, 6, 12, 13, 7, 8, 9, 10):
        course.reach(step)
        for name, schedule in numbers.items():
            assert course.number(name, schedule).item() == HostCourse(step, CPU).number(name, schedule)
        assert course.progress("player", numbers["third"])("square", lambda x: x * x).item() == (step / 3) ** 2
        course.row.add_(1)


def test_the_numbers_of_a_gpu_have_32_bits_on_both_sides():
    third = HostCourse(1, torch.device("cuda")).number("third", lambda step: step / 3)
    assert third == torch.tensor(1 / 3, dtype=torch.float32).item() != 1 / 3


def test_a_gpu_records_beside_the_current_stream_with_the_generator(monkeypatch):
    """As torch's documentation has it; what a graph repeats is not seen here."""
    events, draws = [], torch.Generator()

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            events.append(f"{self.name} waits for {other.name}")

    class Graph:
        def register_generator_state(self, generator):
            assert generator is draws
            events.append("counts")

        def replay(self):
            events.append("replay")

    @contextlib.contextmanager
    def within(what):
        events.append(f"enter {what}")
        yield
        events.append(f"leave {what}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: within(stream.name))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: within(f"recording on {stream.name}"))
    recorder = CudaRecorder(torch.device("cuda"), draws)
    recorder.make(lambda: events.append("act"))
    made, events[:] = list(events), []
    assert made == ["side waits for main", "enter side", "act", "leave side", "main waits for side"]
    repeat = recorder.record(lambda: events.append("act"))
    assert events == ["counts", "enter recording on side", "act", "leave recording on side"]
    repeat()
    assert events[-1] == "replay"
