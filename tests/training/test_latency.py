import pytest
import torch
from torch import nn

from sklab.store.run_folder import RunFolder
from sklab.training.callbacks import latency
from sklab.training.callbacks.latency import LatencyMeter, latency_ms, replay_latency_ms
from sklab.training.replay import steps
from sklab.training.replay.steps import NotRecordableError
from sklab.training.run import train

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


class Counted(nn.Module):
    """Each pass takes `milliseconds` on the clock that the test holds; the first ones ten times as long."""

    def __init__(self, clock, milliseconds):
        super().__init__()
        self.clock, self.milliseconds, self.shapes = clock, milliseconds, []

    def forward(self, image):
        self.shapes.append(tuple(image.shape))
        self.clock[0] += self.milliseconds / 1000 * (10 if len(self.shapes) <= latency._WARM_UP else 1)
        return image


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("milliseconds", "passes"), [(2.0, 33), (400.0, 4), (90.0, 4), (10.0, 33)])
def test_it_is_the_median_after_warm_up_and_takes_about_a_second_at_most(clock, milliseconds, passes):
    network = Counted(clock, milliseconds)
    assert latency_ms(network, torch.zeros(1, 3, 8, 8), torch.inference_mode()) == pytest.approx(milliseconds)
    assert len(network.shapes) == passes
    assert set(network.shapes) == {(1, 3, 8, 8)}


def test_measuring_it_changes_nothing_else(toy_order, folder, tmp_path, monkeypatch):
    measured = train(toy_order(), folder, CPU)
    monkeypatch.setattr(LatencyMeter, "on_validation_end", lambda *_: None)
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    plain = train(toy_order(), other, CPU)
    assert (measured.latency_ms > 0, plain.latency_ms) == (True, 0)
    assert (measured.last, measured.best) == (plain.last, plain.best)
    assert folder.weights_file.read_bytes() == other.weights_file.read_bytes()


def test_a_fault_in_measuring_ends_no_run(toy_order, folder, monkeypatch, capfd):
    monkeypatch.setattr(latency, "latency_ms", lambda *_: 1 / 0)
    record = train(toy_order(), folder, CPU)
    assert (record.status, record.latency_ms) == ("complete", 0)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.fixture
def replays(monkeypatch, clock):
    """The CPU as a device that replays in half a millisecond what ran once as it was recorded."""
    recordings = []

    def replay():
        clock[0] += 0.0005

    def recorded(work, device):
        work()
        recordings.append(device)
        return replay

    monkeypatch.setattr(steps, "REPLAYED", {"cpu"})
    monkeypatch.setattr(latency, "recorded", recorded)
    return recordings


def test_a_replay_is_recorded_after_a_first_pass_and_timed_alone(clock, replays):
    network = Counted(clock, 4.0)
    found = replay_latency_ms(network, torch.zeros(1, 3, 8, 8), torch.inference_mode())
    assert found == pytest.approx(0.5)
    assert (replays, len(network.shapes)) == ([CPU], 2), "one pass before the recording, one in it"


def test_a_network_that_can_not_be_recorded_has_no_latency_of_a_replay(clock, replays, monkeypatch, caplog):
    def refuse(*_):
        raise NotRecordableError("it waits for the device")

    monkeypatch.setattr(latency, "recorded", refuse)
    assert replay_latency_ms(Counted(clock, 4.0), torch.zeros(1, 3, 8, 8), torch.inference_mode()) == 0
    assert "it waits for the device" in caplog.text


def test_both_latencies_stand_in_the_record(toy_order, folder, monkeypatch):
    monkeypatch.setattr(steps, "REPLAYED", {"cpu"})
    record = train(toy_order(), folder, CPU)
    assert record.latency_ms > 0
    assert record.replay_latency_ms > 0


def test_a_replay_that_fails_leaves_the_other_latency(toy_order, folder, monkeypatch, capfd):
    monkeypatch.setattr(latency, "replay_latency_ms", lambda *_: 1 / 0)
    record = train(toy_order(), folder, CPU)
    assert (record.status, record.latency_ms > 0, record.replay_latency_ms) == ("complete", True, 0)
    assert "ZeroDivisionError" in capfd.readouterr().err
