"""Disks that fill, turn read-only or vanish under a study, and other runners that want it."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Scripted, start

from sklab.errors import SklabError
from sklab.launch.base import Ended
from sklab.store.records import RunOrder
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.usefixtures("quiet_machine")


def test_a_results_folder_that_vanishes_stops_the_study_and_is_not_made_anew(study, tmp_path):
    aside = tmp_path / "aside"

    class Unmounted(Scripted):
        def wait(self, timeout: float) -> list[Ended]:
            ended = super().wait(timeout)
            if len(self.orders) == 2:
                study.path.rename(aside)
            return ended

    with pytest.raises(SklabError, match="has gone while the study ran"):
        start(study, Unmounted())
    assert not study.path.exists()
    aside.rename(study.path)
    launcher = Scripted()
    assert start(study, launcher)
    assert len(launcher.orders) == 2


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory over `folder`, where the user may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this machine grants no right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full_stops_the_study_and_loses_no_record(study):
    filler = study.path.parent / "filler"

    def fill(_: RunOrder, __: int) -> dict[str, object]:
        if len(study.records()) == 1:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while True:
                    stream.write(bytes(4096))
        return {}

    with mounted(study.path.parent, "size=1m"):
        with pytest.raises(OSError, match="No space left") as caught:
            start(study, Scripted(fill))
        assert caught.value.errno == errno.ENOSPC
        kept = study.records()
        assert [record.status for record in kept.values()] == ["complete"]
        filler.unlink()
        assert start(study, Scripted())
        assert kept.items() <= study.records().items()


def test_results_that_turn_read_only_stop_the_study_and_lose_no_record(study):
    def turn(_: RunOrder, __: int) -> dict[str, object]:
        if len(study.records()) == 1:
            runs = str(study.path / "runs")
            subprocess.run(["mount", "--bind", runs, runs], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", runs], check=True)
        return {}

    with mounted(study.path.parent, "size=1m"):
        with pytest.raises(OSError, match="Read-only"):
            start(study, Scripted(turn))
        kept = study.records()
        assert len(kept) == 1
        subprocess.run(["umount", str(study.path / "runs")], check=True)
        assert start(study, Scripted())
        assert kept.items() <= study.records().items()


def test_of_sixteen_runners_racing_for_a_study_one_wins(toy_files):
    told = subprocess.run(
        [sys.executable, "-c", RACE], cwd=toy_files, capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.split() == ["locked"] * 15 + ["won"]
    records = StudyFolder(toy_files / "results" / "sweep").records()
    assert [(record.status, record.attempt) for record in records.values()] == [("complete", 1)] * 4


# Each child waits for the start; the winner's first run lasts until the 15 others were sent away.
RACE = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
import scripted
from sklab.errors import StudyLockedError
from sklab.store.study_folder import StudyFolder
from sklab.sweep.run import runner
from sklab.sweep.plan.trained_data import HeldData

runner.ensure_sound = lambda *_: HeldData()
study = StudyFolder(Path("results/sweep").absolute())
start_in, start_out = os.pipe()
lost_in, lost_out = os.pipe()

class Patient(scripted.Scripted):
    def submit(self, job):
        if not self.orders:
            for _ in range(15):
                os.read(lost_in, 1)
        super().submit(job)

children = []
for _ in range(16):
    child = os.fork()
    if child == 0:
        os.close(start_out)
        os.read(start_in, 1)
        try:
            won = scripted.start(study, Patient())
            os.write(1, b"won\\n" if won else b"failed\\n")
        except StudyLockedError:
            os.write(1, b"locked\\n")
            os.write(lost_out, b"x")
        except BaseException as error:
            os.write(1, repr(error).encode())
        os._exit(0)
    children.append(child)
os.close(start_out)
for child in children:
    os.waitpid(child, 0)
"""
