import re

import pytest
from studies import EXPERIMENT, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.words.references import bibtex, entries
from sklab.spec.run import Experiment, RunSpec
from sklab.spec.study.sweep import Search


def cited(sweep, *records):
    table = ablation_table(sweep, {record.key: record for record in records})
    return set(re.findall(r"@\w+\{(\w+),", bibtex(table)))


def test_what_the_runs_used_is_cited_and_nothing_else():
    assert cited(make_sweep(), make_record("K3", 0, 20.0)) == {
        "xie2017aggregated", "alpaydin1998optical", "pedregosa2011scikit", "loshchilov2017sgdr", "paszke2019pytorch",
    }  # fmt: skip


def test_a_recipe_a_network_and_a_search_bring_their_own():
    given = {
        **EXPERIMENT,
        "data": {"name": "image_folder", "root": "/x", "num_classes": 10, "channels": 1, "title": "ImageNet-1k"},
        "model": {**EXPERIMENT["model"], "attention": "sk"},
        "train": {
            **EXPERIMENT["train"],
            "optimizer": "adamw",
            "loss": "bce",
            "cutmix": 1.0,
            "augment": {"policy": "randaugment", "erase": 0.1},
            "mixup": 0.2,
            "label_smoothing": 0.1,
            "nesterov": True,
            "schedule": "step",
        },
    }
    given["data"].pop("channels")
    given["model"] = {**given["model"], "in_channels": 3}
    record = make_record("K3", 0, 20.0, spec=RunSpec(experiment=Experiment.model_validate(given), seed=0))
    found = cited(make_sweep(design="search", search=Search(trials=1)), record)
    assert {"li2019selective", "zhang2018mixup", "szegedy2016rethinking", "sutskever2013importance"} <= found
    assert {"cubuk2020randaugment", "zhong2020random"} <= found
    assert {"loshchilov2019decoupled", "yun2019cutmix", "wightman2021resnet"} <= found
    assert {"russakovsky2015imagenet", "akiba2019optuna", "bergstra2011algorithms"} <= found
    assert not found & {"muller2021trivialaugment", "loshchilov2017sgdr", "alpaydin1998optical"}


@pytest.mark.parametrize(
    ("data", "cites"),
    [
        ({"name": "photo_patches"}, {"vanderwalt2014scikit"}),
        ({"name": "digits28"}, {"lecun1998gradient", "raschka2018mlxtend"}),
        ({"name": "stand_in", "num_classes": 10, "channels": 1, "title": "Digits of our own"}, set()),
    ],
)
def test_the_sources_of_the_data_are_cited(data, cites):
    channels = 3 if data["name"] == "photo_patches" else 1
    given = {**EXPERIMENT, "data": data, "model": {**EXPERIMENT["model"], "in_channels": channels}}
    record = make_record("K3", 0, 20.0, spec=RunSpec(experiment=Experiment.model_validate(given), seed=0))
    of_data = {"vanderwalt2014scikit", "lecun1998gradient", "raschka2018mlxtend", "alpaydin1998optical"}
    assert cited(make_sweep(), record) & of_data == cites


@pytest.mark.parametrize(
    ("kind", "cites"),
    [
        ("none", set()),
        ("static", set()),
        ("eca", {"wang2020eca"}),
        ("bam", {"park2018bam"}),
        ("cbam", {"woo2018cbam"}),
        ("splat", {"zhang2022resnest"}),
        ("lsk", {"li2023lsknet"}),
    ],
)
def test_the_source_of_the_attention_is_cited(kind, cites):
    given = {**EXPERIMENT, "model": {**EXPERIMENT["model"], "attention": kind}}
    record = make_record("K3", 0, 20.0, spec=RunSpec(experiment=Experiment.model_validate(given), seed=0))
    of_attention = {"wang2020eca", "park2018bam", "woo2018cbam", "zhang2022resnest", "li2023lsknet", "li2019selective"}
    assert cited(make_sweep(), record) & of_attention == cites


def test_nothing_trained_is_nothing_cited():
    assert cited(make_sweep()) == set()


def test_every_entry_has_author_title_and_year_and_balanced_braces():
    for key, entry in entries().items():
        assert all(re.search(rf"^  {field} *= \{{", entry, re.MULTILINE) for field in ("author", "title", "year")), key
        assert entry.count("{") == entry.count("}")
        assert entry.isascii()
