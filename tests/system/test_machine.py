from __future__ import annotations

from sklab.system import machine


def test_the_processor_has_a_name():
    assert machine.cpu_name()
