"""A readable account of a store, printed; see `examine` for what is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from robolearn.data.mapped import open_mapped_unchecked
from robolearn.data.store import DemoStore
from robolearn.doctor.examine import Examination, examine
from robolearn.doctor.finding import Severity
from robolearn.doctor.trainable import TRAINING
from robolearn.errors import UserError, as_flags, printable
from robolearn.keymap import KeyMap
from robolearn.rollout.env_config import EnvConfig

MAX_LINES = 8  # of the table of jumps
MAX_TOLD = 50  # findings of a severity, but problems
COLORS: dict[Severity, str] = {"problem": "red", "warning": "yellow", "note": "cyan"}


def escape(text: str) -> str:
    """Text of a stranger, for the terminal."""
    return escape_markup(printable(text))


def inspect(
    path: Path, console: Console | None = None, env: EnvConfig | None = None, obs: Sequence[str] = ()
) -> Examination:
    """Examine a store and print the account.

    Args:
        path: Of the store.
        console: Where it is printed.
        env: Environment that the demonstrations are to fit.
        obs: Keys made of those of the store, as `dataset.obs` of a training.

    Raises:
        UserError: There is no store to look at, a key cannot be made, or there is no such environment.
    """
    console = console or Console()
    keymap = KeyMap.parse(obs, "dataset.obs")
    store = open_mapped_unchecked(path, keymap)
    report = examine(store, None if env is None else env.mapped_as(keymap.only(keymap.observed).texts()))
    _print_head(store, report, console)
    console.print(_keys_table(store, report))
    console.print(_ranges_table(report))
    _print_findings(report, console)
    return report


def _print_head(store: DemoStore, report: Examination, console: Console) -> None:
    attrs, lengths = store.attrs, report.lengths
    console.print(f"[bold]{escape(str(store.path))}[/bold]  {store.encoding}")
    if len(lengths):
        spread = f"{lengths.min()} / {int(np.median(lengths))} / {lengths.max()}"
        duration = f" = {store.num_steps * attrs.control_dt / 60:.1f} min" if attrs.control_dt else ""
        total = f"{store.num_episodes} episodes, {store.num_steps} steps{duration}"
        console.print(f"{total}, length min / median / max {spread}")
    if attrs.schema_version is None:
        console.print("  declares nothing about itself (environment, control_dt, observation keys)")
    facts = {
        "environment": attrs.env_id,
        "made with": ", ".join(f"{key} {value}" for key, value in attrs.env_kwargs.items()),
        "control_dt": f"{attrs.control_dt} s" if attrs.control_dt else None,
        "units": ", ".join(f"{key} {unit}" for key, unit in attrs.units.items()),
        "observations": ", ".join(attrs.obs_keys or ()),
        "expert": attrs.expert,
        "source": attrs.source,
        "licence": attrs.licence,
    }
    for name, value in facts.items():
        if value:
            console.print(f"  {name:<13}{escape(str(value))}", soft_wrap=True)
    for name, values in _episode_attrs(store, report).items():
        console.print(f"  {name:<13}{_summary(values)} per episode", soft_wrap=True)


def _episode_attrs(store: DemoStore, report: Examination) -> dict[str, np.ndarray]:
    try:
        return store.episode_attrs
    except (UserError, OSError) as error:
        report.add("problem", str(error))
        return {}


def _summary(values: np.ndarray) -> str:
    if values.dtype == np.bool_:
        return f"true in {int(values.sum())} of {len(values)}"
    distinct = len(np.unique(values))
    return f"{values.min():g} .. {values.max():g}, {distinct} distinct" if len(values) else "none"


def _keys_table(store: DemoStore, report: Examination) -> Table:
    table = Table("key", "per step", "type", "MB", "NaN or inf", title="keys", title_justify="left", box=SIMPLE_HEAD)
    for key in store.keys:
        shape, dtype = store.shapes[key], store.dtypes[key]
        size = store.num_steps * int(np.prod(shape)) * dtype.itemsize / 1e6
        count = report.not_finite.get(key, 0)
        bad = f"[red]{count}[/red]" if count else "0"
        kind = f"{dtype}, in videos" if key in store.attrs.videos else str(dtype)
        table.add_row(escape(key), " x ".join(map(str, shape)) or "scalar", kind, f"{size:.2f}", bad)
    return table


def _ranges_table(report: Examination) -> Table:
    table = Table("key", "min", "max", "mean", "std", "", title="ranges", title_justify="left", box=SIMPLE_HEAD)
    for column in report.columns:
        name = column.key if column.dim is None else f"{column.key}[{column.dim}]"
        numbers = [f"{x:.4g}" for x in (column.low, column.high, column.mean, column.std)]
        table.add_row(escape(name), *numbers, "[yellow]near-constant[/yellow]" if column.near_constant else "")
    return table


def _print_findings(report: Examination, console: Console) -> None:
    if report.jumps:
        console.print(_jumps_table(report))
    for severity, color in reversed(COLORS.items()):
        lines = [as_flags(str(finding)) for finding in report.findings if finding.severity == severity]
        told = lines if severity == "problem" else lines[:MAX_TOLD]
        for line in told:
            console.print(f"[{color}]{severity}:[/{color}] {escape(line)}", soft_wrap=True)
        if len(lines) > len(told):
            console.print(f"[{color}]{severity}:[/{color}] {len(lines) - len(told)} more of these", soft_wrap=True)
    if any(finding.check == TRAINING for finding in report.findings):
        console.print("[yellow]a training needs the options that are named above[/yellow]")
    elif not report.problems:
        console.print("[green]no problems[/green]")


def _jumps_table(report: Examination) -> Table:
    table = Table("where", "count", "largest at", "from", "to", "x usual", "", box=SIMPLE_HEAD)
    table.title, table.title_justify = "suspicious jumps (episode:step)", "left"
    for j in report.jumps[:MAX_LINES]:
        wraps = abs(abs(j.after - j.before) - 2 * np.pi) < 0.1
        numbers = (
            str(j.count),
            f"{j.episode}:{j.step}",
            f"{j.before:.4g}",
            f"{j.after:.4g}",
            f"{j.factor:.0f}",
        )
        table.add_row(escape(f"{j.key}[{j.dim}]"), *numbers, "angle that wraps" if wraps else "")
    return table
