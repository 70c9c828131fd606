"""docs/networks.md: the network written there works as one file, and its counts are ours."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from sklab.models.zoo import cost
from sklab.spec.model import Gate, Mixer
from sklab.spec.networks import SETTINGS, network
from sklab.sweep.files.load import load_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
COUNTS = re.findall(r"^\| `(\w+)` \| .* \| ([0-9.]+) \| [0-9.]+ \|$", PAGE, re.M)

# A process of its own: the names of the networks are found once.
USE = """
import sys
import sklab.models.families
sklab.models.families.__path__.append(sys.argv[1])
from pathlib import Path
from sklab.sweep.files.load import load_sweep

Path("base.yaml").write_text("data: {name: scaled_digits}\\ntrain: {epochs: 1, batch_size: 2, lr: 0.1}\\n"
                             "model: {base: plainsk2, in_channels: 1, num_classes: 10}\\n")
Path("sweep.yaml").write_text('''
experiment: base.yaml
design: list
seeds: 1
baseline: two
cells:
  - {name: two}
  - {name: three, set: {model.base: plainsk3, model.branches.1.kernel: 7}}
  - {name: one kernel, set: {model.branches: [{kernel: 3}]}}
''')
sweep = load_sweep(Path("sweep.yaml"))
assert "torch" not in sys.modules

import torch
from sklab.cli import main
from sklab.models.zoo import create_model, list_models

assert {"plainsk2", "plainsk3"} <= set(list_models())
logits = create_model("plainsk2", in_channels=1, num_classes=10)(torch.randn(2, 1, 32, 32))
assert logits.shape == (2, 10)
sys.exit(main(["plan", "sweep.yaml", "--json"]))
"""


def test_the_network_written_on_the_page_works(tmp_path):
    (module,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "plainsk.py").write_text(module, encoding="utf-8")
    command = [sys.executable, "-c", USE, str(tmp_path / "families")]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    two, three, one = (cell["params"] for cell in json.loads(answer.stdout)["cells"])
    assert one < two < three


def test_the_counts_on_the_page_are_ours():
    assert len(COUNTS) == 11
    for name, millions in COUNTS:
        assert f"{cost(network(name), 32).params / 1e6:.2f}" == millions


def test_the_settings_on_the_page_are_settings():
    block, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    model = yaml.safe_load(block)["model"]
    network(model.pop("base"), **model)


def test_the_table_of_the_kinds_of_attention_is_counted():
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([0-9,]+) \| ([0-9,]+) \| ([0-9.]*) ?\|$", PAGE, re.M)
    assert {row[0] for row in rows} == {*get_args(Mixer), *get_args(Gate), "bam"}
    plain = cost(network("resnext50"), 32).params
    for kind, added, params, published in rows:
        counted = cost(network("resnext50", attention=kind), 32).params
        assert (f"{counted - plain:,}", f"{counted:,}") == (added, params)
        assert not published or counted / 1e6 == pytest.approx(float(published), abs=0.15)


@pytest.mark.parametrize(("name", "networks"), [("what_helps", 4), ("choices", 7)])
def test_the_sweeps_on_the_page_have_these_networks(tmp_path, name, networks):
    (text,) = re.findall(rf"```yaml\n(# sweeps/{name}.yaml.*?)```", PAGE, re.DOTALL)
    experiments = Path(__file__).parents[2] / "experiments"
    (tmp_path / "sweep.yaml").write_text(text.replace("../experiments", str(experiments)), encoding="utf-8")
    assert len(load_sweep(tmp_path / "sweep.yaml").cells) == networks


@pytest.mark.parametrize("family", sorted({settings["family"] for settings in SETTINGS.values()}))
def test_every_family_is_on_the_page(family):
    assert f"`{family}`" in PAGE
