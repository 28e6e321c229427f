"""What the measurements share: parts of a file."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.common import keep_part, kept_parts, part

WRITERS, PARTS = 4, 5


def write(out, writer):
    for number in range(PARTS):
        keep_part(out, f"{writer}/{number}", {"value": number})


def test_measurements_that_run_at_once_lose_no_part(tmp_path):
    out = tmp_path / "out.json"
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(partial(write, out), range(WRITERS)))
    assert sorted(kept_parts(out)) == sorted(f"{w}/{n}" for w in range(WRITERS) for n in range(PARTS))


def test_a_part_is_made_again_only_where_something_else_is_asked(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"value": made[-1]}

    out = tmp_path / "out.json.xz"
    for asked in ({"seeds": [0]}, {"seeds": [0]}, {"seeds": [0, 1]}, {"seeds": [0, 1]}):
        found = part(out, "name", make, asked)
    assert made == [0, 1]
    assert (found["value"], kept_parts(out)["name"]["seeds"]) == (1, [0, 1])
