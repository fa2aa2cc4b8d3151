"""Faults of a figure that its artists' boxes show: overlapping texts, covered data, what leaves its axes or figure."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.collections import Collection, QuadMesh
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, Patch
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, IdentityTransform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points by which two boxes may overlap: the box of a text is higher than its letters.
SLACK = 1.0


class Box(NamedTuple):
    """A text or another thing to read, and where it is, in pixels."""

    what: str
    box: Bbox
    axes: Axes | None


def faults(figure: Figure) -> list[str]:
    """What is wrong in a figure that was drawn and laid out, one sentence each."""
    for _ in range(2):
        figure.draw_without_rendering()
    slack = SLACK * figure.dpi / 72.0
    texts = list(_texts(figure))
    found = [
        f"{a.what} overlaps {b.what}" for a, b in combinations(texts, 2) if _overlap(_less(a.box, slack), b.box, slack)
    ]
    whole = figure.bbox.padded(slack)
    found += [f"{text.what} leaves the figure" for text in texts if not _inside(text.box, whole)]
    for axes in figure.axes:
        found += [f"{name} is outside of its axes" for name in _outside(axes, slack)]
        data = list(_data(axes))
        for cover in _covers(axes):
            box = _less(cover.box, slack)
            found += [f"{cover.what} covers {name}" for name, paths in data if _meets(paths, box)]
    return found


def _texts(figure: Figure) -> Iterator[Box]:
    """Every visible text, once."""
    seen: set[int] = set()
    for axes in [None, *figure.axes]:
        for text in _of(axes, figure):
            if id(text) in seen or not text.get_visible() or not text.get_text().strip():
                continue
            seen.add(id(text))
            box = Text.get_window_extent(text) if isinstance(text, Annotation) else text.get_window_extent()
            if box.width > 0 and box.height > 0:
                yield Box(f"the text {text.get_text()!r}", box, axes)


def _of(axes: Axes | None, figure: Figure) -> Iterator[Text]:
    if axes is None:
        legends = figure.legends
        yield from figure.texts
        yield from (text for text in (figure._suptitle, figure._supxlabel, figure._supylabel) if text)
    else:
        if not axes.get_visible():
            return
        legends = [child for child in axes.get_children() if isinstance(child, Legend)]
        yield from (axes.title, axes._left_title, axes._right_title)
        yield from (text for text in axes.texts if text.get_visible())
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            if axis.label.get_visible():
                yield axis.label
            yield axis.get_offset_text()
            for tick in axis._update_ticks():
                yield from (label for label in (tick.label1, tick.label2) if label.get_visible())
    for legend in legends:
        yield from (*legend.get_texts(), legend.get_title())


def _overlap(a: Bbox, b: Bbox, slack: float) -> bool:
    b = _less(b, slack)
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _less(box: Bbox, slack: float) -> Bbox:
    """A box without a rim; at least a line of it remains."""
    x, y = min(slack, box.width / 2 - 0.01) / 2, min(slack, box.height / 2 - 0.01) / 2
    return Bbox.from_extents(box.x0 + x, box.y0 + y, box.x1 - x, box.y1 - y)


def _inside(box: Bbox, whole: Bbox) -> bool:
    return box.x0 >= whole.x0 and box.x1 <= whole.x1 and box.y0 >= whole.y0 and box.y1 <= whole.y1


def _covers(axes: Axes) -> Iterator[Box]:
    """What stands over the data of Axes: its legends, notes on a box of their own, and insets with their labels."""
    for child in axes.get_children():
        if isinstance(child, Legend) and child.get_visible():
            yield Box("the legend", child.get_window_extent(), axes)
    for text in axes.texts:
        patch = text.get_bbox_patch()
        if patch is not None and patch.get_alpha() != 0 and text.get_visible() and text.get_text():
            yield Box(f"the note {text.get_text()!r}", patch.get_window_extent(), axes)
    for inset in axes.child_axes:
        box = inset.get_tightbbox()
        # An axis drawn as a child shares a whole side; it is not over the data.
        if box is not None and inset.axison and inset.get_position().width < 1.0:
            yield Box("the inset", box, axes)


def _data(axes: Axes) -> Iterator[tuple[str, list[tuple[Path, bool]]]]:
    """The drawn data of Axes: for each artist, its outlines in pixels, and whether they are filled."""
    for artist in axes.get_children():
        # A connection leads from data to an inset.
        if not artist.get_visible() or artist is axes.patch or isinstance(artist, ConnectionPatch):
            continue
        paths = list(_outlines(artist))
        if paths:
            yield f"{type(artist).__name__} {artist.get_label()!r}", paths


def _outlines(artist: Artist) -> Iterator[tuple[Path, bool]]:
    if isinstance(artist, Line2D):
        if len(artist.get_xdata()) and artist.get_transform().contains_branch(artist.axes.transData):
            yield artist.get_transform().transform_path(artist.get_path()), False
    elif isinstance(artist, QuadMesh | AxesImage):
        return
    elif isinstance(artist, Collection):
        offsets = artist.get_offset_transform().transform(np.ma.filled(artist.get_offsets(), np.nan))
        if artist.get_offset_transform().contains_branch(artist.axes.transData):
            yield from ((Path([point]), False) for point in offsets if np.isfinite(point).all())
        else:
            yield from ((artist.get_transform().transform_path(path), True) for path in artist.get_paths())
    elif isinstance(artist, Patch) and artist.get_transform().contains_branch(artist.axes.transData):
        yield artist.get_transform().transform_path(artist.get_path()), bool(artist.get_fill())


def _meets(paths: list[tuple[Path, bool]], box: Bbox) -> bool:
    return any(_path_meets(path, filled=filled, box=box) for path, filled in paths)


def _path_meets(path: Path, *, filled: bool, box: Bbox) -> bool:
    if len(path.vertices) == 1:
        return bool(box.contains(*path.vertices[0]))
    known = path.cleaned(IdentityTransform(), remove_nans=True)
    return bool(known.intersects_bbox(box, filled=filled))


def _outside(axes: Axes, slack: float) -> Iterator[str]:
    """Data that are drawn beyond the frame of their Axes because nothing cuts them off."""
    frame = axes.get_window_extent().padded(slack)
    for artist in axes.get_children():
        if artist.get_clip_on() or not artist.get_visible() or not isinstance(artist, Line2D | Patch | Collection):
            continue
        for path, _ in _outlines(artist):
            points = path.vertices[np.isfinite(path.vertices).all(axis=1)]
            if any(not frame.contains(*point) for point in points):
                yield f"{type(artist).__name__} {artist.get_label()!r}"
                break
