"""No file imports another that leads back to it; what rooms may import each other is told by the contracts. What
`import sklab` loads."""

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import grimp
import networkx
import pytest

import sklab


def test_no_file_leads_back_to_itself():
    graph = grimp.build_graph("sklab", exclude_type_checking_imports=True)
    imports = ((ours, theirs) for ours in graph.modules for theirs in graph.find_modules_directly_imported_by(ours))
    components = networkx.strongly_connected_components(networkx.DiGraph(imports))
    assert [sorted(modules) for modules in components if len(modules) > 1] == []


def test_to_import_sklab_loads_nothing_else_and_to_use_a_name_what_it_needs():
    """In a fresh interpreter: not even a module of Python's own, so that it is fast and nobody's file is executed."""
    loaded = "import sys; before = {*sys.modules}; import sklab; print(*sorted({*sys.modules} - before))"
    assert told_by(loaded) == "sklab"
    light = "import sys, sklab; sklab.__version__; sklab.load; sklab.run; print(sorted({'torch', 'pandas', 'optuna', "
    light += "'lightning', 'wandb', 'matplotlib'} & {*sys.modules}))"
    assert told_by(light) == "[]"


def test_every_public_name_is_told_to_editors_and_found():
    names = ast.walk(ast.parse(Path(sklab.__file__).read_text(encoding="utf-8")))
    told = {alias.name for node in names if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*told, "__version__"} == set(sklab.__all__) <= set(dir(sklab))
    assert all(getattr(sklab, name).__name__ == name for name in told)
    assert sklab.__version__ == version("sklab")
    with pytest.raises(AttributeError, match="module 'sklab' has no attribute 'lod'"):
        sklab.lod  # noqa: B018


def told_by(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
