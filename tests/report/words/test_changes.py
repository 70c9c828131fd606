from studies import EXPERIMENT, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.provenance import Change, changes, difference
from sklab.spec.run import Experiment, RunSpec


def spec(**model):
    return RunSpec(
        experiment=Experiment.model_validate({**EXPERIMENT, "model": {**EXPERIMENT["model"], **model}}), seed=0
    )


def test_a_cell_differs_from_the_baseline_in_what_its_runs_were_made_with():
    records = [make_record("K3", 0, 20.0), make_record("K5", 0, 19.0, spec=spec(attention="sk", reduction=8))]
    table = ablation_table(make_sweep(["K3", "K5", "K7"]), {record.key: record for record in records})
    assert changes(table) == {
        "K5": (Change("model.attention", '"none"', '"sk"'), Change("model.reduction", "16", "8")),
    }


def test_a_setting_of_one_side_only_is_absent_on_the_other():
    assert difference({"a": {"b": 1}}, {"a": {"c": [1, "x"]}}) == (
        Change("a.b", "1", "(absent)"),
        Change("a.c", "(absent)", '[1, "x"]'),
    )


def test_a_huge_difference_stays_short():
    told = difference({}, {f"k{at}": "x" * 1000 for at in range(100)})
    assert len(told) == 20
    assert all(len(change.here) <= 120 for change in told)
