"""Looks at drawn figures: whether anything covers anything, and what is where."""

from itertools import combinations
from types import SimpleNamespace

PAPER = {
    **{"wav2vec2-base": 12, "wav2vec2-large": 24, "wavlm-base": 12, "wavlm-large": 24},
    **{"hubert-base": 12, "hubert-large": 24, "ccc-wav2vec2-base": 12},
}
LONG = {
    "my-organisation-wav2vec2-large-xlsr-53-german": 24,
    "a_long_name_without_any_hyphens_in_it": 12,
    "tiny": 2,
}
HOSTILE = [  # names that some format or other takes for something else
    *("$$", "$", "a$b$c", "$x_1$", r"$\foo$", r"\$", r"\frac{1}{2}", "back\\", "_", "_hidden", "__init__"),
    *("a_b^c", "^", "%", "#1", "&", "{}", "{0}", "~", "<b>bold</b>", "&amp;", "a|b", "`x`", "*star*"),
    *("two\nlines", "a\tb", " padded ", "nan", "None", "007"),
    *("שלום", "مرحبا", "naïve", "Ω", "ﬁ", "😀", "e\u0301"),
]
MANY = {f"model-number-{i}": 12 for i in range(12)}


def assert_nothing_is_covered_or_clipped(figure):
    """Panels with their labels, legends, texts and the edge keep apart (a hair's rounding allowed)."""
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes if ax.axison]
    boxes += [part.get_window_extent() for part in (*figure.legends, *figure.texts)]
    edge = figure.bbox.padded(1)
    for box in boxes:
        assert edge.x0 <= box.x0 < box.x1 <= edge.x1
        assert edge.y0 <= box.y0 < box.y1 <= edge.y1
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))


def output_in(folder, name) -> SimpleNamespace:
    return SimpleNamespace(**{kind: str(folder / f"{name}.{kind}") for kind in ("csv", "pdf", "png")})
