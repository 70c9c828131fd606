"""The figures of questions and of effects: differences between cells that differ in one factor alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.table.questions import Answer
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean, shortened
from sklab.report.figures.style import (
    ACCENT,
    BASE,
    INK,
    MUTED,
    PAPER,
    SINGLE,
    SMALL,
    Drawing,
    better_side,
    drawing,
    metric_axis,
    metric_title,
    name_lines,
    new_figure,
    short_name,
)
from sklab.spec.study.questions import Pair, ordered

_ROWS = 40  # of differences
_PANELS = 8
_NAMED = 4  # lines in a panel that has a legend
_FOR_LEGEND = 0.3  # of a panel's height, above its lines
_LINES = ((ACCENT, "o", "-"), (BASE, "s", "--"), (INK, "^", ":"), (MUTED, "D", "-."))  # told apart without colour
_LEVELS = 12  # on an axis
_SHORT = 10  # letters of names, two of which fit side by side in a legend
_READING = (
    "{side} of the dashed line is {better}, which is better. Marks are mean differences, bars their simultaneous 95 % "
    "intervals; rings are the pairs of cells behind them. A difference is significant where its bar does not touch the "
    "line."
)

Line = Mapping[str, float]  # the mean by level


def question_figure(table: AblationTable) -> list[Drawing]:
    """The planned questions with their answers."""
    shown = _measured(table.questions)
    if not shown:
        return []
    draw = partial(_draw_differences, table, shown)
    return [drawing("questions", "Answers to the planned questions", _reading(table), draw, single=True)]


def effect_figures(table: AblationTable) -> list[Drawing]:
    """The matched difference of every level, and the cells behind it as lines, factor by factor."""
    every = _measured(table.unplanned)
    if not every:
        return _pair_lines(table)
    shown = every[:_ROWS]
    left_out = f" Shown are {len(shown)} of {len(every)}." if len(shown) < len(every) else ""
    caption = (
        f"{_reading(table)} Only cells are compared that differ in the one factor and in nothing else. These "
        f"comparisons were not planned; they are a family of their own.{left_out}"
    )
    title = f"{metric_title(table)}: what each factor changes, all else equal"
    first = drawing("effects", title, caption, partial(_draw_differences, table, shown), single=True)
    return [first, *_pair_lines(table)]


def _reading(table: AblationTable) -> str:
    return _READING.format(side=better_side(table), better=table.sweep.metric.measure.better)


def _measured(family: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in family if not math.isnan(answer.versus.difference)]


def _draw_differences(table: AblationTable, shown: Sequence[Answer]) -> Figure:
    figure, (panel,) = new_figure(SINGLE, 0.9 + 0.42 * len(shown))
    panel.axvline(0.0, color=BASE, lw=0.8, ls=(0, (4, 3)), zorder=0)
    for at, answer in enumerate(shown):
        pairs = [against.difference for _, against in answer.pairs] if len(answer.pairs) > 1 else []
        panel.plot(pairs, [at + 0.26] * len(pairs), "o", ms=3.4, mfc="none", mec=MUTED, mew=0.7)
        colour = ACCENT if answer.verdict in ("lower", "higher") else MUTED
        half = 0.0 if math.isnan(answer.versus.half) else answer.versus.half
        panel.errorbar([answer.versus.difference], [at], xerr=[half], fmt="o", ms=5.5, lw=1.2, color=colour)
    name_lines(panel, [answer.name for answer in shown])
    panel.set_xlabel(f"difference{', points' if table.sweep.metric.measure.unit else ''}")
    return figure


def _pair_lines(table: AblationTable) -> list[Drawing]:
    lines = {factor: by_name for factor in _factors(table) if (by_name := _lines(table, factor))}
    if not lines:
        return []
    shown = dict(list(lines.items())[:_PANELS])
    left_out = f" Shown are {len(shown)} of {len(lines)} factors." if len(shown) < len(lines) else ""
    caption = (
        "One panel per factor. A line joins cells that differ in that factor alone, and is named after the first of "
        "them. Parallel lines: the factor changes all cells alike. Lines that converge or cross: what it changes "
        f"depends on the other factors.{left_out}"
    )
    title = f"{metric_title(table)} of the cells behind each factor"
    return [drawing("interactions", title, caption, partial(_draw_lines, table, shown))]


def _factors(table: AblationTable) -> list[str]:
    """The factors about which there are several pairs of cells."""
    factors = (answer.question.of for answer in table.effects.matched if len(answer.pairs) > 1)
    return list(dict.fromkeys(factor for factor in factors if factor))


def _lines(table: AblationTable, factor: str) -> dict[str, Line]:
    """The means of the cells by level: a line for each group of cells with the same levels of all other factors."""
    means = {row.name: row.mean for row in table.rows if row.mean is not None}
    lines: dict[tuple[str, ...], dict[str, float]] = {}
    names: dict[tuple[str, ...], str] = {}
    for answer in table.effects.matched:
        for pair, _ in answer.pairs if answer.question.of == factor else ():
            group = tuple(pair.levels.values())
            names.setdefault(group, _name(pair))
            line = lines.setdefault(group, {})
            line[answer.question.from_ or ""] = _mean(means, pair.against)
            line[answer.question.to or ""] = _mean(means, pair.cells)
    levels = {level for line in lines.values() for level in line}
    return {names[group]: line for group, line in lines.items()} if len(levels) <= _LEVELS else {}


def _name(pair: Pair) -> str:
    return pair.against[0] if len(pair.against) == 1 else " ".join(pair.levels.values())


def _mean(means: Mapping[str, float], cells: Sequence[str]) -> float:
    return math.fsum(means[name] for name in cells) / len(cells)


def _draw_lines(table: AblationTable, lines: Mapping[str, Mapping[str, Line]]) -> Figure:
    across = min(4, len(lines))
    down = math.ceil(len(lines) / across)
    figure, panels = new_figure(max(3.4, 2.6 * across), 0.4 + 2.5 * down, down, across, shared="y")
    for panel, (factor, by_name) in zip(panels, lines.items(), strict=False):
        _draw_factor(panel, factor, by_name)
    for panel in panels[len(lines) :]:
        panel.remove()
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high + _FOR_LEGEND * (high - low))
    figure.supylabel(metric_axis(table), fontsize=9)
    return figure


def _draw_factor(panel: Axes, factor: str, lines: Mapping[str, Line]) -> None:
    levels = ordered(level for line in lines.values() for level in line)
    named = len(lines) <= _NAMED
    for number, (name, line) in enumerate(lines.items()):
        colour, shape, dashes = _LINES[number] if named else (MUTED, "o", "-")
        places = sorted((levels.index(level), mean) for level, mean in line.items())
        panel.plot(
            [at for at, _ in places], [mean for _, mean in places], marker=shape, ls=dashes, color=colour, lw=1.1,
            ms=4.5, mec=PAPER, mew=0.6, label=short_name(name),
        )  # fmt: skip
    panel.set_xticks(range(len(levels)), [shortened(clean(level), 10) for level in levels])
    panel.set_xlim(-0.4, len(levels) - 0.6)
    panel.grid(axis="x", visible=False)
    panel.set_title(short_name(factor), loc="left", color=INK)
    if named:
        wide = any(len(name) > _SHORT for name in lines)
        columns = 1 if wide else 2
        legend = panel.legend(
            fontsize=SMALL, frameon=False, labelcolor=INK, handlelength=2.6, loc="upper right", ncols=columns
        )
        legend.set_in_layout(False)  # a long name may leave the panel, but must not squeeze it
