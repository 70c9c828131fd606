"""optuna-dashboard on a copy of a study's journal, so that it never holds a lock for which a runner waits."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sklab.errors import SklabError
from sklab.store.study_folder import StudyFolder
from sklab.system.safe_path import program

_HOST, _PORT = "127.0.0.1", 8080
_READ_ONLY = 0o444


def open_dashboard(folder: StudyFolder, show_address: Callable[[str], None]) -> None:
    """Serve the study as it is now to this machine's browsers until interrupted; `show_address` gets the address.

    Raises SklabError when optuna-dashboard is not installed, the study has no journal, or the server ends by itself.
    """
    command = _command()
    for signal_number in (signal.SIGTERM, signal.SIGHUP):  # so that server and copy end with this process
        signal.signal(signal_number, lambda signal_number, _: sys.exit(128 + signal_number))
    with tempfile.TemporaryDirectory(prefix="sklab-dashboard-") as place:
        journal, port = copy_journal(folder, Path(place)), free_port()
        show_address(
            f"{folder.path.name} as it is now: http://{_HOST}:{port}/dashboard (Ctrl-C ends it; again for a newer look)"
        )
        options = ["--storage-class", "JournalFileStorage", "--host", _HOST, "--port", str(port)]
        server = subprocess.run([command, str(journal), *options], check=False)
    if server.returncode:
        raise SklabError(f"optuna-dashboard ended with exit code {server.returncode}; what it says stands above")


def copy_journal(folder: StudyFolder, place: Path) -> Path:
    """A read-only copy of the study's journal in `place`, without a last line that is being written."""
    try:
        content = folder.index_file.read_bytes()
    except FileNotFoundError as error:
        raise SklabError(f"{folder.path} has no journal yet: `sklab sweep` makes it with the first run") from error
    copy = place / folder.index_file.name
    copy.write_bytes(content[: content.rfind(b"\n") + 1])
    copy.chmod(_READ_ONLY)
    return copy


def free_port() -> int:
    """8080 or, where that is taken, any other port of this machine."""
    for port in (_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SklabError(f"no port of {_HOST} is free")


def _command() -> str:
    beside = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
    try:
        return beside or program("optuna-dashboard")
    except FileNotFoundError:
        raise SklabError("optuna-dashboard is not installed: pip install 'sklab[dashboard]'") from None
