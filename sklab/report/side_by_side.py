"""Studies side by side as text: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sklab.analysis.evidence.paired import OverImages
from sklab.analysis.table.rows import AblationTable
from sklab.analysis.table.side_by_side import Entry, SideBySide, side_by_side
from sklab.errors import SklabError
from sklab.report.build import study_table
from sklab.report.escape import clean, markdown, shortened
from sklab.report.numbers import NO_TEST, NOTHING, Limits, fixed, half_text, limits, p_text, signed
from sklab.report.provenance import Change, difference, experiment, origins
from sklab.report.tables.markdown import markdown_table
from sklab.report.words.hardware import compared_on
from sklab.report.words.notes import same_data
from sklab.report.words.sentences import progress
from sklab.spec.names import common_names
from sklab.store.study_folder import StudyFolder
from sklab.system import terminal
from sklab.system.terminal import quantity

_NAME, _HEADING, _WIDTH = 32, 20, 120
_FIRST = ("n", "mean", "±95%", "diff")  # columns of the first study, and of every further one:
_FURTHER = (*_FIRST, "Δ", "±95% of Δ", "p")
_BY_IMAGE = ("±95% by image", "p by image")  # after these, where both studies kept the same images
_KINDS = ("mean", "Δ", "±95% of Δ", "p", *_BY_IMAGE, "n", "±95%", "diff")  # the same by importance
_SHORT_TITLES = {"±95% of Δ": "±95%"}


def compare(folders: Mapping[str, Path]) -> tuple[SideBySide, dict[str, AblationTable]]:
    """The studies in `folders`, by their names, compared with the first of them; and their tables.

    Raises SklabError for studies that can't be compared, and DamagedRecordError for a folder that is no study.
    """
    if len({folder.resolve() for folder in folders.values()}) < len(folders):
        raise SklabError(f"one study is named twice: {', '.join(folders)}")
    tables = {name: study_table(folder) for name, folder in folders.items()}
    return side_by_side(tables, {name: StudyFolder(folder) for name, folder in folders.items()}), tables


def terminal_text(comparison: SideBySide, tables: Mapping[str, AblationTable]) -> str:
    """Aligned columns, as many as the terminal has room for; below them the differences between the studies."""
    room = terminal.width()
    kinds = [kind for kind in _KINDS if kind in _further(comparison)]
    for number in range(len(kinds), 0, -1):
        drawn, kept = _drawn(comparison, kinds[:number]), kinds[:number]
        if room is None or max(map(len, drawn)) <= room:
            break
    left_out = terminal.no_room_for(kind for kind in dict.fromkeys(_further(comparison)) if kind not in kept)
    notes = [terminal.filled(line, min(_WIDTH, room or _WIDTH)) for line in sentences(comparison, tables)]
    return "\n".join([drawn[0], "-" * max(map(len, drawn)), *drawn[1:], *left_out, "", *notes])


def _drawn(comparison: SideBySide, kinds: Sequence[str]) -> list[str]:
    """The heading and a line per cell, with the columns of these kinds of every study."""
    lines = [_head(comparison, kinds), *_rows(comparison, kinds)]
    widths = terminal.column_widths(lines)
    return [terminal.aligned(line, widths) for line in lines]


def as_markdown(comparison: SideBySide, tables: Mapping[str, AblationTable]) -> str:
    """The table in Markdown, and below it the differences between the studies."""
    further = _further(comparison)
    table = markdown_table(_head(comparison, further), _rows(comparison, further))
    return "\n".join([*table, "", *(f"- {markdown(line)}" for line in sentences(comparison, tables))])


def as_json(comparison: SideBySide, tables: Mapping[str, AblationTable]) -> str:
    """Every number, at full precision; null where there is none."""
    ranks = [None if rank.tau != rank.tau else asdict(rank) for rank in comparison.ranks]
    differ = [
        {path: [change.baseline, change.here] for path, change in changes.items()}
        for changes in _differ(comparison, tables)
    ]
    numbers = {**asdict(comparison), "metric": comparison.metric.model_dump(), "ranks": ranks, "differ": differ}
    return json.dumps(numbers, indent=1, ensure_ascii=False)


def sentences(comparison: SideBySide, tables: Mapping[str, AblationTable]) -> list[str]:
    """The lines below the table: what its numbers are, how the studies differ, whether they agree on the order of
    cells."""
    unit, epoch = comparison.metric.measure.unit, comparison.metric.epoch
    better = comparison.metric.measure.better
    metric = f"{comparison.metric.measure.title}{unit and f', {unit}'} at the {epoch} epoch; {better} is better"
    first = clean(comparison.studies[0])
    tests = sum(
        bool(entry and entry.shift and entry.shift.p is not None)
        for entries in comparison.cells.values()
        for entry in entries
    )
    lines = [
        f"{metric}. ±95%: half width of the 95 % t interval of the cell's own runs. diff: minus the study's own "
        f"baseline, over the seeds that both have. Δ: minus {first}, seed by seed, with its 95 % t interval; p: "
        f"two-sided paired t test, Holm-adjusted over {quantity(tests, 'test')}. {NO_TEST}: too few shared seeds, or "
        "no spread."
    ]
    lines += _images_note(comparison)
    for name, rank, differ in zip(comparison.studies[1:], comparison.ranks, _differ(comparison, tables), strict=True):
        order = (
            f"Kendall's tau {rank.tau:+.2f} over {quantity(rank.n, 'cell')}"
            if rank.tau == rank.tau
            else "no order to compare"
        )
        lines += [f"{clean(name)} against {first}: {order.replace('-', '−')}; {_settings(differ)}"]
        pair = (tables[comparison.studies[0]], tables[name])
        lines += [f"{clean(name)} against {first}: {note}" for note in (same_data(*pair), compared_on(*pair)) if note]
    codes = {
        name: "; ".join(dict.fromkeys(origin.code for origin in origins(table)[0])) for name, table in tables.items()
    }
    lines += [f"{clean(name)}: {_open(tables[name])}{code or 'no run has ended'}" for name, code in codes.items()]
    alone = [(name, cells) for name, cells in zip(comparison.studies, comparison.alone, strict=True) if cells]
    return lines + [f"only in {clean(name)}: {', '.join(map(clean, cells[:20]))}" for name, cells in alone]


def _images_note(comparison: SideBySide) -> list[str]:
    """What the columns by image are."""
    paired, measure = _over_images(comparison), comparison.metric.measure
    if not measure.per_image:
        return [f"by image: not compared, for the {measure.noun} is not a mean over images."]
    if not paired:
        return []
    alone = "one shared seed: for new images and these two networks alone, p by McNemar's exact test"
    both = "for new seeds on new images"
    whose = "; ".join(
        [alone] * any(one.n == 1 for one in paired) + [f"several: {both}"] * any(one.n > 1 for one in paired)
    )
    tests = quantity(sum(one.p is not None for one in paired), "test")
    return [f"by image: the same Δ, paired by image as well; {whose}; Holm-adjusted over {tests}."]


def _open(table: AblationTable) -> str:
    """The states of the runs of an incomplete study; "" for a complete one."""
    every = all(run.state == "complete" for row in table.rows for run in row.runs)
    return "" if every else f"{progress(table)}; "


def _head(comparison: SideBySide, kinds: Sequence[str]) -> list[str]:
    """The headings: `cell`, then the columns of these kinds. The first column of a study bears its name."""
    heads = ["cell"]
    for at, name in enumerate(_headings(comparison.studies)):
        first, *others = (_SHORT_TITLES.get(kind, kind) for kind in _kinds(at, kinds))
        heads += [f"{name} {first}", *others]
    return heads


def _further(comparison: SideBySide) -> tuple[str, ...]:
    """The columns of every further study."""
    return (*_FURTHER, *_BY_IMAGE) if _over_images(comparison) else _FURTHER


def _over_images(comparison: SideBySide) -> list[OverImages]:
    """What is paired by image, in any study and cell."""
    shifts = [entry.shift for entries in comparison.cells.values() for entry in entries if entry and entry.shift]
    return [shift.images for shift in shifts if shift.images is not None]


def _kinds(study: int, kinds: Sequence[str]) -> list[str]:
    """The columns of these kinds that study number `study` (from 0) has."""
    return [kind for kind in ((*_FURTHER, *_BY_IMAGE) if study else _FIRST) if kind in kinds]


def _headings(studies: Sequence[str]) -> list[str]:
    """The studies' names. Where one is too long, the ends of the paths that differ, cut on the left."""
    names = [clean(name) for name in studies]
    if max(map(len, names)) <= _HEADING:
        return names
    depths = range(1, 1 + max(name.count("/") + 1 for name in names))
    ends = (["/".join(name.split("/")[-depth:]) for name in names] for depth in depths)
    distinct = next((candidates for candidates in ends if len(set(candidates)) == len(names)), names)
    short = [_end(name, _HEADING) for name in distinct]
    if len(set(short)) == len(names):
        return short
    return [f"{number}: {_end(name, _HEADING - 3)}" for number, name in enumerate(distinct, start=1)]


def _end(text: str, widest: int) -> str:
    return text if len(text) <= widest else f"…{text[1 - widest :]}"


def _rows(comparison: SideBySide, kinds: Sequence[str]) -> list[list[str]]:
    digits, within = comparison.metric.measure.digits, limits(comparison.metric)
    return [
        [
            shortened(clean(name), _NAME),
            *(_texts(entry, digits, within)[kind] for at, entry in enumerate(entries) for kind in _kinds(at, kinds)),
        ]
        for name, entries in comparison.cells.items()
    ]


def _texts(entry: Entry | None, digits: int, within: Limits) -> dict[str, str]:
    """The text in each column of a study, by the kind of column."""
    if entry is None:
        return dict.fromkeys((*_FURTHER, *_BY_IMAGE), NOTHING)
    shift = entry.shift
    texts = {
        "n": str(entry.n),
        "mean": fixed(entry.mean, digits),
        "±95%": half_text(entry.mean, entry.half, within, digits),
        "diff": signed(entry.from_baseline, digits),
    }
    if shift is None:
        return texts
    p = NO_TEST if shift.adjusted is None else p_text(shift.adjusted)
    of_images = dict.fromkeys(_BY_IMAGE, NOTHING)
    if shift.images is not None:
        by_image = NO_TEST if shift.images.adjusted is None else p_text(shift.images.adjusted)
        of_images = dict(zip(_BY_IMAGE, (fixed(shift.images.half, digits), by_image), strict=True))
    return {**texts, "Δ": signed(shift.mean, digits), "±95% of Δ": fixed(shift.half, digits), "p": p, **of_images}


def _differ(comparison: SideBySide, tables: Mapping[str, AblationTable]) -> list[dict[str, Change]]:
    """The settings of each further study that differ from the first study's, by path; by `path (cell)` where they do
    not differ in every shared cell."""
    rows = [tables[name].rows for name in comparison.studies]
    names_by_study = common_names([[row.name for row in study_rows] for study_rows in rows])
    first, *others = (
        {names[row.name]: experiment(row) for row in study_rows}
        for names, study_rows in zip(names_by_study, rows, strict=True)
    )
    return [_common(first, other) for other in others]


def _common(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Change]:
    cells = [name for name in first if first[name] is not None and other.get(name) is not None]
    of_cell = {name: difference(first[name], other[name]) for name in cells}
    counts = Counter(change for changes in of_cell.values() for change in changes)
    return {
        change.path if counts[change] == len(cells) else f"{change.path} ({clean(name)})": change
        for name, changes in of_cell.items()
        for change in changes
    }


def _settings(differ: Mapping[str, Change]) -> str:
    changed = [f"{path} {change.baseline} → {change.here}" for path, change in differ.items()]
    more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
    return f"settings: {'; '.join(changed[:10])}{more}" if changed else "the same settings"
