"""Skips that would keep the gate green without having tested.

Where SKLAB_SKIPS=fail, a test that skips fails with the reason of the skip: something is not installed. What cannot be
installed stays a skip; its reason begins with THIS_MACHINE.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

THIS_MACHINE = "this machine"  # lacks a fault of the processor, or a right that its kernel grants to nobody


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _refused((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Of a whole file."""
    return _refused((yield))


def _refused(report: Any) -> Any:
    if report.skipped and os.environ.get("SKLAB_SKIPS") == "fail":
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if not reason.startswith(THIS_MACHINE):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped, which SKLAB_SKIPS=fail refuses: {reason}"
    return report
