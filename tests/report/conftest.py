"""The hand-made studies of tests/analysis, and a report that several tests look at."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "analysis"))


@pytest.fixture(scope="session")
def kernels_folder(tmp_path_factory):
    from example_study import kernels
    from studies import write_study

    from sklab.report.build import build

    folder = write_study(tmp_path_factory.mktemp("report") / "kernels", *kernels())
    build(folder)
    return folder
