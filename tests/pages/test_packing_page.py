"""docs/packing.md against the program, and its options on a machine without GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from nvidia_smi import NvidiaSmi

from sklab.cli import main
from sklab.commands import plan
from sklab.errors import SklabError
from sklab.launch import slots
from sklab.launch.local import gpus, packing
from sklab.launch.local.packing import RISE
from sklab.spec.jobs import Probe
from sklab.sweep.plan.prices import packed
from sklab.sweep.run import runner

PAGE = (Path(__file__).parents[2] / "docs" / "packing.md").read_text(encoding="utf-8")


def test_its_numbers_are_the_programs() -> None:
    assert f"at least {100 * RISE - 100:.0f} %" in PAGE
    assert f"{100 - 100 * packing._RESERVE:g} % of the smallest GPU" in PAGE
    assert f"holds more than {gpus._IDLE_MB / 1000:g} GB on it, also {gpus._AGAIN:g} seconds later" in PAGE
    assert slots._MOST_CPU_SLOTS == 8
    assert (packed([10, 10, 10, 30], [0, 0]), packed([30, 10, 10, 10], [0, 0])) == (40, 30)


@pytest.mark.usefixtures("nvidia_smi")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--gpus", "0"], "--gpus: found 0; there is no GPU here"),
        (["--per-gpu", "2"], "--per-gpu: found 2; there is no GPU here (the CPU is cut by --slots)"),
        (["--per-gpu", "auto"], "--per-gpu: found auto; there is no GPU here"),
        (["--per-gpu", "many"], "--per-gpu: found many; allowed: 1 to 1000, or auto"),
        (["--abreast", "1"], "--abreast: found 1; there is no GPU here (the CPU is cut by --slots)"),
        (["--abreast", "many"], "--abreast: found many; allowed: 1 to 1000, or auto"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_a_machine_without_gpus_refuses_what_is_asked_of_them(toy_files, capsys, command, options, told) -> None:
    assert main([command, str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (toy_files / "results").exists()


@pytest.mark.parametrize("options", [["--gpus", "0"], ["--per-gpu", "auto"], ["--abreast", "4"], ["--cpu"]])
def test_on_a_cluster_the_launcher_file_decides(toy_files, capsys, options) -> None:
    (toy_files / "slurm.yaml").write_text("launcher: slurm\ntime: 5\nparallel: 2\n")
    start = ["sweep", str(toy_files / "sweep.yaml"), "--launcher", str(toy_files / "slurm.yaml")]
    assert main([*start, "--results", str(toy_files / "results"), *options]) == 2
    assert "a launcher's file states a run's (gpus: 0 is the CPU)" in capsys.readouterr().err


@pytest.fixture
def _gpus(nvidia_smi: NvidiaSmi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_AGAIN", 0.0)
    free = (f"{index}, GPU-{index}, 0, 80000, 0, H100" for index in range(2))
    nvidia_smi.says(*free, "2, GPU-2, 9000, 80000, 50, H100")


@pytest.mark.usefixtures("_gpus")
@pytest.mark.parametrize(
    ("options", "capacity", "kept"),
    [
        ([], 2, None),
        (["--per-gpu", "auto"], 2, "per_gpu.json"),
        (["--abreast", "4"], 8, None),
        (["--abreast", "auto"], 2, "abreast.json"),
    ],
)
def test_a_sweep_is_run_in_the_slots_that_the_options_make(toy_files, monkeypatch, options, capacity, kept) -> None:
    launchers = []

    def refuse(start, launcher, *_: object) -> bool:
        launchers.append(launcher)
        raise SklabError("seen")

    monkeypatch.setattr(runner, "run_study", refuse)
    assert main(["sweep", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results"), *options]) == 2
    [launcher] = launchers
    assert launcher.capacity == capacity
    assert launcher._abreast == ("--abreast" in options)
    assert (launcher._packing._file.name if launcher._packing else None) == kept


@pytest.mark.usefixtures("_gpus")
@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("train.compile=true", "train.compile = true"),
        ("train.precision=fp16", "train.precision = fp16"),
        ("train.accumulate=2", "train.accumulate = 2"),
        ("train.devices=2", "train.devices = 2"),
        ("train.optimizer=adamw", "train.optimizer = adamw"),
        ("train.augment.policy=randaugment", "train.augment.policy = randaugment"),
        ("train.augment.erase=0.25", "train.augment.erase = 0.25"),
    ],
)
def test_what_needs_a_process_of_its_own_is_not_trained_abreast(toy_files, capsys, setting, found) -> None:
    start = ["sweep", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results"), "--abreast", "2"]
    assert main([*start, "--set", setting]) == 2
    told = capsys.readouterr().err
    assert f"--abreast: runs of this sweep need a process each: {found}; allowed: fp32 or bf16" in told


@pytest.mark.usefixtures("_gpus")
def test_the_plan_counts_the_slots_that_the_options_make(toy_files, capsys) -> None:
    plan = ["plan", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results"), "--json"]
    for options, expected in ((["--per-gpu", "3"], 6), (["--gpus", "1"], 1), (["--gpus", "0,2", "--per-gpu", "2"], 4)):
        assert main([*plan, *options]) == 0
        assert f'"slots": {expected},' in capsys.readouterr().out
    assert main(plan) == 0
    assert "GPU 2 is used by somebody else: 9.4 of 83.9 GB" in capsys.readouterr().err


@pytest.mark.usefixtures("_gpus")
def test_somebody_elses_gpu_is_told_once_also_with_a_budget_and_looked_for_unless_gpus_are_named(
    toy_files, capsys, monkeypatch
) -> None:
    launchers = []

    def refuse(start, launcher, *_: object) -> bool:
        launchers.append(launcher)
        raise SklabError("seen")

    monkeypatch.setattr(runner, "run_study", refuse)
    hour = Probe(epochs=1, setup_seconds=3600.0)
    monkeypatch.setattr(plan, "probed", lambda study, *_: {cell.name: hour for cell in study.sweep.cells})
    sweep = ["sweep", str(toy_files / "sweep.yaml"), "--results", str(toy_files / "results"), "--budget", "9h"]
    for more in ([], ["--gpus", "0,2"]):
        assert main([*sweep, *more]) == 2
        assert capsys.readouterr().err.count("GPU 2 is used by somebody else") == 1
    assert [launcher._other_users is not None for launcher in launchers] == [True, False]


class TestGpusThatCanNotBeUsed:
    """The driver has some; nvidia-smi says that it does not fit to it."""

    @pytest.fixture(autouse=True)
    def _mismatch(self, nvidia_smi: NvidiaSmi) -> None:
        nvidia_smi.driver_has("0000:3b:00.0")
        nvidia_smi.says(end="echo 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18")

    @pytest.mark.parametrize("command", ["sweep", "plan", "doctor", "train", "evaluate", "analyze"])
    def test_every_command_that_computes_ends_and_says_why(self, toy_files, capsys, command) -> None:
        file = {"train": "toy.yaml", "evaluate": "results", "analyze": "results"}.get(command, "sweep.yaml")
        assert main([command, str(toy_files / file), "--results", str(toy_files / "results")]) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert "no GPU can be used: nvidia-smi ended with exit code 18: Failed to initialize NVML: Driver/lib" in told
        assert "choose the CPU with --cpu" in told
        assert not (toy_files / "results").exists()

    @pytest.mark.parametrize("command", ["sweep", "plan", "doctor", "train"])
    def test_the_cpu_can_be_chosen_on_purpose(self, toy_files, monkeypatch, command) -> None:
        seen = []

        def refuse(*_: object, **__: object) -> None:
            raise SklabError("seen")

        monkeypatch.setattr(slots, "find_gpus", lambda: seen.append("asked"))
        file = "toy.yaml" if command == "train" else "sweep.yaml"
        monkeypatch.setattr(runner, "run_study", refuse)
        monkeypatch.setattr("sklab.sweep.run.preflight.check", refuse)
        code = main([command, str(toy_files / file), "--results", str(toy_files / "results"), "--cpu"])
        assert (code, seen) == (0 if command == "plan" else 2, [])
