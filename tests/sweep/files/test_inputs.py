"""A file of the wrong kind is told what it is, and for one that is not there those that are."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweepfiles import EXPERIMENT, LIST, changed, faults_in, faults_of, load

from sklab.cli import main
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.inputs import read_launcher
from sklab.sweep.files.load import load_single, load_sweep

SLURM = "launcher: slurm\ntime: 60\nparallel: 4\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with experiments, sweeps, a launcher's file and a study's own sweep, as the current one."""
    for name, text in {
        "experiments/quick.yaml": EXPERIMENT,
        "experiments/scale.yaml": EXPERIMENT,
        "sweeps/kernels.yaml": changed(LIST, experiment="../experiments/quick.yaml"),
        "slurm.yaml": SLURM,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(tmp_path)
    StudyFolder(Path("results/kernels")).write_sweep(load_sweep(Path("sweeps/kernels.yaml")))
    return tmp_path


FILES = {
    "this is a sweep; `sklab sweep` takes it": "sweeps/kernels.yaml",
    "this is an experiment; a sweep names it under `experiment:`": "experiments/quick.yaml",
    "this is a launcher's file; it is given beside a sweep": "slurm.yaml",
    "this is what a study keeps of its sweep": "results/kernels/sweep.yaml",
}
READ = {"sweeps": load_sweep, "experiments": load_single, "slurm.yaml": read_launcher}


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("told", FILES)
def test_each_kind_of_file_is_told_where_another_is_meant(project: Path, read: str, told: str) -> None:
    file = Path(FILES[told])
    if file.parts[0] == read:
        READ[read](file)
    else:
        (fault,) = faults_in(lambda: READ[read](file)).values()
        assert told in str(fault)
        assert fault.file == str(file)


def test_the_experiment_of_a_sweep_is_of_the_right_kind(project: Path) -> None:
    file = project / "sweeps" / "kernels.yaml"
    file.write_text(changed(LIST, experiment="../slurm.yaml", columns=["Z"]))
    assert set(faults_in(lambda: load_sweep(file))) == {"", "columns.0"}
    assert set(faults_in(lambda: load_sweep(file, experiment=file))) == {"", "columns.0"}


@pytest.mark.parametrize(
    ("read", "typed", "hint"),
    [
        (load_sweep, "kernels", "sweeps/kernels.yaml"),
        (load_sweep, "kernels.yaml", "sweeps/kernels.yaml"),
        (load_sweep, "kernles", "sweeps/kernels.yaml"),
        (load_sweep, "sweeps/kernel.yaml", "sweeps/kernels.yaml"),
        (load_sweep, "sweeps/Kernels", "sweeps/kernels.yaml"),
        (load_single, "quick", "experiments/quick.yaml"),
        (load_single, "kernels", "sweeps/kernels.yaml"),
        (read_launcher, "slrum.yaml", "slurm.yaml"),
        (load_sweep, "xyz", ""),
    ],
)
def test_the_file_that_is_meant_is_found(project: Path, read: object, typed: str, hint: str) -> None:
    (fault,) = faults_in(lambda: read(Path(typed))).values()  # type: ignore[operator]
    assert (fault.file, fault.message, fault.hint) == (typed, "no such file", hint)
    if not hint:
        assert fault.allowed == "sweeps/kernels.yaml"


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("../experiments/qiuck.yaml", "../experiments/quick.yaml"),
        ("quick", "../experiments/quick.yaml"),
        ("../experiments/none.yaml", ""),
    ],
)
def test_for_a_missing_experiment_those_that_are_there_are_told(project: Path, named: str, hint: str) -> None:
    file = project / "sweeps" / "kernels.yaml"
    file.write_text(changed(LIST, experiment=named))
    (fault,) = faults_in(lambda: load_sweep(file)).values()
    assert (fault.place, fault.hint) == ("experiment", hint)
    assert fault.allowed == "../experiments/quick.yaml, ../experiments/scale.yaml"


@pytest.mark.parametrize("command", ["table", "status", "report", "compare", "retry"])
def test_a_file_where_a_study_is_meant_is_told(project: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "sweeps/kernels.yaml"]) == 2
    told = "sweeps/kernels.yaml is a file; a study is given by its name or its folder, for example kernels"
    assert told in capsys.readouterr().err


def test_a_folder_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sweeps"]) == 2
    assert "sweeps: (document): this is a folder; allowed: the file of a sweep" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("epochs", "train.epochs"),
        ("flip", "train.augment.flip"),
        ("train_size", "data.train_size"),
        ("depths", "model.depths"),
    ],
)
def test_a_key_that_stands_in_the_wrong_place_is_told_the_right_one(tmp_path: Path, key: str, hint: str) -> None:
    assert faults_of(tmp_path, LIST, f"{EXPERIMENT}{key}: 3\n")[key].hint == hint
    assert faults_of(tmp_path, LIST, overrides={key: "3"})[key].hint == hint
    of_sweep = "" if key == "train_size" else f"{hint} of the experiment"  # which data set is not known there
    assert faults_of(tmp_path, changed(LIST, **{key: 3}))[key].hint == of_sweep


def test_a_key_of_a_sweep_stands_elsewhere_in_it(tmp_path: Path) -> None:
    assert faults_of(tmp_path, changed(LIST, trials=3))["trials"].hint == "search.trials"


def test_case_is_no_difference_to_a_suggestion(tmp_path: Path) -> None:
    assert faults_of(tmp_path, changed(LIST, design="OFAT"))["design"].hint == "ofat"


def test_a_file_may_have_any_suffix(project: Path) -> None:
    Path("sweeps/kernels.yaml").rename("sweeps/kernels.txt")
    assert load_sweep(Path("sweeps/kernels.txt")).study == "kernels"
    assert load(project, LIST).study == "question"
