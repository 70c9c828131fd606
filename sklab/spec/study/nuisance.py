"""Nuisance settings of a study, as values: settings of the recipe that are tuned anew for every cell.

A cell that is compared at one learning rate may win by that rate alone. So every cell gets the same settings to try, on
seeds of their own, and is judged on other seeds at the setting that was best for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from sklab.spec.run import Seed
from sklab.spec.values import Value

MOST_SETTINGS = 64  # that each cell tries
MOST_SEEDS = 100
FIRST_SEED = 1_000_000  # settings are chosen on this seed and those that follow it; cells are judged on seeds below it

Setting = Mapping[str, str]  # the name of a value by dotted path


def _several(values: Any) -> Any:
    if not isinstance(values, dict):
        raise ValueError("what is tuned needs a list of values, or a mapping of names to values")
    if len(values) < 2:
        raise ValueError("with fewer than two values nothing is tuned")
    return values


Values = Annotated[dict[str, Any], BeforeValidator(_several)]


class Nuisance(Value):
    """What is tuned in every cell of a study.

    settings  by the dotted path of what is tuned, its values by name
    seeds     number of seeds on which each setting is tried
    common    the experiment's own setting: all cells have it where nothing is tuned
    """

    settings: dict[str, Values] = Field(min_length=1)
    seeds: int = Field(ge=1, le=MOST_SEEDS)
    common: dict[str, str]

    @property
    def tuning_seeds(self) -> tuple[Seed, ...]:
        """The seeds on which settings are chosen."""
        return tuning_seeds(self.seeds)

    def grid(self) -> list[dict[str, str]]:
        """Every setting that a cell tries, the last path running fastest."""
        return grid_of(self.settings)

    def setting_of(self, factors: Mapping[str, str]) -> dict[str, str]:
        """The setting of a cell that tries one, from its factors."""
        return {path: factors[path] for path in self.settings}

    def name(self, cell: str, setting: Setting) -> str:
        """The name of `cell` while it tries `setting`."""
        return f"{cell}, {named(setting)}"

    def name_of_cell(self, name: str, factors: Mapping[str, str]) -> str:
        """The name of the cell that tries a setting under `name`."""
        return name.removesuffix(f", {named(self.setting_of(factors))}")

    def __str__(self) -> str:
        paths = " and ".join(f"{path} over {', '.join(values)}" for path, values in self.settings.items())
        return f"{paths}, on {self.seeds} {'seed' if self.seeds == 1 else 'seeds'} of its own"


def tuning_seeds(number: int) -> tuple[Seed, ...]:
    """The first `number` seeds of tuning."""
    return tuple(range(FIRST_SEED, FIRST_SEED + number))


def is_of_tuning(seed: Seed) -> bool:
    """Whether settings are chosen on this seed; no cell is judged on it."""
    return seed >= FIRST_SEED


def grid_of(settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Every combination of the values' names, the last path running fastest."""
    return [dict(zip(settings, names, strict=True)) for names in product(*settings.values())]


def number_of(settings: Mapping[str, Mapping[str, Any]]) -> int:
    """The number of settings in the grid."""
    return prod(len(values) for values in settings.values())


def named(setting: Setting) -> str:
    """A setting in words: "train.lr=0.05"."""
    return ", ".join(f"{path}={value}" for path, value in setting.items())
