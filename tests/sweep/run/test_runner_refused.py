"""What is found wrong on the device stops a study before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from launchers import FakeLauncher, start

from sklab.errors import SklabError
from sklab.launch.base import Ended
from sklab.spec.jobs import CheckResult, Finding


def test_wrong_arithmetic_is_refused_before_anything_is_trained(study):
    class Checking(FakeLauncher):
        def wait(self, timeout: float) -> list[Ended]:
            job = self.submitted[-1]
            assert job.task == "check"
            asked = json.loads((job.folder / "check.json").read_text())
            assert len(asked["networks"]) == 2
            bad = Finding(
                convolution="3x3 D2",
                precision="bf16",
                memory_format="channels_last",
                ok=False,
                forward_error=1e-3,
                weight_error=-1.0,
                input_error=2.0,
            )
            result = CheckResult(device="cpu", torch="2.13.0", findings=(bad,))
            (job.folder / "result.json").write_text(result.model_dump_json())
            return [Ended(job, 0)]

    launcher = Checking()
    with pytest.raises(SklabError, match=r"remedy: use train\.memory_format: contiguous"):
        start(study, launcher)
    assert study.records() == {}
    cached = Checking()
    with pytest.raises(SklabError, match="not a number"):
        start(study, cached)
    assert cached.submitted == [], "the answer is kept"


def test_data_that_are_not_there_are_refused_before_anything_is_trained_and_looked_for_anew(study):
    class Looking(FakeLauncher):
        faults: tuple[str, ...] = ("/data: no such folder", "the val split has no images")

        def wait(self, timeout: float) -> list[Ended]:
            job = self.submitted[-1]
            result = CheckResult(device="cpu", torch="2.13.0", findings=(), data_faults=self.faults)
            (job.folder / "result.json").write_text(result.model_dump_json())
            return [Ended(job, 0)]

    for _ in range(2):
        launcher = Looking()
        with pytest.raises(SklabError, match=r"nothing was trained:\n  /data: no such folder\n  the val split has no"):
            start(study, launcher)
        job = launcher.submitted[-1]
        (asked,) = json.loads((job.folder / "check.json").read_text())["data"]
        assert asked["data"]["name"] == "scaled_digits"
    assert study.records() == {}


@pytest.mark.parametrize("kept", ["", "\0\0", '{"novel": 1}'])
def test_a_kept_answer_that_can_not_be_read_is_asked_for_again(study, kept):
    class Answering(FakeLauncher):
        def wait(self, timeout: float) -> list[Ended]:
            job = self._running[0]
            if job.task == "train":
                return super().wait(timeout)
            answers.append(job.folder / "result.json")
            answers[-1].write_text(CheckResult(device="cpu", torch="2.13.0", findings=()).model_dump_json())
            return [Ended(self._running.pop(0), 0)]

    answers: list[Path] = []
    assert start(study, Answering())
    answers[0].write_text(kept)
    next(study.path.glob("runs/*/record.json")).unlink()
    assert start(study, Answering())
    assert answers == answers[:2] * 2, "networks and data, twice"


@pytest.mark.parametrize(("exitcode", "asked"), [(-9, 3), (1, 1)])
def test_a_check_that_was_killed_is_asked_again_and_one_that_failed_is_not(study, exitcode, asked):
    launcher = FakeLauncher(lambda job, number: exitcode)
    with pytest.raises(SklabError, match=r"ended without an answer; see .*log\.txt"):
        start(study, launcher)
    assert [job.task for job in launcher.submitted] == ["check"] * asked
