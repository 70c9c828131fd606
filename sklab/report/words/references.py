"""The BibTeX of what a study used: networks, data, recipe, libraries and tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sklab.analysis.table.rows import AblationTable
from sklab.report.words.methods import methods

# The entries of references.bib for each thing that a study can use: `path=value` is a setting of any run, `path` a
# setting that is not 0; others are `library NAME`, `data TITLE`, a source in the methods paragraph, or a word that
# `_used` adds.
_CITED: dict[str, tuple[str, ...]] = {
    "attention=sk": ("li2019selective",),
    "attention=se": ("hu2018squeeze",),
    "attention=eca": ("wang2020eca",),
    "attention=bam": ("park2018bam",),
    "attention=cbam": ("woo2018cbam",),
    "attention=splat": ("zhang2022resnest",),
    "attention=lsk": ("li2023lsknet",),
    "family=bottleneck": ("xie2017aggregated",),
    "family=mobilenetv1": ("howard2017mobilenets",),
    "family=mobilenetv2": ("sandler2018mobilenetv2",),
    "family=shufflenetv2": ("ma2018shufflenet",),
    "library timm": ("wightman2019timm",),
    "data imagenet": ("russakovsky2015imagenet",),
    "data cifar": ("krizhevsky2009learning",),
    "data digits28": ("lecun1998gradient", "raschka2018mlxtend"),
    "data photopatches": ("vanderwalt2014scikit",),
    "data scaleddigits": ("alpaydin1998optical", "pedregosa2011scikit"),
    "nesterov=True": ("sutskever2013importance",),
    "optimizer=adamw": ("loshchilov2019decoupled",),
    "schedule=cosine": ("loshchilov2017sgdr",),
    "label_smoothing": ("szegedy2016rethinking",),
    "mixup": ("zhang2018mixup",),
    "cutmix": ("yun2019cutmix",),
    "loss=bce": ("wightman2021resnet",),
    "policy=randaugment": ("cubuk2020randaugment",),
    "policy=trivialaugment": ("muller2021trivialaugment",),
    "erase": ("zhong2020random",),
    "library torchvision": ("torchvision2016",),
    "library torch": ("paszke2019pytorch",),
    "library lightning": ("falcon2019lightning",),
    "library numpy": ("harris2020array",),
    "search": ("akiba2019optuna",),
    "tpe": ("bergstra2011algorithms",),
    "nsga2": ("deb2002fast",),
    "halving": ("li2020system",),
    "median": ("golovin2017vizier",),
    "test": ("virtanen2020scipy",),
    "Fisher 1935": ("fisher1935design",),
    "Dunnett 1955": ("dunnett1955multiple",),
    "Satterthwaite 1946": ("satterthwaite1946approximate",),
    "Smyth 2004": ("smyth2004linear",),
    "Holm 1979": ("holm1979simple",),
    "Yates 1934": ("yates1934analysis",),
    "Yates 1936": ("yates1936incomplete",),
    "Hsu 1984": ("hsu1984constrained",),
    "DeMets 1983": ("lan1983discrete",),
    "Fleming 1979": ("obrien1979multiple",),
    "Bretz 2013": ("maurer2013multiple",),
    "Steiger 2004": ("steiger2004beyond",),
    "Welch 1947": ("welch1947generalization",),
    "Hasler 2008": ("hasler2008multiple",),
    "Brunner 1997": ("brunner1997box",),
    "Russo 2020": ("russo2020simple",),
    "Gelman et al. 2013": ("gelman2013bayesian",),
}
_ENTRIES = Path(__file__).parents[1] / "templates" / "references.bib"


def bibtex(table: AblationTable) -> str:
    """The entries for the networks, data, recipe, libraries and tests of the study, in a fixed order."""
    used = _used(table)
    keys = {key for thing, keys in _CITED.items() if thing in used for key in keys}
    return "\n".join(entry for key, entry in entries().items() if key in keys)


def entries() -> dict[str, str]:
    """All entries at hand by their key, in the order of the file."""
    texts = re.split(r"\n(?=@)", _ENTRIES.read_text(encoding="utf-8"))
    return {re.match(r"@\w+\{(\w+),", entry)[1]: entry for entry in texts}  # type: ignore[index]


def _used(table: AblationTable) -> set[str]:
    records = [run.record for row in table.rows for run in row.runs if run.record is not None]
    experiments = {record.cell: record.spec.experiment for record in records}  # a cell's runs differ in the seed alone
    used = {word for experiment in experiments.values() for word in _settings(experiment.model_dump(mode="json"))}
    used |= {f"library {name}" for record in records for name in record.versions}
    search = table.sweep.search
    used |= {"search", search.sampler} if search else set()
    used |= {search.pruning.rule} if search and search.pruning else set()
    named = set(re.findall(r"[A-Z]\w+ \d{4}", methods(table)))  # the sources that the methods paragraph names
    return used | named | ({"test"} if named else set())


def _settings(experiment: Mapping[str, Any]) -> set[str]:
    """Network, recipe and data of a run as words of `_CITED`."""
    train = experiment["train"]
    flat = {**train, **train["augment"], **experiment["model"], **(experiment["model"].get("sk") or {})}
    data = re.sub("[^a-z0-9]", "", str(experiment["data"].get("title") or experiment["data"]["name"]).lower())
    known = {word for word in _CITED if word.startswith("data ") and data.startswith(word.removeprefix("data "))}
    return known | {f"{name}={value}" for name, value in flat.items()} | {name for name, value in flat.items() if value}
