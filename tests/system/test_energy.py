"""Counters of energy: what they count, where they start again, and why there are none."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sklab.system.energy import EnergyMeter, cpu_energy, gpu_energy

UUIDS = ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbbb-3"]


@pytest.fixture
def nvml(monkeypatch):
    """NVML with three GPUs whose counters the test sets, in millijoules."""
    counters = [1000.0, 2000.0, 3000.0]
    fake = SimpleNamespace(
        counters=counters,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda number: range(3)[number],
        nvmlDeviceGetUUID=lambda handle: UUIDS[handle],
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: counters[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.mark.parametrize(
    ("visible", "devices", "joules"),
    [("1", 1, 20.0), ("GPU-aaaa", 1, 10.0), ("2,0", 2, 40.0), (None, 2, 30.0), (None, 1, 10.0)],
)
def test_the_gpus_that_the_process_sees_are_counted(nvml, monkeypatch, visible, devices, joules):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter = gpu_energy(devices)
    nvml.counters[:] = [11_000.0, 22_000.0, 33_000.0]
    meter.look()
    assert (meter.source, meter.joules) == ("NVML", joules)


@pytest.mark.parametrize(
    ("visible", "why"), [("MIG-1", "part of a GPU"), ("GPU-bbbb", "names 2 GPUs"), ("7", "out of range")]
)
def test_a_gpu_that_can_not_be_counted_is_told(nvml, monkeypatch, visible, why):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter = gpu_energy(1)
    meter.look()
    assert (meter.source, meter.joules) == ("", 0.0)
    assert why in meter.why


def test_without_nvml_and_with_a_driver_that_is_loaded_anew_nothing_is_measured(nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    meter = gpu_energy(1)
    nvml.counters[0] = 5.0
    meter.look()
    assert (meter.source, meter.joules, meter.why) == ("", 0.0, "the counter of 0 went back")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pynvml" in gpu_energy(1).why


def zone(folder, name, microjoules, most=1_000_000_000):
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    (made / "energy_uj").write_text(f"{microjoules}\n")
    (made / "max_energy_range_uj").write_text(f"{most}\n")


def test_processors_are_counted_through_the_wrap_of_a_counter_and_parts_of_them_are_not(tmp_path):
    zone(tmp_path, "intel-rapl:0", 999_000_000)
    zone(tmp_path, "intel-rapl:1", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", 0)  # the cores, which count in the whole
    meter = cpu_energy(10**6, tmp_path)
    zone(tmp_path, "intel-rapl:0", 2_000_000)
    zone(tmp_path, "intel-rapl:1", 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", 7_000_000)
    meter.look()
    assert meter.source == "RAPL"
    assert meter.joules == pytest.approx(3.0 + 4.0)


def test_a_counter_that_can_not_be_read_is_told(tmp_path):
    assert cpu_energy(10**6, tmp_path).why == "RAPL: this machine shows no counter"
    zone(tmp_path, "intel-rapl:0", 0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    meter = cpu_energy(10**6, tmp_path)
    assert (meter.source, meter.joules) == ("", 0.0)
    assert "No such file" in meter.why


def test_a_counter_that_fails_on_the_way_measures_nothing():
    values = iter([{"a": 1.0}, {"a": 2.0}])
    meter = EnergyMeter("NVML", read=lambda: next(values))
    meter.look()
    assert meter.joules == 1.0
    meter.look()
    assert (meter.source, meter.joules, meter.why) == ("", 0.0, "StopIteration")
