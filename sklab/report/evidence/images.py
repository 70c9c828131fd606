"""What the report says of new images: how much wider intervals for them are, and whether more images would help."""

from __future__ import annotations

from collections.abc import Sequence

from sklab.analysis.evidence.images import ImageEvidence
from sklab.analysis.table.rows import AblationTable
from sklab.analysis.variance.noise import Noise
from sklab.report.words.phrases import points
from sklab.system.terminal import quantity

_MORE = 8  # times as many images, in the advice
_MOSTLY = 0.5  # share of the variance from which on more images are the advice


def image_sentences(table: AblationTable) -> tuple[str, ...]:
    """The paragraphs; none for a study whose runs kept no images, as those of earlier versions."""
    evidence, measure = table.images, table.sweep.metric.measure
    if not measure.per_image:
        return (f"New images: not judged, because the {measure.noun} is not a mean over images.",)
    if evidence is None:
        return ()
    if evidence.lacking:
        runs = quantity(evidence.runs, "complete run")
        return (f"New images: not judged, because {evidence.lacking} of {runs} kept no record of single images.",)
    if not evidence.same:
        return ("New images: not judged, because the runs were judged on different validation images.",)
    lines = (_intervals(table, evidence), _noise(table, evidence.noise, evidence) if evidence.noise else "")
    return tuple(line for line in lines if line)


def _intervals(table: AblationTable, evidence: ImageEvidence) -> str:
    of_rows = {row.name: row.baseline.half for row in table.rows if row.baseline is not None}
    of_questions = {answer.name: answer.versus.half for answer in table.questions}
    wider = [half / of_rows[name] for name, half in evidence.halves.items()]
    wider += [half / of_questions[name] for name, half in evidence.questions.items()]
    if not wider:
        return ""
    return (
        f"New images: the verdicts hold for new seeds on the same {_images(evidence)}. For new seeds on new images, "
        f"the standard errors of differences are {_times(evidence.larger)} as large and the intervals {_times(wider)} "
        "as wide (column ±95% for new images)."
    )


def _times(ratios: Sequence[float]) -> str:
    """`1.02 to 1.19 times`."""
    return f"{' to '.join(dict.fromkeys(f'{end:.2f}' for end in (min(ratios), max(ratios))))} times"


def _images(evidence: ImageEvidence) -> str:
    images = f"{evidence.images:,} images"
    return images if evidence.sources == evidence.images else f"{images} from {evidence.sources:,} sources"


def _noise(table: AblationTable, noise: Noise, evidence: ImageEvidence) -> str:
    share = round(100 * noise.share)
    what = "images" if evidence.sources == evidence.images else "sources"
    more = (
        f"With {_MORE} times as many {what}, the standard deviation of a run would fall from "
        f"{points(table, noise.sd())} to {points(table, noise.sd(_MORE))}; {noise.worth(_MORE):.1f} times as many "
        "seeds would help as much"
    )
    return (
        f"Noise: {share} % of the variance between runs of a cell comes from the small number of images "
        f"({_images(evidence)}), {100 - share} % from training. {more}. {_advice(table, noise)}"
    )


def _advice(table: AblationTable, noise: Noise) -> str:
    if all(row.guessing is not None for row in table.rows if row.n):
        return "Nothing was learned yet, so longer training or another recipe comes first."
    if noise.share >= _MOSTLY:
        return "More validation images help most."
    learning = sum(row.last_fall is not None for row in table.rows)
    if learning:
        return f"Longer training may help most: {quantity(learning, 'cell')} still improved in the last epoch."
    return "More seeds or longer training help most."
