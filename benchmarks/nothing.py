"""Loaded by the server that `benchmarks/runner.py` forks its runs from: their training does nothing."""

import sklab.training.run
from sklab.store.records import RunOrder, RunRecord
from sklab.store.run_folder import RunFolder

METRICS = {"val_error": 10.0, "val_loss": 1.0}


def train(order: RunOrder, folder: RunFolder, _device: object) -> RunRecord:
    record = RunRecord.of(order, status="complete", last=METRICS, best=METRICS)
    folder.write_record(record)
    return record


sklab.training.run.train = train
