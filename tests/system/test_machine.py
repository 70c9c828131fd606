from __future__ import annotations

import pytest

from sklab.system import machine

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
    monkeypatch.setattr(machine, "output", lambda _: LISTED)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [index for index, _ in machine.find_gpus()] == found


def test_a_machine_without_the_nvidia_tool_has_no_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.find_gpus() == []


def test_the_processor_has_a_name():
    assert machine.cpu_name()


USED = """\
0, GPU-aaa, 4, 81559, 0, NVIDIA H100 80GB HBM3
1, GPU-bbb, 30517, 81559, 97, NVIDIA H100 80GB HBM3
2, GPU-ccc, [N/A], [N/A], [N/A], NVIDIA A100-SXM4-80GB MIG 3g.40gb, cut
"""
COMPUTING = """\
GPU-bbb, 4711, /usr/bin/python3
GPU-bbb, 4712, [Not Found]
"""


def nvidia_smi(command: list[str]) -> str:
    return COMPUTING if command[1].startswith("--query-compute-apps") else USED


def test_the_use_of_gpus_is_read_as_nvidia_smi_prints_it(monkeypatch):
    monkeypatch.setattr(machine, "output", nvidia_smi)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    free, used, cut = machine.look_at_gpus()
    assert (free.gpu, free.name, free.busy, free.processes) == ("0", "NVIDIA H100 80GB HBM3", 0.0, ())
    assert (free.used_mb, free.total_mb) == pytest.approx((4.19, 85520.8), rel=1e-2)
    assert (used.busy, used.processes) == (97.0, ("4711 (python3)", "4712 ([Not Found])"))
    assert (cut.used_mb, cut.total_mb, cut.busy) == (None, None, None)
    assert cut.name.endswith("MIG 3g.40gb, cut")


def test_the_use_is_told_of_visible_gpus_only_under_the_names_they_have_there(monkeypatch):
    monkeypatch.setattr(machine, "output", nvidia_smi)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbb,0")
    assert [(gpu.gpu, len(gpu.processes)) for gpu in machine.look_at_gpus()] == [("GPU-bbb", 2), ("0", 0)]


def test_no_use_is_told_where_nothing_prints_any(monkeypatch):
    monkeypatch.setattr(machine, "output", lambda _: "")
    assert machine.look_at_gpus() == ()
