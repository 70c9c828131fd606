"""YAML as data: what is read, with which places, and what is refused."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sklab.errors import FaultyInputError
from sklab.sweep.files.inputs import read_mapping
from sklab.sweep.files.yamltree import MAX_DEPTH, Document, is_one_line, parse


def refused(text: str) -> str:
    with pytest.raises(FaultyInputError) as caught:
        parse(text, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("3.", 3.0), ("012", 12), ("+7", 7),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("no", "no"), ("on", "on"), ("1:30", "1:30"), ("0x10", "0x10"), ("2024-01-01", "2024-01-01"), (".inf", ".inf"),
        ("'3'", "3"), ("[a, 1]", ["a", 1]), ("{2: x}", {"2": "x"}),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_in_yaml_1_2(text: str, value: object) -> None:
    read = parse(text, "x.yaml").tree
    assert read == value
    assert type(read) is type(value)


def test_every_place_knows_its_line_and_text() -> None:
    document = parse("a: 1e-4\nb:\n  - x\n  - c: 3\n    d: [1,\n      2]\n", "x.yaml")
    lines = {place: mark.line for place, mark in document.marks.items()}
    assert lines[("a",)] == 1
    assert lines[("b", 0)] == 3
    assert lines[("b", 1, "c")] == 4
    assert lines[("b", 1, "d", 1)] == 6
    assert document.text(("a",)) == "1e-4"


def test_a_fault_stands_at_the_nearest_line_and_shows_the_value_as_written() -> None:
    document = parse("a:\n  b: 1e-4\n", "x.yaml")
    there, missing = document.fault(("a", "b"), "wrong"), document.fault(("a", "c"), "missing")
    assert (there.line, there.place, there.found) == (2, "a.b", "1e-4")
    assert (missing.line, missing.found) == (1, "")
    assert document.fault((), "bad").line == 0


def test_aliases_and_merge_keys_give_plain_values() -> None:
    document = parse("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{x: 5}, *a]}\n", "x.yaml")
    assert document.tree == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}, "d": {"x": 5, "y": 2}}


def test_a_few_aliases_can_not_fill_the_memory() -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    merges = ["b0: &b0 {x: 1}"] + [f"b{n}: &b{n} {{<<: [{', '.join([f'*b{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    start = time.perf_counter()
    assert "more than 100000 values" in refused("\n".join(laughs))
    assert "more than 100000 values" in refused("\n".join(merges))
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "&a {<<: *a}", "[" * 700, "- " * 700 + "x", "{a: " * 700])
def test_what_contains_itself_or_is_nested_too_deeply_is_refused(text: str) -> None:
    message = refused(text)
    assert f"more than {MAX_DEPTH} levels deep" in message or "nested too deeply" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: [1\nc: 2", "x.yaml:3"), ("a: b: c", "mapping values are not allowed"), ("a: *b", "undefined alias"),
        ("a: 1\n---\nb: 2", "x.yaml:2"), ("a: \x00", "not YAML"), ('"\\UFFFFFFFF"', "not YAML"), ("\t- a", "x.yaml:1"),
    ],
)  # fmt: skip
def test_a_syntax_error_is_told_with_its_line(text: str, told: str) -> None:
    assert told in refused(text)


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a: 1\nb: 2\na: 3", "a", "this key stands twice"),
        ("a: !!python/object/apply:os.system ['exit']", "a", "tags are not read here"),
        ("a: !!python/name:os.system ''", "a", "tags are not read here"),
        ("a: !!binary aGk=", "a", "tags are not read here"),
        ("a: !!set {x}", "a", "tags are not read here"),
        ("a: !mine 3", "a", "tags are not read here"),
        ("a: !!int x", "a", "invalid literal"),
        ("a: !!bool yes", "a", "yes"),
        ("a: 1e999", "a", "not a finite number"),
        ("a: " + "9" * 30, "a", "digits"),
        ('a: "\\ud800"', "a", "half a character"),
        ("a: {? [x] : 1}", "a", "a key must be text"),
        ("a: {<<: 3}", "a", "only a mapping can be merged"),
    ],
)
def test_what_is_yaml_but_no_plain_data_is_a_fault_of_its_place(text: str, place: str, told: str) -> None:
    (fault,) = parse(text, "x.yaml").faults
    assert fault.place == place
    assert told in f"{fault.message} {fault.found}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"), (b"# nothing\n", "empty"), (b"- a\n", "a mapping"), (b"text", "a mapping"),
        (b"a: 1\nb: \xff", "x.yaml:2: (document): not UTF-8"),
    ],
)  # fmt: skip
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(FaultyInputError, match="1 fault") as caught:
        read_mapping(file)
    assert told in str(caught.value)


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "kernels.yaml").write_text("a: 1")
    for file in (tmp_path / "a\0b", tmp_path / ("x" * 5000), tmp_path / "kernels.yaml" / "x"):
        with pytest.raises(FaultyInputError):
            read_mapping(file)


# Text such as 1e5 is a number in YAML 1.2, which is read here, and stays unquoted where YAML 1.1 is written.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda text: not re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", text)
)
keys = words.filter(is_one_line)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, trees, max_size=5))
def test_what_was_dumped_is_read_back(tree: dict[str, object]) -> None:
    document = parse(yaml.safe_dump(tree), "x.yaml")
    assert document.faults == ()
    assert document.tree == tree


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text("[]{}:,&*!|>-?%@`'\"#<\\ \nab01~.e\t", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(FaultyInputError):
        assert isinstance(parse(text, "x.yaml"), Document)
