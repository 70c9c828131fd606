"""The notes on runs: edited and reused ones, cut batches, unknown or other data, seeds that were added until a
decision."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from sklab.analysis.choice.race import BestRace
from sklab.analysis.statistics.sequential import RACING, UNDECIDED, Race
from sklab.analysis.table.rows import AblationTable, Row
from sklab.report.escape import clean
from sklab.report.provenance import code_text, ended
from sklab.report.words.phrases import listed
from sklab.spec.data import Fingerprint, surely_differ
from sklab.spec.study.sweep import Replicates
from sklab.store.records import Code, RunRecord
from sklab.system.terminal import quantity


def reused(table: AblationTable) -> list[str]:
    """A line for each study and code that runs come from, with a caution where other code made them."""
    cells = {run.key: row.name for row in table.rows for run in row.runs}
    groups: dict[tuple[str, Code, Code], list[str]] = defaultdict(list)
    for run in ended(table):
        origin = table.reused.get(run.key)
        if origin and run.record:
            groups[origin.study, run.record.code, origin.code].append(cells[run.key])
    return [
        f"{quantity(len(names), 'run')} reused from study {clean(study)}: {listed(dict.fromkeys(names))}"
        f"{_caution(made, taken)}"
        for (study, made, taken), names in groups.items()
    ]


def _caution(made: Code, taken: Code) -> str:
    if made.same_as(taken):
        return ""
    return f"; caution: made by {code_text(made)}, reused by {code_text(taken)}, whose numbers may differ"


def origin_path(study: str, key: str) -> str:
    """The record that a reused run was copied from, as a relative link; dead once that study is deleted."""
    return f"../{quote(study, safe='')}/runs/{quote(key, safe='')}/record.json"


def verdicts(table: AblationTable) -> tuple[str, ...]:
    """The note with the verdicts under repeated looking; none for a study whose cells all have the same seeds."""
    if table.for_best is not None:
        return (_found(table, table.for_best),)
    if table.race is None:
        return ()
    others = [at for at, name in enumerate(table.race_names) if name != table.sweep.baseline]
    what = "planned questions" if table.sweep.by_question else "against the baseline"
    return (f"{what}, under repeated looking: {decisions(table, table.race, others)}",)


def _found(table: AblationTable, now: BestRace) -> str:
    """How many seeds each cell got to find the best one, and why there are no more."""
    rule, cells = table.sweep.replicates, zip(table.sweep.cells, now.requested.tolist(), strict=True)
    assert rule is not None
    more = [f"{clean(cell.name)} {seeds}" for cell, seeds in sorted(cells, key=lambda of: -of[1]) if seeds > rule.start]
    why = {
        "found": f"one is the best with a probability of {rule.probability:g} or more",
        "seeds": f"the likeliest have {rule.max} seeds, the most that they may have",
        "runs": f"more seeds would make more than {rule.runs} runs",
        "no spread": "the same numbers with every seed say nothing",
        "": "not settled yet",
    }
    seeds = (
        f"seeds of the likeliest best cells: {', '.join(more)}" if more else "no cell got more seeds than the others"
    )
    tested = f"all tests are of the first {rule.start} seeds of each cell, which no result decided"
    return f"{seeds} ({why[now.over]}); {tested}"


def decisions(table: AblationTable, race: Race, cells: Sequence[int]) -> str:
    """The comparisons at these positions; those with the same verdict and number of seeds stand together."""
    groups: dict[tuple[str, int], list[str]] = {}
    for at in cells:
        groups.setdefault((str(race.verdict[at]), int(race.decided_at[at])), []).append(clean(table.race_names[at]))
    return "; ".join(f"{', '.join(names)} {_how(*group, table.sweep.replicates)}" for group, names in groups.items())


def _how(verdict: str, seeds: int, rule: Replicates | None) -> str:
    if verdict == RACING:
        return "not settled yet"
    return f"{verdict} at {seeds} seeds{_stop(seeds, rule) if rule and verdict == UNDECIDED else ''}"


def _stop(seeds: int, rule: Replicates) -> str:
    if seeds == rule.max:
        return ", the most that it may have"
    return f": one more for all in doubt would make more than {rule.runs} runs"


def edited(table: AblationTable) -> list[str]:
    """One line with the names of the edited runs; none where every record fits its seal or has none."""
    names = [
        f"{row.name} seed {run.seed}" for row in table.rows for run in row.runs if run.record and run.record.edited
    ]
    if not names:
        return []
    how = "was changed after its run" if len(names) == 1 else "were changed after their runs"
    return [f"caution: {quantity(len(names), 'record')} {how} had written it: {listed(names)}"]


def cut_batches(table: AblationTable) -> list[str]:
    """One line per row and size of batch."""
    return [line for row in table.rows for line in _lines(row)]


def _lines(row: Row) -> list[str]:
    seeds: dict[int, list[str]] = {}
    for run in row.runs:
        if run.record is not None and run.record.accumulate_factor > 1:
            seeds.setdefault(run.record.accumulate_factor, []).append(str(run.seed))
    return [f"{clean(row.name)}: {_batches(row, factor, numbers)}" for factor, numbers in sorted(seeds.items())]


def _batches(row: Row, factor: int, seeds: list[str]) -> str:
    train = next(run.record for run in row.runs if run.record is not None).spec.experiment.train
    return (
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}: out of memory, so trained in batches of "
        f"{train.batch_size // factor} instead of {train.batch_size}, {train.accumulate * factor} accumulated: the "
        f"effective batch is the recipe's, but batch norm sees the smaller ones"
    )


def trained_on(table: AblationTable) -> list[str]:
    """A line for the runs whose data are unknown, one for rows whose runs have different data under the same settings,
    and one for each library of a network of which the runs have several versions."""
    records = [run.record for run in ended(table) if run.record]
    unknown = [record for record in records if record.data_unknown]
    first = _first_of_each(records)
    mixed = [record for record in records if _is_other(record, first)]
    return [*([_unknown(unknown)] if unknown else []), *([_mixed(mixed)] if mixed else []), *_versions(records)]


def same_data(ours: AblationTable, theirs: AblationTable) -> str:
    """Whether two studies were trained on the same images; "" where their settings alone answer that."""
    first, second = ([run.record for run in ended(table) if run.record] for table in (ours, theirs))
    known = _first_of_each(first)
    shared = [record for record in second if _identity(record) in known]
    if any(record.data_unknown for record in (*first, *second)):
        return "whether both were trained on the same images is not known"
    if not shared or all(record.fingerprint is None for record in shared):
        return ""
    other = any(_is_other(record, known) for record in shared)
    return "trained on other images under the same settings" if other else "trained on the same images"


def _versions(records: Iterable[RunRecord]) -> Iterator[str]:
    """A line for each library of which the runs have several versions: results depend on them as well."""
    counts_by_name: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for name, version in record.versions.items():
            if name in record.spec.experiment.libraries:
                counts_by_name[name][version] += 1
    for name, counts in counts_by_name.items():
        if len(counts) > 1:
            versions = ", ".join(f"{clean(version)} ({quantity(number, 'run')})" for version, number in counts.items())
            yield f"caution: runs were made with different versions of {clean(name)}: {versions}"


def _unknown(records: list[RunRecord]) -> str:
    cells = listed(dict.fromkeys(record.cell for record in records))
    was = "was" if len(records) == 1 else "were"
    return (
        f"which images {quantity(len(records), 'run')} {was} trained on is not known, as in records of earlier "
        f"versions: {clean(cells)}"
    )


def _mixed(records: list[RunRecord]) -> str:
    cells = listed(dict.fromkeys(record.cell for record in records))
    was = "was" if len(records) == 1 else "were"
    return f"caution: {quantity(len(records), 'run')} {was} trained on other images than the first: {clean(cells)}"


def _first_of_each(records: Iterable[RunRecord]) -> Mapping[str, Fingerprint]:
    """For each setting of the data, the fingerprint of the first run that has one."""
    first: dict[str, Fingerprint] = {}
    for record in records:
        if record.fingerprint:
            first.setdefault(_identity(record), record.fingerprint)
    return first


def _is_other(record: RunRecord, first: Mapping[str, Fingerprint]) -> bool:
    return surely_differ(first.get(_identity(record)), record.fingerprint)


def _identity(record: RunRecord) -> str:
    return record.spec.trained.data.identity()
