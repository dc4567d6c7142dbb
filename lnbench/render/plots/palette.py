"""Colours and marks: an implementation has the same in every plot, and none is told by its colour alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
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
"""The same on a dark page: a contrast of 4.4, at least 19.5 apart."""

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
    """A colour and a shape for every title; another norm mode (`batch_norm (eval)`) has the colour in another shape.

    `named`: what stands for each name of LIGHT.
    """
    unique = tuple(dict.fromkeys(titles))
    places = _places(dict.fromkeys(map(base_name, unique)))
    taken = {(place % len(COLOURS), place % len(SHAPES)) for place in places.values()}
    given: dict[str, tuple[int, int]] = {}
    for title in unique:
        place = places[base_name(title)]
        pair = place % len(COLOURS), place % len(SHAPES)
        if any(base_name(other) == base_name(title) for other in given):  # another mode of the same
            others = ((pair[0], (place + step) % len(SHAPES)) for step in range(1, len(SHAPES)))
            pair = next((other for other in others if other not in taken), pair)
            taken.add(pair)
        given[title] = pair
    tokens = tuple(COLOURS[colour] for colour, _ in given.values())
    return Looks(unique, tokens, tuple(SHAPES[shape] for _, shape in given.values()), named)


def _places(names: Iterable[str]) -> dict[str, int]:
    """A number for each name: its own for those that have one, the free ones for the others, in order."""
    found = list(names)
    free = (place for place in count() if place >= len(FIRST) or FIRST[place] not in found)
    return {name: FIRST.index(name) if name in FIRST else next(free) for name in found}


def base_name(title: str) -> str:
    """A title without its norm mode."""
    return title.removesuffix(" (train)").removesuffix(" (eval)")


def css_named() -> dict[str, str]:
    """For a page: each name as the CSS variable that its theme sets."""
    return {name: f"var(--{name})" for name in LIGHT}
