"""Colours and marks: an implementation has the same in every plot, and none is told by its colour alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "faint": "#57606a",
        "grid": "#d8dee4",
        "c0": "#0f5f8c",
        "c1": "#c46c06",
        "c2": "#02a166",
        "c3": "#d63fc0",
        "c4": "#673d0d",
        "c5": "#5b2be0",
        "c6": "#898da3",
        "output": "#1f4e79",
        "saved": "#4f94d8",
        "temporary": "#8c8c8c",
    }
)
"""On white. The colours of implementations were sought to have a contrast of 3.2 and more with the page, and to lie as
far apart as they can for every eye: at least 18 in CIELAB also with protanopia, deuteranopia and tritanopia, as
Machado, Oliveira and Fernandes simulate them (2009, IEEE TVCG 15:1291, severity 1)."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#14181d",
        "ink": "#e6edf3",
        "faint": "#9ea7b1",
        "grid": "#30363d",
        "c0": "#8fb8f5",
        "c1": "#e8590c",
        "c2": "#3ce0a5",
        "c3": "#c45ab5",
        "c4": "#e3da6a",
        "c5": "#7a66ff",
        "c6": "#8b8f96",
        "output": "#9ecbff",
        "saved": "#3f7fbf",
        "temporary": "#6b737c",
    }
)
"""The same on a dark page: a contrast of 4.4, at least 20 apart."""

COLOURS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
"""Seven colours and six shapes have no common divisor: the first 42 implementations differ in the pair."""

GLYPHS: Mapping[str, str] = MappingProxyType(
    {"circle": "●", "square": "■", "triangle-up": "▲", "diamond": "◆", "triangle-down": "▼", "cross": "✚"}
)
"""The shapes as letters, for keys in text."""

FIRST = ("fused", "eager", "compiled", "batch_norm", "module", "compiled_max_autotune", "jax")
"""These have a colour of their own in every report that they stand in; others take what is left, in plan order."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The colour and the shape of each implementation, by its title.

    `colour_of`: the colour behind a name of LIGHT and DARK; a page that has two themes gives a CSS variable.
    """

    titles: tuple[str, ...]
    tokens: tuple[str, ...]
    shapes: tuple[str, ...]
    named: Mapping[str, str]

    @property
    def colours(self) -> list[str]:
        """The colours, in the order of `titles`."""
        return [self.named[token] for token in self.tokens]


def looks(titles: Sequence[str], *, named: Mapping[str, str] = LIGHT) -> Looks:
    """A colour and a shape for every title; a norm mode in it (`batch_norm (eval)`) makes another shape.

    `named`: what stands for each name of LIGHT.
    """
    unique = tuple(dict.fromkeys(titles))
    reserved = {title: place for place, title in enumerate(FIRST) if title in {base_name(found) for found in unique}}
    free = iter([place for place in range(len(unique) + len(FIRST)) if place not in reserved.values()])
    places: dict[str, int] = dict(reserved)
    for title in unique:
        places.setdefault(base_name(title), -1)
    for name, place in list(places.items()):
        if place < 0:
            places[name] = next(free)
    seen: dict[str, int] = {}
    tokens, shapes = [], []
    for title in unique:
        name = base_name(title)
        mode = seen[name] = seen.get(name, -1) + 1
        tokens.append(COLOURS[places[name] % len(COLOURS)])
        shapes.append(SHAPES[(places[name] + mode) % len(SHAPES)])
    return Looks(unique, tuple(tokens), tuple(shapes), named)


def base_name(title: str) -> str:
    """A title without its norm mode."""
    return title.removesuffix(" (train)").removesuffix(" (eval)")


def css_named() -> dict[str, str]:
    """For a page: each name as the CSS variable that its theme sets."""
    return {name: f"var(--{name})" for name in LIGHT}
