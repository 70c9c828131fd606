"""Further evaluation sizes of a study: what lacks one is evaluated, and nothing is trained for it."""

from __future__ import annotations

import pytest
from launchers import FakeLauncher, Seen, start

from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.usefixtures("sound")


def with_sizes(study: StudyFolder, sizes: str = "[32]") -> str:
    text = (study.path.parent.parent / "sweep.yaml").read_text()
    return f"{text.split('sizes:')[0]}sizes: {sizes}\n"


def test_a_size_added_later_is_evaluated_and_nothing_is_trained_again(study):
    start(study, FakeLauncher())
    before = {key: study.run(key).record_file.read_bytes() for key in study.records()}
    launcher, seen = FakeLauncher(), Seen()
    assert start(study, launcher, with_sizes(study), seen)
    assert len(launcher.submitted) == 4
    assert RunFolder(launcher.submitted[0].folder).read_order().sizes == (32,)
    assert {key: study.run(key).record_file.read_bytes() for key in study.records()} == before
    assert (seen.records, len(seen.notes)) == ([], 4)
    assert seen.notes[0] == "K3, seed 0, at 32 px: val_error 9.50 %"
    assert all(state.total == 4 for state in seen.states)
    assert (seen.states[-1].counts["complete"], seen.states[-1].total) == (4, 4)
    again = FakeLauncher()
    assert start(study, again)
    assert again.submitted == []


def test_a_run_killed_between_record_and_evaluation_stays_complete_and_is_only_evaluated(study):
    class Dying(FakeLauncher):
        evaluates = False

    seen = Seen()
    assert not start(study, Dying(), with_sizes(study), seen), "what lacks an evaluation is not finished"
    assert [record.status for record in seen.records] == ["complete"] * 4
    assert all("not evaluated, see sklab logs " in note for note in seen.notes)
    missing = FakeLauncher(lambda _, number: -9 if number == 0 else "complete")
    assert not start(study, missing), "killed again: nothing but the evaluation is lost"
    assert [record.status for record in study.records().values()] == ["complete"] * 4
    last = FakeLauncher()
    assert start(study, last)
    assert [job.folder for job in last.submitted] == [missing.submitted[0].folder]


def test_what_is_to_be_trained_goes_before_what_lacks_an_evaluation(study):
    start(study, FakeLauncher(lambda _, number: "failed" if number == 3 else "complete"))
    [failed] = [key for key, record in study.records().items() if record.status == "failed"]
    launcher = FakeLauncher()
    study.run(failed).record_file.unlink()
    assert start(study, launcher, with_sizes(study))
    assert launcher.submitted[0].folder.name == failed
    assert len(launcher.submitted) == 4


def test_the_index_hears_of_an_evaluated_run_once(study):
    start(study, FakeLauncher())
    start(study, FakeLauncher(), with_sizes(study))
    assert [study.index_file.read_text().count(key) for key in study.records()] == [1] * 4
