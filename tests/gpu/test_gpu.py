"""What only a real GPU shows. The same on a device that is none: tests/training/test_pretend_device.py."""

import pytest
import torch
from safetensors.torch import load_file

from robolearn.data.windows import Windows
from robolearn.training.device import choose_device
from robolearn.training.run import Run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def recording():
    """Observations, images, actions and the ends of two episodes."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (7, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return {"state": torch.randn(7, 3, generator=generator), "img": image}, torch.rand(7, 2), [4, 7]


@pytest.mark.parametrize("resident", [True, False])
def test_windows_are_those_of_the_cpu(recording, resident):
    here = Windows(*recording, 2, 3).batch(torch.arange(7))
    there = Windows(*recording, 2, 3, device="cuda", resident=resident).batch(torch.arange(7, device="cuda"))
    assert there.actions.is_cuda
    assert torch.equal(here.actions, there.actions.cpu())
    assert all(torch.equal(here.obs[key], there.obs[key].cpu()) for key in here.obs)


def test_what_names_no_device_is_on_the_chosen_one():
    device = choose_device("cuda")
    assert torch.empty(1, device="cuda").device == device


@pytest.fixture(scope="module")
def flags(request):
    """Flags of a short training on the GPU."""
    flags = ["flow", "mlp", "--backbone.width", "16", "--obs-horizon", "1", "--action-horizon", "4"]
    flags += ["--exec-horizon", "2", "--batch-size", "8", "--warmup-steps", "2", "--steps", "12"]
    return [*flags, "--checkpoint-every", "6", "--keep-every", "6", "--device", "cuda", "--no-wandb"]


def test_steps_that_are_repeated_train_as_those_that_are_asked_for(tmp_path, demos, flags, train_main):
    ends = {}
    for name, more in (("plain", []), ("captured", ["--capture"])):
        train_main(["--dataset.path", str(demos), "--out", str(tmp_path / name), *flags, *more])
        ends[name] = load_file(Run.open(tmp_path / name).checkpoint("last") / "train.safetensors")
    unequal = [name for name, value in ends["plain"].items() if not torch.equal(value, ends["captured"][name])]
    assert unequal == []


def test_the_commands(tmp_path, demos, flags, train_main, eval_main, capsys):
    run = tmp_path / "run"
    train_main(["--dataset.path", str(demos), "--out", str(run), *flags])
    eval_main([str(run), "--episodes", "2", "--videos", "0", "--device", "cuda"])
    assert (run / "eval" / "summary.json").exists()
    train_main(["--resume", str(run), "--steps", "18"])
    assert "other random numbers" not in capsys.readouterr().err
    train_main(["--resume", str(run), "--steps", "24", "--device", "cpu"])
    assert "trained on a GPU and goes on on a CPU" in capsys.readouterr().err
    assert Run.open(run).checkpoint("last").resolve().name == "00000024"
