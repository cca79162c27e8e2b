"""Pages of HTML for the report; a page needs no other file.

Snakemake's report shows pages and pictures, but offers tables only as downloads.
"""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

import pandas as pd
from markdown import Markdown

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 0.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { padding: 0.2rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap }
th { border-bottom: 2px solid #888 }
td:has(> .text) { white-space: normal; min-width: 30rem }
img { max-width: 100% }
code { background: #f3f3f3 }
"""
LONG_TEXT = 60  # characters: cells at least this long are wrapped


def text_page(text: str, folder: Path) -> str:
    """The Markdown `text` as a page, with the PNG pictures that it names (relative to `folder`) embedded.

    The description of a picture alone on its line becomes its caption.
    """

    def figure(match: re.Match[str]) -> str:
        image = base64.b64encode((folder / html.unescape(match["path"])).read_bytes()).decode()
        return (
            f'<figure><img src="data:image/png;base64,{image}" alt="{match["caption"]}">'
            f"<figcaption>{match['caption']}</figcaption></figure>"
        )

    reader = Markdown(extensions=["tables"])
    reader.preprocessors.deregister("html_block")  # text that looks like HTML is part of a name
    reader.inlinePatterns.deregister("html")
    # "- * " starts a note with a star, not a list within the list.
    body = reader.convert(re.sub(r"^- \*(?= )", r"- \\*", text, flags=re.MULTILINE))
    body = re.sub(r'<p><img alt="(?P<caption>[^"]*)" src="(?P<path>[^"]+)" ?/></p>', figure, body)
    return make_page(text.partition("\n")[0].strip("# "), body)


def table_page(title: str, table: pd.DataFrame) -> str:
    """The table as a page: numbers to four digits, missing values empty."""

    def cell(value: Any) -> str:
        if isinstance(value, str) and len(value) >= LONG_TEXT:
            return f'<span class="text">{html.escape(value)}</span>'
        if isinstance(value, float):
            return f"{value:.4g}"
        return html.escape(str(value))

    shown = table.map(cell).where(table.notna(), "")
    shown.columns = [html.escape(str(column)) for column in table.columns]
    return make_page(
        title, f"<h1>{html.escape(title)}</h1>\n{shown.to_html(index=False, escape=False, border=0)}"
    )


def make_page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )
