"""The progress of a study: a live display on a terminal, plain lines elsewhere; also for watching a study or a run's
log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sklab.analysis.evidence.nuisance import at_common_setting, judging_seeds
from sklab.commands.screen.phases import Moving
from sklab.commands.screen.status import status_text
from sklab.errors import SklabError
from sklab.spec.study.sweep import Sweep
from sklab.store.files import content
from sklab.store.records import RunRecord
from sklab.store.run_folder import RunFolder
from sklab.store.states import how_it_ended, is_held, other_counts
from sklab.store.study_folder import StudyFolder
from sklab.sweep.run.orders import State
from sklab.sweep.state.status import StudyStatus, Watcher, last_metrics
from sklab.system.phases import Phase, phases_shown_by
from sklab.system.terminal import duration, escape_control_characters, one_line, quantity, tell, time_left, visible

_PLAIN_EVERY = 30.0  # seconds between two lines when nothing has ended
_STUDY_EVERY, _LOG_EVERY = 2.0, 0.5  # seconds
_MOST_LOG = 2**30  # bytes
Pause = Callable[[float], None]


@contextmanager
def show_progress(sweep: Sweep, notice: str) -> Iterator[PlainProgress | LiveProgress]:
    """The display of progress that suits standard error; the study in one line stands above it."""
    tell(heading(sweep))
    if notice:
        tell(notice)
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainProgress()
        return
    with Live(console=console, refresh_per_second=4) as live:
        escape_control_characters()  # in what is printed meanwhile by way of rich
        progress = LiveProgress(live)
        with phases_shown_by(progress.phase):
            yield progress


def heading(sweep: Sweep) -> str:
    """The study in one line."""
    cells = (
        quantity(len(at_common_setting(sweep).cells), "cell")
        if sweep.search is None
        else f"search for {quantity(sweep.search.trials, 'cell')}"
    )
    others = f", {len(sweep.duplicates)} more are the same networks" if sweep.duplicates else ""
    invalid = f", {len(sweep.invalid)} invalid" if sweep.invalid else ""
    shared = [seed for seed in judging_seeds(sweep) if seed not in sweep.baseline_seeds]
    seeds = sweep.replicates or quantity(len(shared), "seed")
    more = f" and {len(sweep.baseline_seeds)} more of the baseline" if sweep.baseline_seeds else ""
    tuned = f", each tuned: {sweep.nuisance}" if sweep.nuisance else ""
    return f"{sweep.study}: {cells}{others}{invalid} x {seeds}{more} on {sweep.experiment_name}{tuned}"


class PlainProgress:
    """Prints a line when a run ends, and one every half minute while none does."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def ended(self, record: RunRecord, state: State) -> None:
        self._say(f"{_counts(state)}  {_result(record)}")

    def note(self, text: str, state: State) -> None:
        self._say(f"{_counts(state)}  {text}")

    def look(self, state: State) -> None:
        if state.running and time.monotonic() - self._last >= _PLAIN_EVERY:
            self._say(f"{_counts(state)}  running: " + "; ".join(_running_line(state)))

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        print(one_line(line), file=sys.stderr, flush=True)


class LiveProgress:
    """Prints ended runs; below them stay the counts and a row for each running run."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Show what is done before the first run starts."""
        self._live.update(Moving(phase), refresh=True)
        try:
            yield
        finally:
            self._live.update("", refresh=True)

    def ended(self, record: RunRecord, state: State) -> None:  # noqa: ARG002 - `look` follows and shows the state
        self._live.console.print(Text(one_line(_result(record))))

    def note(self, text: str, state: State) -> None:  # noqa: ARG002 - `look` follows and shows the state
        self._live.console.print(Text(one_line(text)))

    def look(self, state: State) -> None:
        table = Table(box=None, pad_edge=False, show_header=False)
        for line in _running_line(state):
            table.add_row(Text(one_line("  " + line)))
        self._live.update(Group(Text(_counts(state), style="bold"), table))


def _counts(state: State) -> str:
    eta = "" if state.eta_seconds is None or not state.running else f", {time_left(state.eta_seconds)}"
    return f"[{state.counts['complete']}/{state.total} complete{other_counts(state.counts)}{eta}]"


def _result(record: RunRecord) -> str:
    run = f"{record.cell}, seed {record.spec.seed}"
    if record.state != "complete":
        return f"{run}: {how_it_ended(record)}"
    return f"{run}: val_error {record.last['val_error']:.2f} % in {duration(record.wall_seconds)}"


def _running_line(state: State) -> Iterator[str]:
    for order, run, seconds in state.running:
        (epoch, metrics), pulse = last_metrics(run), run.read_pulse()
        step = f", step {pulse.step}/{pulse.steps}" if pulse else ""
        error = f", val_error {metrics['val_error']:.2f} %" if "val_error" in metrics else ""
        epochs = order.spec.experiment.train.epochs
        yield f"{order.cell}, seed {order.spec.seed}: epoch {epoch}/{epochs}{step}{error}, {duration(seconds)}"


def watch(folder: StudyFolder, console: Console, pause: Pause = time.sleep) -> StudyStatus:
    """Show the state of the study every two seconds until no runner works on it; returns the last state."""
    watcher = Watcher(folder)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            status = watcher.look(time.time())
            live.update(Text(visible(status_text(status))), refresh=True)
            if not status.live:
                return status
            pause(_STUDY_EVERY)


def log_of(run: RunFolder) -> str:
    """The output of a run's current attempt so far. Raises SklabError before the attempt has begun."""
    try:
        return content(run.log_file, _MOST_LOG).decode("utf-8", errors="replace")
    except FileNotFoundError as error:
        raise SklabError(f"{run.path} has no log yet: the run has not begun") from error
    except OSError as error:
        raise SklabError(f"{run.log_file} can't be read: {error.strerror}") from error


def follow(run: RunFolder, pause: Pause = time.sleep) -> Iterator[str]:
    """The output of a run, piece by piece, until its process has ended."""
    shown = ""
    while True:
        has_ended = not is_held(run.lock_file)  # asked first, so that its last output is read
        with suppress(SklabError):  # between two attempts there is none
            text = log_of(run)
            yield text.removeprefix(shown)
            shown = text
        if has_ended:
            return
        pause(_LOG_EVERY)
