"""The pose network: the published names and sizes, timm's own arithmetic, and nothing else let in."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from stages.core.errors import ValaroError
from stages.vision.hrnet import JOINTS, STRIDE, PoseHRNet
from stages.vision.pose_model import UPPER_BODY, PoseModel

NARROW = {"width": 8, "modules": [1, 1, 1]}


@pytest.fixture(scope="module")
def timm_trunk():
    import timm

    torch.manual_seed(0)
    return timm.create_model("hrnet_w32", pretrained=False).eval()


@pytest.fixture(scope="module")
def published(timm_trunk):
    """A state dict as `pose_hrnet_w32_256x192.pth` has it: timm's trunk, less and more of what the pose net
    has less and more (its last module fuses into the finest branch only; 17 heat maps of 32 channels)."""
    head = ("incre_modules", "downsamp_modules", "final_layer", "classifier")
    state = {
        name: tensor
        for name, tensor in timm_trunk.state_dict().items()
        if not name.startswith(head)
        and not name.startswith(tuple(f"stage4.2.fuse_layers.{branch}." for branch in (1, 2, 3)))
    }
    final = {"final_layer.weight": 0.1 * torch.randn(17, 32, 1, 1), "final_layer.bias": torch.randn(17)}
    return state | final


@pytest.fixture
def saved(tmp_path):
    def save(state):
        torch.save(state, tmp_path / "pose_hrnet_w32_256x192.pth")
        return tmp_path / "pose_hrnet_w32_256x192.pth"

    return save


def test_the_published_names_and_shapes_are_ours(published):
    ours = PoseHRNet().state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in published.items()}
    weights = sum(tensor.numel() for name, tensor in ours.items() if name.endswith(("weight", "bias")))
    assert weights == pytest.approx(28.5e6, abs=0.05e6), "Sun et al., table 1"


def test_the_published_weights_compute_what_timms_trunk_does(published, timm_trunk, saved):
    net = PoseHRNet().eval()
    net.load_published(saved(published))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        stem = timm_trunk.act1(timm_trunk.bn1(timm_trunk.conv1(image)))
        stem = timm_trunk.act2(timm_trunk.bn2(timm_trunk.conv2(stem)))
        finest = timm_trunk.stages(stem)[0]
        weight, bias = published["final_layer.weight"][:, :, 0, 0], published["final_layer.bias"]
        expected = torch.einsum("jc,bchw->bjhw", weight, finest) + bias[:, None, None]
        maps = net(image)
    assert maps.shape == (1, len(JOINTS), 64 // STRIDE, 96 // STRIDE)
    assert torch.allclose(maps, expected, atol=1e-4 * float(expected.abs().max()))
    assert expected.std() > 0


@pytest.fixture(scope="module")
def network():
    """A narrow one: what is refused is told by names and shapes."""
    return PoseHRNet(**NARROW)


def test_old_files_without_counters_load(network, saved):
    old = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network.load_published(saved(old))


@pytest.mark.parametrize("wrong", ["missing", "further", "another shape", "another layout"])
def test_any_other_network_is_refused_by_name(network, saved, wrong):
    state = dict(network.state_dict())
    if wrong == "missing":
        del state["stage3.0.branches.1.0.conv1.weight"]
    elif wrong == "further":
        state["stage4.0.fuse_layers.1.0.0.0.weight"] = torch.zeros(1)
    elif wrong == "another shape":
        state["final_layer.weight"] = torch.zeros(16, 32, 1, 1)
    else:
        state = {"state_dict": state}
    named = {"missing": r"stage3\.0\.branches\.1\.0\.conv1\.weight", "further": "stage4.0.fuse_layers.1"}
    with pytest.raises(ValaroError, match=f"pose_hrnet_w32.*{named.get(wrong, 'final_layer|state_dict')}"):
        network.load_published(saved(state))


def test_code_in_a_pickle_does_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"conv1.weight": Code()}, tmp_path / "evil.pth")
    with pytest.raises(ValaroError, match=r"evil\.pth"):
        PoseHRNet(**NARROW).load_published(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PoseModel(64, options=NARROW).eval()


def test_the_upper_body_goes_through_three_halvings_to_the_head(model):
    image = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    maps = model.upper_body(image)
    assert maps.shape == (2, UPPER_BODY, 16, 16)
    assert model.blocks(maps).shape == (2, 256, 2, 2)
    assert [tuple(part.shape) for part in model(image)] == [(2, 256), (2, 2), (2, 8)]
    projections = [block.shortcut.weight.shape[:2] for block in model.blocks]
    assert projections == [(128, 13), (128, 128), (256, 128)]


def test_the_trunk_stands_still_while_the_rest_learns():
    torch.manual_seed(0)
    model = PoseModel(64, options=NARROW).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    image = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8)
    optimizer = torch.optim.SGD([p for group in model.layer_groups() for p in group], lr=1.0)
    model(image).valence_arousal.square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {name.split(".")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"blocks", "head"}
    assert all(parameter.grad is None for parameter in model.trunk.parameters())


@pytest.mark.slow
def test_gradients_of_the_papers_size_end_no_process():
    code = (
        "import torch; from stages.vision.pose_model import PoseModel;"
        f"model = PoseModel(256, options={NARROW!r}).train();"
        "model(torch.rand(8, 13, 64, 64)).valence_arousal.sum().backward()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_odd_size_is_refused():
    with pytest.raises(ValueError, match="100; HRNet"):
        PoseModel(100, options=NARROW)


def test_left_and_right_are_told_apart(model):
    """Heat maps keep places: a mirrored image isn't the same to the model."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8))
    with torch.no_grad():
        assert not torch.allclose(model(image).embedding, model(image.flip(-1)).embedding, atol=1e-4)
