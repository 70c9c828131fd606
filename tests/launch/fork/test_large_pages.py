"""Gathering memory into large pages."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from sklab.system.processes import use_large_pages

SIZE = 16 << 20
LARGE = 2 << 20


def large() -> int:
    """Bytes of this process in large pages."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        pytest.skip("this machine runs no Linux")
    return 1024 * int(re.search(r"AnonHugePages: +(\d+)", rollup.read_text())[1])


def fresh() -> mmap.mmap:
    """Memory that nothing used before; what `bytes` gets may be freed memory that lies in large pages already."""
    return mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def kernel_can() -> bool:
    """Whether the kernel gathers as much memory now; it may be too scattered."""
    with fresh() as some:
        some.write(b"x" * SIZE)
        aligned = -(-ctypes.addressof(ctypes.c_char.from_buffer(some)) // LARGE) * LARGE
        return ctypes.CDLL(None).madvise(ctypes.c_void_p(aligned), ctypes.c_size_t(SIZE - LARGE), 25) == 0


def test_what_was_allocated_lies_in_large_pages_and_is_the_same():
    use_large_pages()
    if not kernel_can():
        pytest.skip("this machine's kernel gathers no pages when asked")
    before = large()
    content = bytes(range(256)) * (SIZE // 256)
    with fresh() as memory:
        memory.write(content)
        use_large_pages()
        assert large() - before > SIZE // 2
        assert memory[:] == content


def test_where_the_kernel_tells_nothing_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("sklab.system.processes._MAPS", tmp_path / "maps")
    use_large_pages()
