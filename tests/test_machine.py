from __future__ import annotations

import pytest

from sklab import machine

LISTED = "0, GPU-aaa, NVIDIA H200\n1, GPU-bbb, NVIDIA H200\n"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1"]),
        ("1", ["1"]),
        ("GPU-aaa", ["GPU-aaa"]),
        ("", []),
        ("7", []),
    ],
)
def test_only_visible_gpus_are_found(monkeypatch, visible, found):
    monkeypatch.setattr(machine, "_output", lambda _: LISTED)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [index for index, _ in machine.find_gpus()] == found


def test_a_machine_without_the_nvidia_tool_has_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.find_gpus() == []


def test_the_processor_has_a_name():
    assert machine.cpu_name()
