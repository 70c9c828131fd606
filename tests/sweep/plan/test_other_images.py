"""A study may move with its images and may not outlive them: no run that was trained on others is taken for its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pictures import folder as image_folder
from reusing import CODE, Silent, Trained

from sklab.cli import main
from sklab.commands.screen.plan import plan_text
from sklab.errors import SklabError
from sklab.report.build import study_table
from sklab.report.tables.terminal import terminal_table
from sklab.spec.data import Inventory
from sklab.store.records import RunOrder, Tracking
from sklab.store.study_folder import StudyFolder
from sklab.sweep.files.load import load_sweep
from sklab.sweep.plan import prepared
from sklab.sweep.plan.plan import make_plan
from sklab.sweep.plan.prepared import Start, prepare
from sklab.sweep.plan.prices import Resources
from sklab.sweep.plan.reuse import to_take
from sklab.sweep.plan.trained_data import HeldData, read_data
from sklab.sweep.run import runner
from sklab.sweep.run.runner import run_study

EXPERIMENT = """\
data: {{name: image_folder, root: {root}, num_classes: 2, image_size: 32, resize: 32}}
model: {{base: sknet_small, in_channels: 3, num_classes: 2, stem_width: 4, width: 8, out_width: 8, depths: [1, 1]}}
train: {{epochs: 1, batch_size: 4, lr: 0.05}}
"""
SWEEP = """\
experiment: {experiment}.yaml
design: list
seeds: 1
baseline: K3
cells:
  - {{name: K3, set: {{model.branches: [{{kernel: 3}}], model.attention: none}}}}
  - {{name: K5, set: {{model.branches: [{{kernel: 5}}], model.attention: none}}}}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders of images, `a` and `b`; a sweep over each, the same but for that."""
    monkeypatch.setattr(runner, "ensure_sound", lambda *_: HeldData())
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, train in (("a", 6), ("b", 7)):
        image_folder(tmp_path / name, train=train, val=2)
        write(tmp_path, name, tmp_path / name)
    return tmp_path


def write(files: Path, name: str, root: Path) -> None:
    (files / f"of_{name}.yaml").write_text(EXPERIMENT.format(root=root))
    (files / f"{name}.yaml").write_text(SWEEP.format(experiment=f"of_{name}"))


def study(name: str) -> StudyFolder:
    return StudyFolder(Path("results") / name)


def start(name: str) -> list[str]:
    """The cells that a start of the sweep trains."""
    launcher = Trained()
    run_study(Start(load_sweep(Path(f"{name}.yaml")), study(name), CODE), launcher, Tracking(), Silent())
    return [order.cell for order in launcher.trained]


def plan(name: str):
    sweep = load_sweep(Path(f"{name}.yaml"))
    return make_plan(prepare(Start(sweep, study(name), CODE)), Resources(2), lambda _: (1, 1))


def strip(name: str) -> None:
    """Make the study's records those of a version that kept no fingerprint."""
    for file in study(name).path.glob("runs/*/record.json"):
        tree = json.loads(file.read_bytes())
        del tree["fingerprint"], tree["seal"]
        file.write_text(json.dumps(tree))


def test_two_studies_over_other_folders_share_no_run_though_their_keys_are_the_same(files):
    assert load_sweep(files / "a.yaml").cells == load_sweep(files / "b.yaml").cells
    assert start("a") == ["K3", "K5"]
    assert plan("b").reused == 0
    assert start("b") == ["K3", "K5"]


def test_a_study_over_the_same_images_elsewhere_takes_the_runs(files):
    start("a")
    shutil.copytree(files / "a", files / "moved")
    shutil.rmtree(files / "a")
    write(files, "again", files / "moved")
    assert plan("again").reused == 2
    assert start("again") == []
    (record, _) = study("again").records().values()
    assert record.fingerprint == next(iter(study("a").records().values())).fingerprint


def test_a_study_moves_with_its_images(files):
    start("a")
    shutil.move(files / "a", files / "moved")
    write(files, "a", files / "moved")
    assert start("a") == []


def test_a_complete_study_is_told_that_its_images_have_changed(files):
    start("a")
    (files / "a/train/cat/0.png").rename(files / "a/train/dog/new.png")
    before = {file: file.read_bytes() for file in study("a").path.rglob("*.json")}
    told = plan_text(plan("a"))
    assert "its data have changed: since K3, seed 0, was trained (2026-01-02): 1 image fewer in train/cat" in told
    with pytest.raises(SklabError) as refused:
        start("a")
    assert "the data are not those that a was trained on; nothing was started" in str(refused.value)
    assert "since K3, seed 0, was trained (2026-01-02): 1 image more in train/dog" in str(refused.value)
    assert "mv results/a results/a-before" in str(refused.value)
    assert {file: file.read_bytes() for file in study("a").path.rglob("*.json")} == before
    (files / "a/train/dog/new.png").rename(files / "a/train/cat/0.png")
    assert start("a") == [], "the images are back"


def test_moved_away_as_the_message_says_the_study_starts_anew(files):
    start("a")
    (files / "a/val/cat/0.png").unlink()
    study("a").path.rename(files / "results/a-before")
    assert start("a") == ["K3", "K5"]


def test_images_that_are_gone_let_the_table_be_read(files):
    start("a")
    shutil.rmtree(files / "a")
    assert start("a") == []


def test_what_there_was_is_unknown_without_the_list_of_it(files):
    start("a")
    shutil.rmtree(study("a").path / "data")
    (files / "a/val/cat/0.png").unlink()
    with pytest.raises(SklabError, match="other images; which ones there were is not known"):
        start("a")


def test_records_of_before_are_not_reused_and_the_table_says_that_their_images_are_unknown(files):
    start("a")
    strip("a")
    assert start("a") == [], "their own study goes on"
    write(files, "again", files / "a")
    assert start("again") == ["K3", "K5"]
    said = terminal_table(study_table(study("a").path))
    assert "which images 2 runs were trained on is not known" in " ".join(said.split())
    assert "is not known" not in terminal_table(study_table(study("again").path))


def test_a_table_of_several_data_says_so(files):
    start("a")
    start("b")
    for run in study("b").path.glob("runs/*"):
        (study("a").path / "runs" / run.name / "record.json").write_bytes((run / "record.json").read_bytes())
        break
    said = " ".join(terminal_table(study_table(study("a").path)).split())
    assert "caution: 1 run was trained on other images than the first: K" in said


def test_side_by_side_it_is_told_whether_the_images_are_the_same(files, capsys):
    for name in "ab":
        start(name)
    assert main(["compare", "a", "b"]) == 0
    assert "b against a: trained on other images under the same settings" in capsys.readouterr().out
    strip("b")
    assert main(["compare", "a", "b"]) == 0
    assert "b against a: whether both were trained on the same images is not known" in capsys.readouterr().out


def test_cells_that_differ_in_nothing_but_where_images_lie_are_refused(files):
    cells = f"""\
experiment: of_a.yaml
design: ofat
seeds: 1
baseline: {{place: a}}
factors:
  place: {{path: data.root, levels: {{a: {files}/a, b: {files}/b}}}}
"""
    (files / "places.yaml").write_text(cells)
    with pytest.raises(SklabError, match=r"are the same run; where images lie, data\.root, tells no run from another"):
        start("places")


def test_cells_that_read_different_images_under_the_same_settings_are_refused(files):
    mixed = (files / "a.yaml").read_text().replace("{kernel: 5}]", f"{{kernel: 5}}], data.root: {files}/b")
    (files / "mixed.yaml").write_text(mixed)
    with pytest.raises(SklabError, match=f"data.root = {files}/a and data.root = {files}/b hold different images"):
        start("mixed")
    shutil.rmtree(files / "b")
    shutil.copytree(files / "a", files / "b")
    assert start("mixed") == ["K3", "K5"]


def test_data_that_only_the_machines_of_a_cluster_see_are_held_against_what_they_see(files, monkeypatch):
    def there(*_) -> HeldData:
        return read_data(load_sweep(Path("b.yaml")))

    monkeypatch.setattr(prepared, "read_data", lambda *_: HeldData())
    monkeypatch.setattr(runner, "ensure_sound", there)
    assert start("b") == ["K3", "K5"]
    assert all(record.fingerprint for record in study("b").records().values())
    (files / "b/val/cat/0.png").unlink()
    (study("b").path / "runs" / next(iter(study("b").records())) / "record.json").unlink()
    with pytest.raises(SklabError, match="1 image fewer in val/cat"):
        start("b")


def test_what_foreign_code_made_is_taken_for_the_same_foreign_code_only(files, monkeypatch):
    start("a")
    write(files, "again", files / "a")
    sweep = load_sweep(files / "again.yaml")

    def taken() -> int:
        return len(to_take(prepare(Start(sweep, study("again"), CODE))))

    assert taken() == 2
    for needed, count in (({"timm": "1.0.31"}, 0), ({}, 2)):
        monkeypatch.setattr("sklab.sweep.plan.reuse.dependencies", lambda _, needed=needed: needed)
        assert taken() == count


def test_the_whole_way_over_real_runs(files, monkeypatch, capsys):
    """Trained for real: what the workers find stands in the records, and a run that finds other images ends."""
    monkeypatch.undo()
    monkeypatch.chdir(files)
    monkeypatch.setenv("SKLAB_CACHE", str(files / "cache"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["sweep", "a.yaml", "--slots", "2"]) == 0
    assert main(["sweep", "b.yaml", "--slots", "2"]) == 0
    assert "reused from study" not in capsys.readouterr().out
    ours, theirs = ([record.fingerprint for record in study(name).records().values()] for name in "ab")
    assert ours[0] == ours[1]
    assert None not in ours
    assert not ours[0].same_as(theirs[0])
    (files / "a/train/cat/0.png").write_bytes((files / "a/train/dog/0.png").read_bytes())
    assert main(["sweep", "a.yaml", "--slots", "2"]) == 2
    assert "since K3, seed 0, was trained" in capsys.readouterr().err
    assert main(["doctor", "a.yaml"]) == 2
    assert "since K3, seed 0, was trained" in capsys.readouterr().err
    run = study("a").run(next(iter(study("a").records())))
    assert main(["evaluate", str(run.path), "--size", "40"]) == 2
    assert "weights are not judged on other images" in capsys.readouterr().err
    kept = Inventory.model_validate_json(study("a").inventory_file(ours[0]).read_bytes())
    assert kept.groups["train/cat"].images == 6
    order: RunOrder = run.read_order()
    assert order.fingerprint == ours[0]
