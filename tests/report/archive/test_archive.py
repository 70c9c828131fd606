"""The bundle of a study: an RO-Crate that tells nothing of people and machines and is a study again when unpacked."""

from __future__ import annotations

import socket
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocrate.rocrate import ROCrate
from studies import MACHINE, failed_record, make_records, make_sweep, write_study

from sklab.cli import main
from sklab.errors import SklabError
from sklab.report.archive.bundle import archive
from sklab.report.archive.private import Scrubber
from sklab.report.build import study_table
from sklab.report.tables.sheets import table_csv
from sklab.store.records import RunOrder, Tracking
from sklab.store.study_folder import StudyFolder

HOST, USER, ENTITY = "gpu-box-17", "ottilie", "ottilies-lab"
TRACE = f"""Traceback (most recent call last):
  File "/scratch/{USER}/code/train.py", line 3, in <module>
OSError: /mnt/secret-disk/{USER}/photos/cat.jpg: no such file; see https://wandb.ai/{ENTITY}/kernels on {HOST}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", USER)
    monkeypatch.setenv("WANDB_ENTITY", ENTITY)
    machine = MACHINE.model_copy(update={"host": HOST})
    records = make_records({"K3": (10.0, 11.0, 12.0), "K5": (4.0, 4.5)}, hardware=machine)
    failed = failed_record("K5", 2, TRACE.splitlines()[-1], traceback=TRACE, hardware=machine)
    records[failed.key] = failed
    folder = write_study(tmp_path / "made", make_sweep(question=f"Is it so in /home/{USER}/data?"), records)
    for key, record in records.items():
        run = StudyFolder(folder).run(key)
        order = RunOrder(
            key=key, study="made", cell=record.cell, spec=record.spec, code=record.code, tracking=Tracking()
        )
        run.write_order(order)
        run.log_file.write_text(TRACE)
        run.weights_file.write_bytes(b"weights of " + key.encode())
    return folder


def bytes_of(bundle):
    with zipfile.ZipFile(bundle) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_nothing_in_it_tells_of_people_and_machines(study, tmp_path):
    found = bytes_of(archive(StudyFolder(study), tmp_path / "made.zip"))
    assert {"sweep.yaml", "table.csv", "report.html", "figures/error.svg", "ro-crate-metadata.json"} <= set(found)
    for private in (HOST, USER, ENTITY, socket.gethostname(), "/home/", "secret-disk", "/scratch", str(tmp_path)):
        assert [name for name, text in found.items() if private.encode() in text] == []
    assert any(b"host-" in text for name, text in found.items() if name.endswith("record.json"))
    assert b"location.reload" not in found["report.html"]


def test_it_is_the_same_study_when_unpacked(study, tmp_path):
    bundle = archive(StudyFolder(study), tmp_path / "made.zip")
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(tmp_path / "again" / "made")
    again = tmp_path / "again" / "made"
    report = (again / "report.html").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as of a record whose seal is broken
        before, after = (table_csv(study_table(folder)) for folder in (study, again))
    reason = TRACE.splitlines()[-1]
    assert after == before.replace(reason, Scrubber([HOST]).text(reason))
    assert main(["report", str(again)]) == 0
    assert (again / "report.html").read_bytes() == report


def test_the_same_study_makes_the_same_bytes_and_weights_come_by_request(study, tmp_path):
    first, second = (archive(StudyFolder(study), tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    assert not [name for name in bytes_of(first) if name.endswith(".pt")]
    out = ["--out", str(tmp_path / "c.zip")]
    assert main(["archive", str(study), *out, "--weights", "--license", "CC-BY-4.0"]) == 0
    assert len([name for name in bytes_of(tmp_path / "c.zip") if name.endswith(".pt")]) == 6
    assert main(["archive", str(study), *out]) == 2  # it is there already
    with pytest.raises(SklabError, match="is there already"):
        archive(StudyFolder(study), first)


def test_it_is_an_ro_crate(study, tmp_path):
    crate = ROCrate(str(archive(StudyFolder(study), tmp_path / "made.zip", license_="CC-BY-4.0")))
    assert crate.root_dataset["license"] == "CC-BY-4.0"
    assert crate.root_dataset["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    actions = crate.root_dataset["mentions"]
    assert {action.type for action in actions} == {"CreateAction"}
    assert len(actions) == 6
    assert [action["actionStatus"].rpartition("/")[2] for action in actions].count("FailedActionStatus") == 1
    names = {entity.id for entity in crate.data_entities}
    assert {"sweep.yaml", "runs/" + actions[0].id.removeprefix("#run-") + "/record.json"} <= names


NAMES = st.text("abcdefghijklmnop", min_size=4, max_size=8)


@given(folders=st.lists(NAMES, min_size=2, max_size=4), quote=st.sampled_from(["", '"', "'", "(", " "]))
def test_of_an_absolute_path_the_last_part_is_left(folders, quote):
    close = ")" if quote == "(" else quote
    scrubbed = Scrubber([]).text(f"error in {quote}/{'/'.join(folders)}{close}: line 3, 50 images/s, a/b")
    assert f"/{folders[0]}" not in scrubbed
    assert scrubbed == f"error in {quote}{folders[-1]}{close}: line 3, 50 images/s, a/b"
