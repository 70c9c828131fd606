"""The command `wandb`, in a process that ends with the one that started it, also when that one is killed."""

from __future__ import annotations

import os
import runpy
import signal
import threading


def main() -> None:
    """Run wandb with the arguments of this process, until standard input, which nobody writes to, is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runpy.run_module("wandb", run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock a waiting thread would hold when Python ends
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
