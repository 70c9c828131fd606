"""`report.html` of a study under way: how far it is, means and curves so far, and what failed.

It shows no verdict and no interval, whatever the design: the levels of a study count how often its verdicts are looked
at, and a page that renews itself would be looked at after every run. `report.build` writes the final page over it.

`python -m sklab.report.interim STUDY` writes it once and ends: the runner has a process of its own do that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from sklab.analysis.table.rows import AblationTable, Row, Run
from sklab.report.build import study_table
from sklab.report.numbers import fixed
from sklab.store.files import write_whole
from sklab.store.states import TROUBLED, begun_at
from sklab.store.study_folder import StudyFolder

_FAILURES = 100  # listed one by one
PAGE = "report.html"


def write_interim(folder: Path) -> Path:
    """Write the page of the study in `folder` as it is now; returns its path. The page appears whole or stays as it
    was. Raises DamagedRecordError when `folder` is no study, OSError where the page can't be written."""
    page = interim_page(study_table(folder), folder)
    write_whole(folder / PAGE, page)
    return folder / PAGE


def interim_page(table: AblationTable, folder: Path) -> str:
    """The page of `table`, the study in `folder`."""
    from sklab.report.figures.study import learning_curves
    from sklab.report.pages import environment
    from sklab.report.run_files import read_curves
    from sklab.report.words import sentences

    curves = read_curves(folder, table)
    troubled = [(row, run) for row in table.rows for run in row.runs if run.state in TROUBLED]
    digits = table.sweep.metric.measure.digits
    context = {
        "table": table,
        "sweep": table.sweep,
        "sentences": sentences,
        "since": _since(StudyFolder(folder)),
        "failures": troubled[:_FAILURES],
        "further_failures": len(troubled) - len(troubled[:_FAILURES]),
        "complete": _complete,
        "mean": lambda row: fixed(row.mean, digits),
        "sd": lambda row: fixed(row.sd, digits),
        "drawings": {"curves": learning_curves(table, curves)} if curves else {},
    }
    return environment(autoescape=True).get_template("interim.html.j2").render(context)


def _complete(row: Row) -> list[Run]:
    return [run for run in row.runs if run.state == "complete"]


def _since(study: StudyFolder) -> str:
    """When the study's runner began, in UTC; "" without a runner."""
    begun = begun_at(study)
    return "" if begun == inf else f"{datetime.fromtimestamp(begun, UTC):%Y-%m-%d %H:%M} UTC"


def main(folder: str) -> None:
    """Write the page at low priority, and end when the runner does; print the seconds of CPU time that it took."""
    os.nice(10)  # not the lowest: where runs use every core, that would never be done
    threading.Thread(target=_end_with_runner, daemon=True).start()
    os.environ["MPLBACKEND"] = "svg"
    write_interim(Path(folder))
    sys.stdout.write(f"{time.process_time()}\n")


def _end_with_runner() -> None:
    """End once nobody holds the other end of standard input: a page of a runner that is gone would replace a later
    one."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
