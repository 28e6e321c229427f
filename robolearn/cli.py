"""The verbs beside train.py and eval.py: python -m robolearn {collect,inspect,import,calibrate,bench}."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from robolearn import seeds
from robolearn.errors import UserError, exit_status, user_errors, warn


def collect(
    env: Annotated[Positional[str], arg(metavar="ENV")],
    *,
    out: Path,
    episodes: int = 1000,
    seed: int = seeds.DEMONSTRATIONS.start,
    num_envs: int = 64,
    keep_failures: bool = False,
) -> None:
    """Record a scripted expert.

    Physics runs on all cores. Ctrl-C keeps the finished episodes; the same command goes on from there.

    Args:
        env: Environment with its module, e.g. envs:robolearn/Avoid-v0.
        out: Store to write, e.g. datasets/avoid.zarr.
        episodes: Episodes the store shall hold.
        seed: Seed of the first episode; each attempt takes the next one.
        num_envs: Environments stepped together; the data do not depend on it.
        keep_failures: Also keep episodes in which the expert failed.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from robolearn.data.collect import Collected
    from robolearn.data.collect import collect as run

    columns = (
        TextColumn("episodes"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}  {task.fields[dropped]} dropped  eta"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns) as bar:
            task = bar.add_task("episodes", total=episodes, rate="", dropped=0)

            def show(now: Collected) -> None:
                elapsed = bar.tasks[0].elapsed or 0.0
                rate = f"{(now.stored - now.before) / elapsed:.0f}/s" if elapsed else ""
                bar.update(task, completed=now.stored, rate=rate, dropped=now.dropped)

            done = run(env, episodes, out, seed, num_envs, keep_failures, show)
            bar.update(task, completed=done.stored)
    except KeyboardInterrupt as stop:
        print(
            f"\nstopped; the finished episodes are in {out}, the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(exit_status(stop))
    earlier = f", {done.before} of them there before" if done.before else ""
    print(f"{out}: {done.stored} episodes{earlier}; {done.dropped} attempts of the expert dropped")


def inspect(store: Annotated[Positional[Path], arg(metavar="STORE")]) -> None:
    """Show what is in a store and what looks wrong.

    Keys, shapes, lengths, ranges, NaN, near-constant dimensions, duplicate episodes, suspicious jumps. Works
    on damaged stores too; the exit status is 1 if there is a problem.

    Args:
        store: A .zarr directory or a .zip of one, in the layout of datasets/README.md.
    """
    from robolearn.data.inspect import inspect as run

    sys.exit(1 if run(store).problems else 0)


def import_(
    kind: Annotated[Positional[Literal["adroit"]], arg(metavar="{adroit}")],
    source: Annotated[Positional[Path], arg(metavar="SRC")],
    *,
    out: Path,
) -> None:
    """Turn another project's demonstrations into a store.

    Args:
        kind: adroit is door-v0_demos.pickle of hand_dapg (human VR demonstrations of AdroitHandDoor); no code
            in the pickle is run.
        source: The file.
        out: Store to write, e.g. datasets/adroit_door.zarr.
    """
    from robolearn.data.importers import import_adroit

    store = {"adroit": import_adroit}[kind](source, out)
    print(f"{out}: {store.num_episodes} episodes, {store.num_steps} steps")


def calibrate(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    *,
    safety_set: bool = False,
    rounds: int = 0,
    within_set: bool = False,
    band: bool = False,
    fallback: Literal["hold", "retreat", "expert", "stop"] = "hold",
    score: str | None = None,
    alpha: float = 0.1,
    beta: float | None = None,
    episodes: int = 200,
    seed: int = seeds.CALIBRATION.start,
    num_samples: int = 16,
    key: str = "state",
    position: tuple[int, ...] = (0, 1),
    num_envs: int = 32,
    checkpoint: str = "last",
    sampler: str | None = None,
    steps: int | None = None,
    exec_horizon: int | None = None,
    candidates: int = 1,
    keep_noise: bool = False,
    env_id: Annotated[str | None, arg(name="env.id")] = None,
    env_kwargs: Annotated[dict[str, int | float | bool | str] | None, arg(name="env.kwargs")] = None,
    env_max_episode_steps: Annotated[int | None, arg(name="env.max-episode-steps")] = None,
    env_timeout: Annotated[float | None, arg(name="env.timeout")] = None,
    trust: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
) -> None:
    """Roll out episodes and set the threshold above which a run's policy is not trusted.

    The gate and its certificate go to RUN/gate; python eval.py RUN --gate uses them. A safety set, the tube around
    what chunks are predicted to do, goes to RUN/tube, for --safety-set. Sampler, steps, execution and
    environment have to be given as they will be used.

    Args:
        run: Run directory that train.py wrote.
        safety_set: Calibrate a safety set instead of a gate; give --candidates as it will be used, e.g. 32.
        rounds: Of a safety set: most times to calibrate it again on as many new episodes in which it acts itself,
            until they ask for no wider tube. Without any its certificate covers no episode in which it acts.
        within_set: Of a gate: let the run's safety set act while it is calibrated, for --gate with --safety-set.
        band: Of a gate: let the threshold follow the course of the score over an episode, which half of the successful
            episodes give; the others say how high above it.
        fallback: What is done where a safety set acts and nothing is admissible, as it will be used.
        key: Of a safety set: the observation that is predicted.
        position: Of a safety set: its numbers that are the position.
        score: What is thresholded; disagreement if the run has several members, else stac.
        alpha: Largest share of false alarms: successful episodes in which the gate alarms. Of a safety set, of
            episodes that leave a tube.
        beta: Largest share of misses: failed episodes in which it does not; where no threshold keeps both promises,
            no gate is made. By default nothing is promised of misses.
        episodes: Episodes; of n successful ones at least 1 / alpha - 1 are needed, for a safety set or a band twice as
            many.
        seed: Episode i starts from seed + i; apart from those of demonstrations and evaluations.
        num_samples: Chunks that every member draws at each replanning.
        num_envs: Environments side by side; does not change the result.
        checkpoint: last, best or a step.
        sampler: Sampler of the family; by default the trained configuration's.
        steps: Sampling steps of the family.
        exec_horizon: Actions executed before replanning; by default as configured in training.
        candidates: Chunks drawn at each replanning; the nearest to the rest of the previous one is executed.
        keep_noise: Draw the noise of an episode once and keep it.
        env_id: Environment; by default the one of the training run.
        env_kwargs: Keyword arguments of gymnasium.make.
        env_max_episode_steps: Length at which an episode is cut; by default the environment's own.
        env_timeout: Seconds that a reset or step of a third-party environment may take; by default 60.
        trust: Make the environment that the run names also where that imports a module other than the known ones.
        device: Where the policy runs.
        threads: CPU threads; by default one per two cores, at most 4.
    """
    from robolearn.locks import hold
    from robolearn.policies.ensemble import Ensemble
    from robolearn.report.counting import counting
    from robolearn.report.results import write_partial
    from robolearn.rollout.env_config import EnvConfig
    from robolearn.rollout.execution import Execution
    from robolearn.rollout.known import check_known
    from robolearn.training.device import choose_device
    from robolearn.training.embeddings import embed_demonstrations
    from robolearn.training.run import Run
    from robolearn.trust.calibrate import Rollouts, check_calibration, check_choices, check_environment, describe
    from robolearn.trust.calibrated_set import check_position
    from robolearn.trust.files import describe_source, open_set, save_gate, save_set
    from robolearn.trust.scores.fitted import NUM_EMBEDDINGS, fit_scores
    from robolearn.trust.scores.registry import find_score
    from robolearn.types import Trajectory

    check_choices(
        safety_set, rounds=rounds, within_set=within_set, band=band, episodes=episodes, score=score, beta=beta
    )
    check_calibration(episodes, seed, alpha, beta, halves=safety_set or band)
    opened = Run.open(run)
    trained = opened.config()
    if env_id is None and not trust:
        check_known(trained.env, run / "config.json")
    checkpoints, sampling = opened.members(checkpoint), {"sampler": sampler, "steps": steps}
    ensemble = Ensemble.load(checkpoints, device=choose_device(device, threads=threads), **sampling)
    env = EnvConfig(env_id, env_kwargs or {}, env_max_episode_steps, env_timeout).over(trained.env)
    execution = Execution(exec_horizon, candidates=candidates, keep_noise=keep_noise).over(trained.exec_horizon)
    source = describe_source(checkpoints, env, execution, sampling)
    if safety_set or within_set:
        check_environment(env, tuple(ensemble.cfg.obs_shapes), fallback)
    place, asked, finished = run / ("tube" if safety_set else "gate"), episodes * (1 + rounds), []
    with hold(place), counting(asked, "calibrating") as count:

        def note(trajectory: Trajectory) -> None:
            finished.append(trajectory)
            count()

        rollouts = Rollouts(ensemble, env, execution, source, seed, episodes, num_envs, fallback, note)
        try:
            if safety_set:
                check_position(ensemble.cfg.obs_shapes, key, position)
                certificate = save_set(place, rollouts.calibrate_set(key, position, alpha, rounds))
            else:
                score = score or ("disagreement" if len(checkpoints) > 1 else "stac")
                acting = (
                    open_set(run / "tube", source, range(seed, seed + episodes))[0].safety_set if within_set else None
                )
                fitted = {}
                if find_score(score).fit:
                    embedded = embed_demonstrations(trained, opened.data(), ensemble, NUM_EMBEDDINGS)
                    fitted = fit_scores([score], *embedded, seed=trained.seed)
                calibration = rollouts.calibrate_gate(score, num_samples, alpha, beta, fitted, acting, band=band)
                certificate = save_gate(place, calibration, fitted)
        except KeyboardInterrupt as stop:
            write_partial(place, finished, asked)
            warn(f"stopped: {len(finished)} of {asked} episodes had finished; {place} is as before")
            sys.exit(exit_status(stop))
    print("\n".join(describe(certificate)))
    flags = f"{'--gate ' * (not safety_set)}{'--safety-set ' * (safety_set or within_set)}".rstrip()
    flags += f" --candidates {execution.candidates}" * (execution.candidates > 1)
    print(f"next: python eval.py {run} {flags}")


def bench(
    what: Annotated[
        Positional[Literal["triangle", "latency", "cost", "pack"]], arg(metavar="{triangle,latency,cost,pack}")
    ],
    *,
    task: tuple[str, ...] = ("avoid",),
    rows: tuple[str, ...] = (),
    seeds: tuple[int, ...] = tuple(seeds.TRAININGS[:3]),
    budget: tuple[str, ...] = ("compute",),
    data: Path = Path("datasets"),
    env_id: Annotated[str | None, arg(name="env.id")] = None,
    steps: int | None = None,
    runs: Path | None = None,
    kept: Path | None = None,
    out: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
) -> None:
    """Compare the families: quality, coverage and speed on one backbone and one budget.

    Ctrl-C keeps what is finished; the same command goes on from there. Several processes may share the work.

    Args:
        what: triangle trains and measures; latency measures that of finished rows again, for a quiet machine; cost
            prints what a training step of each row costs; pack puts what is finished into one file, KEPT.
        task: Tasks, such as avoid.
        rows: Rows, such as flow diffusion; all by default.
        seeds: Training seeds.
        budget: compute, equal training compute; converged, three times as much.
        data: Folder that holds the demonstrations, one store per task; or a store of your own, which then is the task.
        env_id: Environment for a store of your own; by default the one it names.
        steps: Training steps of the row flow on a store of your own, by default 18000; the others take as long.
        runs: Where runs and raw results go; by default runs/triangle, for a store of your own runs/bench.
        kept: Raw results in one file, which count where RUNS has none; by default what was published beside
            runs/triangle, and none beside other runs.
        out: Path, without suffix, of the .json, .md and .png that hold all results in runs, also earlier ones; by
            default docs/results/triangle, for a store of your own RUNS/TASK/results.
        device: Where to train and sample; auto takes the GPU if there is one.
        threads: CPU threads; a process per core does more than a thread per core.
    """
    from robolearn.bench.comparison import is_store, own, published
    from robolearn.bench.cost import measure_cost
    from robolearn.bench.expert import ask_expert
    from robolearn.bench.kept import NOTHING, pack, read_kept
    from robolearn.bench.latency import measure_again
    from robolearn.bench.results import write_results
    from robolearn.bench.rows import ROWS, choose
    from robolearn.bench.triangle import make_units, work
    from robolearn.training.device import choose_device

    if is_store(data):
        here = own(data, env_id, steps, runs, kept, out)
    elif env_id is not None or steps is not None:
        raise UserError("--env.id and --steps belong to a store of your own, --data STORE; the tasks have theirs")
    else:
        here = published(task, data, runs, kept, out)
    chosen = choose("row", rows, ROWS)
    there = read_kept(here.kept) if here.kept and (what != "pack" or here.kept.exists()) else NOTHING
    units = make_units(here.tasks, chosen, budget, seeds, here.runs, there)
    place = choose_device(device, threads=threads)
    if what == "cost":
        for one, row in ((one, row) for one in here.tasks for row in chosen):
            print(one.name, measure_cost(one, row, here.data, place), flush=True)
        return
    if what == "pack":
        if here.kept is None:
            raise UserError("pack needs a file to write, --kept FILE")
        print(f"{here.kept}: {pack(here.kept, here.runs, there)} files")
        return
    busy = []
    try:
        if what == "latency":
            for line in measure_again(units, place):
                print(line, flush=True)
        if what == "triangle":
            for one in here.tasks:
                ask_expert(one, here.data, here.runs, there)
            busy = work(units, here.data, place)
    except KeyboardInterrupt as stop:
        print(f"\nstopped; finished rows are in {here.runs}, the same command goes on from there", file=sys.stderr)
        sys.exit(exit_status(stop))
    for unit in busy:
        print(f"{unit.name}: another process works on it")
    print(write_results(here.out, here.known, ROWS, here.runs, there))


def main(arguments: list[str] | None = None) -> None:
    """Run the verb that the arguments name."""
    with user_errors():
        tyro.extras.subcommand_cli_from_dict(
            {"collect": collect, "inspect": inspect, "import": import_, "calibrate": calibrate, "bench": bench},
            prog="python -m robolearn",
            description="Record, look at and import demonstrations; calibrate gates; compare families.",
            args=arguments,
        )
