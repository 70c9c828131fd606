"""A study on GPUs of which some are sick: where its runs go, and how it ends."""

from __future__ import annotations

import pytest
from scripted import Scripted, Told, is_first, start

from sklab.errors import SklabError
from sklab.launch.base import Ended, Job
from sklab.launch.health import Health
from sklab.launch.slots import Slot, next_slot
from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder
from sklab.sweep.run.failures import record_of

pytestmark = pytest.mark.usefixtures("quiet_machine")

ECC = {
    "status": "failed",
    "failure": "device",
    "reason": "CUDA error: uncorrectable ECC error encountered",
    "traceback": "Traceback\n  in f\nAcceleratorError: CUDA error: uncorrectable ECC error encountered\n",
}


class Gpus(Scripted):
    """So many GPUs; a run ends as `fails(order, gpu)` says: because of its GPU, or complete."""

    def __init__(self, count: int, fails) -> None:
        super().__init__(lambda order, _: ECC if fails(order, self.on[order.key]) else {})
        self._slots = tuple(Slot(str(index), "H100", 1) for index in range(count))
        self._health, self._taken = Health("GPU"), {}
        self.on: dict[str, str] = {}

    @property
    def capacity(self) -> int:
        return len(self._slots)

    @capacity.setter
    def capacity(self, _: int) -> None: ...

    def submit(self, job: Job) -> None:
        slot = next_slot(self._slots, self._taken.values(), self._health.avoided_by(job.folder))
        self._taken[job.folder], self.on[job.folder.name] = slot, slot.gpu
        super().submit(job)

    def wait(self, timeout: float) -> list[Ended]:
        [ended] = super().wait(timeout)
        self._health.ended(ended.job.folder, self._taken.pop(ended.job.folder).gpu)
        return [ended]

    def judge(self, job: Job, *, sick: bool) -> str:
        told = self._health.judge(job.folder, sick=sick)
        self._slots = tuple(slot for slot in self._slots if slot.gpu not in self._health.given_up)
        return told


def test_one_sick_gpu_costs_two_attempts_and_no_run(study):
    launcher, told = Gpus(2, lambda _, gpu: gpu == "0"), Told()
    assert start(study, launcher, told)
    assert {record.status for record in study.records().values()} == {"complete"}
    assert sum(record.attempt - 1 for record in study.records().values()) == 2
    given_up = [note for note in told.notes if "given up" in note]
    assert given_up == ["GPU 0 is given up: 2 runs in a row have failed on it because of it; no more runs go there"]
    assert any(
        "failed (device): CUDA error: uncorrectable ECC" in note and "attempt 2 of 3" in note for note in told.notes
    )


def test_a_run_that_fails_on_every_gpu_is_recorded_and_costs_none(study):
    launcher, told = Gpus(2, lambda order, _: is_first(order)), Told()
    assert not start(study, launcher, told)
    failed = [record for record in study.records().values() if record.status == "failed"]
    assert [(record.failure, record.attempt, record.cell) for record in failed] == [("device", 3, "K3")]
    assert launcher.capacity == 2
    assert sum(record.status == "complete" for record in study.records().values()) == 3


def test_the_only_gpu_is_tried_with_another_run_before_it_is_given_up(study):
    launcher = Gpus(1, lambda order, _: is_first(order))
    assert not start(study, launcher)
    assert sum(record.status == "complete" for record in study.records().values()) == 3


def test_where_every_gpu_is_given_up_the_study_ends_with_the_remedy_and_goes_on_later(study):
    told = Told()
    with pytest.raises(SklabError, match=r"every device is given up.*finished runs are safe.*--gpus, --cpu"):
        start(study, Gpus(1, lambda *_: True), told, most=1)
    assert not any("same error would come again" in note for note in told.notes), "it is no fault of the code"
    assert {record.failure for record in study.records().values()} == {"device"}
    with pytest.raises(SklabError, match="every device is given up"):
        start(study, Gpus(1, lambda order, _: order.spec.seed == 1))
    done = {key for key, record in study.records().items() if record.status == "complete"}
    assert len(done) == 2
    well = Gpus(1, lambda *_: False)
    assert start(study, well)
    assert done.isdisjoint(order.key for order in well.orders), "nothing is trained twice"


def died(study, order: RunOrder, exitcode: int, log: str, left: int | None = None):
    run = RunFolder(study.path / "runs" / order.key)
    run.write_order(order)
    run.log_file.write_text(log)
    ended = Ended(Job("train", run.path), exitcode, hung=left is not None, left=left)
    return record_of(order, ended, 1, out_of_memory=False, deleted=False)


@pytest.mark.parametrize(
    ("exitcode", "log", "failure"),
    [
        (-6, "terminate called after throwing an instance of 'c10::AcceleratorError'\nCUDA error: ECC error", "device"),
        (-6, "double free or corruption", "killed"),
        (1, "Traceback (most recent call last):\n...\nRuntimeError: No CUDA GPUs are available", "device"),
        (1, "sklab.errors.SklabError: GPUs of node7: this run was to have 1; none can be used: ...", "device"),
        (1, "Traceback (most recent call last):\n...\nImportError: no such name", "code"),
        (-9, "CUDA error: an illegal memory access was encountered", "killed"),
    ],
)
def test_a_process_that_died_without_a_record_is_judged_by_its_last_words(study, toy_order, exitcode, log, failure):
    assert died(study, toy_order(), exitcode, log).failure == failure


def test_a_run_whose_process_is_stuck_says_so(study, toy_order):
    record = died(study, toy_order(), -9, "", left=4711)
    assert record.failure == "stale"
    assert "its process 4711 does not even end when killed" in record.reason
    assert record.reason.endswith("its slot is given up")
