"""The documentation builds without a warning, loads nothing from the network, and knows every config key."""

import os
import re
import subprocess
import sys

import browser
import pytest
import yaml

pytest.importorskip("mkdocs", reason="the documentation's packages are not installed")


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=root,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return folder


def test_every_page_is_built(site, root):
    navigation = (root / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    for page in re.findall(r": (\S+)\.md$", navigation, flags=re.MULTILINE):
        assert (site / f"{page}.html").exists(), page


def test_the_site_can_be_read_and_searched_as_files(site):
    """Without a server: every link leads to a page, not to a list of a folder's files."""
    asked = []
    with browser.new_page() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        for address in page.locator("nav a, article a").evaluate_all("links => links.map(link => link.href)"):
            if address.startswith("file:"):
                assert address.partition("#")[0].endswith((".html", ".png")), address
        page.locator("nav").get_by_role("link", name="The science").first.click()
        page.wait_for_url("**/science.html")
        page.keyboard.press("/")
        page.keyboard.type("infinitesimal jackknife")
        page.locator(".md-search-result__item a[href*='science.html']").first.wait_for()
    assert all(address.startswith(("file:", "data:", "about:")) for address in asked)


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)", page.read_text(encoding="utf-8"))
        loaded += re.findall(
            r"<link[^>]*rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"([^\"]+)",
            page.read_text(encoding="utf-8"),
        )
        loaded += re.findall(
            r"<link[^>]*href=\"([^\"]+)\"[^>]*rel=\"(?:stylesheet|preconnect)\"",
            page.read_text(encoding="utf-8"),
        )
        assert not [address for address in loaded if re.match("(https?:)?//", address)], page


def test_the_config_page_names_every_key_of_the_schema(site, root):
    def keys(part):
        for key, entry in part.get("properties", {}).items():
            yield key
            yield from keys(entry)

    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    page = (site / "config.html").read_text(encoding="utf-8")
    wanted = [*keys(schema), *(key for part in schema["$defs"].values() for key in keys(part))]
    missing = [key for key in wanted if not re.search(rf"(<code>|\.|<h2 id=\"){re.escape(key)}\b", page)]
    assert len(wanted) > 80 and not missing


def test_the_reference_has_signatures_and_errors(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    assert "graph_convexity" in page and "n_neighbors" in page and "Raises ValueError" in page
