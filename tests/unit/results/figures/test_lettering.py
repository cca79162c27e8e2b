"""Names in figures are drawn as they are spelled, whatever is in them."""

import logging

import matplotlib
import pandas as pd
import pytest
from convexprune.results.figures import lettering, style
from drawn import HOSTILE, output_in
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D

pytestmark = pytest.mark.filterwarnings("error")

NOWHERE = "\U0001fad8\u1b83"  # letters that no font here has


def write_font(path, family, letters) -> None:
    """A font in which each of `letters` is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"letter{i}" for i in range(len(letters)))]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(letter): f"letter{i}" for i, letter in enumerate(letters)})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWeightClass=400)
    font.setupPost()
    font.save(path)


@pytest.fixture
def fonts(monkeypatch):
    """Fonts may be added: afterwards those of before are known again."""
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    lettering._letters_in.cache_clear()
    return fontManager


def legend_of(names) -> Figure:
    with style.drawing(names):
        figure = Figure((style.PAGE, 4), layout="constrained")
        style.add_legend(figure, [Line2D([], [], label=name) for name in names])
    return figure


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_drawn_as_it_is_spelled(tmp_path, name):
    figure = legend_of([name, "other"])
    with style.drawing([name]):
        figure.suptitle(style.wrap(name, 2))
    style.save(figure, pd.DataFrame(), output_in(tmp_path, "figure"))
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [" ".join(name.split()), "other"]
    assert figure.get_suptitle().replace("\n", " ").split() == name.split()
    assert not figure.legends[0].get_texts()[0].get_parse_math()
    assert not figure.texts[0].get_parse_math()


def test_every_text_of_a_figure_is_drawn_as_it_is():
    figure = legend_of(["a"])
    with style.drawing():
        ax = figure.subplots()
        ax.set(title="$a$", xlabel="$b$", ylabel="$c$")
        ax.set_xticks([0, 1], ["$d$", "$e$"])
        ax.annotate("$f$", (0, 0))
    texts = [text for text in figure.findobj(matplotlib.text.Text) if "$" in text.get_text()]
    assert {text.get_text() for text in texts} == {f"${letter}$" for letter in "abcdef"}
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("letters", 7, "letters"),
        ("letters", 6, "lette…"),
        ("two  \n words\t", 9, "two words"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("a\u0301" * 4, 4, "a\u0301" * 4),  # accents take no room
        ("a b c", 3, "a…"),
        (17, 5, "17"),
        ("caf\udce9", 5, "caf?"),  # a file name in Latin-1
    ],
)
def test_names_are_cut_by_the_room_they_take(name, columns, expected):
    assert lettering.cut(name, columns) == expected


def test_a_legend_is_no_wider_than_its_figure(fonts, tmp_path):
    write_font(tmp_path / "wide.ttf", "Wide", "日本")
    fonts.addfont(tmp_path / "wide.ttf")
    figure = legend_of(["x" * 500, "日本" * 200])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_wide_letters_are_wrapped_earlier():
    assert style.wrap("x" * 20, 0.6) == "x" * 10 + "\n" + "x" * 10
    assert style.wrap("日" * 10, 0.6) == "日" * 5 + "\n" + "日" * 5


def test_letters_that_the_usual_font_lacks_come_from_one_that_has_them(fonts, tmp_path, caplog):
    write_font(tmp_path / "one.ttf", "One", NOWHERE[0])
    write_font(tmp_path / "two.ttf", "Two", NOWHERE)
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    for name in ("one", "two"):
        fonts.addfont(tmp_path / f"{name}.ttf")
    (tmp_path / "two.ttf").rename(tmp_path / "kept.ttf")
    assert lettering.find_fonts(["plain"]) == ["DejaVu Sans"]
    assert lettering.find_fonts([NOWHERE]) == ["DejaVu Sans", "One"]  # what is listed may be gone
    assert NOWHERE[1] in caplog.text
    (tmp_path / "kept.ttf").rename(tmp_path / "two.ttf")
    lettering._letters_in.cache_clear()
    caplog.clear()
    assert lettering.find_fonts([NOWHERE]) == ["DejaVu Sans", "Two"]
    figure = legend_of([NOWHERE])
    assert figure.legends[0].get_texts()[0].get_fontfamily() == ["DejaVu Sans", "Two"]
    style.save(figure, pd.DataFrame(), output_in(tmp_path, "figure"))
    assert not caplog.text


def test_a_font_installed_after_matplotlibs_list_is_found(fonts, tmp_path, monkeypatch, caplog):
    write_font(tmp_path / "new.ttf", "New", NOWHERE)
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    there = [str(path) for path in tmp_path.glob("*.ttf")]
    monkeypatch.setattr(lettering, "findSystemFonts", lambda: there)
    assert lettering.find_fonts([NOWHERE]) == ["DejaVu Sans", "New"]
    assert not caplog.text


def test_letters_of_no_font_are_told_once_and_drawn_as_boxes(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        figure = legend_of([NOWHERE, f"and {NOWHERE}\u200d"])
        style.save(figure, pd.DataFrame(), output_in(tmp_path, "figure"))
    [record] = caplog.records
    assert "".join(sorted(NOWHERE)) in record.message
    assert "install one" in record.message


def test_models_in_a_legend_are_on_one_line():
    [line] = style.model_handles({"two\nlines": {"color": "black", "marker": "o"}})
    assert line.get_label() == "two lines"
