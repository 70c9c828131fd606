"""The longest time without output of commands, on a terminal and in a pipe, until a run begins: prints a line for each.

    python benchmarks/silence.py

Makes 5,000 JPEGs in a temporary folder, and has `sklab init` write a sweep over them.
"""

from __future__ import annotations

import io
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SKLAB = (sys.executable, "-P", "-m", "sklab.cli")
CLASSES, IMAGES, SIZE = 5, 1000, (256, 192)


def make_photos(root: Path) -> None:
    """Images of noise; some bytes behind each make its content its own."""
    rng = np.random.default_rng(0)
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).resize(SIZE).save(stream, "JPEG")
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(IMAGES):
            (root / f"class{label}" / f"{number}.jpg").write_bytes(stream.getvalue() + f"{label} {number}".encode())


def longest_silence(arguments: list[str], folder: Path, *, terminal: bool) -> tuple[float, str]:
    """The longest time without output, in seconds, and the output before it; ends once the first run trains."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    out = subprocess.Popen([*SKLAB, *arguments], cwd=folder, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    last, before, longest = time.monotonic(), "the start", (0.0, "")
    chunk = b"-"
    while chunk:
        begun = any((folder / "results").glob("*/runs/*/log.txt"))
        if not begun and not select.select([ours], [], [], 0.05)[0]:
            continue
        now = time.monotonic()
        longest = max(longest, (now - last, before))
        if begun:
            break
        chunk, last = _read(ours), now
        before = (chunk.decode(errors="replace").strip().splitlines() or [before])[-1]
    os.killpg(out.pid, signal.SIGKILL)
    out.wait()
    os.close(ours)
    return longest


def _read(descriptor: int) -> bytes:
    """What there is to read; nothing from a terminal whose program has ended."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos")
        for part in ("experiments", "sweeps"):
            shutil.copytree(ROOT / part, folder / part)
        os.environ["SKLAB_CACHE"] = str(folder / "cache")
        subprocess.run(
            [*SKLAB, "init", "photos", "--force", "--budget", "30m"], cwd=folder, check=True, capture_output=True
        )
        for sweep in ("sweeps/photos.yaml", "sweeps/kernels.yaml"):
            for command in ("plan", "sweep"):
                for terminal in (True, False):
                    shutil.rmtree(folder / "results", ignore_errors=True)
                    shutil.rmtree(folder / "cache", ignore_errors=True)
                    arguments = [command, sweep, *(["--no-wandb"] if command == "sweep" else [])]
                    seconds, before = longest_silence(arguments, folder, terminal=terminal)
                    where = "terminal" if terminal else "pipe"
                    print(f"{command} {sweep}, {where}: {seconds:.1f} s after {before!r}", flush=True)


if __name__ == "__main__":
    main()
