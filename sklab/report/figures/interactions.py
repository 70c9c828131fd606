"""The figures of effects: the mean at each level of a factor, and of one factor at each level of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sklab.analysis.table.effects import LevelMean, Term
from sklab.analysis.table.rows import AblationTable
from sklab.report.escape import clean, shortened
from sklab.report.figures.style import (
    ACCENT,
    BASE,
    INK,
    MUTED,
    PAPER,
    Drawing,
    drawing,
    metric_axis,
    metric_title,
    new_figure,
    short_name,
)

_PANELS = 8
_FOR_LEGEND = 0.22  # of the height, above the lines of a pair of factors
_LINES = ((ACCENT, "o", "-"), (BASE, "s", "--"), (INK, "^", ":"), (MUTED, "D", "-."))  # told apart without colour
_LEVELS = 12  # on an axis

Means = Sequence[LevelMean]


def effect_figures(table: AblationTable) -> list[Drawing]:
    """Main effects, and the interactions of which the factors have few enough levels to be drawn."""
    means = table.effects.means
    main = {term: of for term, of in means.items() if len(term) == 1 and 2 <= len(of) <= _LEVELS}
    told = {effect.factors for effect in table.effects.analysis.effects} if table.effects.analysis else set()
    pairs: dict[Term, tuple[LevelMean, ...]] = {
        term: of for term, of in means.items() if len(term) == 2 and term in told and _can_be_drawn(of)
    }
    made = [_main(table, dict(list(main.items())[:_PANELS]), len(main))] if main else []
    return [*made, *([_pairs(table, dict(_ranked(table, pairs)[:_PANELS]), len(pairs))] if pairs else [])]


def _can_be_drawn(means: Means) -> bool:
    fewer, more = sorted(len({of.levels[side] for of in means}) for side in (0, 1))
    return fewer <= len(_LINES) and more <= _LEVELS


def _ranked(table: AblationTable, pairs: dict[Term, tuple[LevelMean, ...]]) -> list[tuple[Term, tuple[LevelMean, ...]]]:
    """The largest interactions first."""
    shares = (
        {effect.factors: effect.share for effect in table.effects.analysis.effects} if table.effects.analysis else {}
    )
    return sorted(pairs.items(), key=lambda pair: -shares[pair[0]])


def _main(table: AblationTable, means: dict[Term, tuple[LevelMean, ...]], number: int) -> Drawing:
    caption = (
        "One panel per factor: the mean of the cells at each level, with its 95 % interval for comparing levels. Lower "
        "is better. Where the line is steep the factor matters; where intervals are as wide as the step, it need not."
    )
    caption += _unbalanced(table) + _left_out(means, number, "factors")
    return drawing("effects", f"{metric_title(table)} by level of each factor", caption, partial(_draw, table, means))


def _pairs(table: AblationTable, means: dict[Term, tuple[LevelMean, ...]], number: int) -> Drawing:
    caption = (
        "One panel per pair of factors, the largest interaction first: one factor along the axis, a line for each "
        "level of the other, intervals as above. Parallel lines: the two add up. Lines that converge or cross: what "
        "one factor does depends on the other. The table of effects says which interactions are told from chance."
    ) + _left_out(means, number, "pairs")
    title = f"{metric_title(table)} by level of two factors"
    return drawing("interactions", title, caption, partial(_draw, table, means))


def _unbalanced(table: AblationTable) -> str:
    if not any(note.startswith("unbalanced") for note in table.effects.notes):
        return ""
    return " The design is unbalanced: a level shows its own effect and that of the other levels it meets."


def _left_out(means: dict[Term, tuple[LevelMean, ...]], number: int, what: str) -> str:
    return f" Shown are {len(means)} of {number} {what}." if len(means) < number else ""


def _draw(table: AblationTable, means: dict[Term, tuple[LevelMean, ...]]) -> Figure:
    across = min(4, len(means)) if all(len(term) == 1 for term in means) else min(3, len(means))
    down = math.ceil(len(means) / across)
    figure, panels = new_figure(max(3.4, 2.6 * across), 0.4 + 2.3 * down, down, across, shared="y")
    for panel, (term, of) in zip(panels, means.items(), strict=False):
        (_draw_factor if len(term) == 1 else _draw_pair)(panel, term, of)
    for panel in panels[len(means) :]:
        panel.remove()
    if any(len(term) > 1 for term in means):
        low, high = panels[0].get_ylim()
        panels[0].set_ylim(low, high + _FOR_LEGEND * (high - low))
    figure.supylabel(metric_axis(table), fontsize=9)
    return figure


def _draw_factor(panel: Axes, term: Term, means: Means) -> None:
    _line(panel, [of.levels[0] for of in means], means, 0, "")
    panel.set_title(short_name(term[0]), loc="left", color=INK)


def _draw_pair(panel: Axes, term: Term, means: Means) -> None:
    sides = [list(dict.fromkeys(of.levels[side] for of in means)) for side in (0, 1)]
    along = 0 if len(sides[0]) >= len(sides[1]) and len(sides[1]) <= len(_LINES) else 1
    for number, level in enumerate(sides[1 - along]):
        _line(panel, sides[along], [of for of in means if of.levels[1 - along] == level], number, level, along)
    panel.set_title(f"{short_name(term[along])}, by {short_name(term[1 - along])}", loc="left", color=INK)
    panel.legend(
        fontsize=7, frameon=False, labelcolor=INK, handlelength=2.6, loc="upper right", ncols=2, columnspacing=1.0
    )


def _line(panel: Axes, levels: Sequence[str], means: Means, number: int, label: str, along: int = 0) -> None:
    """The means in the order of `levels`, a little aside from the other lines so that intervals stay apart."""
    colour, shape, dashes = _LINES[number]
    ordered = sorted(means, key=lambda of: levels.index(of.levels[along]))
    places = [levels.index(of.levels[along]) + 0.05 * number for of in ordered]
    panel.errorbar(
        places, [of.mean for of in ordered], yerr=[of.half for of in ordered], label=short_name(label) or None,
        fmt=shape, ls=dashes, lw=1.1, color=colour, ecolor=colour, elinewidth=0.9, ms=4.5, mec=PAPER, mew=0.6,
    )  # fmt: skip
    panel.set_xticks(range(len(levels)), [_short(level) for level in levels])
    panel.set_xlim(-0.4, len(levels) - 0.6)
    panel.grid(axis="x", visible=False)


def _short(level: str) -> str:
    return shortened(clean(level), 10)
