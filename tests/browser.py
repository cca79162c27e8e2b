"""Opens reports and pages in Debian's Chromium, without a network, and reads what they show."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")


class Report:
    """A report in a browser. `problems`: errors of its scripts, and everything it asked of a network."""

    def __init__(self, page, path: Path):
        self.page, self.path = page, path
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        page.on("request", self.check)
        self.open()

    def check(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "about:")):
            self.problems.append(f"asked for {request.url}")

    def open(self) -> None:
        self.page.goto(self.path.as_uri())
        self.page.get_by_text("Statistics", exact=True).wait_for()

    def categories(self) -> list[str]:
        """The entries of the menu below the general ones."""
        entries = self.page.locator("#app li a").all_inner_texts()
        return entries[entries.index("About") + 1 :]

    def choose(self, entry: str) -> None:
        self.open()
        self.page.locator("#app li a").get_by_text(entry, exact=True).click()

    def results(self, category: str) -> list[str]:
        """The labels of the results in `category`."""
        self.choose(category)
        rows = self.page.locator("tbody tr")
        rows.first.wait_for()
        return [re.sub(r"\s+", " ", text).strip() for text in rows.all_inner_texts()]

    def view(self, category: str, number: int):
        """Show a result by its first button, the eye. What is shown: a picture, or a frame with a page."""
        self.results(category)
        self.page.locator("tbody tr").nth(number).locator("a").first.click()
        shown = self.page.locator(".grow.h-screen :is(img, iframe)")
        shown.wait_for()
        return shown

    def caption(self, category: str, number: int) -> str:
        """The description that the second button of a result gives."""
        self.results(category)
        self.page.locator("tbody tr").nth(number).locator("a").nth(1).click()
        self.page.get_by_text("Description", exact=True).wait_for()
        return re.split("description", self.page.locator("#app").inner_text(), flags=re.IGNORECASE)[1]


def frame_of(element):
    """The page inside a frame."""
    frame = element.element_handle().content_frame()
    frame.wait_for_load_state()
    return frame


def picture_width(picture) -> int:
    """Pixels of a picture as the browser decoded it; 0 if it could not."""
    return picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth, () => 0)")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Report]:
    """The report at `path` in a browser. Skips the test where there is no browser."""
    with new_page() as page:
        yield Report(page, path)


@contextlib.contextmanager
def new_page() -> Iterator[Any]:
    """An empty page of a browser. Skips the test where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser.new_context(offline=True).new_page()
        finally:
            browser.close()
