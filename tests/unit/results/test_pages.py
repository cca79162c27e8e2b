"""Pages hold what they show: pictures inside, tables cell by cell, nothing from elsewhere."""

import base64
import re

import pandas as pd
from convexprune.results.pages import table_page, text_page


def test_pictures_are_inside_with_their_captions(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/one.png").write_bytes(b"a picture")
    page = text_page(
        "# Title\n\nText.\n\n![What to *see* & why](figures/one.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        "\n- * marks an outlier\n",
        tmp_path,
    )
    image = re.search('src="data:image/png;base64,([^"]+)"', page)[1]
    assert base64.b64decode(image) == b"a picture"
    assert "<figcaption>What to *see* &amp; why</figcaption>" in page
    assert "<title>Title</title>" in page and "<td>2</td>" in page
    assert "<li>* marks an outlier</li>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_a_table_is_shown_cell_by_cell():
    reason = "Because the convexity of <words> is highest there & within the tolerance of it."
    table = pd.DataFrame(
        {"model": ["a<b", None], "layers": [9, 16], "score": [0.123456, None], "reason": [reason, ""]}
    )
    page = table_page("Layers & why", table)
    cells = re.findall(r"<td>(.*?)</td>", page, flags=re.DOTALL)
    assert cells[:3] == ["a&lt;b", "9", "0.1235"]
    assert cells[3].startswith('<span class="text">Because the convexity of &lt;words&gt;')
    assert cells[4:] == ["", "16", "", ""]
    assert re.findall(r"<th>(.*?)</th>", page) == ["model", "layers", "score", "reason"]
    assert "<h1>Layers &amp; why</h1>" in page


def test_what_looks_like_html_in_a_text_is_shown(tmp_path):
    page = text_page("# Title\n\n<script>x</script> and <b>bold</b>\n\n- <i>name</i>\n", tmp_path)
    for element in ("script", "b", "i"):
        assert f"<{element}>" not in page.partition("<body>")[2]
        assert f"&lt;{element}&gt;" in page
