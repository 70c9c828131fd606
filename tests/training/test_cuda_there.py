"""A torch that can use no GPU is told of before it computes anything."""

from __future__ import annotations

import pytest
import torch

from sklab.commands.options import device_of
from sklab.errors import SklabError
from sklab.launch import worker
from sklab.launch.slots import Slot


@pytest.fixture
def _without_cuda(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)


@pytest.mark.usefixtures("_without_cuda")
def test_gpus_and_a_torch_built_without_cuda_end_in_a_message_with_the_remedy(nvidia_smi):
    nvidia_smi.has_gpus(1)
    for device in (lambda: worker.device_of(Slot("0", "H100", 1)), lambda: device_of(cpu=False)):
        with pytest.raises(SklabError, match=r"torch .* is built without CUDA, and this machine has GPUs; .* --cpu"):
            device()
    assert worker.device_of(Slot(None, "cpu", 1)).type == device_of(cpu=True) == "cpu"


def test_a_torch_built_with_it_gets_the_gpu(nvidia_smi, monkeypatch):
    nvidia_smi.has_gpus(1)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    assert worker.device_of(Slot("0", "H100", 1)).type == device_of(cpu=False) == "cuda"
