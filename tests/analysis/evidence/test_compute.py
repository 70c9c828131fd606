"""The compute statement: its sums are those of the attempts on disk, to the millisecond."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from studies import failed_record, key_of, make_record, make_sweep, write_study

from sklab.analysis.evidence.compute import LEFT, Attempt, Compute, device_time, read_compute
from sklab.analysis.table.ablation import ablation_table
from sklab.cli import main
from sklab.report.build import build
from sklab.report.evidence.compute import energy, statement
from sklab.spec.study.nuisance import Nuisance, tuning_seeds
from sklab.store.hardware import Energy
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {
    "complete": {"status": "complete"},
    "diverged": {"status": "diverged"},
    "pruned": {"status": "pruned"},
    "failed": {"status": "failed", "failure": "oom"},
    "stopped": {"status": "failed", "failure": "preempted"},
}
ATTEMPT = st.tuples(st.sampled_from(sorted(ENDS)), st.integers(0, 10**9), st.integers(1, 3))
RUNS = st.lists(st.tuples(st.sampled_from(["K3", "K5", "gone"]), st.lists(ATTEMPT, min_size=1, max_size=3)), max_size=5)


def times(milliseconds):
    ended = STARTED + timedelta(milliseconds=milliseconds)
    return {"started": STARTED.isoformat(), "ended": ended.isoformat(timespec="milliseconds")}


def written(folder: RunFolder, cell, seed, attempt):
    end, milliseconds, abreast = attempt
    record = make_record(cell, seed, 10.0, **ENDS[end], **times(milliseconds))
    hardware = record.hardware.model_copy(update={"abreast": abreast})
    folder.path.mkdir(parents=True)
    folder.write_record(record.model_copy(update={"hardware": hardware}))


@settings(max_examples=25)
@given(runs=RUNS)
def test_sums_are_those_of_the_attempts_on_disk(runs):
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder(write_study(Path(folder) / "made", make_sweep(seeds=range(5)), {}))
        for seed, (cell, attempts) in enumerate(runs):
            run = study.run(key_of(cell, seed))
            written(run, cell, seed, attempts[-1])
            for number, attempt in enumerate(attempts[:-1], start=1):
                written(RunFolder(run.attempts / f"{number:03d}"), cell, seed, attempt)
        compute = read_compute(study, study.read_sweep())
    shares = [(cell, end, took // abreast) for cell, attempts in runs for end, took, abreast in attempts]
    assert compute.total == sum(took for *_, took in shares)
    for at, part in ((0, lambda attempt: attempt.cell.replace(LEFT, "gone")), (1, lambda attempt: attempt.state)):
        found = {name: device_time(attempts) for name, attempts in compute.by(part).items()}
        assert found == {name: sum(share[2] for share in shares if share[at] == name) for name in found}
        assert sum(found.values()) == compute.total
    assert len(compute.attempts) == len(shares)


def test_a_killed_attempt_has_the_time_from_the_first_line_of_its_log(tmp_path, capsys):
    killed = failed_record("K5", 1, "killed", started="", ended="2026-01-01T00:01:00.500+00:00", hardware=None)
    silent = failed_record("K5", 2, "killed", started="", ended="", hardware=None)
    study = StudyFolder(write_study(tmp_path / "made", make_sweep(), {killed.key: killed, silent.key: silent}))
    study.run(killed.key).log_file.write_text("loading\n2026-01-01T00:00:30Z K5, seed 1: training\n")
    ended_with_runner = study.run(key_of("K3", 0)).attempts / "001"
    ended_with_runner.mkdir(parents=True)
    (ended_with_runner / "log.txt").write_text("2026-01-01T00:00:00Z begun\n2026-01-01T00:00:10Z epoch 1\n")
    assert main(["costs", str(study.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by_cell"] == {
        "K3": {"attempts": 1, "device_ms": 10_000},
        "K5": {"attempts": 2, "device_ms": 30_500},
    }
    assert found["untimed"] == 1
    assert main(["costs", str(study.path)]) == 0
    told = capsys.readouterr().out
    assert "Device time: 0.0112 h in 3 attempts." in told
    assert "Without a known time, counted as 0: 1 attempt." in told
    assert "Energy: not measured" in told


def test_a_reused_run_counts_in_the_study_that_made_it(tmp_path):
    record = make_record("K3", 0, 10.0)
    study = StudyFolder(write_study(tmp_path / "made", make_sweep(), {record.key: record}))
    study.run(record.key).reused_file.write_text("{}")
    compute = read_compute(study, study.read_sweep())
    assert (compute.total, len(compute.attempts), compute.own) == (0, 1, ())


def test_tuning_and_confirmation_are_listed_apart(tmp_path):
    seed, sweep = tuning_seeds(1)[0], make_sweep()
    nuisance = Nuisance(settings={"train.lr": {"low": 0.1, "high": 0.2}}, seeds=1, common={"train.lr": "low"})
    tuned = sweep.model_copy(update={"nuisance": nuisance, "cells": make_sweep(seeds=(seed, 0, 1)).cells})
    runs = [make_record("K3", at, 10.0, **times(took)) for at, took in ((seed, 3_600_000), (0, 7_200_000))]
    study = StudyFolder(write_study(tmp_path / "made", tuned, {run.key: run for run in runs}))
    fresh = make_record("K3", 2, 10.0, **times(10_800_000))
    confirmed = write_study(tmp_path / "apart", make_sweep(seeds=(2, 3)), {fresh.key: fresh})
    confirmed.rename(study.confirmation)
    compute = read_compute(study, tuned, make_sweep(seeds=(2, 3)))
    assert [(attempt.tuning, attempt.milliseconds) for attempt in compute.own] == [
        (True, 3_600_000),
        (False, 7_200_000),
    ]
    assert device_time(compute.confirmation) == 10_800_000
    told = statement(ablation_table(sweep, {}), compute)
    assert told[0] == "Device time: 3.00 h in 2 attempts."
    assert told[2:4] == [
        "Of that, tuning runs: 1.00 h in 1 attempt.",
        "Confirmation, not part of that: 3.00 h in 1 attempt.",
    ]


def test_costs_as_json_have_the_confirmation(tmp_path, capsys):
    study = StudyFolder(write_study(tmp_path / "made", make_sweep(), {}))
    fresh = make_record("K3", 2, 10.0, **times(5000))
    write_study(tmp_path / "apart", make_sweep(seeds=(2, 3), confirms="made"), {fresh.key: fresh}).rename(
        study.confirmation
    )
    assert main(["costs", str(study.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confirmation"] == {"attempts": 1, "device_ms": 5000}
    assert found["tuning"] == found["by_cell"] | {"attempts": 0, "device_ms": 0}


def test_the_report_has_the_statement_and_what_is_not_known(tmp_path):
    killed = failed_record("K5", 1, "killed", started="", ended="", hardware=None)
    records = {record.key: record for record in (make_record("K3", 0, 10.0, **times(7_200_000)), killed)}
    folder = write_study(tmp_path / "made", make_sweep(), records)
    build(folder)
    pages = [(folder / name).read_text() for name in ("report.html", "report.md", "report.tex")]
    heads = ('<h2 id="compute">Compute</h2>', "## Compute\n", "\\section*{Compute}")
    for page, head in zip(pages, heads, strict=True):
        part = page[page.index(head) :]
        assert "Device time: 2.00 h in 2 attempts." in part
        assert "Without a known time, counted as 0: 1 attempt." in part
        assert "Time of a run: " in part
    assert '<a href="#compute">' in pages[0]
    assert "[Compute](#compute)" in pages[1]


def test_a_study_without_an_attempt_has_no_statement_in_its_report(tmp_path):
    build(folder := write_study(tmp_path / "made", make_sweep(), {}))
    assert "Compute" not in (folder / "report.md").read_text()


def test_energy_is_the_sum_of_what_counters_counted_and_says_where_there_were_none():
    taken = Energy(joules=1.8e6, source="NVML")
    none = Energy(why="RAPL: Permission denied")
    attempts = [Attempt(str(number), "a", "complete", 1000, energy=each) for number, each in enumerate((taken, taken))]
    assert energy(Compute(tuple(attempts))).startswith("Energy: 1.0000 kWh in 2 attempts by NVML. ")
    attempts.append(Attempt("2", "a", "failed", 1000, energy=none))
    told = "1.0000 kWh in 2 attempts by NVML; not measured in 1 attempt (RAPL: Permission denied). "
    assert told in energy(Compute(tuple(attempts)))
    assert energy(Compute(tuple(attempts[2:]))) == "Energy: not measured (RAPL: Permission denied)."
    assert energy(Compute((Attempt("3", "a", "complete", 1),))) == "Energy: not measured (runs record none)."
