"""What travels to a node and back, and what a run asks of a cluster: all that needs no Ray."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.errors import FaultyInputError, SklabError
from sklab.launch.ray import task
from sklab.launch.ray.launcher import RayLauncher
from sklab.launch.ray.task import read_files, write_files
from sklab.spec.study.launchers import RaySpec
from sklab.sweep.files.inputs import read_launcher

NAMES = st.sampled_from(["run.json", "record.json", "log.txt", "attempts/001/log.txt", "attempts/001/record.json"])
FILES = st.dictionaries(NAMES, st.binary(max_size=40))


@settings(max_examples=30, deadline=None)  # every file is flushed to the disk
@given(FILES, FILES)
def test_a_folder_comes_to_hold_what_is_brought_back(before: task.Files, after: task.Files) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        write_files(folder, {"analysis.json": b"made meanwhile", **before})
        write_files(folder, after, before.keys() - after.keys())
        assert read_files(folder) == {"analysis.json": b"made meanwhile", **after}


def test_the_record_is_brought_back_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(task, "write_whole", lambda file, _content: written.append(file.name))
    write_files(tmp_path, {"record.json": b"1", "weights.pt": b"2", "metrics.csv": b"3"})
    assert written[-1] == "record.json"
    assert sorted(written) == ["metrics.csv", "record.json", "weights.pt"]


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    write_files(tmp_path, {"weights.pt": b"1"})
    before = (tmp_path / "weights.pt").stat().st_ino
    write_files(tmp_path, {"weights.pt": b"1"})
    assert (tmp_path / "weights.pt").stat().st_ino == before


def test_locks_and_marks_do_not_travel(tmp_path: Path) -> None:
    task.leave_mark(tmp_path, "1")
    (tmp_path / ".lock").touch()
    (tmp_path / "run.json").touch()
    assert list(read_files(tmp_path)) == ["run.json"]


def test_a_folder_of_the_same_name_on_another_disk_is_not_the_same_folder(tmp_path: Path) -> None:
    assert not task.sees(tmp_path, "1")
    task.leave_mark(tmp_path, "1")
    assert task.sees(tmp_path, "1")
    assert not task.sees(tmp_path, "2")


def test_a_file_says_what_runs_ask_of_ray(tmp_path: Path) -> None:
    file = tmp_path / "ray.yaml"
    file.write_text("launcher: ray\naddress: 10.0.0.7:6379\nparallel: 8\ngpus: 0.25\ncpus: 2\n")
    assert read_launcher(file) == RaySpec(launcher="ray", address="10.0.0.7:6379", parallel=8, gpus=0.25, cpus=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("launcher: rya\nparallel: 2", r"ray.yaml:1: launcher: unknown value; found \"rya\"; allowed: slurm, ray - "),
        ("parallel: 2", "launcher: missing; allowed: slurm, ray"),
        ("launcher: ray", "parallel: missing"),
        ("launcher: ray\nparallel: 2\ngpu: 1", "unknown key; found gpu; .* 'gpus'"),
        ("launcher: ray\nparallel: 2\ngpus: 1.5", "a part of one GPU, as in 0.25, or whole ones"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "ray.yaml"
    file.write_text(text)
    with pytest.raises(FaultyInputError, match=told):
        read_launcher(file)


def test_without_ray_the_line_that_installs_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SklabError, match=r"pip install 'sklab\[ray\]'"):
        RayLauncher(RaySpec(launcher="ray", parallel=1))


@pytest.mark.parametrize("asked", [{"gpus": 0.5}, {"gpus": 1}, {"cpus": 1}])
def test_a_run_on_two_devices_needs_as_many(asked: dict[str, float]) -> None:
    with pytest.raises(SklabError, match="trains on 2 devices"):
        RayLauncher(RaySpec(launcher="ray", parallel=1, **asked), devices=2)


def test_the_file_on_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/ray.md").read_text()
    file = tmp_path / "ray.yaml"
    file.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    assert read_launcher(file) == RaySpec(launcher="ray", parallel=2)
