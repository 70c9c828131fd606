"""Names that users gave, made harmless for Markdown, LaTeX and spreadsheets. The templates escape HTML themselves."""

from __future__ import annotations

import math
import re
import unicodedata

from sklab.system.terminal import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]|#!~$])")
# Where a spreadsheet begins a cell: at the start or, if it takes the file for one of another separator, behind that.
_BEGINS = "(^|[;|\t\n])([\\s\u200b\u2060\ufeff]*'*)"
_FORMULA = "(?=[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])"  # full-width and small signs count as well
_OPEN, _KEPT = re.compile(_BEGINS + _FORMULA), re.compile(f"{_BEGINS}'{_FORMULA}")
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # else a row that starts with one is read as an option of the \\ before it
    "×": r"$\times$", "−": "$-$", "±": r"$\pm$", "–": r"\textendash{}", "†": r"\textdagger{}", "≈": r"$\approx$",
    "≤": r"$\leq$", "≥": r"$\geq$", "²": "$^2$", "°": r"$^\circ$", "µ": r"$\mu$", "…": r"\ldots{}", "ß": r"{\ss}",
    "‡": r"\textdaggerdbl{}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "ł": r"{\l}",
}  # fmt: skip
_TEX_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=", "\u0306": r"\u",
    "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H", "\u030c": r"\v", "\u0327": r"\c",
}  # fmt: skip


def clean(text: str) -> str:
    """`text` on one line: control characters, line breaks and other unprintables become blanks."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())


def shortened(text: str, most: int) -> str:
    """`text` in `most` letters: what is longer loses its middle, since names often begin, or end, alike."""
    end = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def markdown(text: str) -> str:
    """`text` as itself in Markdown, also inside a table."""
    plain = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", plain)


def sheet(text: str) -> str:
    """`text` as itself in a spreadsheet that opens a CSV: what it would take for a formula begins with an apostrophe,
    one more than it had. A number stays one; control characters are shown by their code points."""
    shown = visible(text)
    return shown if _is_number(shown) else _OPEN.sub(r"\1\2'", shown)


def unsheet(text: str) -> str:
    """The text that was given to `sheet`, but for control characters."""
    return _KEPT.sub(r"\1\2", text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def tex(text: str) -> str:
    """`text` as itself in LaTeX, for pdflatex without extra packages; what it can't print becomes its code point."""
    composed = unicodedata.normalize("NFC", clean(text))
    return re.sub("-(?=-)", "-{}", "".join(map(_tex, composed)))


def _tex(char: str) -> str:
    if char in _TEX:
        return _TEX[char]
    if char.isascii():
        return char
    base, accent = unicodedata.normalize("NFD", char)[0], unicodedata.normalize("NFD", char)[1:]
    if base.isascii() and base.isalpha() and accent in _TEX_ACCENTS:
        return f"{_TEX_ACCENTS[accent]}{{{base}}}"
    return f"{{[}}U+{ord(char):04X}{{]}}"
