"""The hand-made studies of tests/analysis, and those of tests/report with names that try to break it."""

import sys
from pathlib import Path

for room in ("analysis", "report"):
    sys.path.append(str(Path(__file__).parents[1] / room))
