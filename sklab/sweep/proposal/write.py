"""The experiment and the sweep of a proposal as YAML, with the reason beside each choice."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sklab.errors import SklabError
from sklab.spec.model import DEFAULT_FAMILY, SKSpec
from sklab.spec.networks import network
from sklab.sweep.proposal.choose import FEW, SEEDS, Choice
from sklab.system.terminal import one_line

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_HEAD = """\
{head}
# time: {time}
study: {study}
question: {question}
experiment: ../experiments/{name}.yaml
design: list
seeds: {seeds}
metric: {{name: {metric}, epoch: last}}   # {why}
"""
_TAIL = "margin: 1.0   # points: what makes no difference to you\n"
_FRESH = """\
baseline: K3
columns: [K3, K5, SK]
cells:
  - name: K3
    factors: {K3: x}
    set: {model.branches: [{kernel: 3}], model.attention: none}
  - name: K5
    factors: {K5: x}
    set: {model.branches: [{kernel: 3, dilation: 2}], model.attention: none}
  - name: K3+K5
    factors: {K3: x, K5: x}
    set: {model.branches: [{kernel: 3}, {kernel: 3, dilation: 2}], model.attention: none}
  - name: K3+K5 SK
    factors: {K3: x, K5: x, SK: x}
    set: {model.branches: [{kernel: 3}, {kernel: 3, dilation: 2}], model.attention: sk}
questions:
  a 3x3 branch: {of: K3, from: "-", to: x}
  a branch that sees 5x5: {of: K5, from: "-", to: x}
  attention over the branches: {of: SK, from: "-", to: x, within: [K3, K5]}
"""
_ONE_BRANCH = """\
baseline: K3
columns: [K5, SK, SE]
cells:
  - name: K3
  - name: K3+K5
    factors: {K5: x}
    set: {model.branches: [{kernel: 3}, {kernel: 3, dilation: 2}], model.attention: none}
  - name: K3+K5 SK
    factors: {K5: x, SK: x}
    set: {model.branches: [{kernel: 3}, {kernel: 3, dilation: 2}], model.attention: sk}
  - name: K3 SE
    factors: {SE: x}
    set: {model.attention: se}
questions:
  a branch that sees 5x5: {of: K5, from: "-", to: x}
  attention over the branches: {of: SK, from: "-", to: x}
  attention over the channels: {of: SE, from: "-", to: x}
"""
_TWO_BRANCHES = """\
baseline: SK
columns: [start, pool, weigh]
cells:
  - name: SK
    factors: {start: trained, pool: average, weigh: softmax}
  - name: SK, max
    factors: {start: trained, pool: max, weigh: softmax}
    set: {model.fuse_pool: max}
  - name: SK, sigmoid
    factors: {start: trained, pool: average, weigh: sigmoid}
    set: {model.select_act: sigmoid}
  - name: SK, fresh
    factors: {start: fresh, pool: average, weigh: softmax}
    set: {model.init: null}
questions:
  trained weights: {of: start, from: fresh, to: trained}
  the maximum in Fuse: {of: pool, from: average, to: max}
  sigmoid in Select: {of: weigh, from: softmax, to: sigmoid}
"""


class _Sweep(NamedTuple):
    """The cells of a proposed sweep with their questions, what its names mean, and what it asks."""

    head: str
    question: str
    cells: str


_FROM_NOTHING = _Sweep(
    "# K3 = 3x3; K5 = 3x3 with D = 2, which sees 5x5; SK = attention (otherwise the plain sum).",
    "do two kernels pay, and does attention over them?",
    _FRESH,
)
_FROM = {
    "none": _Sweep(
        "# All cells start from model.init. K3 = 3x3, as trained; K5 = a fresh branch, 3x3 with D = 2, which sees 5x5; "
        "SK, SE = fresh attention.",
        "does a second kernel or attention pay, from trained weights?",
        _ONE_BRANCH,
    ),
    "sk": _Sweep(
        "# All cells but the last start from model.init; that one has as few epochs as they have.\n"
        "# max = Fuse pools the maximum; sigmoid = in place of softmax.",
        "do trained weights pay, and which Fuse and Select?",
        _TWO_BRANCHES,
    ),
}
_FINE_TUNING = """\
# The smallest class has {few} images. Trained weights are the better start (docs/finetuning.md):
#   sklab init {root} --weights FILE --force
"""


def ensure_known(base: str, file: str) -> None:
    """Raise SklabError where no sweep is proposed that starts from trained weights of this network."""
    if _sweep_from(base) is None:
        allowed = "weights of a ResNeXt or an SKNet"
        remedy = "for others, write the experiment and the sweep yourself (docs/finetuning.md)"
        raise SklabError(f"--weights: found {file}, of {base}; allowed: {allowed}; {remedy}")


def _sweep_from(base: str) -> _Sweep | None:
    spec = network(base)
    return _FROM.get(spec.attention) if isinstance(spec, SKSpec) and spec.family == DEFAULT_FAMILY else None


def experiment_text(choice: Choice, title: str, few: int, time: str, folder: str) -> str:
    """The experiment file. `few` is the number of images of the smallest class, `time` what the sweep will take,
    `folder` where the images are, as on the command line."""
    lines = [f"# {one_line(title)}", f"# The sweep over it: {one_line(time)}"]
    for section in ("data", "model", "train"):
        lines += [f"{section}:", *_lines(section, getattr(choice, section), choice.why)]
    hint = _FINE_TUNING.format(few=few, root=shlex.quote(folder)) if few < FEW and "init" not in choice.model else ""
    return "\n".join(lines) + f"\n{hint}"


def sweep_text(choice: Choice, name: str, title: str, time: str) -> str:
    """The sweep file: two kernels, their sum and attention over it, or what can start from the trained weights."""
    start = (_sweep_from(choice.model["base"]) if "init" in choice.model else None) or _FROM_NOTHING
    question = json.dumps(f"On {one_line(title)}, {start.question}", ensure_ascii=False)
    head = _HEAD.format(
        head=start.head,
        time=time,
        study=_flow(name),
        name=name,
        question=question,
        seeds=SEEDS,
        metric=choice.metric,
        why=choice.why["metric"],
    )
    return f"{head}{start.cells}{_TAIL}"


def _lines(section: str, values: Mapping[str, Any], why: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        reason = why.get(f"{section}.{key}")
        written = f"  {key}: {_flow(value)}"
        yield f"{written}   # {one_line(reason)}" if reason else written


def _flow(value: Any) -> str:
    """A value on one line, as YAML and JSON both have it."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in ("true", "false", "null"):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
