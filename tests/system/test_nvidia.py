"""What is made of nvidia-smi's words, which a program on the PATH says."""

from __future__ import annotations

import pytest

from sklab.system import nvidia
from sklab.system.nvidia import look_at_gpus, see_gpus, see_use

ROWS = (
    "0, GPU-5c89852c-d268-c3f3, 4, 81559, 0, NVIDIA H100 80GB HBM3",
    "1, GPU-5c8acd01-aaaa-bbbb, 30517, 81559, 97, NVIDIA H100 80GB HBM3",
    "2, GPU-9ccccccc-aaaa-bbbb, [N/A], [N/A], [N/A], NVIDIA A100-SXM4-80GB, cut by MIG",
)
COMPUTING = """\
GPU-5c8acd01-aaaa-bbbb, 4711, /usr/bin/python3
GPU-5c8acd01-aaaa-bbbb, 4712, [Not Found]
"""
LOST = "Unable to determine the device handle for GPU 0000:3B:00.0: Unknown Error"


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["0", "1", "2"]),
        ("1", ["1"]),
        ("2, 0", ["2", "0"]),
        ("GPU-9ccccccc-aaaa-bbbb", ["GPU-9ccccccc-aaaa-bbbb"]),
        ("GPU-5c89,GPU-9", ["GPU-5c89", "GPU-9"]),
        ("1,-1,0", ["1"]),
        ("0,0,GPU-5c89,1", ["0", "1"]),
        ("MIG-1c7fbfd6-1d72", ["MIG-1c7fbfd6-1d72"]),
        ("MIG-GPU-5c89852c-d268-c3f3/1/0,2", ["MIG-GPU-5c89852c-d268-c3f3/1/0", "2"]),
    ],
)
def test_only_visible_gpus_are_found_under_the_names_they_have_there(nvidia_smi, visible, found):
    nvidia_smi.says(*ROWS)
    if visible is not None:
        nvidia_smi.visible(visible)
    for seen in (see_gpus(), see_use()):
        assert ([gpu.gpu for gpu in seen.gpus], seen.fault, seen.meant) == (found, "", visible is not None)


@pytest.mark.parametrize("visible", ["", " ", "-1", "NoDevFiles"])
def test_gpus_that_are_hidden_on_purpose_are_not_meant(nvidia_smi, visible):
    nvidia_smi.says(*ROWS)
    nvidia_smi.driver_has("0000:3b:00.0")
    nvidia_smi.visible(visible)
    for seen in (see_gpus(), see_use()):
        assert (seen.gpus, seen.meant) == ((), False)


@pytest.mark.parametrize(
    ("visible", "others"), [("7", []), ("7,1", ["1"]), ("GPU-5c8", []), ("GPU-f,0", ["0"]), ("x", [])]
)
def test_an_entry_that_names_no_gpu_or_two_is_a_fault_that_names_what_there_is(nvidia_smi, visible, others):
    nvidia_smi.says(*ROWS)
    nvidia_smi.visible(visible)
    seen = see_gpus()
    assert ([gpu.gpu for gpu in seen.gpus], seen.meant) == (others, True)
    first = visible.partition(",")[0]
    there = "0 (NVIDIA H100 80GB HBM3), 1 (NVIDIA H100 80GB HBM3), 2 (NVIDIA A100-SXM4-80GB, cut by MIG)"
    assert seen.fault == f"CUDA_VISIBLE_DEVICES: found {first}; nvidia-smi shows {there}"


def test_with_one_gpu_lost_the_rows_of_the_others_count_and_the_loss_is_told(nvidia_smi):
    nvidia_smi.says(*ROWS[1:], end=f"echo '{LOST}' >&2\nexit 15")
    for seen in (see_gpus(), see_use()):
        assert [gpu.gpu for gpu in seen.gpus] == ["1", "2"]
        assert seen.fault == f"nvidia-smi ended with exit code 15: {LOST}"


def test_a_row_that_names_no_gpu_is_none(nvidia_smi):
    nvidia_smi.says("0, [GPU is lost], [N/A], [N/A], [N/A], [GPU is lost]", ROWS[1], "Field, or, what, is, it, called")
    assert [gpu.gpu for gpu in see_gpus().gpus] == ["1"]


@pytest.mark.parametrize(
    ("end", "fault"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18", "exit code 18: Failed to init"),
        ("exit 9", "exit code 9"),
        ("exit 0", "nvidia-smi shows none"),
        ("kill -9 $$", "exit code -9"),
    ],
)
@pytest.mark.parametrize("meant", ["by the driver", "by the user", "by nobody"])
def test_without_a_row_it_is_told_why_and_whether_any_is_meant(nvidia_smi, end, fault, meant):
    nvidia_smi.says(end=end)
    if meant == "by the driver":
        nvidia_smi.driver_has("0000:3b:00.0")
    if meant == "by the user":
        nvidia_smi.visible("0")
    for seen in (see_gpus(), see_use()):
        assert (seen.gpus, seen.meant) == ((), meant != "by nobody")
        assert fault in seen.fault.replace("CUDA_VISIBLE_DEVICES: found 0; ", "")


def test_one_that_does_not_answer_is_left_alone(nvidia_smi, monkeypatch):
    monkeypatch.setattr(nvidia, "_PATIENCE", 0.2)
    nvidia_smi.says(*ROWS, end="exec sleep 600")
    assert see_gpus() == nvidia.Seen((), "nvidia-smi did not answer within 0.2 s", meant=False)


def test_a_machine_without_the_nvidia_tool_has_no_gpu(nvidia_smi, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert see_gpus() == nvidia.Seen((), "there is no nvidia-smi on the PATH", meant=False)
    assert look_at_gpus() == ()


def test_the_use_of_gpus_is_read_as_nvidia_smi_prints_it(nvidia_smi):
    nvidia_smi.says(*ROWS, apps=COMPUTING)
    free, used, cut = look_at_gpus()
    assert (free.gpu, free.name, free.busy, free.processes) == ("0", "NVIDIA H100 80GB HBM3", 0.0, ())
    assert (free.used_mb, free.total_mb) == pytest.approx((4.19, 85520.8), rel=1e-2)
    assert (used.busy, used.processes) == (97.0, ("4711 (python3)", "4712 ([Not Found])"))
    assert (cut.used_mb, cut.total_mb, cut.busy) == (None, None, None)
    assert cut.name.endswith("-80GB, cut by MIG")


def test_the_use_is_told_of_visible_gpus_and_nothing_is_known_of_a_part(nvidia_smi):
    nvidia_smi.says(*ROWS[:2], apps=COMPUTING)
    nvidia_smi.visible("GPU-5c8a,MIG-abc")
    whole, part = look_at_gpus()
    assert (whole.gpu, len(whole.processes)) == ("GPU-5c8a", 2)
    assert part == nvidia.GpuUse("MIG-abc", "NVIDIA H100 80GB HBM3 MIG")
