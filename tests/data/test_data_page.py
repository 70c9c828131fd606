import re
from pathlib import Path

import torch
import yaml

import sklab.data.sets
import sklab.spec.data
from sklab.data.loaders import open_loaders
from sklab.spec.networks import network
from sklab.spec.run import Experiment
from sklab.spec.train import TrainSpec

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_data_set_written_on_the_page_works(tmp_path, monkeypatch):
    (module,) = blocks("python")
    (tmp_path / "stripes.py").write_text(module)
    monkeypatch.setattr(sklab.data.sets, "__path__", [*sklab.data.sets.__path__, str(tmp_path)])
    monkeypatch.setattr(sklab.spec.data, "data_sets", sklab.spec.data.data_sets.__wrapped__)  # without its memory
    recipe = TrainSpec(epochs=1, batch_size=50, lr=0.1)
    model = network("sknet_small", num_classes=4)
    experiment = Experiment.model_validate({"data": {"name": "stripes"}, "model": model, "train": recipe})
    loaders = open_loaders(experiment.data, experiment.train, 0, torch.device("cpu"))
    images, labels = next(iter(loaders.train))
    assert images.shape == (50, 1, 32, 32)
    assert abs(images.mean()) < 0.1
    assert set(labels.tolist()) == {0, 1, 2, 3}
    assert loaders.val_extras["period"].shape == (500,)


def test_the_settings_on_the_page_are_settings():
    for block in blocks("yaml"):
        given = yaml.safe_load(block)
        classes = given["data"].get("num_classes", 10)
        channels = 1 if given["data"]["name"] in ("scaled_digits", "digits28") else 3
        model = network("sknet_small", num_classes=classes, in_channels=channels)
        recipe = {"epochs": 1, "batch_size": 2, "lr": 0.1, **given.get("train", {})}
        Experiment.model_validate({"data": given["data"], "model": model, "train": recipe})
