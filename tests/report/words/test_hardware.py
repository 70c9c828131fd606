"""What a table says of runs that were computed on different kinds of devices, or in different ways."""

from __future__ import annotations

from studies import MACHINE, failed_record, key_of, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.analysis.table.rows import AblationTable
from sklab.report.tables.terminal import terminal_table
from sklab.report.words.hardware import compared_on, computed_on
from sklab.store.hardware import Arithmetic, Hardware

FLAGS = Arithmetic(cudnn="9.10.2", deterministic=True, convolutions="tf32", matrices="ieee")
LOOSE = FLAGS.model_copy(update={"deterministic": False})


def gpu(name: str = "NVIDIA A100", arithmetic: Arithmetic | None = FLAGS) -> Hardware:
    return Hardware(host="bench", device="cuda", device_name=name, threads=1, arithmetic=arithmetic)


def table_of(k3: list[Hardware | None], k5: list[Hardware | None], across: tuple[str, ...] = ()) -> AblationTable:
    runs = {(name, seed): one for name, found in (("K3", k3), ("K5", k5)) for seed, one in enumerate(found)}
    records = {
        key_of(name, seed): make_record(name, seed, 20.0, hardware=one, resumed_across=across if seed == 1 else ())
        for (name, seed), one in runs.items()
    }
    return ablation_table(make_sweep(("K3", "K5"), range(len(k3))), records)


def test_rows_that_mix_kinds_of_gpus_are_told_with_the_cells_of_the_rarer_kind():
    (line,) = computed_on(table_of([gpu(), gpu()], [gpu(), gpu("NVIDIA H100")]))
    assert line.startswith(
        "caution: runs were computed on different kinds of devices, whose numbers differ by rounding"
    )
    assert line.endswith(": NVIDIA A100 (3 runs); NVIDIA H100 (1 run: K5)")


def test_a_cpu_beside_a_gpu_is_another_kind_and_all_cpus_are_one():
    (line,) = computed_on(table_of([gpu(), gpu()], [gpu(), MACHINE]))
    assert line.endswith(": NVIDIA A100 (3 runs); CPU (1 run: K5)")
    other = MACHINE.model_copy(update={"device_name": "Another CPU"})
    assert computed_on(table_of([MACHINE, other], [other, None])) == []


def test_gpus_that_computed_in_different_ways_are_told():
    (line,) = computed_on(table_of([gpu(), gpu()], [gpu(arithmetic=LOOSE), gpu(arithmetic=None)]))
    assert line == (
        "caution: GPUs computed in different ways, so last bits may differ: cuDNN 9.10.2, deterministic, convolutions "
        "tf32, matrices ieee (2 runs); cuDNN 9.10.2, not deterministic, convolutions tf32, matrices ieee (1 run: K5); "
        "not recorded (1 run: K5)"
    )


def test_a_run_that_went_on_from_a_checkpoint_of_another_gpu_is_told():
    across = ("GPU NVIDIA A100 there, NVIDIA H100 here",)
    (line,) = computed_on(table_of([gpu(), gpu()], [gpu(), gpu()], across))
    assert line == (
        "caution: last bits may differ, since the checkpoint that it went on from was made elsewhere, GPU NVIDIA A100 "
        "there, NVIDIA H100 here: K3 seed 1, K5 seed 1"
    )


def test_a_run_without_a_number_mixes_nothing():
    made = [make_record("K3", 0, 20.0, hardware=gpu()), failed_record("K3", 1, hardware=gpu("unknown GPU"))]
    table = ablation_table(make_sweep(("K3",), (0, 1)), {record.key: record for record in made})
    assert computed_on(table) == []


def test_the_table_in_the_terminal_says_it():
    assert "NVIDIA H100 (1 run: K5)" in " ".join(terminal_table(table_of([gpu()], [gpu("NVIDIA H100")])).split())


def test_studies_of_different_kinds_are_told_side_by_side():
    ours, theirs = table_of([gpu()], [gpu()]), table_of([gpu("NVIDIA H100")], [gpu("NVIDIA H100")])
    assert compared_on(ours, theirs) == "computed on other kinds of devices: NVIDIA H100 against NVIDIA A100"
    assert compared_on(ours, ours) == compared_on(ours, table_of([None], [None])) == ""
