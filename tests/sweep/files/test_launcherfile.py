from __future__ import annotations

from pathlib import Path

import pytest

from sklab.errors import FaultyInputError
from sklab.sweep.files.inputs import read_launcher


def written(folder: Path, text: str) -> Path:
    (folder / "slurm.yaml").write_text(text)
    return folder / "slurm.yaml"


def test_options_of_sbatch_are_passed_on(tmp_path):
    spec = read_launcher(
        written(tmp_path, "launcher: slurm\ntime: 60\nparallel: 8\nsbatch: {account: vision, nice: 5}\n")
    )
    assert (spec.time, spec.parallel, spec.gpus, spec.cpus) == (60, 8, 0, 1)
    assert spec.sbatch == {"account": "vision", "nice": 5}


@pytest.mark.parametrize("asked", ["gres: gpu:a100:1", "gpus-per-task: 1", "gpus: a100:1", "tres-per-task: gres/gpu:1"])
def test_gpus_that_only_sbatch_is_asked_for_are_refused_for_the_run_would_not_use_them(tmp_path, asked):
    text = f"launcher: slurm\ntime: 60\nparallel: 8\nsbatch: {{{asked}}}\n"
    with pytest.raises(FaultyInputError, match=r"slurm.yaml:4: sbatch: .* state their number in gpus too"):
        read_launcher(written(tmp_path, text))
    assert read_launcher(written(tmp_path, f"gpus: 1\n{text}")).gpus == 1


@pytest.mark.parametrize("other", ["gres: lustre:1", "gpu-bind: none"])
def test_what_asks_for_no_gpu_needs_none_stated(tmp_path, other):
    text = f"launcher: slurm\ntime: 60\nparallel: 8\nsbatch: {{{other}}}\n"
    assert read_launcher(written(tmp_path, text)).gpus == 0


def test_every_fault_is_told_at_once_with_its_line(tmp_path):
    with pytest.raises(FaultyInputError) as caught:
        read_launcher(written(tmp_path, "launcher: slurm\ntime: 0\npartitoin: gpu\n"))
    told = str(caught.value)
    assert "slurm.yaml:2: time: out of range" in told
    assert "did you mean 'partition'?" in told
    assert "parallel: missing" in told


def test_an_engine_that_is_mistyped_hides_no_other_fault(tmp_path):
    with pytest.raises(FaultyInputError) as caught:
        read_launcher(written(tmp_path, "launcher: slrum\ntime: 0\n"))
    told = str(caught.value)
    assert "slurm.yaml:1: launcher: unknown value; found \"slrum\"; allowed: slurm, ray - did you mean 'slurm'?" in told
    assert "time: out of range" in told
    assert "parallel: missing" in told


def test_an_engine_that_is_not_there_is_told_by_itself(tmp_path):
    """The file's other settings belong to an engine."""
    with pytest.raises(FaultyInputError, match="1 fault, "):
        read_launcher(written(tmp_path, "launcher: kubernetes\ntime: 0\n"))
