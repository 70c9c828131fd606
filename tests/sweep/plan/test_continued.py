"""What has finished stays in the table of its study, whatever a later start asks for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from launchers import FakeLauncher, Seen, start

from sklab.errors import DamagedRecordError, SklabError
from sklab.launch.base import Job
from sklab.report.build import build, study_table
from sklab.report.tables.terminal import terminal_table
from sklab.spec.study.sweep import Sweep
from sklab.store.records import Code, RunRecord, Tracking
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_single, load_sweep
from sklab.sweep.plan.continued import continued
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner
from sklab.sweep.run.runner import run_study

SK = '  - {name: K3+K5 SK, factors: {kernels: "3, 5", SK: x}}\n'
THIRD = "  - {name: K5, set: {model.branches: [{kernel: 5}], model.attention: none}}\n"
SEARCH = """\
experiment: toy.yaml
design: search
seeds: 2
baseline: {r: 4, width: 8}
search: {trials: 2, sampler: random, seed: 1}
factors:
  r: {path: model.reduction, levels: [2, 4]}
  width: {path: model.width, levels: [4, 8, 12]}
"""


@pytest.fixture(autouse=True, scope="module")
def _sound():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "ensure_sound", lambda *_: HeldData())
        yield


def run(sweep: Sweep, study: StudyFolder, launcher: FakeLauncher | None = None) -> list[tuple[str, int]]:
    """Start the sweep: what was trained."""
    launcher = launcher or FakeLauncher()
    run_study(Start(sweep, study, Code(version="1", commit="abc")), launcher, Tracking(), Seen())
    orders = [RunFolder(job.folder).read_order() for job in launcher.submitted]
    return [(order.cell, order.spec.seed) for order in orders]


def cell_of(job: Job) -> str:
    return RunFolder(job.folder).read_order().cell


def shown(study: StudyFolder) -> set[str]:
    """The keys of the runs in the table that have a result."""
    return {each.key for row in study_table(study.path).rows for each in row.runs if each.state == "complete"}


def content(study: StudyFolder) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in study.path.rglob("*") if file.is_file()}


@pytest.fixture
def text(toy_files):
    """The toy sweep, which has columns for whatever its cells state."""
    text = (toy_files / "sweep.yaml").read_text().replace("columns: [kernels, SK]\n", "")
    (toy_files / "sweep.yaml").write_text(text)
    return text


def test_fewer_seeds_narrow_no_table(toy_files, study):
    start(study, FakeLauncher())
    table = terminal_table(study_table(study.path))
    assert run(load_sweep(toy_files / "sweep.yaml", seeds=1), study) == []
    assert terminal_table(study_table(study.path)) == table
    assert study.read_sweep().seeds == (0, 1)
    assert run(load_sweep(toy_files / "sweep.yaml", seeds=3), study) == [("K3", 2), ("K3+K5 SK", 2)]


def test_a_new_cell_gets_the_seeds_that_are_asked_for(toy_files, study, text):
    start(study, FakeLauncher())
    (toy_files / "sweep.yaml").write_text(text + THIRD)
    assert run(load_sweep(toy_files / "sweep.yaml", seeds=1), study) == [("K5", 0)]
    assert [row.n for row in study_table(study.path).rows] == [2, 2, 1]
    assert run(load_sweep(toy_files / "sweep.yaml"), study) == [("K5", 1)]


def test_other_seeds_come_beside_those_that_are_there(toy_files, study, text):
    start(study, FakeLauncher())
    (toy_files / "sweep.yaml").write_text(text.replace("seeds: 2", "seeds: [1, 5]"))
    assert run(load_sweep(toy_files / "sweep.yaml"), study) == [("K3", 5), ("K3+K5 SK", 5)]
    assert study.read_sweep().seeds == (0, 1, 5)


def test_seeds_of_one_experiment_gather_in_its_table(toy_files):
    study = StudyFolder(toy_files / "results" / "toy")
    for seed in (7, 8, 0):
        assert run(load_single(toy_files / "toy.yaml", seed=seed), study) == [("toy", seed)]
    [row] = study_table(study.path).rows
    assert [each.seed for each in row.runs] == [0, 7, 8]
    assert row.n == 3


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("sweep.yaml", SK, "  - {name: K5, set: {train.lr: 0.3}}\n", r"2 finished runs of K3\+K5 SK would leave"),
        (
            "sweep.yaml",
            "model.attention: none}",
            "model.attention: none, train.lr: 1.0}",
            "2 finished runs of K3 would",
        ),
        ("toy.yaml", "epochs: 2", "epochs: 3", r"4 finished runs of K3, K3\+K5 SK would leave the table of"),
    ],
)
def test_a_start_that_would_take_finished_runs_out_is_refused_with_the_remedy(
    toy_files, study, text, file, before, after, told
):
    start(study, FakeLauncher())
    build(study.path)
    there = content(study)
    written = (toy_files / file).read_text()
    assert before in written
    (toy_files / file).write_text(written.replace(before, after))
    launcher = FakeLauncher()
    with pytest.raises(SklabError, match=rf"{told}.*nothing was started: give the sweep a `study:` name.*--results"):
        run(load_sweep(toy_files / "sweep.yaml"), study, launcher)
    assert (launcher.submitted, content(study)) == ([], there)


def test_the_remedy_trains_only_what_is_new(toy_files, study, text):
    start(study, FakeLauncher())
    for each in study.records():
        study.run(each).weights_file.touch()
        study.run(each).metrics_file.touch()
    only = text.replace(SK, THIRD)
    (toy_files / "sweep.yaml").write_text(f"study: other\n{only}")
    assert run(load_sweep(toy_files / "sweep.yaml"), StudyFolder(study.path.parent / "other")) == [("K5", 0), ("K5", 1)]


def test_what_has_not_finished_may_be_changed_and_a_cell_renamed(toy_files, study, text):
    start(
        study, FakeLauncher(lambda job, _: "complete" if RunFolder(job.folder).read_order().cell == "K3" else "failed")
    )
    finished = shown(study)
    changed = text.replace("name: K3,", "name: three,").replace("baseline: K3", "baseline: three")
    (toy_files / "sweep.yaml").write_text(changed.replace(SK, "  - {name: both, set: {train.lr: 0.3}}\n"))
    assert run(load_sweep(toy_files / "sweep.yaml"), study) == [("both", 0), ("both", 1)]
    assert finished < shown(study)


@pytest.mark.parametrize("change", [("seeds: 2", "seeds: 1"), ("levels: [2, 4]", "levels: [4, 8]")])
def test_a_search_has_the_same_seeds_for_every_cell_and_keeps_what_it_found(toy_files, study, change):
    (toy_files / "sweep.yaml").write_text(SEARCH)
    run(load_sweep(toy_files / "sweep.yaml"), study)
    there = shown(study)
    (toy_files / "sweep.yaml").write_text(SEARCH.replace(*change).replace("trials: 2", "trials: 3"))
    with pytest.raises(SklabError, match="would leave the table"):
        run(load_sweep(toy_files / "sweep.yaml"), study)
    (toy_files / "sweep.yaml").write_text(SEARCH.replace("trials: 2", "trials: 3"))
    assert len(run(load_sweep(toy_files / "sweep.yaml"), study)) == 2
    assert there < shown(study)


class Apart(FakeLauncher):
    """Its cells differ so much that a rule for replicates has seen enough after a few seeds."""

    def wait(self, timeout):
        ended = super().wait(timeout)
        for each in ended:
            run = RunFolder(each.job.folder)
            record = run.read_record()
            level = 60.0 if record.cell == "K3" else 10.0
            metrics = {"val_error": level + 0.1 * ((7 * record.spec.seed + len(record.cell)) % 5)}
            run.write_record(RunRecord.of(run.read_order(), status="complete", last=metrics, best=metrics))
        return ended


def test_a_rule_that_calls_for_fewer_seeds_than_there_are_is_refused(toy_files, study, text):
    (toy_files / "sweep.yaml").write_text(text.replace("seeds: 2", "seeds: 9"))
    run(load_sweep(toy_files / "sweep.yaml"), study, Apart())
    assert len(shown(study)) == 18
    (toy_files / "sweep.yaml").write_text(text.replace("seeds: 2", "replicates: {start: 2, max: 9}"))
    with pytest.raises(SklabError, match="would leave the table"):
        run(load_sweep(toy_files / "sweep.yaml"), study, Apart())
    assert len(shown(study)) == 18
    assert run(load_sweep(toy_files / "sweep.yaml", seeds=2), study) == []
    assert len(shown(study)) == 18


TOY_EXPERIMENT = """\
data: {name: scaled_digits, train_size: 64, val_size: 32}
model: {base: sknet_small, stem_width: 4, width: 8, out_width: 8, cardinality: 2, depths: [1, 1]}
train: {epochs: 2, batch_size: 16, lr: 0.05}
"""
LEVELS = {"a": "{kernel: 3}", "b": "{kernel: 5}", "c": "{kernel: 7}"}
starts = st.lists(
    st.tuples(
        st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=3, unique=True),
        st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
        st.sampled_from([1, 2]),
        st.booleans(),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(starts)
def test_no_row_of_starts_ever_takes_a_finished_run_out_of_the_table(asked):
    with tempfile.TemporaryDirectory() as place:
        study, before = StudyFolder(Path(place) / "results" / "sweep"), set()
        for cells, seeds, epochs, crashes in asked:
            (Path(place) / "toy.yaml").write_text(TOY_EXPERIMENT.replace("epochs: 2", f"epochs: {epochs}"))
            named = [f"  - {{name: {name}, set: {{model.branches: [{LEVELS[name]}]}}}}" for name in cells]
            head = f"experiment: toy.yaml\ndesign: list\nbaseline: {cells[0]}\nseeds: {seeds}\ncells:"
            (Path(place) / "sweep.yaml").write_text("\n".join([head, *named]))
            sweep = load_sweep(Path(place) / "sweep.yaml")
            wanted = {key for cell in sweep.cells for key in cell.runs.values()}
            try:
                run(sweep, study, FakeLauncher(lambda *_, status="failed" if crashes else "complete": status))
            except SklabError:
                assert before - wanted, "nothing was to be lost"
                assert shown(study) == before
                continue
            assert before <= shown(study)
            assert crashes or wanted <= shown(study)
            before = shown(study)


@pytest.mark.parametrize("content", ["experiment: toy.yaml\n", "", "{", "- a\n"])
def test_a_sweep_yaml_that_is_not_sklabs_is_never_replaced(toy_files, study, text, content):
    study.path.mkdir(parents=True)
    study.sweep_file.write_text(content)
    with pytest.raises(
        DamagedRecordError, match=r"(?s)results/sweep/sweep\.yaml.*would be replaced.*nothing was started"
    ):
        run(load_sweep(toy_files / "sweep.yaml"), study)
    assert study.sweep_file.read_text() == content


def test_the_sweep_file_itself_in_the_folder_of_its_study_is_never_replaced(toy_files, study, text):
    study.path.mkdir(parents=True)
    written = text.replace("experiment: toy.yaml", "experiment: ../../toy.yaml")
    study.sweep_file.write_text(written)
    with pytest.raises(DamagedRecordError, match="would be replaced"):
        run(load_sweep(study.sweep_file), study)
    assert study.sweep_file.read_text() == written


def test_a_folder_of_somebody_elses_with_a_table_is_never_written_to(toy_files, study):
    study.path.mkdir(parents=True)
    (study.path / "table.csv").write_text("mine")
    (study.path / "notes.txt").write_text("mine")
    sweep = load_sweep(toy_files / "sweep.yaml")
    with pytest.raises(SklabError, match=r"sweep is no study and holds table\.csv, which would be replaced"):
        run(sweep, study)
    assert (study.path / "table.csv").read_text() == "mine"
    (study.path / "table.csv").unlink()
    assert len(run(sweep, study)) == 4


def test_all_that_a_report_replaces_is_looked_for(study):
    start(study, FakeLauncher())
    build(study.path)
    theirs = {"runs", "sweep.yaml", "plans", ".lock"}
    assert {entry.name for entry in study.path.iterdir()} - theirs == set(study.rebuilt)


def test_a_study_without_its_sweep_yaml_is_still_one(toy_files, study):
    start(study, FakeLauncher())
    build(study.path)
    study.sweep_file.unlink()
    assert run(load_sweep(toy_files / "sweep.yaml"), study) == []
    assert len(shown(study)) == 4


def test_a_first_start_is_as_the_file_says(toy_files, study):
    sweep = load_sweep(toy_files / "sweep.yaml")
    assert continued(sweep, study, {}) is sweep
    run(sweep, study)
    assert continued(sweep, study, {}) == sweep
