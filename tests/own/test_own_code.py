"""The user's own code: named, never found; hashed; brought along; and told where it is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from own_lab import LAB, forget, lab_in, own_order, trained

from sklab.cli import main
from sklab.errors import FaultyInputError, SklabError
from sklab.own import files
from sklab.spec.own.parts import OwnModel
from sklab.spec.run import RunSpec
from sklab.sweep.files.load import load_sweep
from sklab.system.machine import cache_folder


def test_a_run_with_own_network_and_data_says_what_made_it(tmp_path):
    record = trained(tmp_path, model={"width": 6}).read_record()
    assert record.status == "complete"
    assert record.params == (9 + 1) * 6 + (6 + 1) * 2
    assert record.macs == 9 * 6 * 64 + 6 * 2
    code = record.spec.experiment.model.code
    assert (code, record.versions["my_lab.py"]) == (record.spec.experiment.data.code, code)
    assert record.spec.experiment.model.settings == {"num_classes": 2, "in_channels": 1, "width": 6, "pool": "average"}
    assert record.fingerprint.contents


def test_an_edit_makes_other_runs_and_only_of_those_that_use_the_file(tmp_path, toy_order):
    before, other = own_order(tmp_path), toy_order()
    files.choose(lab_in(tmp_path, LAB + "\n# edited"))
    spec = before.spec.model_dump(mode="json")
    assert RunSpec.model_validate(spec).key == before.key, "what is written down stays what it is"
    for part in ("data", "model"):
        del spec["experiment"][part]["code"]
    assert RunSpec.model_validate(spec).key != before.key
    assert toy_order().key == other.key
    assert "own" not in json.dumps(other.spec.model_dump(mode="json", exclude={"experiment": {"train": {"augment"}}}))


def test_records_are_read_without_executing_anything(tmp_path):
    run = trained(tmp_path)
    forget()
    (tmp_path / "sklab.toml").write_text('code = "my_lab.py"')
    files.choose(None, tmp_path)
    record = run.read_record()
    assert isinstance(record.spec.experiment.model, OwnModel)
    assert record.spec.key == record.key
    assert not files._loaded


def test_a_run_of_somebody_else_is_not_executed_until_its_code_is_named(tmp_path, capsys):
    run = trained(tmp_path)
    forget()
    shutil.rmtree(cache_folder())
    (tmp_path / "my_lab.py").unlink()
    assert main(["evaluate", str(run.path), "--cpu"]) == 2
    assert "read it, then name it: --code FILE" in capsys.readouterr().err
    copy = files.copy_of(run.path, run.read_record().spec.experiment.model.code)
    assert main(["evaluate", str(run.path), "--cpu", "--code", str(copy)]) == 0
    forget()
    assert main(["evaluate", str(run.path), "--cpu"]) == 0, "it was named before"


def test_a_copy_that_was_changed_is_not_executed(tmp_path):
    run = trained(tmp_path)
    code = run.read_record().spec.experiment.model.code
    forget()
    shutil.rmtree(cache_folder())
    files.copy_of(run.path, code).write_text("raise AssertionError('executed')")
    files.look_in(run.path)
    with pytest.raises(SklabError, match="needs the file of own code"):
        files.file_of(code)


def test_a_name_that_nothing_defines_says_that_a_file_may(tmp_path):
    lab_in(tmp_path)
    with pytest.raises(FaultyInputError) as told:
        load_sweep(tmp_path / "s.yaml")
    assert len(told.value.faults) == 2
    assert all("a file of your own may define it: --code FILE" in str(fault) for fault in told.value.faults)


def test_a_mistyped_setting_is_one_fault_with_what_is_allowed(tmp_path):
    files.choose(lab_in(tmp_path))
    (tmp_path / "e.yaml").write_text(
        (tmp_path / "e.yaml").read_text().replace("in_channels: 1", "in_channels: 1, wdth: 9")
    )
    with pytest.raises(FaultyInputError) as told:
        load_sweep(tmp_path / "s.yaml")
    assert [fault.place for fault in told.value.faults] == ["model.wdth"]
    assert "pool" in str(told.value)
    assert "did you mean 'width'" in str(told.value)


def test_a_setting_of_another_type_is_a_fault(tmp_path):
    files.choose(lab_in(tmp_path))
    (tmp_path / "s.yaml").write_text((tmp_path / "s.yaml").read_text().replace("[4, 8]", "[4, eight]"))
    with pytest.raises(FaultyInputError, match="wrong type"):
        load_sweep(tmp_path / "s.yaml")


FAULTY = {
    "raises": ("import sklab\n1 / 0\n", r"my_lab.py:2: ZeroDivisionError: division by zero"),
    "no Python": ("def f(:\n", r"my_lab.py:1: SyntaxError"),
    "a file beside it": ("import helpers\n", r"line 1 imports helpers.py beside it.*put all of it into my_lab.py"),
    "a relative import": ("from . import helpers\n", r"line 1 imports a file beside it"),
    "shipped": (
        "import sklab\n@sklab.family('bottleneck')\ndef f(num_classes, in_channels): ...\n",
        r"my_lab.py:2: family of networks 'bottleneck' comes with sklab",
    ),
    "twice": (
        "import sklab\nfor _ in range(2):\n  @sklab.family('f')\n  def f(num_classes, in_channels): ...\n",
        r"'f' is defined twice",
    ),
    "signature": ("import sklab\n@sklab.family('f')\ndef f(width=3): ...\n", r"takes num_classes, in_channels"),
    "stars": (
        "import sklab\n@sklab.data_set('d', classes='ab', image_size=8)\ndef f(split, **rest): ...\n",
        r"without \*",
    ),
}


@pytest.mark.parametrize(("text", "told"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_file_is_told_with_its_place(tmp_path, text, told):
    (tmp_path / "helpers.py").write_text("")
    files.choose(lab_in(tmp_path, text))
    with pytest.raises(FaultyInputError, match=told):
        load_sweep(tmp_path / "s.yaml")


def test_a_missing_file_is_told(tmp_path, capsys):
    assert main(["plan", "s.yaml", "--code", "mine.py"]) == 2
    assert "--code: mine.py: no such file" in capsys.readouterr().err
    (tmp_path / "sklab.toml").write_text('code = "mine.py"')
    assert main(["plan", "s.yaml"]) == 2
    assert f"{tmp_path / 'sklab.toml'}: code: {tmp_path / 'mine.py'}: no such file" in capsys.readouterr().err


def test_a_project_names_its_file_and_a_results_folder_does_not(tmp_path, capsys):
    project = tmp_path / "project"
    (project / "sweeps").mkdir(parents=True)
    lab_in(project).rename(tmp_path / "my_lab.py")
    (project / "sklab.toml").write_text('code = "../my_lab.py"')
    (project / "s.yaml").rename(project / "sweeps" / "s.yaml")
    (project / "e.yaml").rename(project / "sweeps" / "e.yaml")
    assert main(["plan", str(project / "sweeps" / "s.yaml"), "--cpu"]) == 0
    assert f"as {project / 'sklab.toml'} says" in " ".join(capsys.readouterr().err.split())
    (project / "runs").mkdir()
    (project / "sweep.yaml").touch()
    assert main(["plan", str(project / "sweeps" / "s.yaml"), "--cpu"]) == 2, "that is a study's folder now"


def test_a_yaml_file_and_a_file_beside_it_execute_nothing(tmp_path, capsys):
    lab_in(tmp_path, "raise AssertionError('executed')")
    assert main(["plan", "s.yaml"]) == 2
    assert "executed" not in capsys.readouterr().err


GIVEN = {
    "no module": ("return nn.Sequential", "return 3 or nn.Sequential", "model"),
    "raises": ("reduce(1)", "reduce(1 // 0)", "model"),
    "other classes": ("return images, labels", "return images, labels + 2", "data"),
    "floats": ("return images, labels", "return images / 255, labels", "data"),
    "few labels": ("return images, labels", "return images, labels[1:]", "data"),
}


@pytest.mark.parametrize(("old", "new", "part"), GIVEN.values(), ids=GIVEN.keys())
def test_what_own_code_gives_is_checked(tmp_path, old, new, part):
    from sklab.data.cache import load_splits
    from sklab.models.zoo import cost

    files.choose(lab_in(tmp_path, LAB.replace(old, new)))
    experiment = load_sweep(tmp_path / "s.yaml").cells and own_experiment(tmp_path)
    with pytest.raises(SklabError, match=r"two_layers|bars"):
        cost(experiment.model, 8) if part == "model" else load_splits(experiment.data)


def own_experiment(folder: Path):
    from sklab.sweep.design.cells import run_spec

    sweep = load_sweep(folder / "s.yaml")
    return run_spec(sweep, sweep.cells[0], 0).experiment


def test_a_data_set_may_be_a_sequence_of_pairs(tmp_path):
    from sklab.data.cache import load_splits

    files.choose(lab_in(tmp_path))
    whole = load_splits(own_experiment(tmp_path).data)
    pairs = LAB.replace("return images, labels", "return [(image, label) for image, label in zip(images, labels)]")
    files.choose(lab_in(tmp_path, pairs))
    by_pairs = load_splits(own_experiment(tmp_path).data)
    assert by_pairs.inventory == whole.inventory
    assert by_pairs.classes == ("across", "down")


def test_a_third_split_is_asked_for_by_its_name(tmp_path):
    from sklab.data.formats.own import load_test
    from sklab.data.kept import read_inventory

    order = own_order(tmp_path, data={"test": "test"})
    assert order.key == own_order(tmp_path).key, "it is no part of a run's identity"
    data = order.spec.experiment.data
    assert data.has_test
    assert len(load_test(data).images.labels) == 64
    assert read_inventory(data) == read_inventory(own_order(tmp_path).spec.experiment.data)
