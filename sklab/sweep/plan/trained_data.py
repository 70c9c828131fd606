"""Whether the data are still those that the runs of a study were trained on: they may move, but not change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sklab.data.kept import read_inventory
from sklab.errors import SklabError
from sklab.spec.data import DataSpec, Fingerprint, Images, Inventory, changes, surely_differ
from sklab.spec.own.parts import find_data
from sklab.spec.study.sweep import Sweep
from sklab.store.files import read_kept, write_whole
from sklab.store.records import RunRecord
from sklab.store.study_folder import StudyFolder
from sklab.sweep.design.cells import lay, splits
from sklab.sweep.design.space import searchable


@dataclass(frozen=True)
class HeldData:
    """The present inventories of a sweep's data sets, as far as they could be read, by `DataSpec.identity`."""

    inventories: Mapping[str, Inventory] = field(default_factory=dict)

    def fingerprint(self, data: DataSpec) -> Fingerprint | None:
        """The fingerprint; None for a set that its settings alone decide, and for one that could not be read."""
        held = self.inventories.get(data.identity())
        return held.fingerprint if held else None

    def images(self, data: DataSpec) -> Images | None:
        """The numbers of images; None where they could not be read."""
        held = self.inventories.get(data.identity())
        if held is None:
            return None
        train, val = (
            sum(group.images for name, group in held.groups.items() if name.startswith(f"{split}/"))
            for split in ("train", "val")
        )
        return Images(train, val, arrays=data.on_device)

    def completed(self, other: HeldData) -> HeldData:
        """These inventories and those that only `other` has, such as data that only a cluster's machines can read."""
        return HeldData({**other.inventories, **self.inventories})


def read_data(sweep: Sweep, notify: Callable[[str], object] | None = None) -> HeldData:
    """The inventories of those data of the cells that this machine can read; the check where runs will train reads the
    rest.

    Notices about the data go to `notify`. Raises SklabError when data of cells have the same settings and hold
    different images.
    """
    inventories: dict[str, Inventory] = {}
    others: dict[str, DataSpec] = {}
    for data in data_sets_of(sweep):
        if held := _look(data, notify):
            before, other = inventories.setdefault(data.identity(), held), others.setdefault(data.identity(), data)
            if surely_differ(before.fingerprint, held.fingerprint):
                message = f"{_place(other)} and {_place(data)} hold different images"
                raise SklabError(
                    f"{message}, and no cell can be told by where its images lie; make each place a study of its own "
                    f"and put them side by side: sklab compare"
                )
    return HeldData(inventories)


def _look(data: DataSpec, notify: Callable[[str], object] | None) -> Inventory | None:
    """The inventory; None for a set that its settings alone decide, and for one that can't be read here."""
    with suppress(SklabError):
        return read_inventory(data, notify)
    return None


def data_sets_of(sweep: Sweep) -> list[DataSpec]:
    """Every distinct data set of the sweep's cells and, in a search, of the cells that it may find, with each of its
    splits."""
    varied = any(_is_of_data(factor.path) for factor in sweep.factors.values())
    cells = (*sweep.cells, *(searchable(sweep) if varied else ()))
    changed = [{path: value for path, value in cell.settings.items() if _is_of_data(path)} for cell in cells]
    distinct = {json.dumps(settings, sort_keys=True): settings for settings in changed}
    trees = (lay(sweep.experiment, settings)["data"] for settings in distinct.values())
    sets = [find_data(tree) for tree in trees]
    return [split for data in sets for split in splits(sweep, data)]


def has_test(sweep: Sweep) -> bool:
    """Whether data of the sweep's cells have a test split."""
    return any(data.has_test for data in data_sets_of(sweep))


def _place(data: DataSpec) -> str:
    return ", ".join(f"data.{name} = {getattr(data, name)}" for name in sorted(data.places)) or data.name


def _is_of_data(path: str) -> bool:
    return path.partition(".")[0] == "data"


def keep_inventories(folder: StudyFolder, held: HeldData) -> None:
    """Write down the inventories, so that a later start can tell what has changed."""
    for inventory in held.inventories.values():
        file = folder.inventory_file(inventory.fingerprint)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, inventory.model_dump_json())


def ensure_same(folder: StudyFolder, records: Iterable[RunRecord], held: HeldData) -> None:
    """Raise SklabError, with the changes, when runs that have a result were trained on other data than the present
    ones. Runs of versions that kept no fingerprint can't be checked; the table says so."""
    differences = list(dict.fromkeys(changed(folder, records, held)))
    if differences:
        head = f"the data are not those that {folder.path.name} was trained on; nothing was started:"
        remedy = (
            f"bring the images back; or move the study away, to train every run on those of now: mv {folder.path} "
            f"{folder.path}-before"
        )
        raise SklabError("\n  ".join([head, *differences, remedy]))


def changed(folder: StudyFolder, records: Iterable[RunRecord], held: HeldData) -> Iterator[str]:
    """The changes between the data that earlier runs were trained on and the present data, a line each."""
    seen: set[tuple[Fingerprint, Fingerprint]] = set()
    for record in records:
        data = record.spec.trained.data
        then, now = record.fingerprint, held.inventories.get(data.identity())
        if not (record.final and then and now and surely_differ(then, now.fingerprint)):
            continue
        if (pair := (then, now.fingerprint)) not in seen:
            seen.add(pair)
            since = f"since {record.cell}, seed {record.spec.seed}, was trained ({record.ended[:10]})"
            yield from (f"{since}: {change}" for change in _changes(folder, then, now))


def _changes(folder: StudyFolder, then: Fingerprint, now: Inventory) -> tuple[str, ...]:
    before = read_kept(folder.inventory_file(then), Inventory)
    lines = changes(before, now) if before else ()
    return lines or ("other images; which ones there were is not known",)
