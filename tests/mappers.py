"""A mapper without a cluster: jobs and results travel as bytes, and end in an order that is none."""

import itertools
import pickle


class Scrambled:
    """Two places; of the jobs under way the last and the first end in turn, and each is begun twice, as after a loss.

    Args:
        stop_after: Jobs that end before it is stopped, as by Ctrl-C; None for no stop.
    """

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.done, self.shared = [], []

    def places(self, needs):
        return 2

    def map(self, function, common, jobs, needs):
        return ScrambledJobs(self, pickle.dumps((function, common)), enumerate(jobs))

    def check_shared(self, written, read=()):
        self.shared += [written, *read]


class ScrambledJobs:
    def __init__(self, mapper, payload, jobs):
        self.mapper, self.payload, self.jobs = mapper, payload, jobs
        self.running = list(itertools.islice(jobs, 4))

    def __iter__(self):
        return self

    def __next__(self):
        if len(self.mapper.done) == self.mapper.stop_after:
            raise KeyboardInterrupt
        if not self.running:
            raise StopIteration
        number, job = self.running.pop(-1 if len(self.mapper.done) % 2 == 0 else 0)
        for _ in range(2):
            function, common = pickle.loads(self.payload)
            result = pickle.loads(pickle.dumps(function(common, pickle.loads(pickle.dumps(job)))))
        self.mapper.done.append(job)
        self.running += itertools.islice(self.jobs, 1)
        return number, result

    def close(self):
        self.jobs = iter(())
        self.running = []
