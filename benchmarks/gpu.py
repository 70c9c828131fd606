"""What sklab does on one CUDA card, in under five minutes: speed beside peers, small runs together, prices.

    python benchmarks/gpu.py --out FOLDER [--only SECTION ...]
    python benchmarks/gpu.py --device cpu --tiny --out FOLDER

It writes `gpu.json` with all numbers, and `gpu.md` to be pasted into benchmarks/gpu.md, after each section. Each is
measured in a process of its own, so one that fails, or breaks CUDA, takes no other with it; it begins nothing more when
its time is over. The second command tries the script where there is no card; its numbers say nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_kernels import copy, grouped, unit
from gpu_loader import loader
from gpu_measure import Bench, Row, one_line
from gpu_networks import determinism, latency, network
from gpu_processes import processes
from gpu_report import page
from gpu_small import small

from sklab.store.versions import this_code
from sklab.training.determinism import arithmetic, set_arithmetic

ALL, GRACE = 285.0, 10.0  # seconds for everything, and for a section to end what it has begun
MEMORY = "/dev/shm"
OUT_OF_TIME: Row = {"note": "the time was over: what would follow is left out"}


class Section(NamedTuple):
    """A part of the page, and the seconds that it has."""

    title: str
    work: Callable[[Bench], Iterator[Row]]
    seconds: float


SECTIONS = {
    "copy": Section("Rate of copying", copy, 10),
    "unit": Section("Fuse and Select, forward and backward, bf16, channels_last, batch 256", unit, 45),
    "small": Section("Small runs in one process (the quickstart's experiment)", small, 45),
    "processes": Section("Small runs in processes", processes, 45),
    "determinism": Section("Price of determinism: a training step", determinism, 20),
    "latency": Section("Latency of one image", latency, 15),
    "grouped": Section("Grouped convolutions of SKNet-50, forward and backward, bf16, batch 256", grouped, 25),
    "loader": Section("Loader of image files", loader, 25),
    "network": Section("Training step of SKNet-50, bf16, channels_last, batch 256", network, ALL),
}


def main() -> int:
    options = _options()
    bench, began = Bench(torch.device(options.device), options.tiny), time.monotonic()
    facts = _measured(Section("", _facts, 60), bench, 60)[0]
    if "error" in facts:
        print(f"{facts['error']}\n--device cpu --tiny tries this script without a card", file=sys.stderr)
        return 2
    results: dict[str, Any] = {"facts": facts, "sections": {}}
    patience = bench.size(1, 10)  # where the numbers say nothing, nothing is left out for its time
    for name in options.only or SECTIONS:
        section, started = SECTIONS[name], time.monotonic()
        left = patience * ALL - (started - began)
        rows = _measured(section, bench, min(patience * section.seconds, left)) if left > 0 else [OUT_OF_TIME]
        results["sections"][name] = {
            "title": section.title, "seconds": round(time.monotonic() - started, 1), "rows": rows
        }  # fmt: skip
        _write(options.out, results)
        print(page({**results, "sections": {name: results["sections"][name]}}, head=False), flush=True)
    return int(any("error" in row for each in results["sections"].values() for row in each["rows"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures sklab on one CUDA card.")
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json and gpu.md")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes so small that the numbers say nothing")
    options = parser.parse_args()
    if options.device == "cpu" and not options.tiny:
        parser.error("--device cpu needs --tiny: the real sizes would take hours")
    return options


def _write(folder: Path, results: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "gpu.md").write_text(page(results))


def _facts(bench: Bench) -> Iterator[Row]:
    """What the numbers depend on."""
    if bench.is_cuda and not torch.cuda.is_available():
        yield {"error": "no CUDA card can be used here"}
        return
    how, code = arithmetic(bench.device), this_code()
    yield {
        "card": torch.cuda.get_device_name() if bench.is_cuda else "none: tried on the CPU, the numbers say nothing",
        "driver": _driver() if bench.is_cuda else "",
        "torch": torch.__version__,
        "cuDNN": how.cudnn if how else "",
        "Python": platform.python_version(),
        "cores": os.cpu_count(),
        "sklab": f"{code.version} {code.commit}{' with changes' if code.dirty else ''}".strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "tiny": bench.tiny,
    }


def _driver() -> str:
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()[0]
    return "unknown"


def _measured(section: Section, bench: Bench, seconds: float) -> list[Row]:
    """The rows of a section, which has so many seconds. What it started is ended with it, and its files are deleted."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as scratch:
        return _rows(section, bench, seconds, scratch)


def _rows(section: Section, bench: Bench, seconds: float, scratch: str) -> list[Row]:
    context = multiprocessing.get_context("fork")  # nothing here has started CUDA or a thread
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(section, bench, seconds, scratch, its))
    process.start()
    its.close()
    rows: list[Row] = []
    try:
        deadline = time.monotonic() + seconds + GRACE
        while mine.poll(max(0.0, deadline - time.monotonic())):
            rows.append(mine.recv())
        rows.append(OUT_OF_TIME)
    except EOFError:
        process.join(GRACE)
        if process.exitcode:
            rows.append({"error": f"its process ended with {process.exitcode}"})
    finally:
        assert process.pid
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return rows


def _work(section: Section, bench: Bench, seconds: float, scratch: str, pipe: Connection) -> None:
    os.setsid()  # so that it can be ended with all that it started
    tempfile.tempdir = scratch
    deadline = time.monotonic() + seconds
    try:
        set_arithmetic(bench.device, deterministic=False)
        for row in section.work(bench):
            pipe.send(row)
            if time.monotonic() > deadline:
                pipe.send(OUT_OF_TIME)
                break
    except Exception as error:
        traceback.print_exc()
        pipe.send({"error": one_line(error)})


if __name__ == "__main__":
    raise SystemExit(main())
