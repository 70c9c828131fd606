"""The commands as a user types them, in processes of their own where that matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sklab.cli import main
from sklab.models.numerics import check_convolution
from sklab.models.zoo import Signature
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design import cells
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.trained_data import HeldData
from sklab.sweep.run import runner

HEAVY = {"torch", "lightning", "optuna", "wandb", "pandas", "pydantic", "matplotlib", "scipy", "rich"}


@pytest.fixture
def here(toy_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy files' folder, as the current one."""
    monkeypatch.chdir(toy_files)
    return toy_files


def imported_by(*arguments: str) -> set[str]:
    """Names of the heavy packages that the command loads into its own process."""
    code = (
        f"import sys\nfrom sklab.cli import main\ntry:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
    )
    code += f"print('LOADED', *sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return set(done.stdout.splitlines()[-1].split()[1:])


def sklab(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sklab.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until_there_is(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 300
    while not list(folder.glob(pattern)):
        assert time.monotonic() < deadline, f"{pattern} never appeared"
        time.sleep(0.02)


def test_who_reads_no_further_is_told_nothing():
    """As with `| head`: here the reader is gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "sklab.cli", "models", "--json"], stdout=write, stderr=subprocess.PIPE,
                          text=True, timeout=300)  # fmt: skip
    os.close(write)
    assert done.returncode == 141
    assert done.stderr in ("", "counting parameters and multiply-accumulates ...\n"), "nothing of its reader"


def test_a_warning_is_a_line_without_our_source(here):
    sweep = load_sweep(here / "sweep.yaml")
    study = StudyFolder(here / "results" / "sweep")
    study.write_sweep(sweep)
    torn = study.run(sweep.cells[0].runs[0]).record_file
    torn.parent.mkdir(parents=True)
    torn.write_text("{")
    done = subprocess.run([sys.executable, "-m", "sklab.cli", "status", "sweep"], stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL, timeout=300)  # fmt: skip
    where = torn.relative_to(here)
    said = f"sklab: warning: {where} is torn, its run counts as not ended; set aside as record.damaged\n"
    assert done.stderr == said


def test_standard_streams_that_are_closed_are_no_file_of_the_study():
    """As with `>&- 2>&-`: what is opened next would take their numbers."""
    code = "import os, sys; from sklab.cli import main; main(['models']); print('said'); os.fstat(1); os.fstat(2)"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(closed, timeout=300, check=False).returncode == 0


def test_a_sweep_whose_progress_can_not_be_written_trains_all_the_same(here):
    """As with `2> log` on a full disk."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "sklab.cli", "sweep", "sweep.yaml", "--no-wandb"], stderr=full,
                              stdout=subprocess.PIPE, text=True, timeout=600)  # fmt: skip
    assert done.returncode == 0
    assert "4 of 4 runs complete" in done.stdout


def test_a_full_terminal_that_does_not_wait_takes_what_it_can():
    read, write = os.pipe()
    os.set_blocking(write, False)
    says = "import sys; from sklab.system import terminal as t; t.outlast_readers(); [print('x' * 999, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{says} for _ in range(999)]"], stderr=write, timeout=300, check=False
    )
    os.close(write)
    os.close(read)
    assert done.returncode == 0


def test_figures_are_drawn_whatever_matplotlib_is_to_draw_on(here):
    sweep, study = load_sweep(here / "sweep.yaml"), StudyFolder(here / "results" / "sweep")
    study.write_sweep(sweep)
    done = subprocess.run([sys.executable, "-m", "sklab.cli", "report", "sweep"], capture_output=True, timeout=300,
                          env={**os.environ, "MPLBACKEND": "nonsense"}, text=True)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "writing the report ...\n")


@pytest.mark.parametrize("zone", ["UTC+30", "UTC-25"])
def test_a_time_zone_that_can_not_be_is_told(monkeypatch, capsys, zone):
    """Optuna writes down when a trial began."""
    try:
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert main(["models"]) == 2
    finally:
        monkeypatch.undo()
        time.tzset()
    told = f"sklab: TZ: found '{zone}', a day or more away from UTC; allowed: a time zone within 24 hours of it"
    assert capsys.readouterr().err.startswith(told)


def test_a_terminal_of_few_letters_gets_its_table(here):
    sweep, study = load_sweep(here / "sweep.yaml"), StudyFolder(here / "results" / "sweep")
    study.write_sweep(sweep)
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "sklab.cli", "table", "sweep"], capture_output=True, timeout=300,
                          env=environment)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?95%" in done.stdout


def test_help_loads_nothing_heavy():
    assert imported_by("--help") == set()


def test_a_sweep_runs_to_its_table_without_torch_in_the_runner(here):
    loaded = imported_by("sweep", "sweep.yaml", "--no-wandb")
    assert not loaded & {"torch", "lightning"}
    study = StudyFolder(here / "results" / "sweep")
    assert {record.status for record in study.records().values()} == {"complete"}
    assert len(study.records()) == 4
    for name in ("table.csv", "table.md", "table.tex", "report.md", "report.html", "sweep.yaml", "study.log"):
        assert (study.path / name).stat().st_size > 0


def test_the_same_sweep_again_trains_nothing_and_says_so_in_its_exit_code(here, capsys):
    assert main(["sweep", "sweep.yaml", "--no-wandb"]) == 0
    before = (here / "results/sweep/table.csv").read_bytes()
    (here / "results/sweep/study.log").unlink()
    assert main(["sweep", "sweep.yaml", "--no-wandb"]) == 0
    assert (here / "results/sweep/table.csv").read_bytes() == before
    shown = capsys.readouterr()
    assert shown.err.count("val_error") == 4, "each run is told once, in the first start"
    assert "report: results/sweep/report.html" in shown.out

    assert main(["status", "sweep", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["counts"]["complete"], status["counts"]["waiting"], status["live"]) == (4, 0, False)
    assert main(["plan", "sweep.yaml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["complete"], plan["missing"], plan["seconds"]) == (4, 0, 0.0)
    assert main(["table", "sweep"]) == 0
    assert "K3+K5 SK" in capsys.readouterr().out
    assert main(["report", "results/sweep"]) == 0
    assert (here / "results/sweep/table.csv").read_bytes() == before


def test_failed_runs_are_told_and_end_with_exit_code_1(here, capsys, monkeypatch):
    monkeypatch.setattr(cells, "why_impossible", lambda _: "")  # as where it is not known before the start
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    text = (here / "sweep.yaml").read_text() + "  - {name: bad, set: {train.accumulate: 65}}\n"
    (here / "sweep.yaml").write_text(text)
    assert main(["sweep", "sweep.yaml", "--no-wandb", "--seeds", "1"]) == 1
    assert "bad, seed 0: failed (data): data set scaled_digits: train.accumulate = 65" in capsys.readouterr().err
    assert main(["status", "sweep"]) == 0
    assert "bad, seed 0: failed (data): " in capsys.readouterr().out


def test_one_experiment_is_trained_once(here, capsys):
    assert main(["train", "toy.yaml", "--seed", "5", "--no-wandb", "--set", "train.epochs=1"]) == 0
    [record] = StudyFolder(here / "results" / "toy-train.epochs-1").records().values()
    assert (record.spec.seed, record.epochs) == (5, 1)


def test_seeds_of_one_experiment_gather_in_one_table(here, capsys):
    for seed in ("7", "8"):
        assert main(["train", "toy.yaml", "--seed", seed, "--no-wandb"]) == 0
    assert "2 of 2 runs complete" in capsys.readouterr().out


def test_a_sweep_beside_the_study_of_its_name_stays_and_the_same_command_goes_on(here, capsys):
    """A folder of the user's own, called as the study, holds the sweep file; the study lies under --results."""
    (here / "mine").mkdir()
    mine = here / "mine" / "sweep.yaml"
    mine.write_text("study: mine\n" + (here / "sweep.yaml").read_text().replace("toy.yaml", "../toy.yaml"))
    written = mine.read_text()
    command = ["sweep", "mine/sweep.yaml", "--no-wandb", "--seeds", "1", "--results", "out"]
    assert main(command) == 0
    assert main(command) == 0
    capsys.readouterr()
    assert main(["plan", *command[1:2], *command[3:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == 0
    assert mine.read_text() == written
    assert [entry.name for entry in (here / "mine").iterdir()] == ["sweep.yaml"]
    assert len(StudyFolder(here / "out" / "mine").records()) == 2


@pytest.mark.parametrize("command", [["plan"], ["sweep"], ["sweep", "--budget", "9h"]])
def test_a_sweep_in_the_folder_of_its_own_study_is_refused_and_stays(here, capsys, command):
    (here / "mine").mkdir()
    (here / "mine" / "sweep.yaml").write_text(
        "study: mine\n" + (here / "sweep.yaml").read_text().replace("toy.yaml", "../toy.yaml")
    )
    before = sorted(here.rglob("*"))
    assert main([command[0], "mine/sweep.yaml", "--results", ".", *command[1:]]) == 2
    assert "it would be replaced, and nothing was started" in capsys.readouterr().err
    assert [file for file in sorted(here.rglob("*")) if file.name != ".lock"] == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sweep", "nowhere.yaml"], "nowhere.yaml"),
        (["sweep", "sweep.yaml", "--set", "train.epoch=3"], "did you mean 'train.epochs'"),
        (["sweep", "sweep.yaml", "--set", "train.epochs"], "allowed: path=value"),
        (["sweep", "sweep.yaml", "--slots", "0"], "--slots"),
        (["plan", "sweep.yaml", "--seeds", "0"], "--seeds"),
        (["status", "nothing"], "is no study"),
        (["table", "nothing"], "is no study"),
        (["report", "nothing"], "is no study"),
        (["train", "sweep.yaml"], "sweep.yaml"),
    ],
)
def test_user_errors_are_told_end_with_exit_code_2_and_write_nothing(here, capsys, arguments, told):
    before = sorted(here.rglob("*"))
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


def test_the_networks_are_listed_with_exact_counts(capsys):
    assert main(["models", "--json"]) == 0
    networks = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert networks["sknet50"]["params"] == 27_479_784
    assert round(networks["sknet50"]["macs"] / 1e9, 3) == 4.463
    assert main(["models"]) == 0
    assert "27,479,784" in capsys.readouterr().out


def test_the_doctor_tells_versions_and_checks_a_sweep(here, capsys):
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out
    assert main(["doctor", "sweep.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "dilation 2" in shown
    assert "WRONG" not in shown


LONG = ("sweep", "sweep.yaml", "--no-wandb", "--set", "train.epochs=100000")
LONG_STUDY = "sweep-train.epochs-100000"


def test_a_second_runner_is_sent_away_while_the_first_works_and_ctrl_c_ends_it_politely(here):
    first = sklab(*LONG)
    until_there_is(here, f"results/{LONG_STUDY}/runs/*/metrics.csv")
    second = sklab(*LONG)
    assert "another runner is working" in second.communicate(timeout=300)[0]
    assert second.returncode == 2
    assert main(["status", LONG_STUDY]) == 0
    first.send_signal(signal.SIGINT)
    told = first.communicate(timeout=300)[0]
    assert "write a checkpoint and end" in told
    assert "the same command goes on" in told
    assert first.returncode == 130
    study = StudyFolder(here / "results" / LONG_STUDY)
    records = study.records()
    assert {record.failure for record in records.values()} == {"preempted"}
    assert any(study.run(key).checkpoints.exists() for key in records)


FAULTY = """\
data: {name: image_folder, root: nowhere, num_classes: 10, image_size: 64}
model: {base: sknet_small, in_channels: 3}
train: {epochs: 1, batch_size: 4, lr: 0.1, precision: bf16, memory_format: channels_last}
"""


def test_a_sweep_whose_gradients_this_machine_gets_wrong_is_refused(here, capsys):
    branch = Signature(
        16, 16, kernel=(3, 3), stride=(1, 1), padding=(2, 2), dilation=(2, 2), groups=4, height=32, width=32
    )
    if check_convolution(branch, "bf16", "channels_last", "cpu").ok:
        pytest.skip("this machine's torch computes dilated grouped convolutions rightly")
    (here / "toy.yaml").write_text(FAULTY)
    assert main(["sweep", "sweep.yaml", "--no-wandb"]) == 2
    told = capsys.readouterr().err
    assert "nothing was trained" in told
    assert "dilation 2" in told
    assert "remedy: use train.memory_format: contiguous" in told
    assert not (here / "results/sweep/runs").exists()
