"""The test split of a study is read once, when every run has ended, and never before."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from launchers import Seen, StandInLauncher
from PIL import Image

import sklab
from sklab.cli import main
from sklab.data import check as data_check
from sklab.data.held_out import open_test
from sklab.data.loaders import open_loaders
from sklab.launch.base import Ended
from sklab.launch.slots import Slot
from sklab.launch.worker import begin, perform
from sklab.spec.train import TrainSpec
from sklab.store.dated import read_readings
from sklab.store.measured.scores import FinalScore
from sklab.store.records import Code, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan.prepared import Start
from sklab.sweep.plan.trained_data import data_sets_of
from sklab.sweep.run import failures
from sklab.sweep.run.runner import run_study
from sklab.training.metrics.scores import every

RECIPE = TrainSpec(epochs=1, batch_size=4, lr=0.1)
CPU = torch.device("cpu")
MODEL = (
    "{base: sknet_small, stem_width: 4, width: 8, out_width: 8, cardinality: 2, min_dim: 1, depths: [1, 1], "
    "num_classes: 2, in_channels: 3}"
)
SWEEP = """\
experiment: photos.yaml
design: list
seeds: 1
baseline: K3
cells:
  - {name: K3, set: {model.branches: [{kernel: 3}], model.attention: none}}
  - {name: SK}
"""


class Here(StandInLauncher):
    """Does every job in this process."""

    def wait(self, timeout):
        job = self._running.pop(0)
        if begin(job):
            perform(job, Slot(None, "cpu", 1))
        return [Ended(job, 0)]


@dataclass(frozen=True)
class Photos:
    """A study on a folder of images. `poisoned`: no image of the test split can be decoded."""

    path: Path

    @property
    def study(self) -> StudyFolder:
        return StudyFolder(self.path / "results" / "sweep")

    def write(self, *, epoch: str = "last") -> None:
        held = "num_classes: 2, image_size: 16, resize: 16, in_memory: true, test: kept"
        data = f"{{name: image_folder, root: {self.path}, {held}}}"
        train = "{epochs: 3, batch_size: 4, lr: 0.2}"
        (self.path / "photos.yaml").write_text(f"data: {data}\nmodel: {MODEL}\ntrain: {train}\n")
        (self.path / "sweep.yaml").write_text(SWEEP + f"metric: {{epoch: {epoch}}}\n")

    def sweep(self, seeds: int | None = None, seen: Seen | None = None) -> bool:
        """Start the study; whether all is complete and evaluated."""
        start = Start(load_sweep(self.path / "sweep.yaml", seeds=seeds), self.study, Code(version="1"))
        return run_study(start, Here(1), Tracking(), seen or Seen())

    def tested(self) -> dict[tuple[str, int], FinalScore]:
        runs = {key: self.study.run(key).test_file for key in self.study.records()}
        records = self.study.records()
        return {
            (records[key].cell, records[key].spec.seed): FinalScore.model_validate(
                {name: value for name, value in json.loads(file.read_text()).items() if name != "seal"}
            )
            for key, file in runs.items()
            if file.exists()
        }

    def poison(self) -> None:
        """Replace every test image by as many bytes that are no image."""
        shutil.copytree(self.path / "kept", self.path / "clean")
        for file in (self.path / "kept").rglob("*.png"):
            file.write_bytes(b"\0" * file.stat().st_size)

    def cure(self) -> None:
        shutil.rmtree(self.path / "kept")
        shutil.copytree(self.path / "clean", self.path / "kept")


@pytest.fixture
def photos(tmp_path, monkeypatch, sound):
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4), ("kept", 5)):
        for name, level in (("dark", 60), ("light", 180)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(level - 60, level + 60, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(failures, "oom_kills", lambda: 0)
    made = Photos(tmp_path)
    made.write()
    return made


def test_no_path_reads_the_test_split_before_every_run_has_ended(photos, capsys):
    """Its images can't be decoded until then: whatever reads one fails."""
    photos.poison()
    assert main(["plan", "sweep.yaml", "--cpu"]) == 0
    check = data_check.check(data_sets_of(load_sweep(Path("sweep.yaml")))[0], [RECIPE], every_image=True)
    assert check.inventory is not None
    assert not photos.sweep(seen=(seen := Seen())), "the reading itself fails"
    records = photos.study.records()
    assert [record.status for record in records.values()] == ["complete"] * 2
    assert photos.tested() == {}
    assert sum("not evaluated on the test split" in note for note in seen.notes) == 2
    for key in records:
        assert main(["evaluate", f"sweep/{key}", "--cpu"]) == 0
    assert main(["analyze", "sweep", "--cpu", "--scales", "1.0,1.5"]) in (0, 1)
    assert main(["report", "sweep"]) == 0
    photos.cure()
    before = {key: photos.study.run(key).record_file.read_bytes() for key in records}
    assert photos.sweep()
    assert len(photos.tested()) == 2
    assert {key: photos.study.run(key).record_file.read_bytes() for key in before} == before, "nothing is trained again"


def test_one_door_leads_to_the_test_split():
    """Sets are asked for its images in one place, and weights are judged on them in one."""
    root = Path(sklab.__path__[0])
    texts = {str(file.relative_to(root)): file.read_text() for file in root.rglob("*.py")}

    def holders(call):
        loading = ("data/sets/", "data/formats/own.py")
        return {name for name, text in texts.items() if call in text and not name.startswith(loading)}

    assert holders("load_test(") == {"data/held_out.py"}
    assert holders("open_test(") == {"data/held_out.py", "training/evaluate.py"}
    assert holders("list_test(") == {"data/kept.py", "data/check.py"}
    assert holders("evaluate_test") == {"training/evaluate.py", "commands/evaluate.py"}


def test_the_plan_says_that_it_is_read_and_what_is_not_read_yet(photos, capsys):
    assert main(["plan", "sweep.yaml", "--cpu"]) == 0
    assert "the test split is read once, when every run has ended\n" in capsys.readouterr().out
    photos.poison()
    photos.sweep()
    assert main(["plan", "sweep.yaml", "--cpu"]) == 0
    assert "has ended; complete runs that are not read yet: 2" in capsys.readouterr().out


def test_a_reading_is_written_down_before_it_begins_and_what_ended_early_is_the_same_reading(photos):
    photos.poison()
    photos.sweep()
    (first,), _ = read_readings(photos.study)
    assert set(first.runs) == set(photos.study.records())
    assert set(first.runs.values()) == {"test: kept, last epoch"}
    photos.cure()
    photos.sweep()
    assert read_readings(photos.study) == ((first,), ())


def test_what_is_read_is_the_error_of_the_kept_weights(photos):
    photos.sweep()
    for (cell, _), tested in photos.tested().items():
        record = next(record for record in photos.study.records().values() if record.cell == cell)
        assert (tested.images, tested.epoch) == (10, 3)
        assert tested.weights == record.files["weights.pt"]
        assert tested.evaluated > record.ended
        assert tested.fingerprint is not None
        assert 0 <= tested.error <= 100
        assert tested.metrics.keys() == set(every(2)), "all that two classes allow"
        assert tested.metrics["val_balanced_error"] == pytest.approx(tested.error), "each class has as many images"
    # The same images as validation images: the same loss, to the last bit.
    shutil.rmtree(photos.path / "val")
    shutil.copytree(photos.path / "kept", photos.path / "val")
    record = next(iter(photos.study.records().values()))
    experiment = record.spec.experiment
    val = open_loaders(experiment.data, experiment.train, 0, CPU).val
    test = open_test(experiment.data, experiment.train, CPU).loader
    pairs = zip(val, test, strict=True)
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in pairs)


def test_seeds_that_are_added_are_read_later_and_the_others_are_not_read_again(photos):
    photos.sweep()
    before = photos.tested()
    assert photos.sweep(2)
    after = photos.tested()
    assert {run: after[run] for run in before} == before
    assert set(after) == {(cell, seed) for cell in ("K3", "SK") for seed in (0, 1)}
    first, second = read_readings(photos.study)[0]
    assert (len(first.runs), len(second.runs)) == (2, 2)
    assert first.dated < second.dated
    assert photos.sweep()
    assert len(read_readings(photos.study)[0]) == 2


def test_the_weights_of_the_best_epoch_are_read_where_the_metric_asks_for_that_epoch(photos):
    photos.write(epoch="best")
    assert photos.sweep(3)
    records = {(record.cell, record.spec.seed): record for record in photos.study.records().values()}
    earlier = [run for run, record in records.items() if record.best_epoch != record.epochs]
    assert earlier, "else this shows nothing"
    for run, tested in photos.tested().items():
        record, folder = records[run], photos.study.run(records[run].key)
        assert tested.epoch == record.best_epoch
        assert folder.best_weights_file.exists() == (run in earlier)
        assert tested.weights == record.files["best.pt" if run in earlier else "weights.pt"]


def test_a_study_that_gets_a_test_split_later_trains_nothing_for_it(photos):
    with_split = (photos.path / "photos.yaml").read_text()
    (photos.path / "photos.yaml").write_text(with_split.replace(", test: kept", ""))
    photos.sweep()
    assert photos.tested() == {}
    before = {key: record.ended for key, record in photos.study.records().items()}
    (photos.path / "photos.yaml").write_text(with_split)
    assert photos.sweep()
    assert len(photos.tested()) == 2
    assert {key: record.ended for key, record in photos.study.records().items()} == before


def test_it_waits_for_runs_that_failed_unless_the_command_asks_for_it(photos, capsys):
    photos.sweep()
    broken, sound = photos.study.records()
    for key in (broken, sound):
        photos.study.run(key).test_file.unlink()
    run = photos.study.run(broken)
    run.write_record(run.read_record().model_copy(update={"status": "failed", "failure": "code", "reason": "boom"}))
    capsys.readouterr()
    assert main(["evaluate", "sweep", "--test", "--cpu", "--json"]) == 0
    assert [scored["key"] for scored in json.loads(capsys.readouterr().out)] == [sound]
    assert not run.test_file.exists()


def test_the_command_refuses_while_a_run_has_not_ended(photos, capsys):
    photos.sweep()
    run = photos.study.run(next(iter(photos.study.records())))
    run.record_file.unlink()
    run.test_file.unlink()
    assert main(["evaluate", "sweep", "--test", "--cpu"]) != 0
    assert "1 of 2 runs have not ended; the test split is read once every run has ended" in capsys.readouterr().err
    assert not run.test_file.exists()


def test_what_the_command_is_not_for(photos, capsys):
    assert main(["evaluate", "sweep/abc", "--test"]) == 2
    assert "allowed: a study" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "sweep", "--test", "--size", "16"])
    assert "not allowed with" in capsys.readouterr().err
