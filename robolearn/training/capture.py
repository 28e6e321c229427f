"""Steps that a GPU repeats from a recording (a CUDA graph), so that the host asks once for what a step is made of.

A small network's step is hundreds of operations, and asking for them takes longer than computing them. What is recorded
is the plain step: which operations on which memory. A repetition runs none of its Python, so whatever changes from step
to step has to be on the device: the batch's index and the noise are drawn there, by generators that the graph counts
on; learning rate, averaging and schedules are read from tables (`DeviceCourse`); what a step logs goes into a row of a
table that the host reads later. Which players move is the host's decision: there is a recording for each set of them.

The first steps of each set are made plainly, as libraries allocate and choose algorithms meanwhile. They are steps of
the training like all others, and recording makes none: nothing has to be undone, and a run that is resumed trains bit
for bit as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from robolearn.data.ahead import Ahead
from robolearn.training.course import Course, DeviceCourse
from robolearn.training.device import Processes
from robolearn.training.state import TrainState

PLAIN_STEPS = 3
"""Steps of a set of players before one is recorded; torch's documentation takes as many."""

Act = Callable[[], None]
Logged = dict[str, Tensor]


@runtime_checkable
class Recorder(Protocol):
    """What records work of a device; a test has another than a GPU's."""

    def make(self, act: Act) -> None:
        """Do something plainly, where it would be recorded."""
        ...

    def record(self, act: Act) -> Act:
        """Record something without doing it; what comes back does it."""
        ...


class CudaRecorder:
    """Records CUDA graphs, each with memory of its own.

    All is done on one stream beside the current one, plainly too: gradients then arrive where they are recorded, and
    libraries have their handles there.

    Args:
        device: A GPU.
        generator: Of that GPU; repetitions count it on. torch's own generator is known to graphs.
    """

    def __init__(self, device: torch.device, generator: torch.Generator):
        self.device, self.generator = device, generator
        self.stream = torch.cuda.Stream(device)

    def make(self, act: Act) -> None:
        """See `Recorder`; what comes behind it on the current stream waits for it, as it waits for what was before."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            act()
        current.wait_stream(self.stream)

    def record(self, act: Act) -> Act:
        """See `Recorder`; a repetition is on the stream that is current then."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        with torch.cuda.graph(graph, stream=self.stream):
            act()
        return graph.replay


class Recording:
    """The step of one set of players: made plainly at first, then repeated from a recording.

    Args:
        step: Makes a step with the numbers of a course; gives what is worth logging.
        course: These numbers.
        recorder: Records.

    Attributes:
        rows: What steps logged [course.rows, names], in the order of `names`; a row is written anew when its turn
            comes again.
    """

    def __init__(self, step: Callable[[Course], Logged], course: DeviceCourse, recorder: Recorder):
        self.step, self.course, self.recorder = step, course, recorder
        self.names, self.rows = tuple[str, ...](), torch.empty(0)
        self._made, self._repeat = 0, None

    def advance(self) -> None:
        """Make a step."""
        if self._repeat is None and self._made == PLAIN_STEPS:
            self._repeat = self.recorder.record(self._act)
        if self._repeat is not None:
            self._repeat()
            return
        self.recorder.make(self._act)
        self._made += 1

    def logged(self, row: int) -> Logged:
        """What the step of a row logged."""
        return dict(zip(self.names, self.rows[row].unbind(), strict=True))

    def _act(self) -> None:
        logged = self.step(self.course)
        row = torch.stack([value.detach() for value in logged.values()])
        if not self.names:
            self.names, self.rows = tuple(logged), row.new_zeros(self.course.rows, len(logged))
        self.rows.index_copy_(0, self.course.row, row[None])
        self.course.row.add_(1)


class Repeated:
    """A training's steps, recorded and repeated; called once for each.

    Args:
        state: What is trained; each call counts its step on.
        step: Makes a step of it with the numbers of a course, all on the device, and counts nothing; gives what is
            worth logging.
        recorder: Records.
    """

    def __init__(self, state: TrainState, step: Callable[[Course], Logged], recorder: Recorder):
        self.state, self.step, self.recorder = state, step, recorder
        self.course = DeviceCourse(min(state.cfg.log_every, state.cfg.steps), state.policy.device)
        self._recordings: dict[tuple[str, ...], Recording] = {}
        self._begun: list[str] = []

    def __call__(self) -> Logged:
        """Make a step; what it logs is there until as many steps have followed as are logged together."""
        state, step = self.state, self.state.step
        begun = [player for player in state.players if state.span(player)[0] <= step]
        if begun != self._begun:
            self._begun = begun  # the family has prepared who begins, and may have replaced tensors
            self._recordings.clear()
        self.course.reach(step)
        moving = tuple(state.moving())
        if moving not in self._recordings:
            self._recordings[moving] = Recording(self.step, self.course, self.recorder)
        recording = self._recordings[moving]
        recording.advance()
        state.passed()
        return recording.logged(step % self.course.rows)


def capture_problem(state: TrainState, windows: Ahead, processes: Processes) -> str | None:
    """Say why the steps of a training cannot be recorded; None where they can."""
    if state.policy.device.type != "cuda":
        return f"only a GPU records steps, and this training is on {state.policy.device.type}"
    if processes.count > 1:
        return "several processes train together, and speak to each other within a step"
    if any(player.opponent is not None for player in state.players.values()):
        return "competitive gradient descent asks the device within a step whether it is through"
    if windows.waits:
        return "the recordings are too large for memory, and their windows are read on the host"
    return None
