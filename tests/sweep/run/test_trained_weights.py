"""A sweep from trained weights: refused before any run where they do not fit; known by their content ever after."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from sklab.cli import main
from sklab.errors import FaultyInputError, SklabError
from sklab.launch.inline import InlineLauncher
from sklab.launch.slots import Slot
from sklab.models.weights.start import start
from sklab.models.zoo import build
from sklab.spec.networks import network
from sklab.spec.study.sweep import Sweep
from sklab.store.records import Code, RunOrder
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import run_spec
from sklab.sweep.files.load import load_single, load_sweep
from sklab.sweep.run.preflight import ensure_sound
from sklab.training.run import train

EXPERIMENT = """\
data: {name: scaled_digits, train_size: 32, val_size: 16}
model: {base: resnext_small, init: trained.pt}
train: {epochs: 1, batch_size: 16, lr: 0.1}
"""
SWEEP = """\
experiment: base.yaml
design: ofat
seeds: 1
baseline: {network: plain, start: a}
factors:
  network: {path: model.base, levels: {plain: resnext_small, sk: sknet_small}}
  start: {path: model.init, levels: {a: trained.pt, b: other.pt, fresh: null}}
"""
LIST = """\
experiment: base.yaml
design: list
seeds: 1
baseline: plain
cells:
  - {name: plain}
  - {name: sk, set: {model.base: sknet_small}}
  - {name: fresh, set: {model.init: null}}
"""
HERE = Slot(None, "cpu", 1)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    torch.save(build(network("resnext_small", num_classes=7)).state_dict(), "trained.pt")
    torch.save(build(network("resnext_small", num_classes=9)).state_dict(), "other.pt")
    Path("base.yaml").write_text(EXPERIMENT)
    Path("list.yaml").write_text(LIST)
    Path("ofat.yaml").write_text(SWEEP)


def models(sweep: Sweep):
    return {cell.name: run_spec(sweep, cell, 0).experiment.model for cell in sweep.cells}


def test_another_network_keeps_the_start_and_null_makes_it_fresh():
    made = models(load_sweep(Path("list.yaml")))
    assert {name: model.init and model.init.file for name, model in made.items()} == {
        "plain": str(Path("trained.pt").absolute()),
        "sk": str(Path("trained.pt").absolute()),
        "fresh": None,
    }
    assert made["sk"].num_classes == 10


def test_a_factor_may_have_files_as_its_levels():
    sweep = load_sweep(Path("ofat.yaml"))
    files = [model.init and Path(model.init.file).name for model in models(sweep).values()]
    assert files == ["trained.pt", "trained.pt", "other.pt", None]


@pytest.mark.parametrize("file", ["list.yaml", "ofat.yaml"])
def test_a_sweep_that_is_resolved_needs_no_file(file):
    sweep = load_sweep(Path(file))
    for each in Path().glob("*.pt"):
        each.unlink()
    again = Sweep.model_validate_json(sweep.model_dump_json())
    assert {cell.name: run_spec(again, cell, 0).key for cell in again.cells} == {
        cell.name: cell.runs[0] for cell in sweep.cells
    }
    alone = Sweep.model_validate_json(sweep.model_dump_json()).experiment["model"]["init"]
    assert set(alone) == {"file", "sha256"}


def test_other_content_is_another_run_and_the_same_content_elsewhere_is_the_same():
    before = load_single(Path("base.yaml")).cells[0].runs[0]
    Path("copy.pt").write_bytes(Path("trained.pt").read_bytes())
    assert load_single(Path("base.yaml"), overrides={"model.init": "copy.pt"}).cells[0].runs[0] == before
    Path("trained.pt").write_bytes(Path("other.pt").read_bytes())
    assert load_single(Path("base.yaml")).cells[0].runs[0] != before


def test_a_missing_file_is_a_fault_with_its_place():
    Path("trained.pt").unlink()
    with pytest.raises(FaultyInputError, match=r"base.yaml:2: model.init: .*/trained.pt can't be read: No such file"):
        load_sweep(Path("list.yaml"))


def test_weights_that_do_not_fit_stop_the_sweep_before_any_run(tmp_path):
    torch.save(build(network("sknet_small")).state_dict(), "trained.pt")
    with pytest.raises(SklabError) as caught:
        ensure_sound(load_sweep(Path("list.yaml")), InlineLauncher(HERE), tmp_path / "results", print)
    head, *faults = str(caught.value).splitlines()
    assert head == "networks of this sweep can't be made; nothing was trained:"
    assert len(faults) == 1, "of the plain network; the other one fits"
    assert "trained.pt (SHA-256 " in faults[0]
    assert "that the network lacks (units.SK_2_1.sk.branches.1.0.weight" in faults[0]
    assert not list((tmp_path / "results").glob("*/runs"))


def test_a_pattern_that_freezes_nothing_stops_the_sweep(tmp_path):
    sweep = load_sweep(Path("list.yaml"), overrides={"train.freeze": "[units.SK_9_*]"})
    with pytest.raises(SklabError, match=r"nothing was trained:\n  train.freeze: no weights are under 'units.SK_9_\*'"):
        ensure_sound(sweep, InlineLauncher(HERE), tmp_path, print)


def test_a_study_whose_file_has_changed_is_refused_and_trains_other_runs_under_another_name(capsys):
    command = ["sweep", "list.yaml", "--cpu", "--slots", "1"]
    assert main(command) == 0
    before = {cell.name: cell.runs[0] for cell in StudyFolder(Path("results/list")).read_sweep().cells}
    Path("trained.pt").write_bytes(Path("other.pt").read_bytes())
    capsys.readouterr()
    assert main(command) == 2
    assert "2 finished runs of plain, sk would leave the table of results/list" in capsys.readouterr().err
    Path("list.yaml").write_text(f"study: again\n{LIST}")
    after = {cell.name: cell.runs[0] for cell in load_sweep(Path("list.yaml")).cells}
    assert {name for name in after if after[name] == before[name]} == {"fresh"}


@pytest.fixture
def timm(monkeypatch):
    """A library of one network, whose weights can be had or not."""
    offered = {"error": None}

    def create(_name, pretrained, num_classes=5, in_chans=1):
        if pretrained and offered["error"]:
            raise offered["error"]
        network = nn.Sequential(
            nn.Conv2d(in_chans, 4, 3, stride=4),
            nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, num_classes),
        )
        if pretrained:
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.fill_(0.5)
        return network

    library = ModuleType("timm")
    library.list_models, library.create_model = lambda: ["net"], create
    monkeypatch.setitem(sys.modules, "timm", library)
    return offered


FOREIGN = """\
data: {name: scaled_digits, train_size: 32, val_size: 16}
model:
  {family: foreign, library: timm, name: net, num_classes: 10, in_channels: 1, pretrained: true,
   sk: {select: grouped3x3, branches: [{kernel: 3, dilation: 2}, {kernel: 3}]}}
train: {epochs: 1, batch_size: 16, lr: 0.1}
"""


def test_a_librarys_weights_go_through_to_sk_and_their_checksum_is_recorded(timm):
    Path("base.yaml").write_text(FOREIGN)
    sweep = load_single(Path("base.yaml"))
    begun = start(run_spec(sweep, sweep.cells[0], 0).experiment.model)
    half = {name for name, each in begun.network.named_parameters() if bool((each == 0.5).all())}
    inside = {f"1.branches.1.{name}" for name in ("0.weight", "1.weight", "1.bias")}
    assert half == begun.trunk == {"0.weight", "0.bias", *inside}
    assert begun.origin.taken == len(half) + 2, "with the statistics of the norm"
    assert not begun.origin.head
    spec, folder = run_spec(sweep, sweep.cells[0], 0), RunFolder(Path("run"))
    order = RunOrder(key=spec.key, study="s", cell="base", spec=spec, code=Code(version="0"))
    folder.write_order(order)
    record = train(order, folder, torch.device("cpu"))
    assert (record.status, record.start) == ("complete", begun.origin), "the same weights have the same checksum"
    fresh = load_single(Path("base.yaml"), overrides={"model.pretrained": "false"})
    assert fresh.cells[0].runs != sweep.cells[0].runs


def test_a_library_that_can_not_get_its_weights_stops_the_sweep(timm, tmp_path):
    timm["error"] = OSError("[Errno -3] Temporary failure in name resolution\nmore")
    Path("base.yaml").write_text(FOREIGN)
    with pytest.raises(SklabError) as caught:
        ensure_sound(load_single(Path("base.yaml")), InlineLauncher(HERE), tmp_path, print)
    assert str(caught.value) == (
        "networks of this sweep can't be made; nothing was trained:\n"
        "  model.pretrained: timm's weights of net can't be had here: [Errno -3] Temporary failure in name resolution; "
        "timm downloads them once and keeps them; or name a file of weights under model.init"
    )


def test_a_file_and_the_librarys_weights_are_two_starts(timm):
    Path("base.yaml").write_text(FOREIGN.replace("pretrained: true", "pretrained: true, init: trained.pt"))
    with pytest.raises(FaultyInputError, match="pretrained and init are two starts; allowed: one"):
        load_single(Path("base.yaml"))
