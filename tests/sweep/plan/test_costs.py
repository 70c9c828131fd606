"""What networks cost is counted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklab.spec.networks import network
from sklab.sweep.plan import costs
from sklab.sweep.plan.costs import CostCounter, Network

ROOT = Path(__file__).parents[3]
NETWORKS = [Network(network("sknet_small", width=width), 32) for width in (8, 4, 8)]


class Counter:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, networks: list[Network]) -> list[tuple[int, int]]:
        self.asked += len(networks)
        return [(one.model.width, one.image_size) for one in networks]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_each_network_is_counted_once_for_all_starts(cache: Path) -> None:
    counter = Counter()
    for _ in range(3):
        assert CostCounter(counter)(NETWORKS) == [(8, 32), (4, 32), (8, 32)]
    assert counter.asked == 2
    assert CostCounter(counter)([Network(NETWORKS[0].model, 16)]) == [(8, 16)]


@pytest.mark.parametrize("change", ["code", "version"])
def test_other_code_or_another_torch_counts_anew(cache: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    counter = Counter()
    CostCounter(counter)(NETWORKS)
    if change == "code":
        monkeypatch.setattr(costs, "_code", lambda: "other")
    else:
        monkeypatch.setattr(costs, "installed", lambda names: dict.fromkeys(names, "99"))
    CostCounter(counter)(NETWORKS)
    assert counter.asked == 4


def test_what_networks_are_made_of_is_part_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklab.models.families

    before = costs._code()
    monkeypatch.setattr(sklab.models.families, "__path__", [*sklab.models.families.__path__, str(tmp_path)])
    (tmp_path / "mine.py").write_text("SETTINGS = {}")
    costs._code.cache_clear()
    mine = costs._code()
    (tmp_path / "mine.py").write_text("SETTINGS = {'mine': {}}")
    costs._code.cache_clear()
    assert len({before, mine, costs._code()}) == 3
    monkeypatch.undo()
    costs._code.cache_clear()


@given(st.binary(max_size=60) | st.text(max_size=20).map(str.encode) | st.just(b"[" * 10_000))
def test_a_damaged_file_is_done_without(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SKLAB_CACHE", str(folder))
        (folder / "counts.json").write_bytes(content)
        assert CostCounter(Counter())(NETWORKS) == [(8, 32), (4, 32), (8, 32)]
        assert len(json.loads((folder / "counts.json").read_bytes())) == 2


@pytest.mark.parametrize("value", [[-1, 3], [1], ["1", 2], [1.5, 2], None])
def test_what_is_no_count_is_counted_anew(cache: Path, value: object) -> None:
    CostCounter(Counter())(NETWORKS)
    names = json.loads((cache / "counts.json").read_bytes())
    (cache / "counts.json").write_text(json.dumps(dict.fromkeys(names, value)))
    assert CostCounter(Counter())(NETWORKS) == [(8, 32), (4, 32), (8, 32)]


def test_a_cache_that_can_not_be_written_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SKLAB_CACHE", str(tmp_path / "file" / "cache"))
    assert CostCounter(Counter())(NETWORKS) == [(8, 32), (4, 32), (8, 32)]


def test_the_oldest_counts_go_first_and_those_of_others_stay(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MOST_KEPT", 2)
    counter, first = Counter(), CostCounter(Counter())
    CostCounter(counter)(NETWORKS[:1])
    first(NETWORKS[1:2])  # read the file before the other was kept
    CostCounter(counter)(NETWORKS)
    assert counter.asked == 1
    CostCounter(counter)([Network(NETWORKS[0].model, 16)])
    CostCounter(counter)(NETWORKS[:1])
    assert counter.asked == 3


def test_a_second_plan_does_not_import_torch(cache: Path, toy_files: Path) -> None:
    """Nor do the list of networks and what is counted before a sweep with a claim of equal budget."""
    for arguments in (["plan", "sweep.yaml"], ["models"]):
        code = "import sys; from sklab.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
        command = [sys.executable, "-c", code, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        told = [
            subprocess.run(command, cwd=toy_files, env=environment, capture_output=True, text=True, check=True).stdout
            for _ in range(2)
        ]
        shown = [text.splitlines() for text in told]
        assert [lines[-1] for lines in shown] == ["True", "False"]
        assert shown[0][:-1] == shown[1][:-1]
