import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import failed_record, make_record, make_sweep

from sklab.analysis.table.ablation import ablation_table
from sklab.report.run_files import RUNS, chosen_runs, last_lines, log_tail


def test_the_last_lines_as_a_reader_sees_them():
    log = "\x1b[32mINFO\x1b[0m start\n\nstep 1\rstep 2\rstep 3\n  File 'x.py', line 1\nboom\r\n"
    assert last_lines(log) == ("INFO start", "step 3", "  File 'x.py', line 1", "boom")


@given(st.text())
def test_a_tail_is_few_short_printable_lines(text):
    lines = last_lines(text)
    assert len(lines) <= 8
    assert all(line.isprintable() and len(line) <= 160 for line in lines)


@pytest.mark.parametrize("content", [None, b"", b"\n\n  \n"])
def test_no_log_and_an_empty_one_have_no_tail(tmp_path, content):
    file = tmp_path / "log.txt"
    if content is not None:
        file.write_bytes(content)
    assert log_tail(file) == ()


def test_of_a_huge_log_only_the_end_is_read(tmp_path):
    file = tmp_path / "log.txt"
    file.write_bytes(b"\xff" * 10**6 + b"\nthe end\n")
    assert log_tail(file)[-1] == "the end"
    assert sum(map(len, log_tail(file))) < 500


def test_runs_that_failed_come_before_those_that_did_not():
    seeds = range(RUNS + 5)
    records = [failed_record("K5", seed) if seed % 20 == 19 else make_record("K5", seed, 1.0) for seed in seeds]
    runs = chosen_runs(ablation_table(make_sweep(["K5"], seeds), {record.key: record for record in records}))
    assert len(runs) == RUNS
    assert [run.seed for run in runs[:3]] == [19, 39, 59]
