"""Names in figures as they are spelled: fonts that have their letters, and their widths."""

from __future__ import annotations

import functools
import logging
import unicodedata
from collections.abc import Iterable

from matplotlib.font_manager import findSystemFonts, fontManager, weight_dict
from matplotlib.ft2font import FT2Font

log = logging.getLogger(__name__)

FONT = "DejaVu Sans"  # comes with Matplotlib
BOXES = "Last Resort"  # begins the names of fonts that draw a box for every letter
INVISIBLE = ("Cc", "Cf", "Mn", "Zs", "Zl", "Zp")  # kinds of characters that need no glyph of their own


def plain(name: object) -> str:
    """A name on one line: line breaks, tabs and other control characters are spaces."""
    text = str(name).encode("utf-8", "replace").decode("utf-8")  # file names may be invalid Unicode
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def count_columns(text: str) -> int:
    """The width of `text` in usual letters: Chinese, Japanese and Korean letters count as two."""
    return sum(_columns(letter) for letter in text)


def cut(name: object, columns: int) -> str:
    """A name on one line (`plain`), of at most `columns` letters of usual width; a cut one ends in `…`."""
    text = plain(name)
    if count_columns(text) <= columns:
        return text
    while count_columns(text) > columns - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def find_fonts(names: Iterable[object]) -> list[str]:
    """The usual font, then fonts of this machine that have those letters of `names` that it lacks.

    One warning names all letters that no font has; figures show boxes for them.
    """
    letters = {letter for name in names for letter in plain(name)}
    visible = {letter for letter in letters if unicodedata.category(letter) not in INVISIBLE}
    faces = _upright_faces()
    fonts, missing = [FONT], visible - _letters_in(faces[FONT])
    if missing and _add_new_fonts():
        faces = _upright_faces()
    while missing:
        best = max(faces, key=lambda family: len(missing & _letters_in(faces[family])))
        if not missing & _letters_in(faces[best]):
            log.warning(
                "no font on this machine has the letters %s, so boxes stand for them: install one that has "
                "(for Chinese, Japanese and Korean, Debian's fonts-noto-cjk), and draw the figures again",
                "".join(sorted(missing)),
            )
            break
        fonts.append(best)
        missing -= _letters_in(faces[best])
    return fonts


def _upright_faces() -> dict[str, str]:
    """The files, by name, of the upright fonts of normal weight that Matplotlib knows."""
    return {
        font.name: font.fname
        for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname))
        if font.style == "normal" and weight_dict.get(font.weight, font.weight) == 400
        if not font.name.startswith(BOXES)
    }


@functools.cache
def _letters_in(path: str) -> frozenset[str]:
    """The letters of a font; none for a font of bitmaps, which cannot be drawn at every size."""
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError, ValueError):  # gone, damaged, or of a kind that FreeType does not know
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def _add_new_fonts() -> bool:
    """Add fonts that were installed after Matplotlib made its list; return whether there are any."""
    known = {font.fname for font in fontManager.ttflist}
    new = sorted(set(findSystemFonts()) - known)
    for path in new:
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError) as error:
            log.debug("%s is left out: %s", path, error)
    return bool(new)
