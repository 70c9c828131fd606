"""Gathering memory into large pages."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from sklab.system.processes import use_large_pages

SIZE = 16 << 20


def large() -> int:
    """Bytes of this process in large pages."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        pytest.skip("this machine runs no Linux")
    return 1024 * int(re.search(r"AnonHugePages: +(\d+)", rollup.read_text())[1])


def kernel_can() -> bool:
    with mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as some:
        some.write(b"x" * len(some))
        begin = ctypes.addressof(ctypes.c_char.from_buffer(some))
        aligned = ctypes.c_void_p(-(-begin // (2 << 20)) * (2 << 20))
        return ctypes.CDLL(None).madvise(aligned, ctypes.c_size_t(2 << 20), 25) == 0


def test_what_was_allocated_lies_in_large_pages_and_is_the_same():
    use_large_pages()
    before = large()
    content = bytes(range(256)) * (SIZE // 256)
    use_large_pages()
    if not kernel_can():
        pytest.skip("this machine's kernel gathers no pages when asked")
    assert large() - before > SIZE // 2
    assert content == bytes(range(256)) * (SIZE // 256)


def test_where_the_kernel_tells_nothing_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("sklab.system.processes._MAPS", tmp_path / "maps")
    use_large_pages()
