"""torchvision's ResNet-18 in the network of a camera: its maps are torchvision's."""

import pytest
import torch
from torch import nn

from robolearn.nets.imagenet import MEAN, STD, imagenet_trunk
from robolearn.nets.vision import VisionConfig
from robolearn.nets.weights import save_tensors


class Block(nn.Module):
    """A residual block as torchvision names its parts."""

    def __init__(self, dim_in, dim_out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(dim_in, dim_out, 3, stride, 1, bias=False), nn.BatchNorm2d(dim_out)
        self.conv2, self.bn2 = nn.Conv2d(dim_out, dim_out, 3, 1, 1, bias=False), nn.BatchNorm2d(dim_out)
        self.downsample = None
        if stride != 1 or dim_in != dim_out:
            self.downsample = nn.Sequential(nn.Conv2d(dim_in, dim_out, 1, stride, bias=False), nn.BatchNorm2d(dim_out))

    def forward(self, x):
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (out + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet18(nn.Module):
    """He et al. 2016, table 1, with torchvision's names, up to the maps."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        dims = [64, 64, 128, 256, 512]
        for i in range(4):
            blocks = Block(dims[i], dims[i + 1], 1 if i == 0 else 2), Block(dims[i + 1], dims[i + 1], 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    net = ResNet18().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics and weights of no symmetry
            for value, low, high in (
                *((module.running_mean, -0.5, 0.5), (module.running_var, 0.3, 2.0)),
                *((module.weight.data, 0.5, 1.5), (module.bias.data, -0.5, 0.5)),
            ):
                value.uniform_(low, high)
    return net


@pytest.fixture(scope="module")
def weights(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "resnet18.safetensors"
    save_tensors(theirs.state_dict(), path)
    return path


def test_the_maps_are_torchvisions(theirs, weights):
    """Of pixels standardized as it wants them, to the edge of the image."""
    net = VisionConfig("resnet18_imagenet").build(3)
    missing = net.load_state_dict(imagenet_trunk(weights), strict=False).missing_keys
    assert {name.split(".")[0] for name in missing} == {"maps", "head"}
    images = torch.randint(0, 256, (2, 50, 70, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    standard = (images / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        ours = net.trunk(images.movedim(3, 1).float() / 127.5 - 1)
        torch.testing.assert_close(ours, theirs(standard.movedim(3, 1)), atol=1e-3, rtol=1e-3)
        assert net(images).shape == (2, 64)


def test_other_files_are_refused(theirs, tmp_path):
    tensors = theirs.state_dict()
    for name, changed, message in (
        ("less", {k: v for k, v in tensors.items() if k != "layer3.0.bn2.running_var"}, r"no layer3.0.bn2.running_var"),
        ("other", {**tensors, "conv1.weight": torch.zeros(64, 1, 7, 7)}, r"trunk.1.weight would be \(64, 1, 7, 7\)"),
        ("empty", {"a": torch.zeros(1)}, "no ResNet-18 of torchvision; it has no conv1.weight"),
    ):
        save_tensors(changed, path := tmp_path / f"{name}.safetensors")
        with pytest.raises(ValueError, match=message):
            imagenet_trunk(path)
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04" * 200)
    with pytest.raises(ValueError, match=r"pickle.safetensors: damaged"):
        imagenet_trunk(tmp_path / "pickle.safetensors")
