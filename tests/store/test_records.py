from __future__ import annotations

import errno
import os
import shlex
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from sklab.errors import DamagedRecordError, SklabError
from sklab.spec.study.sweep import Metric
from sklab.store import files
from sklab.store.files import write_whole
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder, find_run, find_study


def record_of(order: RunOrder, **changes: object) -> RunRecord:
    return RunRecord.of(order, **{"status": "complete", **changes})


def test_orders_and_records_come_back_as_they_went(tmp_path, toy_order):
    run, order = RunFolder(tmp_path / "run"), toy_order(seed=4)
    run.write_order(order)
    assert run.read_order() == order
    assert run.read_record() is None
    record = record_of(order, last={"val_error": 12.5}, epochs=2)
    run.write_record(record)
    assert run.read_record() == record
    assert StudyFolder(tmp_path).path.joinpath("run/record.json").exists()


def test_an_order_from_before_there_were_sizes_is_read(tmp_path, toy_order):
    run, order = RunFolder(tmp_path), toy_order()
    run.order_file.write_text(order.model_dump_json(exclude={"sizes"}))
    assert run.read_order() == order
    assert order.model_copy(update={"sizes": (320,)}).spec.key == order.key


@pytest.mark.parametrize("torn", ["", "{", '{"key": "abc"}'])
def test_an_evaluation_that_can_not_be_read_is_lacking(tmp_path, toy_order, torn):
    run, complete = RunFolder(tmp_path), record_of(toy_order())
    run.evaluation_file(320).write_text(torn)
    assert run.missing_sizes(complete, (224, 320)) == (224, 320)
    assert run.missing_sizes(record_of(toy_order(), status="diverged"), (320,)) == run.missing_sizes(None, (320,)) == ()


def test_a_key_is_kept_through_the_file(tmp_path, toy_order):
    run, order = RunFolder(tmp_path / "run"), toy_order()
    run.write_order(order)
    assert run.read_order().spec.key == order.key == order.spec.key


def test_what_is_no_order_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DamagedRecordError, match="not a run order"):
        RunFolder(tmp_path).read_order()


@pytest.mark.parametrize("torn", ["", "{", '{"key": "abc', "\x00\x00"])
def test_a_torn_record_is_set_aside(tmp_path, torn):
    (tmp_path / "record.json").write_text(torn)
    with pytest.warns(UserWarning, match=r"torn, its run counts as not ended; set aside as record.damaged"):
        assert RunFolder(tmp_path).read_record() is None
    assert (tmp_path / "record.damaged").read_text() == torn


def test_a_torn_record_that_can_not_be_set_aside_is_told_and_left(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "record.json").write_text("{")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.warns(UserWarning, match=r"it can't be set aside \(Read-only file system\)"):
        assert RunFolder(tmp_path).read_record() is None
    assert (tmp_path / "record.json").exists()


def test_a_whole_record_of_another_version_is_never_thrown_away(tmp_path, toy_order):
    run, order = RunFolder(tmp_path), toy_order()
    text = record_of(order).model_dump_json().replace('"cell":', '"zell":', 1)
    run.record_file.write_text(text)
    with pytest.raises(DamagedRecordError) as refused:
        run.read_record()
    assert str(refused.value) == (
        f"{run.record_file}: cell: Field required (and 1 more); use the version that wrote it, or move its folder away "
        "to train the run again"
    )
    assert run.record_file.read_text() == text


def test_what_is_whole_and_no_record_is_told_in_a_line(tmp_path):
    (tmp_path / "record.json").write_text("[]")
    with pytest.raises(DamagedRecordError, match=r"record.json: Input should be an object; use the version"):
        RunFolder(tmp_path).read_record()


def test_a_record_in_the_folder_of_another_run_is_refused(tmp_path, toy_order):
    study, own, other = StudyFolder(tmp_path), toy_order(seed=0), toy_order(seed=1)
    for order in (own, other):
        study.run(order.key).write_order(order)
        study.run(order.key).write_record(record_of(order))
    assert len(study.records()) == 2
    study.run(own.key).write_record(record_of(other))
    with pytest.raises(DamagedRecordError) as refused:
        study.records([own.key])
    assert str(refused.value) == (
        f"{study.run(own.key).record_file} is of run {other.key} (cell, seed 1), not of run {own.key}; move it where "
        "it belongs, or delete it to train the run again"
    )


def test_only_torn_or_whole_files_never_half_ones(tmp_path, monkeypatch):
    file = tmp_path / "file"
    write_whole(file, "before")

    def crash(*_: object) -> None:
        raise OSError("the machine died")

    monkeypatch.setattr(files.os, "fsync", crash)
    with pytest.raises(OSError, match="died"):
        write_whole(file, "after")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_process_of_the_same_number_elsewhere_writes_the_same_file_and_tears_nothing(tmp_path, monkeypatch):
    """Two containers that share a folder: each starts to count its processes at 1."""
    file, real = tmp_path / "file", os.fsync
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def overtaken(opened: int) -> None:
        monkeypatch.setattr(files.os, "fsync", real)
        write_whole(file, "theirs, which is longer")
        real(opened)

    monkeypatch.setattr(files.os, "fsync", overtaken)
    write_whole(file, "ours")
    assert file.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_mount_that_flushes_no_folders_will_do_but_not_one_that_fails(tmp_path, monkeypatch, number, told):
    real = os.fsync

    def fsync(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, os.strerror(number))
        real(opened)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output") if told else nullcontext():
        write_whole(tmp_path / "file", "written")
    assert (tmp_path / "file").read_text() == "written"


def test_a_new_attempt_moves_the_old_one_out_of_the_way(tmp_path, toy_order):
    run = RunFolder(tmp_path)
    assert run.attempt == 1
    run.begin_attempt()
    assert run.attempt == 1
    for number in (1, 2):
        run.log_file.write_text(f"log {number}")
        run.metrics_file.write_text("epoch\n")
        run.write_record(record_of(toy_order(), status="failed"))
        run.begin_attempt()
        assert run.attempt == number + 1
        assert run.read_record() is None
        assert (run.attempts / f"{number:03d}" / "log.txt").read_text() == f"log {number}"


def test_weights_without_a_record_are_dropped_by_the_next_attempt(tmp_path):
    run = RunFolder(tmp_path)
    run.weights_file.write_bytes(b"of a run that was killed before its record")
    run.evaluation_file(320).write_text("of weights that are no more")
    run.begin_attempt()
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_found_by_folder_by_study_and_key_and_by_key(tmp_path, toy_order, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results, order, other = Path("results"), toy_order(), toy_order(seed=1)
    for study in ("a", "b"):
        StudyFolder(results / study).run(order.key).write_order(order)
    StudyFolder(results / "b").run(other.key).write_order(other)
    run = results / "a" / "runs" / order.key
    for name in (str(run), f"{run}/", str(run.resolve()), f"a/{order.key}", f"results/a/{order.key}"):
        assert find_run(name, results).path.resolve() == run.resolve()
    assert find_run(other.key, results).path == results / "b" / "runs" / other.key
    with pytest.raises(SklabError, match=f"found several: results/a/runs/{order.key}, results/b/runs/{order.key}"):
        find_run(order.key, results)
    for name in ("*", "c/" + order.key, "a", "", "nothing"):
        with pytest.raises(SklabError, match=r"found none.*allowed: STUDY CELL SEED, a run's folder"):
            find_run(name, results)


def test_a_bare_name_is_a_study_under_results_whatever_lies_in_the_current_folder(tmp_path, monkeypatch, toy_order):
    monkeypatch.chdir(tmp_path)
    order = toy_order()
    for place in (Path("results"), Path("other"), Path()):
        StudyFolder(place / "kernels").run(order.key).write_order(order)
        (place / "kernels" / "sweep.yaml").touch()
    assert find_study("kernels", Path("results")).path == Path("results/kernels")
    assert find_study("kernels", Path("other")).path == Path("other/kernels")
    assert find_study("./kernels", Path("results")).path == Path("kernels")
    assert find_study("other/kernels", Path("results")).path == Path("other/kernels")
    assert find_run(f"kernels/{order.key}", Path("other")).path == Path("other/kernels/runs") / order.key
    assert find_run(f"./kernels/{order.key}", Path("other")).path == Path("kernels/runs") / order.key
    assert find_run(order.key, Path("other")).path == Path("other/kernels/runs") / order.key
    monkeypatch.chdir(tmp_path / "kernels")
    assert find_study(".", Path("results")).sweep_file.exists()
    assert find_run(f"runs/{order.key}", Path("results")).order_file.exists()


def test_a_study_that_only_the_current_folder_has_is_told_how_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kernels").mkdir()
    Path("kernels/sweep.yaml").touch()
    with pytest.raises(SklabError, match=r"^results/kernels is no study; the folder .* is named \./kernels$"):
        find_study("kernels", Path("results"))
    assert find_study("nothing", Path("results")).path == Path("results/nothing")


@pytest.mark.parametrize("place", ["kernels", "results/kernels", "my results/kernels", "."])
def test_what_a_command_is_given_finds_the_study(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path(place).mkdir(parents=True, exist_ok=True)
    Path(place, "sweep.yaml").touch()
    [argument] = shlex.split(StudyFolder(Path(place)).argument)
    assert find_study(argument, Path("elsewhere")).path.samefile(place)


def test_the_rule_of_the_metric_decides_the_epoch(toy_order):
    record = record_of(toy_order(), last={"val_error": 3.0}, best={"val_error": 2.0})
    assert record.value(Metric(epoch="last")) == 3.0
    assert record.value(Metric(epoch="best")) == 2.0


def test_records_are_found_by_key(tmp_path, toy_order):
    study = StudyFolder(tmp_path)
    for seed in (0, 1):
        order = toy_order(seed=seed)
        study.run(order.key).write_order(order)
        study.run(order.key).write_record(record_of(order))
    study.run("unfinished").path.mkdir()
    assert sorted(study.records()) == sorted(toy_order(seed=seed).key for seed in (0, 1))
    assert list(study.records(["nothing", toy_order(seed=1).key])) == [toy_order(seed=1).key]


def test_records_of_a_cell_hold_its_experiment_once_where_it_is_the_same(tmp_path, toy_order):
    study = StudyFolder(tmp_path)
    orders = [toy_order(seed=0), toy_order(seed=1), toy_order(seed=2, train={"epochs": 3})]
    for order in orders:
        run = study.run(order.key)
        run.write_order(order)
        run.write_record(RunRecord.of(order, status="complete"))
    read = study.records(order.key for order in orders)
    assert {key: record.spec for key, record in read.items()} == {order.key: order.spec for order in orders}
    same, again, other = (record.spec.experiment for record in read.values())
    assert same is again
    assert other is not same
    assert read[orders[1].key].spec.key == orders[1].key


@pytest.mark.parametrize("damage", ["cell", "spec", "experiment", "seed", "status"])
def test_a_record_that_cannot_be_read_is_told_among_others_as_alone(tmp_path, toy_order, damage):
    study, orders = StudyFolder(tmp_path), [toy_order(seed=seed) for seed in (1, 0)]
    for order in orders:
        study.run(order.key).write_order(order)
        text = RunRecord.of(order, status="complete").model_dump_json()
        study.run(order.key).record_file.write_text(
            text.replace(f'"{damage}":', '"strange":', 1) if order.spec.seed == 0 else text
        )
    with pytest.raises(DamagedRecordError) as alone:
        study.run(orders[1].key).read_record()
    with pytest.raises(DamagedRecordError) as among:
        study.records(order.key for order in orders)
    assert str(among.value) == str(alone.value)


def test_what_is_no_study_is_told(tmp_path: Path):
    with pytest.raises(DamagedRecordError, match=r"is no study: it has no sweep.yaml$"):
        StudyFolder(tmp_path / "nothing").read_sweep()
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "sweep.yaml").touch()
    with pytest.raises(DamagedRecordError, match="studies there: kernels"):
        StudyFolder(tmp_path / "kernls").read_sweep()
    (tmp_path / "sweep.yaml").write_text("study: [")
    with pytest.raises(DamagedRecordError, match="can't be read"):
        StudyFolder(tmp_path).read_sweep()
