"""What networks cost is counted once."""

from __future__ import annotations

import pytest

from sklab.records import Code
from sklab.sweep import counted
from sklab.sweep.counted import Counted


class Counter:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, experiments: list) -> list[tuple[int, int]]:
        self.asked += len(experiments)
        return [(one.model.width, 7) for one in experiments]


@pytest.fixture
def as_code(monkeypatch):
    def be(commit: str, *, dirty: bool = False) -> None:
        monkeypatch.setattr(counted, "this_code", lambda: Code(version="1", commit=commit, dirty=dirty))

    return be


def test_each_network_is_counted_once_for_all_starts_of_the_same_code(tmp_path, toy_order, as_code):
    experiments = [toy_order(model={"width": width}).spec.experiment for width in (8, 4, 8)]
    counter = Counter()
    for commit in "aab":
        as_code(commit)
        assert list(Counted(counter, tmp_path / "results")(experiments)) == [(8, 7), (4, 7), (8, 7)]
    assert counter.asked == 4
    as_code("a")
    (tmp_path / "results" / ".costs.json").write_text("torn")
    Counted(counter, tmp_path / "results")(experiments)
    assert counter.asked == 6


def test_uncommitted_changes_and_a_folder_that_can_not_be_written_keep_nothing(tmp_path, toy_order, as_code):
    experiments = [toy_order().spec.experiment]
    as_code("a", dirty=True)
    counter = Counter()
    for _ in range(2):
        Counted(counter, tmp_path / "results")(experiments)
    assert (counter.asked, (tmp_path / "results").exists()) == (2, False)
    as_code("a")
    assert Counted(counter, tmp_path / "results", keep=False)(experiments) == [(8, 7)]
    assert not (tmp_path / "results").exists()
    (tmp_path / "file").touch()
    assert Counted(counter, tmp_path / "file" / "results")(experiments) == [(8, 7)]
