"""The pages of the keys of YAML files: experiments, sweeps, launchers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from keys import keys_of, own_fields, table, table_of
from pydantic import BaseModel

from sklab.data.base import ImagesSpec
from sklab.models.families.foreign import SK, SKBranch
from sklab.spec.data import DataSpec, data_sets, data_spec
from sklab.spec.model import Branch, LightSpec, ModelSpec, families, family_spec
from sklab.spec.own.parts import OwnSetting
from sklab.spec.start.weights import Weights
from sklab.spec.study.launchers import RaySpec, SlurmSpec
from sklab.spec.study.metrics import METRICS
from sklab.spec.study.questions import Question
from sklab.spec.study.search import Constraints, EqualBudget, Limit, Pruning, Search
from sklab.spec.study.seeds import Seeds
from sklab.spec.study.sweep import Factor, Metric, Published, PublishedRow, Replicates
from sklab.spec.study.vary import Vary
from sklab.spec.train import Augment, TrainSpec
from sklab.sweep.files.sweepfile import ListedCell, SweepFile

_MADE = "<!-- Made from the program by `python docs/generator`: change the docstrings there, not this page. -->\n"
_NAMED = ("name", "family")  # the heading of a set or family has its name
_IN_MAPPING = "`needed` stands where a key has no default. Lists and mappings are written as in YAML."


@dataclass(frozen=True)
class Section:
    """The keys of one mapping under their heading.

    heading  with its `#` marks
    text     what stands above the table
    kind     the class of the mapping
    fields   those of its fields that stand here; None: all
    links    by key, where the keys below it stand
    filled   by key, the default of one that reading the file fills in
    """

    heading: str
    text: str
    kind: type[BaseModel]
    fields: Iterable[str] | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    filled: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        given = keys_of(self.kind, self.fields)
        keys = [replace(key, default=self.filled.get(key.name, key.default)) for key in given]
        rows = table_of(keys, self.links) if keys else ""
        return "\n\n".join(part for part in (self.heading, self.text, rows.rstrip("\n")) if part)


def experiment() -> str:
    """The page of an experiment file."""
    start = (
        "An experiment file says what is trained: `data`, `model` and `train`. Each setting is part of a run's "
        f"identity, so another value makes another run. {_IN_MAPPING} In a sweep a dotted path leads to a key: "
        "`train.lr`, or `model.branches.1.dilation` for the second branch."
    )
    return _page("Experiment file", start, [*_data(), *_model(), *_train()])


def _data() -> list[Section]:
    common = "The mean and the deviation of pixels, and what a data set of your own states: [Data](../data.md)."
    images = "The sets of encoded images, `image_folder`, `parquet` and `hub`, have these keys as well as their own."
    return [
        Section("## `data`", common, DataSpec, ("name", "title")),
        Section("### Image files", images, ImagesSpec, ("num_classes", *own_fields(ImagesSpec))),
        *(_set(name) for name in data_sets()),
    ]


def _set(name: str) -> Section:
    kind = data_spec(name)
    known = {*_NAMED, *(ImagesSpec.model_fields if issubclass(kind, ImagesSpec) else ())}
    fields = [each for each in kind.model_fields if each not in known and each != "title"]
    return Section(f"### `{name}`", _first_sentence(inspect.getmodule(kind)), kind, fields)


def _model() -> list[Section]:
    text = (
        "A network is named by `base`, one of the names that `sklab models` lists, and any key beside it replaces a "
        "setting of that network. Without `base` the settings are those of a `family`. What the networks are: "
        "[Networks](../networks.md)."
    )
    light = "The families `mobilenetv1`, `mobilenetv2` and `shufflenetv2` have these keys as well as their own."
    of_light = [name for name in LightSpec.model_fields if name not in ModelSpec.model_fields]
    foreign = "How a network of another library is changed: [Convert](../convert.md)."
    depthwise = "Those of light networks are depthwise, and have no `groups`."
    branches = {"branches": "#branches"}
    return [
        Section("## `model`", text, ModelSpec, links={"init": "#init"}),
        Section("### `init`", "The path may stand alone: [Fine-tuning](../finetuning.md).", Weights),
        Section("### Light networks", light, LightSpec, of_light, branches),
        *(_family(name) for name in families()),
        Section("### `branches`", depthwise, Branch, filled={"groups": "the cardinality"}),
        Section("### `sk`", foreign, SK, links={"branches": "#branches-of-sk"}),
        Section("#### `branches` of `sk`", "", SKBranch),
    ]


def _family(name: str) -> Section:
    kind = family_spec(name)
    light = issubclass(kind, LightSpec)
    known = {*_NAMED[1:], *ModelSpec.model_fields, *(LightSpec.model_fields if light else ())}
    fields = [each for each in kind.model_fields if each not in known]
    return Section(f"### `{name}`", _first_sentence(kind), kind, fields, {"branches": "#branches", "sk": "#sk"})


def _train() -> list[Section]:
    text = "What these settings do together, and recipes to start from: [Recipes](../recipes.md)."
    own = "An optimizer or augmentation of your own"
    vary = "A list of sources, such as `[init, order]`, gives each the number 1. See [Sweeps](../sweeps.md)."
    return [
        Section("## `train`", text, TrainSpec, links={"augment": "#augment", "vary": "#vary"}),
        Section("### `augment`", "", Augment, links={"own": "#" + own.lower().replace(" ", "-")}),
        Section("### `vary`", vary, Vary),
        Section(f"### {own}", "Its own settings stand beside these keys.", OwnSetting, filled={"code": "its own"}),
    ]


def sweep() -> str:
    """The page of a sweep file."""
    start = (
        "A sweep file asks one question over one experiment: which cells are trained with which seeds, and what they "
        f"are compared with. How to write one: [Sweeps](../sweeps.md). {_IN_MAPPING}"
    )
    below = ("seeds", "replicates", "metric", "cells", "factors", "search", "published", "equal_budget", "questions")
    links = {key: f"#{key}" for key in (*below, "vary")} | {"also": "#metrics"}
    sections = [
        Section("## Keys", "", SweepFile, links=links),
        Section("## `seeds`", "A number or a list stands for `others`: `seeds: 3` is 0, 1 and 2.", Seeds),
        Section("## `replicates`", "", Replicates),
        Section("## `metric`", "", Metric, links={"name": "#metrics"}),
        Section("## `cells`", "Each entry of the list:", ListedCell),
        Section("## `factors`", "Under the name of each factor:", Factor),
        Section("## `questions`", "Under the name of each question:", Question),
        Section("## `vary`", "A list of sources gives each the number 1.", Vary),
        *_search(),
        Section("## `published`", "", Published, links={"rows": "#rows-of-published", "others": "#rows-of-published"}),
        Section("### Rows of `published`", "Under the name of each row:", PublishedRow),
        Section("## `equal_budget`", "", EqualBudget),
    ]
    return _page("Sweep file", start, sections) + "\n" + _metrics()


def _search() -> list[Section]:
    limit = "Under `params` and under `macs`:"
    return [
        Section("## `search`", "", Search, links={"constraints": "#constraints", "pruning": "#pruning"}),
        Section("### `constraints`", "", Constraints, links={"params": "#limits", "macs": "#limits"}),
        Section("#### Limits", limit, Limit),
        Section("### `pruning`", "", Pruning),
    ]


def _metrics() -> str:
    rows = [
        (f"`{name}`", f"{measure.title}, in {measure.unit}" if measure.unit else measure.title, measure.better)
        for name, measure in METRICS.items()
    ]
    return f"## Metrics\n\n{table(('name', 'what it is', 'better'), rows)}"


def launchers() -> str:
    """The page of launchers' files."""
    start = f"A launcher's file, given by `--launcher FILE`, says how runs are given to a cluster. {_IN_MAPPING}"
    sections = [
        Section("## `launcher: slurm`", "[Clusters](../clusters.md) has an example.", SlurmSpec),
        Section("## `launcher: ray`", "[Ray](../ray.md) has an example.", RaySpec),
    ]
    return _page("Launcher's file", start, sections)


def _page(title: str, start: str, sections: Iterable[Section]) -> str:
    return "\n\n".join([f"{_MADE}\n# {title}", start, *map(str, sections)]) + "\n"


def _first_sentence(documented: object) -> str:
    """The first sentence of a docstring in one line."""
    words = " ".join((inspect.getdoc(documented) or "").split("\n\n", 1)[0].split())
    return words if words.endswith((".", "?")) else f"{words}."
