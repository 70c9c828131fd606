"""The page of a study under way: progress, means and curves, and nothing that would be a look."""

from __future__ import annotations

import fcntl
import re

from studies import failed_record, make_records, make_sweep, write_study

from sklab.report.build import build
from sklab.report.interim import write_interim
from sklab.store.looks import looks_file
from sklab.store.study_folder import StudyFolder

VERDICTS = re.compile(r"\b(better|worse|undecided|equivalent|best cell|cannot tell|significant\w*|p =|adjusted)\b")


def under_way(tmp_path, **changes):
    records = make_records({"K3": (10.0, 11.0, 12.0), "K5": (4.0, 4.5)})
    failed = failed_record("K5", 2)
    return write_study(tmp_path / "made", make_sweep(**changes), records | {failed.key: failed})


def text_of(page):
    return re.sub(r"<(script|style|svg).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_it_shows_progress_means_curves_and_failures_and_no_verdict(tmp_path):
    folder = under_way(tmp_path)
    with StudyFolder(folder).lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = write_interim(folder)
    text = text_of(page)
    assert "5 of 6 runs complete, 1 failed, running since 20" in text
    assert "K5, seed 2: failed: oom: CUDA out of memory" in text
    assert re.search(r"K5</th><td class=\"num\">2 of 3</td><td class=\"num\">4.25</td>", text)
    assert "Learning curves" in text
    assert not VERDICTS.search(text)
    assert "location.reload()" in page.read_text()
    assert not (folder / "table.csv").exists()  # files that others read appear at the end


def test_it_is_no_look_and_the_final_report_takes_its_place(tmp_path):
    folder = under_way(tmp_path, most_seeds=6)
    page = write_interim(folder)
    assert not looks_file(folder).exists()
    assert ", running" not in text_of(page)  # nobody works on it
    build(folder)
    final = page.read_text(encoding="utf-8")
    assert VERDICTS.search(text_of(page))
    assert "reload" not in final
    assert "http-equiv" not in final
