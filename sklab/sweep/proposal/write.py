"""The experiment and the sweep of a proposal as YAML, with the reason beside each choice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sklab.sweep.proposal.choose import FEW, SEEDS, Choice
from sklab.system.terminal import one_line

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_HEAD = "# K3 = 3x3; K5 = 3x3 with D = 2, which sees 5x5; SK = attention (otherwise the plain sum).\n"
_SWEEP = """\
study: {study}
question: {question}
experiment: ../experiments/{name}.yaml
design: list
seeds: {seeds}
metric: {{name: {metric}, epoch: last}}   # {why}
baseline: K3
columns: [K3, K5, SK]
cells:
  - name: K3
    factors: {{K3: x}}
    set: {{model.branches: [{{kernel: 3}}], model.attention: none}}
  - name: K5
    factors: {{K5: x}}
    set: {{model.branches: [{{kernel: 3, dilation: 2}}], model.attention: none}}
  - name: K3+K5
    factors: {{K3: x, K5: x}}
    set: {{model.branches: [{{kernel: 3}}, {{kernel: 3, dilation: 2}}], model.attention: none}}
  - name: K3+K5 SK
    factors: {{K3: x, K5: x, SK: x}}
    set: {{model.branches: [{{kernel: 3}}, {{kernel: 3, dilation: 2}}], model.attention: sk}}
questions:
  a 3x3 branch: {{of: K3, from: "-", to: x}}
  a branch that sees 5x5: {{of: K5, from: "-", to: x}}
  attention over the branches: {{of: SK, from: "-", to: x, within: [K3, K5]}}
margin: 1.0   # points: what makes no difference to you
"""
_FINE_TUNING = """\
# Classes have few images. Trained weights are the better start (docs/finetuning.md), from a file that you name:
#   model: {base: resnext50, init: /path/to/resnext50_32x4d.safetensors}
#   train: trunk_lr: 0.1
"""


def experiment_text(choice: Choice, title: str, few: int, time: str) -> str:
    """The experiment file. `few` is the number of images of the smallest class, `time` what the sweep will take."""
    lines = [f"# {one_line(title)}", f"# The sweep over it: {one_line(time)}"]
    for section in ("data", "model", "train"):
        lines += [f"{section}:", *_lines(section, getattr(choice, section), choice.why)]
    return "\n".join(lines) + "\n" + (_FINE_TUNING if few < FEW else "")


def sweep_text(choice: Choice, name: str, title: str, time: str) -> str:
    """The sweep file: two kernels, their sum and attention over it, against the plain 3x3."""
    question = json.dumps(
        f"On {one_line(title)}, do two kernels pay, and does attention over them?", ensure_ascii=False
    )
    body = _SWEEP.format(
        study=_flow(name), name=name, question=question, seeds=SEEDS, metric=choice.metric, why=choice.why["metric"]
    )
    return f"{_HEAD}# time: {time}\n{body}"


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
