import re
from pathlib import Path

import yaml

from sklab.spec.networks import network
from sklab.spec.run import Experiment

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_settings_on_the_page_are_settings():
    for block in blocks("yaml"):
        given = yaml.safe_load(block)
        classes = given["data"].get("num_classes", 10)
        channels = 1 if given["data"]["name"] in ("scaled_digits", "digits28") else 3
        model = network("sknet_small", num_classes=classes, in_channels=channels)
        recipe = {"epochs": 1, "batch_size": 2, "lr": 0.1, **given.get("train", {})}
        Experiment.model_validate({"data": given["data"], "model": model, "train": recipe})
