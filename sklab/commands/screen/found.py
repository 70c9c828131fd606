"""What was found in a folder of images and what was chosen for it, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklab.data.look.listing import listed
from sklab.data.look.opening import Found, Opened
from sklab.sweep.proposal.choose import FEW, Choice
from sklab.system.terminal import quantity

_SHOWN = 5  # files or classes in a line


def found_lines(found: Found) -> Iterator[str]:
    """The classes, numbers, sizes and modes of the images, and a warning for each kind of fault."""
    layout = found.layout
    yield f"{layout.root}: {found.total:,} images of {len(layout.classes)} classes"
    for split, counts in found.counts.items():
        ordered = sorted(counts.items(), key=lambda pair: -pair[1])
        shown = [f"{name} {count:,}" for name, count in ordered]
        name = "images" if split == "." else split
        yield f"  {name}: {sum(counts.values()):,} ({', '.join(_few(shown))})"
    if sides := found.shorter_sides:
        modes = ", ".join(f"{count:,} {mode}" for mode, count in found.modes.most_common())
        yield f"  shorter side: {sides[0]} to {sides[-1]} pixels, median {sides[len(sides) // 2]}; modes: {modes}"
    if len(found.opened) < found.total:
        yield f"  {len(found.opened):,} of them were opened, spread evenly"
    yield from (f"warning: {line}" for line in warnings(found))


def warnings(found: Found) -> Iterator[str]:
    """The faults of the folder with which a sweep works all the same, a line each."""
    root = found.layout.root
    if faulty := found.faulty:
        named = _few([f"{_below(image, root)} ({image.fault})" for image in faulty])
        yield f"{quantity(len(faulty), 'file')} can't be read and will be left out: {'; '.join(named)}"
    across = [group for group in found.copies() if len({image.split for image in group}) > 1]
    if across:
        named = _few([" = ".join(_below(image, root) for image in group) for group in across])
        remedy = "the error on them says nothing of new images: delete the copies"
        yield f"{quantity(len(across), 'image')} of equal content in several splits; {remedy}: {'; '.join(named)}"
    classes = [group for group in found.copies() if len({image.label for image in group}) > 1]
    if classes:
        named = _few([" = ".join(_below(image, root) for image in group) for group in classes])
        yield f"{quantity(len(classes), 'image')} of equal content in several classes: {'; '.join(named)}"
    if within := sum(len(group) - 1 for group in found.copies() if group not in across and group not in classes):
        yield f"{quantity(within, 'file')} of the same content as another one beside it"
    if found.imbalance >= 10:
        yield f"the largest class has {found.imbalance:.0f} times as many images as the smallest"
    if others := found.layout.others:
        yield f"not read: {listed(others)}"


def chosen_lines(choice: Choice) -> Iterator[str]:
    """The settings and the reason for each."""
    yield "chosen:"
    sections: dict[str, dict[str, Any]] = {"data": choice.data, "model": choice.model, "train": choice.train}
    for section, values in sections.items():
        for key, value in values.items():
            if reason := choice.why.get(f"{section}.{key}"):
                yield f"  {section}.{key}: {value} ({reason})"
    yield f"  metric: {choice.metric} ({choice.why['metric']})"


def hint_lines(found: Found, choice: Choice) -> Iterator[str]:
    """That trained weights are the better start, where a class has few images and nothing else was said."""
    label, fewest = min(found.counts[found.layout.train].items(), key=lambda pair: pair[1])
    if fewest < FEW and "init" not in choice.model:
        few = f"class {label} has {quantity(fewest, 'image')}, fewer than {FEW}"
        remedy = "the same command with --weights FILE --force (docs/finetuning.md says where to get one)"
        yield f"hint: {few}: trained weights are the better start: {remedy}"


def _few(texts: list[str]) -> list[str]:
    more = [f"and {len(texts) - _SHOWN:,} more"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]


def _below(image: Opened, root: Path) -> str:
    return str(Path(image.file).relative_to(root))
