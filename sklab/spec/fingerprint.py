"""What a data set holds, as a value: two sets with equal settings and equal fingerprints are the same data."""

from __future__ import annotations

from collections.abc import Iterator

from sklab.spec.values import Value
from sklab.system.terminal import counted

_SHOWN = 5  # changes in a message


class Fingerprint(Value):
    """What decides whether two data sets hold the same images, wherever these lie: SHA-256, 16 hex digits each.

    listing   class names and, image by image in order, class, path below the set's folder and size
    sample    contents of up to 1,024 images, spread evenly
    contents  contents of all images; "" where these were not all read, as in large sets
    """

    listing: str
    sample: str
    contents: str = ""

    def same_as(self, other: Fingerprint) -> bool:
        """Whether both are the same data, as far as both were read."""
        both_read = self.contents and other.contents
        same = (self.listing, self.sample) == (other.listing, other.sample)
        return same and (not both_read or self.contents == other.contents)


def differ(one: Fingerprint | None, other: Fingerprint | None) -> bool:
    """Whether two sets are surely not the same data: where a fingerprint is missing, nothing is sure."""
    return one is not None and other is not None and not one.same_as(other)


class Group(Value):
    """The images of one class of one split; `digest` stands for their paths and sizes."""

    images: int
    digest: str


class Inventory(Value):
    """A fingerprint with what it takes to tell what has changed: the groups by `split/class`."""

    fingerprint: Fingerprint
    groups: dict[str, Group]


def changes(before: Inventory, now: Inventory) -> tuple[str, ...]:
    """What is other now, a line each ("12 images more in train/wren"); empty for the same data."""
    if before.fingerprint.same_as(now.fingerprint):
        return ()
    told = list(_changes(before, now)) or ["other contents of images whose names and sizes are as before"]
    more = [f"and {len(told) - _SHOWN} more changes"] if len(told) > _SHOWN else []
    return (*told[:_SHOWN], *more)


def _changes(before: Inventory, now: Inventory) -> Iterator[str]:
    for name in sorted({*before.groups, *now.groups}):
        old, new = before.groups.get(name), now.groups.get(name)
        if old == new:
            continue
        if old is None or new is None:
            yield f"{name} is gone" if new is None else f"{name} is new"
        elif old.images == new.images:
            yield f"as many images in {name}, but others"
        else:
            more = "more" if new.images > old.images else "fewer"
            yield f"{counted(abs(new.images - old.images), 'image')} {more} in {name}"
