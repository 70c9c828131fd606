"""A study in Python: its runs, its table and its answers as data, and its trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklab.store.study_folder import StudyFolder

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from sklab.analysis.table.questions import Answer
    from sklab.analysis.table.rows import AblationTable

_WIDTH = 120  # of the study as plain text
_QUESTION = ("question", "estimate", "low", "high", "p", "verdict", "sentence", "n", "pairs", "planned")


def load(study: str | Path, results: str | Path = "results") -> Study:
    """The study in a folder, as it stands now; it may still be running.

    study    the path of its folder (`results/kernels`), or its name under `results` (`kernels`)
    results  the folder of studies

    Raises SklabError where there is no such study; the message names those that there are.
    """
    from sklab.commands.options import study_folder

    return Study(study_folder(str(study), Path(results)))


class Study:
    """A study as it stood when `sklab.load` read it. Load it again to see what has ended since.

    A notebook shows its answer and its table. Every data frame is made anew where it is asked for, so a change to one
    changes nothing else. To load a study is a look at it, as to print its table is.
    """

    def __init__(self, folder: StudyFolder) -> None:
        from sklab.commands.results import keep_look
        from sklab.report.build import study_table

        self._folder = folder
        self._table: AblationTable = study_table(folder.path)
        keep_look(folder, self._table)

    @property
    def name(self) -> str:
        """The study's name."""
        return self._table.sweep.study

    @property
    def path(self) -> Path:
        """The study's folder, with `report.html`."""
        return self._folder.path

    @property
    def answer(self) -> str:
        """The first sentences of the report: the answers to the study's questions, or why there are none yet."""
        from sklab.report.evidence.held_out import claims
        from sklab.report.words.verdict import result

        return " ".join((*claims(self._table), result(self._table)))

    @property
    def runs(self) -> pd.DataFrame:
        """One line a run, ended or not; nothing is rounded. `runs.csv` beside the table holds the same at 9 digits.

        Columns: `study`, `cell`, one for each factor, `seed`, `status` (complete, diverged, pruned, failed, stopped,
        unreadable, running or waiting); metrics at the epoch of the study's rule, errors in % (`val_error`, ...), of
        complete runs only; `test_error` once the test split was read, `error_N` at N pixels a side; `params`, `macs`,
        `latency_ms`, `samples_per_second`, `peak_memory_mb` (10^6 bytes); `epochs`, `train_seconds`, `wall_seconds`,
        `started`, `ended`, `attempts`; `device`, `device_name`, `devices`; `reused_from`, `reason`, `key`. What was not
        measured is missing (NaN).
        """
        from sklab.analysis.frames.runs import runs_frame

        return runs_frame(self._table)

    @property
    def curves(self) -> pd.DataFrame:
        """One line an epoch of each run that has begun: `cell`, `seed`, `status`, `epoch` (counted from 1), the metrics
        of that epoch, `key`."""
        from sklab.analysis.frames.runs import curves_frame

        return curves_frame(self._folder, self._table)

    @property
    def table(self) -> pd.DataFrame:
        """One line a cell, by its name: the numbers of `table.csv`, unrounded; the single runs are in `runs`.

        `mean`, `sd` and `half` (half width of the 95 % interval) are of the study's metric; `vs_baseline_...` and
        `vs_best_...` are the differences from the baseline and from the best mean, their intervals and p.
        """
        from sklab.analysis.frames.table import data_frame

        return data_frame(self._table).set_index("cell")

    @property
    def questions(self) -> pd.DataFrame:
        """One line a question, by its name: first those that were planned (`planned`), then the factors that none asks
        about.

        `estimate` is the mean difference over the `pairs` of cells and `n` seeds, in the unit of the metric; `low` and
        `high` are the ends of its 95 % interval and `p` its adjusted p: both hold for all planned questions together,
        and for all others together. `verdict` is lower, higher, equivalent, not higher, not lower, undecided or no
        test; `sentence` says it in words.
        """
        import pandas as pd

        families = ((True, self._table.questions), (False, self._table.unplanned))
        rows = [
            {"question": answer.name, **_answered(self._table, answer), "planned": planned}
            for planned, family in families
            for answer in family
        ]
        return pd.DataFrame(rows, columns=_QUESTION).set_index("question")

    @property
    def attention(self) -> pd.DataFrame:
        """What `sklab analyze` found, a line for each share of attention: `cell`, `seed`, `unit`, `branch`, `kernel`
        (side of its window in pixels), `enlargement` of the images, `class` (missing: all), `share` (mean over images),
        `spread` (standard deviation over images), `key`. Raises SklabError where no run was analysed.
        """
        from sklab.analysis.frames.measured import attention_frame

        return attention_frame(self._folder, self._table)

    def images(self, cell: str | None = None, seed: int | None = None, *, classes: bool = False) -> pd.DataFrame:
        """What complete runs made of each validation image: `cell`, `seed`, `image` (its place in the validation set,
        from 0), `source` (equal for images of one origin), `wrong`, `loss`, `key`.

        cell, seed  only runs of this cell, and with this seed
        classes     whether `class` is added, the true class of each image, from the data set

        Runs do not keep which class they named instead; the network of `model` can tell. Raises SklabError for a cell
        or seed that there is not, where no run keeps its images, and where the data set is missing or has changed.
        """
        from sklab.analysis.frames.measured import images_frame
        from sklab.sweep.state.named import trained_name

        if cell is not None:
            cell = trained_name(self._table.sweep, [row.name for row in self._table.rows if row.runs], cell)
        frame = images_frame(self._folder, self._table, cell, seed)
        if classes:
            frame.insert(4, "class", self._true_classes(frame))
        return frame

    def _true_classes(self, images: pd.DataFrame) -> list[str]:
        from sklab.api.trained import true_classes

        by_run = {key: true_classes(self._folder.run(key)) for key in dict.fromkeys(images["key"])}
        return [str(by_run[key][image]) for key, image in zip(images["key"], images["image"], strict=True)]

    def model(self, cell: str, seed: int = 0) -> nn.Module:
        """The trained network of a complete run: on the CPU, in eval mode, with the weights of its last epoch.

        It takes images [N, C, H, W], normalised as in training, and gives logits [N, classes].

        cell  its name, as in the table
        seed  that of the run

        Raises SklabError for a cell or seed that there is not, where the run is not complete, and where its weights are
        not there.
        """
        from sklab.api.trained import network
        from sklab.own.files import choose
        from sklab.sweep.state.named import named_run

        choose(None, results=self.path.parent)  # the network may be of the user's own code
        return network(named_run(self._folder, cell, seed))

    def __repr__(self) -> str:
        from sklab.report.words.sentences import progress
        from sklab.system.terminal import filled

        return filled(f"Study {self.path}: {progress(self._table)}\n{self.answer}", _WIDTH)

    def _repr_html_(self) -> str:
        from markupsafe import Markup

        from sklab.report.escape import clean
        from sklab.report.pages import summary_html
        from sklab.report.words.sentences import progress

        table = Markup(summary_html(self._table))  # noqa: S704 - it has escaped what it shows
        page = Markup("<div><p><b>{}</b>: {}</p><p>{}</p>{}</div>")
        return str(page.format(clean(self.name), progress(self._table), self.answer, table))


def _answered(table: AblationTable, answer: Answer) -> dict[str, Any]:
    from sklab.report.words.answers import answer_sentence

    versus = answer.versus
    return {
        "estimate": versus.difference,
        "low": versus.difference - versus.half,
        "high": versus.difference + versus.half,
        "p": versus.adjusted,
        "verdict": answer.verdict,
        "sentence": answer_sentence(table, answer),
        "n": versus.n,
        "pairs": len(answer.pairs),
    }
