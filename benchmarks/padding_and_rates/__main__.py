"""Two choices of training, measured in closed loop: whether padding counts, and the learning rate of each backbone.

    python -m benchmarks.padding_and_rates run [--out DIR] [--units 'padding/*' 'rates/*/unet/*'] [--part 1/2]
        [--workers 12] [--device cuda] [--minutes 9]
    python -m benchmarks.padding_and_rates page [UNITS.jsonl ...] [--out docs/results/training]

`page` also takes an earlier OUT.json, which holds every episode, and takes that by default.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import options
from benchmarks.padding_and_rates.page import write
from benchmarks.padding_and_rates.units import run
from robolearn.errors import user_errors


def main() -> None:
    """Train and roll out, or make the page."""
    parser = options(__doc__)
    parser.add_argument("command", choices=("run", "page"))
    parser.add_argument("results", type=Path, nargs="*", help="page: finished units; --out is without the ending")
    parser.add_argument("--units", nargs="+", default=["*"], help="run: patterns of names; all by default")
    parser.add_argument("--part", default="1/1", help="run: i/n, every n-th of them, from the i-th on")
    parser.add_argument("--workers", type=int, default=1, help="run: units at once")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="run: begin no unit after so many")
    args = parser.parse_args()
    if args.command == "run":
        args.out = args.out or Path("runs/padding_and_rates")
        run(args)
    else:
        out = args.out or Path("docs/results/training")
        write(args.results or [out.with_suffix(".json")], out)


if __name__ == "__main__":
    with user_errors():
        main()
