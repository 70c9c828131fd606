"""What the server process does first, and last. A closed terminal, or a signal to all processes of the group, is meant
for the runs. The server must outlive it: without the server nobody learns how the runs end, and they are killed."""

import atexit
import os
import shutil
from contextlib import suppress
from multiprocessing import forkserver

from sklab.system.processes import block_stop_signals

_SERVER_PID, _RUNNER_PID = os.getpid(), os.getppid()


@atexit.register
def _remove_socket_folder() -> None:
    """A runner that is killed can't remove its temporary folder, where the socket of this server lies. A run (a copy
    of the server) must not do this, nor must a server that ends before its runner."""
    if os.getpid() == _SERVER_PID and os.getppid() != _RUNNER_PID:
        address: str = forkserver._forkserver._forkserver_address  # type: ignore[attr-defined]
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)  # noqa: PTH120


with suppress(PermissionError):  # it already has its own session
    os.setsid()
block_stop_signals()
