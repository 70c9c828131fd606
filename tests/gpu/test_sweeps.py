"""The quickstart's sweep on a card, in each way of sharing it; and what is found and checked before."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch

from sklab.cli import main
from sklab.launch.slots import Slot, find_gpus
from sklab.store.study_folder import StudyFolder

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
SWEEP = str(ROOT / "sweeps" / "kernels.yaml")
NOISE = 3.0  # percentage points between means of three seeds on a card and on the shipped example's CPU


def errors(study: StudyFolder) -> dict[str, list[float]]:
    """The errors in % of each cell's runs."""
    sweep = study.read_sweep()
    records = study.records(key for cell in sweep.cells for key in cell.runs.values())
    assert {record.status for record in records.values()} == {"complete"}
    return {cell.name: [records[key].last["val_error"] for key in cell.runs.values()] for cell in sweep.cells}


def test_the_cards_are_found_under_the_names_that_torch_has_for_them(slot: Slot) -> None:
    found = [name for _, name in find_gpus()]
    assert found == [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    assert slot.gpu is not None


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_card_computes_the_gradients_of_the_quickstart_right(precision: str, memory_format: str) -> None:
    settings = [f"train.precision={precision}", f"train.memory_format={memory_format}"]
    assert main(["doctor", SWEEP, *(part for each in settings for part in ("--set", each))]) == 0


@pytest.mark.usefixtures("slot")
@pytest.mark.parametrize("sharing", [["--per-gpu", "8"], ["--per-gpu", "auto"], ["--abreast", "auto"]], ids=" ".join)
def test_the_quickstart_is_trained_whole(tmp_path: Path, sharing: list[str]) -> None:
    assert main(["sweep", SWEEP, "--results", str(tmp_path), "--no-wandb", "--no-reuse", *sharing]) == 0
    ours, shipped = errors(StudyFolder(tmp_path / "kernels")), errors(StudyFolder(ROOT / "results" / "example"))
    assert sum(len(each) for each in ours.values()) == 33
    away = {name: abs(fmean(ours[name]) - fmean(shipped[name])) for name in ours}
    assert {name: gap for name, gap in away.items() if gap > NOISE} == {}
