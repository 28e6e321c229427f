"""What `deploy` left in a run, opened to act in the place of torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from robolearn.deploy import runtime
from robolearn.deploy.check import Check
from robolearn.deploy.directory import acts_alike, describe
from robolearn.errors import UserError, warn
from robolearn.evaluation.acting import Acting
from robolearn.evaluation.config import ActConfig
from robolearn.training.run import Run

DEPLOYED = "deployed"  # directory in a run


def find_deployed(run: Run, cfg: ActConfig, acting: Acting, *, required: bool = False) -> runtime.Agent | None:
    """What `deploy` left in a run, opened to act, if it acts as the run would, was found equal, and is faster.

    Args:
        run: What was trained.
        cfg: How it is to act.
        acting: The same, opened.
        required: Whether to say why there is none.

    Raises:
        UserError: It is required and there is none that acts like this.
    """
    directory, problem = run.directory / DEPLOYED, None
    if not (directory / runtime.MANIFEST).exists():
        problem = f"{run.directory} has not been deployed; python -m robolearn deploy {run.directory}"
    elif cfg.translator is not None:
        problem = "a translator acts with torch alone"
    elif acting.guard is not None:
        problem = "a gate or a safety set acts with torch alone"
    elif find_spec("onnxruntime") is None:
        problem = "onnxruntime is not installed; pip install 'robolearn[deploy]'"
    if problem is None:
        try:
            return _open_deployed(directory, cfg, acting, required=required)
        except (UserError, runtime.RefusedError) as error:
            problem = str(error)
            if not required:
                warn(f"{problem}; acting with torch")
    if required:
        raise UserError(problem)
    return None


def _open_deployed(directory: Path, cfg: ActConfig, acting: Acting, *, required: bool) -> runtime.Agent:
    policy = runtime.Policy(directory, threads=cfg.threads or 1)
    if policy.facts["format"] != "onnx":
        raise UserError(f"{directory} was deployed for torch; deploy with `format` onnx")
    if not acts_alike(policy.facts, describe(acting.policy, acting.execution, acting.checkpoint)):
        raise UserError(f"{directory} was deployed for other weights, another sampler or execution")
    check = Check.read(directory)
    if not check.is_equal:
        raise UserError(f"{directory} differs by {check.largest_difference:.2g} from the trained policy")
    if not (check.is_faster or required):
        raise UserError(f"{directory} was not found to be faster")
    return runtime.Agent(policy, seed=cfg.seed)
