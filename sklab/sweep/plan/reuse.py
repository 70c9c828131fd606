"""Take over finished runs of other studies under the same results root, so that nothing is trained twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sklab.spec.study.sweep import Cell, Epoch, Sweep
from sklab.store.dated import weights_of
from sklab.store.files import content, is_regular, write_whole
from sklab.store.reader import RecordReader
from sklab.store.records import Code, Reused, RunOrder, RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.store.versions import dependencies
from sklab.sweep.design.cells import run_spec
from sklab.sweep.plan.prepared import Prepared, Start
from sklab.sweep.plan.trained_data import HeldData, has_test

_MOST_COPIED = 2**30  # bytes of a file


@dataclass(frozen=True)
class Offer:
    """A run that has ended for good in another study; `study` is the name of its folder."""

    study: str
    run: RunFolder
    record: RunRecord


def take_over(study: Prepared) -> dict[str, RunRecord]:
    """Copy finished runs of other studies into this one where it has no result; returns their records by key.

    A run comes with all its files or not at all. "same code" refuses runs made by other code, or by a tree with
    uncommitted changes. Runs that were trained on other data or with another version of their network's library
    are never taken. Raises OSError when results can't be written.
    """
    sweep, offered = study.sweep, to_take(study)
    taken = {}
    for cell, seed, key in _planned(sweep):
        if offer := offered.get(key):
            order = RunOrder(
                key=key,
                study=sweep.study,
                cell=cell.name,
                factors=cell.factors,
                spec=run_spec(sweep, cell, seed),
                code=offer.record.code,
                sizes=sweep.sizes,
                metrics=sweep.further_metrics,
                own_metrics=sweep.own_metrics,
                fingerprint=offer.record.fingerprint,
            )
            if record := _take(offer, order, study.folder.run(key), study.start.code):
                taken[key] = record
    return taken


def to_take(study: Prepared) -> dict[str, Offer]:
    """The runs of other studies that `take_over` would take, by key."""
    if study.start.reuse == "never":
        return {}
    every = offers(study.sweep, study.folder, study.records)
    tested = study.sweep.metric.epoch if has_test(study.sweep) else None
    fitting = {
        key: [
            offer
            for offer in offered
            if _has_same_data_and_libraries(offer.record, study.held) and _has_weights_for_test(offer, tested)
        ]
        for key, offered in every.items()
    }
    return {key: offer for key, offered in fitting.items() if (offer := _choose(offered, study.start))}


def _has_weights_for_test(offer: Offer, tested: Epoch | None) -> bool:
    """Whether the run has the weights, of the epoch by that rule, that will be judged on the test split, if any are."""
    if tested is None or offer.record.status != "complete":
        return True
    return is_regular(weights_of(offer.run, offer.record, tested)[1])


def _has_same_data_and_libraries(record: RunRecord, held: HeldData) -> bool:
    """Whether the run certainly had the present data and the present versions of libraries, which its settings
    do not decide."""
    experiment = record.spec.experiment
    if not experiment.data.drawn:
        now = held.fingerprint(record.spec.trained.data)
        if now is None or record.fingerprint is None or not record.fingerprint.same_as(now):
            return False
    return all(record.versions.get(name) == value for name, value in dependencies(experiment).items())


def offers(sweep: Sweep, folder: StudyFolder, records: Mapping[str, RunRecord]) -> dict[str, tuple[Offer, ...]]:
    """The results that other studies have for runs of `sweep` without a result in `folder`, by key."""
    # The folder of each other study is listed once, instead of checked for every key.
    others = {study: _names(study / "runs") for study in _other_studies(folder)}
    offered = {}
    for _, _, key in _planned(sweep):
        holders = [study for study, names in others.items() if key in names]
        if holders and not _has_result(records.get(key)) and not folder.run(key).is_queued:
            offered[key] = tuple(offer for study in holders if (offer := _offer(study, key)))
    return {key: usable for key, usable in offered.items() if usable}


def _planned(sweep: Sweep) -> Iterator[tuple[Cell, int, str]]:
    return ((cell, seed, key) for cell in sweep.cells for seed, key in cell.runs.items())


def _has_result(record: RunRecord | None) -> bool:
    return record is not None and record.final


def _other_studies(folder: StudyFolder) -> list[Path]:
    own = folder.path.resolve()
    return sorted(own.parent / name for name in _names(own.parent) if name != own.name)


def _names(folder: Path) -> frozenset[str]:
    """The names in `folder`; none where it can't be read."""
    try:
        return frozenset(entry.name for entry in folder.iterdir())
    except OSError:
        return frozenset()


def _offer(study: Path, key: str) -> Offer | None:
    """The run in `study`, or None where it has not ended for good, lacks files, or has a record that is damaged,
    edited or of another run; the other study is never changed. Also None in a copy of a study under another name,
    such as a shipped example: its origin is unknown."""
    run = StudyFolder(study).run(key)
    try:
        record = RecordReader().read(content(run.record_file))
    except (OSError, ValidationError):
        return None
    is_its_own = record.study == study.name and record.key == record.spec.key == key
    is_result = record.final and record.status != "pruned" and not record.edited
    return Offer(study.name, run, record) if is_result and is_its_own and _is_whole(run, record) else None


def _is_whole(run: RunFolder, record: RunRecord) -> bool:
    """Whether every file of a complete run is there: somebody may delete the study at this moment."""
    return record.status != "complete" or (is_regular(run.weights_file) and is_regular(run.metrics_file))


def _choose(offered: Sequence[Offer], start: Start) -> Offer | None:
    """The best offer: one of the same code if there is one, then an original rather than a copy, then the one that
    ended first."""
    any_code = start.reuse == "any code"
    return min(
        [offer for offer in offered if any_code or offer.record.code.same_as(start.code)],
        key=lambda offer: (
            not offer.record.code.same_as(start.code),
            offer.run.reused_file.exists(),
            offer.record.ended,
            offer.study,
        ),
        default=None,
    )


def _take(offer: Offer, order: RunOrder, run: RunFolder, code: Code) -> RunRecord | None:
    """Copy the offered run into `run`; None where a file can't be copied, and the run is trained then. The record is
    written last, so that a copy that was interrupted counts as not ended."""
    replaced = ("study", "cell", "factors", "spec")
    record = offer.record.model_copy(update={name: getattr(order, name) for name in replaced})
    weights = _aside(run)
    contents = _read_all(offer, weights)
    if contents is None:
        weights.unlink(missing_ok=True)
        return None
    run.write_order(order)
    run.begin_attempt()
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # those of a run that was interrupted in this study
    if weights.exists():
        weights.replace(run.weights_file)
    for name, copied in contents.items():
        write_whole(run.path / name, copied)
    write_whole(run.reused_file, Reused(study=offer.study, key=order.key, code=code).model_dump_json(indent=1))
    run.write_record(record)
    return record


def _aside(run: RunFolder) -> Path:
    """The file where weights wait until the rest is read; one that a killed runner left is removed."""
    run.path.mkdir(parents=True, exist_ok=True)
    aside = run.path / ".weights.pt.taken"
    aside.unlink(missing_ok=True)
    return aside


def _read_all(offer: Offer, weights: Path) -> dict[str, bytes] | None:
    """The files to copy, by name; the weights are linked to `weights`. None where a file can't be read or the folder
    changed meanwhile: somebody deletes the study, or trains the run anew."""
    run = offer.run
    names = _to_copy(run)
    try:
        contents = {name: content(run.path / name, _MOST_COPIED) for name in names}
    except OSError:
        return None
    _link(run.weights_file, weights)
    has_weights = weights.exists() or offer.record.status != "complete"
    is_as_it_was = (names, offer) == (_to_copy(run), _offer(run.path.parents[1], run.path.name))
    return contents if has_weights and is_as_it_was else None


def _to_copy(run: RunFolder) -> list[str]:
    """The names of the run's files, without weights and record."""
    evaluations = sorted(run.path.glob("evaluation-*.json"))
    scored = (run.attention_file, run.images_file, run.analysis_file, run.metrics_evaluated_file)
    files = (*scored, run.best_weights_file, run.metrics_file, run.steps_file, run.log_file, *evaluations)
    return [file.name for file in files if file.exists()]


def _link(source: Path, target: Path) -> None:
    """Weights are replaced and never changed in place, so that two studies may share them, each with its own name."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        with suppress(FileNotFoundError, PermissionError):
            write_whole(target, source.read_bytes())
