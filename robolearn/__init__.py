"""robolearn trains a generative policy from demonstrations and knows when to trust it.

    import robolearn as rl

    run = rl.train(rl.TrainConfig(dataset=rl.DatasetConfig((Path("datasets/avoid.zarr"),))))
    report = rl.evaluate(run)
    print(report.summary.success)

Importing the package is cheap: what a name stands for, and with it torch, is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; HOMES says the same at run time
    from robolearn.cluster import open_cluster as open_cluster
    from robolearn.contract import Scene as Scene
    from robolearn.data.attrs import StoreAttrs as StoreAttrs
    from robolearn.data.collect import collect as collect
    from robolearn.data.store import DemoStore as DemoStore
    from robolearn.data.writer import DemoWriter as DemoWriter
    from robolearn.errors import UserError as UserError
    from robolearn.evaluation.acting import load_policy as load_policy
    from robolearn.evaluation.agent import Agent as Agent
    from robolearn.evaluation.calibrate import calibrate as calibrate
    from robolearn.evaluation.calibrate_config import CalibrateConfig as CalibrateConfig
    from robolearn.evaluation.claims import check_claim as check_claim
    from robolearn.evaluation.claims import verify_run as verify_run
    from robolearn.evaluation.compare import compare as compare
    from robolearn.evaluation.compare_config import CompareConfig as CompareConfig
    from robolearn.evaluation.compare_config import SideConfig as SideConfig
    from robolearn.evaluation.config import ActConfig as ActConfig
    from robolearn.evaluation.config import DeployConfig as DeployConfig
    from robolearn.evaluation.config import EvalConfig as EvalConfig
    from robolearn.evaluation.deploy import check_deployed as check_deployed
    from robolearn.evaluation.deploy import deploy_run as deploy_run
    from robolearn.evaluation.evaluate import evaluate as evaluate
    from robolearn.evaluation.heldout import compare_with_heldout as compare_with_heldout
    from robolearn.evaluation.sweep import sweep as sweep
    from robolearn.evaluation.sweep_config import SweepConfig as SweepConfig
    from robolearn.evaluation.verify import verify_network as verify_network
    from robolearn.evaluation.verify_config import ClaimConfig as ClaimConfig
    from robolearn.evaluation.verify_config import VerifyConfig as VerifyConfig
    from robolearn.formats.format import ExportOptions as ExportOptions
    from robolearn.formats.format import Format as Format
    from robolearn.formats.format import ImportOptions as ImportOptions
    from robolearn.formats.format import Recording as Recording
    from robolearn.formats.registry import FORMATS as FORMATS
    from robolearn.formats.transfer import export_demos as export_demos
    from robolearn.formats.transfer import import_demos as import_demos
    from robolearn.generation.config import GenerateConfig as GenerateConfig
    from robolearn.generation.config import SceneConfig as SceneConfig
    from robolearn.generation.generate import generate as generate
    from robolearn.keymap import KeyMap as KeyMap
    from robolearn.planning.config import PlanConfig as PlanConfig
    from robolearn.planning.directory import PlanRun as PlanRun
    from robolearn.planning.plan import plan as plan
    from robolearn.policies.policy import Policy as Policy
    from robolearn.policies.registry import BACKBONES as BACKBONES
    from robolearn.policies.registry import FAMILIES as FAMILIES
    from robolearn.report.comparison import Comparison as Comparison
    from robolearn.report.page import Report as Report
    from robolearn.representation.config import PretrainConfig as PretrainConfig
    from robolearn.representation.pretrain import pretrain as pretrain
    from robolearn.representation.probe import linear_probe as linear_probe
    from robolearn.representation.registry import METHODS as METHODS
    from robolearn.representation.representation import Representation as Representation
    from robolearn.rollout.env_config import EnvConfig as EnvConfig
    from robolearn.rollout.execution import Execution as Execution
    from robolearn.simulator.accuracy import measure_accuracy as measure_accuracy
    from robolearn.simulator.config import AccuracyConfig as AccuracyConfig
    from robolearn.simulator.config import RankConfig as RankConfig
    from robolearn.simulator.config import SimulatorConfig as SimulatorConfig
    from robolearn.simulator.learn import learn_simulator as learn_simulator
    from robolearn.simulator.model import LearnedSimulator as LearnedSimulator
    from robolearn.simulator.rank import rank_runs as rank_runs
    from robolearn.training.config import DatasetConfig as DatasetConfig
    from robolearn.training.config import TrainConfig as TrainConfig
    from robolearn.training.run import Run as Run
    from robolearn.training.swag import SwagConfig as SwagConfig
    from robolearn.training.train import train as train
    from robolearn.translation.apply import translate as translate
    from robolearn.translation.config import TranslatorConfig as TranslatorConfig
    from robolearn.translation.labels import LabelProbe as LabelProbe
    from robolearn.translation.labels import probe_labels as probe_labels
    from robolearn.translation.registry import TRANSLATIONS as TRANSLATIONS
    from robolearn.translation.train import train_translator as train_translator
    from robolearn.translation.translator import Translator as Translator
    from robolearn.trust.certificate import Certificate as Certificate
    from robolearn.trust.scores.registry import SCORES as SCORES
    from robolearn.trust.scores.registry import register_score as register_score
    from robolearn.trust.scores.score import Score as Score
    from robolearn.types import Episode as Episode
    from robolearn.types import Trajectory as Trajectory
    from robolearn.verify.loop.proof import verify_loop as verify_loop
    from robolearn.verify.loop.system import ClosedLoop as ClosedLoop
    from robolearn.verify.loop.system import Requirement as Requirement

__version__ = "0.1.0"

HOMES = {
    "AccuracyConfig": "simulator.config",
    "ActConfig": "evaluation.config",
    "Agent": "evaluation.agent",
    "BACKBONES": "policies.registry",
    "CalibrateConfig": "evaluation.calibrate_config",
    "Certificate": "trust.certificate",
    "ClaimConfig": "evaluation.verify_config",
    "ClosedLoop": "verify.loop.system",
    "CompareConfig": "evaluation.compare_config",
    "Comparison": "report.comparison",
    "DatasetConfig": "training.config",
    "DemoStore": "data.store",
    "DemoWriter": "data.writer",
    "DeployConfig": "evaluation.config",
    "EnvConfig": "rollout.env_config",
    "Episode": "types",
    "EvalConfig": "evaluation.config",
    "Execution": "rollout.execution",
    "ExportOptions": "formats.format",
    "FAMILIES": "policies.registry",
    "FORMATS": "formats.registry",
    "Format": "formats.format",
    "GenerateConfig": "generation.config",
    "ImportOptions": "formats.format",
    "KeyMap": "keymap",
    "LabelProbe": "translation.labels",
    "LearnedSimulator": "simulator.model",
    "METHODS": "representation.registry",
    "PlanConfig": "planning.config",
    "PlanRun": "planning.directory",
    "Policy": "policies.policy",
    "PretrainConfig": "representation.config",
    "RankConfig": "simulator.config",
    "Recording": "formats.format",
    "Report": "report.page",
    "Representation": "representation.representation",
    "Requirement": "verify.loop.system",
    "Run": "training.run",
    "SCORES": "trust.scores.registry",
    "Scene": "contract",
    "SceneConfig": "generation.config",
    "Score": "trust.scores.score",
    "SideConfig": "evaluation.compare_config",
    "SimulatorConfig": "simulator.config",
    "StoreAttrs": "data.attrs",
    "SwagConfig": "training.swag",
    "SweepConfig": "evaluation.sweep_config",
    "TRANSLATIONS": "translation.registry",
    "TrainConfig": "training.config",
    "Trajectory": "types",
    "Translator": "translation.translator",
    "TranslatorConfig": "translation.config",
    "UserError": "errors",
    "VerifyConfig": "evaluation.verify_config",
    "calibrate": "evaluation.calibrate",
    "check_claim": "evaluation.claims",
    "check_deployed": "evaluation.deploy",
    "collect": "data.collect",
    "compare": "evaluation.compare",
    "compare_with_heldout": "evaluation.heldout",
    "deploy_run": "evaluation.deploy",
    "evaluate": "evaluation.evaluate",
    "export_demos": "formats.transfer",
    "generate": "generation.generate",
    "import_demos": "formats.transfer",
    "learn_simulator": "simulator.learn",
    "linear_probe": "representation.probe",
    "load_policy": "evaluation.acting",
    "measure_accuracy": "simulator.accuracy",
    "open_cluster": "cluster",
    "plan": "planning.plan",
    "pretrain": "representation.pretrain",
    "probe_labels": "translation.labels",
    "rank_runs": "simulator.rank",
    "register_score": "trust.scores.registry",
    "sweep": "evaluation.sweep",
    "train": "training.train",
    "train_translator": "translation.train",
    "translate": "translation.apply",
    "verify_loop": "verify.loop.proof",
    "verify_network": "evaluation.verify",
    "verify_run": "evaluation.claims",
}

__all__ = sorted(HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'robolearn' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"robolearn.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
