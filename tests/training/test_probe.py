"""A few steps of a run: what they cost is told, nothing is kept, and what is wrong has its reason."""

from __future__ import annotations

import torch

from sklab.launch.base import Job
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.spec.jobs import Probe, ProbeOrder
from sklab.sweep.plan.costs import probe as ask
from sklab.training.jobs import probe


def probed(tmp_path, experiment) -> Probe:
    (tmp_path / "probe.json").write_text(ProbeOrder(experiment=experiment).model_dump_json())
    probe(tmp_path, torch.device("cpu"))
    return Probe.model_validate_json((tmp_path / "result.json").read_bytes())


def test_a_probe_knows_the_length_of_the_run_and_what_its_steps_take(tmp_path, toy_order):
    found = probed(tmp_path, toy_order(train={"epochs": 7}).spec.experiment)
    assert (found.epochs, found.steps, found.val_steps, found.fault) == (7, 4, 2, "")
    assert min(found.step_seconds, found.val_step_seconds, found.setup_seconds) > 0
    assert found.peak_memory_mb > 50
    epoch = 4 * found.step_seconds + 2 * found.val_step_seconds
    assert found.run_seconds == found.setup_seconds + 7 * epoch
    assert {file.name for file in tmp_path.iterdir()} == {"probe.json", "result.json"}


def test_an_epoch_of_one_batch_can_be_probed(tmp_path, toy_order):
    found = probed(tmp_path, toy_order(train={"batch_size": 64}).spec.experiment)
    assert (found.steps, found.fault) == (1, "")
    assert found.step_seconds > 0


def test_a_run_on_two_devices_is_probed_on_one_with_its_part_of_the_batch(tmp_path, toy_order):
    found = probed(tmp_path, toy_order(train={"devices": 2}).spec.experiment)
    assert (found.steps, found.val_steps, found.fault) == (4, 2, "")


def test_what_would_stop_the_run_is_told(tmp_path, toy_order):
    found = probed(tmp_path, toy_order(train={"batch_size": 100}).spec.experiment)
    assert "the train split has 64 images" in found.fault


class Counting(InlineLauncher):
    """Counts its jobs; one named as lost ends without an answer."""

    def __init__(self, lost: bool = False) -> None:
        super().__init__(Slot(None, "cpu", 1))
        self.jobs: list[Job] = []
        self._lost = lost

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        super().submit(job)
        if self._lost:
            (job.folder / "result.json").unlink()


def test_an_answer_is_kept_for_the_same_experiment_and_a_fault_is_not(tmp_path, toy_order):
    launcher = Counting()
    wanted = {"good": toy_order().spec.experiment, "bad": toy_order(train={"batch_size": 100}).spec.experiment}
    first, second = ask(wanted, launcher, tmp_path), ask(wanted, launcher, tmp_path)
    assert first["good"] == second["good"]
    assert first["bad"].fault
    assert [job.task for job in launcher.jobs] == ["probe"] * 3


def test_a_kept_answer_that_can_not_be_read_is_made_again(tmp_path, toy_order):
    wanted, launcher = {"good": toy_order().spec.experiment}, Counting()
    ask(wanted, launcher, tmp_path)
    next(tmp_path.rglob("result.json")).write_text("{")
    assert ask(wanted, launcher, tmp_path)["good"].step_seconds > 0
    assert len(launcher.jobs) == 2


def test_a_probe_whose_process_dies_is_told_with_its_log(tmp_path, toy_order):
    found = ask({"lost": toy_order().spec.experiment}, Counting(lost=True), tmp_path)
    assert "ended without an answer; see " in found["lost"].fault
