"""What others wrote (names, reasons, logs, messages), made harmless where a terminal shows it."""

from __future__ import annotations

import re

# All control characters but tab and line feed, the line and paragraph separators, and what turns the writing direction.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""`text` with what a terminal would obey instead of show as its code point, `\u001b` for ESC; inside JSON that
    means the same."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text` with blanks for its line breaks, so that it can't pass for a line of ours."""
    return visible(" ".join(text.splitlines()))
