"""What lies on a disk is data: no module of sklab calls what would execute it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sklab

MODULES = sorted(Path(sklab.__path__[0]).rglob("*.py"))
EXECUTES = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "dill.load"),
    *("joblib.load", "shelve.open", "marshal.load", "marshal.loads", "pandas.read_pickle", "pd.read_pickle"),
    *("yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "torch.jit.load", "torch.hub.load", "eval", "exec"),
}
# A call that is safe only with a setting, and that.
SAFE_WITH = {
    "torch.load": ("weights_only", ast.Constant(True)),
    "np.load": ("allow_pickle", ast.Constant(False)),
    "numpy.load": ("allow_pickle", ast.Constant(False)),
}
LOADERS = {f"{c}{kind}Loader" for c in ("", "C") for kind in ("", "Full", "Unsafe")}  # of PyYAML
FORBIDDEN_IMPORTS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def faults(source: str) -> list[str]:
    return [fault for node in ast.walk(ast.parse(source)) for fault in faults_of(node)]


def faults_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        yield from (f"{node.lineno}: import {name}" for name in names if name.partition(".")[0] in FORBIDDEN_IMPORTS)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        how, safe = SAFE_WITH.get(name, ("", None))
        given = {keyword.arg: ast.dump(keyword.value) for keyword in node.keywords}
        if name in EXECUTES or "pickle_load" in name or (safe and given.get(how) != ast.dump(safe)):
            yield f"{node.lineno}: {name}"
    if isinstance(node, ast.Attribute) and node.attr in LOADERS:
        yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.stem)
def test_no_module_executes_what_it_reads(module):
    assert faults(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("torch.load(file)", 1),
        ("torch.load(file, weights_only=None)", 1),
        ("torch.load(file, weights_only=True)", 0),
        ("np.load(file)", 1),
        ("np.load(file, allow_pickle=False)", 0),
        ("from pickle import loads", 1),
        ("self._utils.pickle_load(file)", 1),
        ("yaml.load(text, Loader=yaml.UnsafeLoader)", 1),
        ("network.eval()", 0),
    ],
)
def test_what_is_looked_for_is_found(line, found):
    assert len(faults(line)) == found
