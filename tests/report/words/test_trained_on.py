"""What a table says of the data behind its runs."""

from __future__ import annotations

import pytest
from studies import key_of, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.rows import AblationTable
from sklab.report.words.notes import trained_on
from sklab.spec.data import DataSpec, Fingerprint

ONE, OTHER = Fingerprint(listing="1", sample="1"), Fingerprint(listing="2", sample="2")


def table_of(k3: list[Fingerprint], k5: list[Fingerprint]) -> AblationTable:
    runs = {(name, seed): one for name, found in (("K3", k3), ("K5", k5)) for seed, one in enumerate(found)}
    records = {
        key_of(name, seed): make_record(name, seed, 20.0).model_copy(update={"fingerprint": one})
        for (name, seed), one in runs.items()
    }
    return ablation_table(make_sweep(("K3", "K5"), range(len(k3))), records)


def test_runs_over_other_images_than_the_first_are_told():
    (line,) = trained_on(table_of([ONE, ONE], [ONE, OTHER]))
    assert line == "caution: 1 run was trained on other images than the first: K5"


@pytest.mark.parametrize("seeds", [5, 50])
def test_each_run_is_looked_at_a_fixed_number_of_times(monkeypatch: pytest.MonkeyPatch, seeds: int):
    asked: list[DataSpec] = []
    identity = DataSpec.identity
    monkeypatch.setattr(DataSpec, "identity", lambda spec: asked.append(spec) or identity(spec))
    assert trained_on(table_of([ONE] * seeds, [ONE] * seeds)) == []
    runs = 2 * seeds
    assert runs <= len(asked) <= 2 * runs
