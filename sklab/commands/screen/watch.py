"""Watch a study, or the log of a run, for as long as they go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sklab.commands.screen.text import status_text
from sklab.errors import SklabError
from sklab.store.files import content
from sklab.store.locks import is_held
from sklab.store.run_folder import RunFolder
from sklab.store.study_folder import StudyFolder
from sklab.sweep.plan.status import StudyStatus, Watcher
from sklab.system.terminal import visible

_STUDY_EVERY, _LOG_EVERY = 2.0, 0.5  # seconds
_MOST_LOG = 2**30  # bytes

Pause = Callable[[float], None]


def watch(folder: StudyFolder, console: Console, pause: Pause = time.sleep) -> StudyStatus:
    """Show how the study stands, anew every two seconds, until no runner works on it; the last that was shown."""
    watcher = Watcher(folder)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            status = watcher.look(time.time())
            live.update(Text(visible(status_text(status))), refresh=True)
            if not status.live:
                return status
            pause(_STUDY_EVERY)


def log_of(run: RunFolder) -> str:
    """What the current attempt of a run has printed so far. Raises SklabError before it has begun."""
    try:
        return content(run.log_file, _MOST_LOG).decode("utf-8", errors="replace")
    except FileNotFoundError as error:
        raise SklabError(f"{run.path} has no log yet: the run has not begun") from error
    except OSError as error:
        raise SklabError(f"{run.log_file} can't be read: {error.strerror}") from error


def follow(run: RunFolder, pause: Pause = time.sleep) -> Iterator[str]:
    """What the run has printed and prints, piece by piece, until its process has ended."""
    seen = ""
    while True:
        over = not is_held(run.lock_file)  # asked first, so that its last words are read
        with suppress(SklabError):  # between two attempts there is none
            text = log_of(run)
            yield text.removeprefix(seen)
            seen = text
        if over:
            return
        pause(_LOG_EVERY)
