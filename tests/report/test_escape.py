import re
import shutil
import subprocess

import pytest
from example_study import hostile, kernels
from hypothesis import given
from hypothesis import strategies as st

from sklab.analysis.table.ablation import ablation_table
from sklab.report.escape import clean, markdown, sheet, shortened, tex, unsheet
from sklab.report.tables.latex import table_tex

DOCUMENT = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n%s\n\\end{document}\n"


@given(st.text())
def test_clean_text_is_one_printable_line(text):
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"])))
def test_plain_words_stay_as_they_are(text):
    assert markdown(text) == tex(text) == clean(text)


@given(st.text())
def test_markdown_has_no_bare_sign(text):
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_|`#\[\]~$!<>]", markdown(text))


@given(st.text())
def test_tex_is_ascii_with_balanced_braces(text):
    escaped = tex(text)
    bare = re.sub(r"\\[\\{}$&#%_]", "", escaped)
    assert escaped.isascii()
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[#%&]", bare)


@pytest.mark.parametrize(("text", "expected"), [
    ("K3_a & 5%", r"K3\_a \& 5\%"), ("−1 ± 2", r"$-$1 $\pm$ 2"), ("é", r"\'{e}"), ("e\u0301", r"\'{e}"),
    ("核", "{[}U+6838{]}"),
    ("a---b", "a-{}-{}-b"),
])  # fmt: skip
def test_tex_of_known_signs(text, expected):
    assert tex(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("=1+1", "'=1+1"), ("+ attention", "'+ attention"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "\t'=1"), ("'=1", "''=1"),
    (" =1", " '=1"), ("\u3000=1", "\u3000'=1"), ("\ufeff=1", "\ufeff'=1"), ("＝1", "'＝1"), ("＋1", "'＋1"),
    ("－1", "'－1"), ("＠A", "'＠A"), ("﹦1", "'﹦1"), (";=1", ";'=1"), ("a; @b", "a; '@b"), ("a\n=1", "a\n'=1"),
    ("a|=1", "a|'=1"),
    ("\x1b[31m", r"\u001b[31m"), ("\r=1", r"\u000d=1"), ("\u202e=1", r"\u202e=1"), ("x;y", "x;y"), ("a-b", "a-b"),
    ("-1", "-1"), ("+1e-4", "+1e-4"), ("K3 = K5", "K3 = K5"), ("", ""),
])  # fmt: skip
def test_a_spreadsheet_takes_no_text_for_a_formula(text, expected):
    assert sheet(text) == expected


@given(st.text("'=+-@\t\n ;|＝1a"))
def test_what_a_spreadsheet_is_given_can_be_taken_back(text):
    assert unsheet(sheet(text)) == text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("text", [
    pytest.param(table_tex(ablation_table(*kernels())), id="kernels"),
    pytest.param(table_tex(ablation_table(*hostile())), id="hostile"),
    pytest.param("\n\n".join(tex(chr(code) * 3) for code in range(32, 0x250)), id="every sign"),
])  # fmt: skip
def test_latex_compiles(text, tmp_path):
    (tmp_path / "table.tex").write_text(DOCUMENT % text, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 5000


@given(st.text(), st.integers(2, 40))
def test_a_shortened_name_is_itself_or_its_two_ends(text, most):
    told = shortened(text, most)
    begin, _, end = told.partition("…") if len(text) > most else (text, "", "")
    assert len(told) == min(len(text), most)
    assert text.startswith(begin)
    assert text.endswith(end)


def test_names_that_begin_alike_stay_apart():
    alike = "attention over kernels of 3 and 5 pixels, "
    assert shortened(alike + "reduction 8", 32) != shortened(alike + "reduction 16", 32)
