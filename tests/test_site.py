"The documentation site, built here and walked through in a real browser."
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from browser import Watched, browser

root = Path(__file__).parent.parent
notebooks = [p for p in sorted((root / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in str(p)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("smalldocs")
    if not shutil.which("npm"): pytest.skip("no npm on this machine")
    copy = tmp_path_factory.mktemp("site") / "repo"  # a build writes beside the sources: not into a checkout under test
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "runs", "_docs", "__pycache__", "*.egg-info"))
    done = subprocess.run([sys.executable, "docs/build.py", "--engine", "smalldocs"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "warning:" not in done.stdout, done.stdout
    return copy / "_docs"


@pytest.fixture(scope="module")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def pages(site): return sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html") if "site_libs" not in p.parts)


def test_every_notebook_has_a_page(site):
    made = {Path(p).stem for p in pages(site)}
    missing = [p.name for p in notebooks if re.sub(r"^\d+[a-z]?_", "", p.stem) not in made and p.stem not in made]
    assert not missing, missing
    assert all("Built by" in (site / p).read_text(encoding="utf-8") for p in pages(site))


def test_links_and_anchors(site):
    text = {p: (site / p).read_text(encoding="utf-8") for p in pages(site)}
    broken = []
    for page, html in text.items():
        for href in re.findall(r'<a\b[^>]*\shref="([^"]+)"', html):
            url, anchor = urldefrag(unquote(href))
            if re.match(r"[a-z]+:", url): continue
            target = ((site / page).parent / url).resolve() if url else (site / page).resolve()
            if target.is_dir(): target = target / "index.html"
            if not target.is_file(): broken.append((page, href)); continue
            if anchor and target.suffix == ".html" and not re.search(rf'(?:id|name)="{re.escape(anchor)}"', text[target.relative_to(site.resolve()).as_posix()]): broken.append((page, href))
    assert not broken, broken[:20]


def test_colab_badges(site):
    for p in (root / "nbs" / "tutorials").glob("*.ipynb"):
        source = "".join("".join(c["source"]) for c in json.loads(p.read_text(encoding="utf-8"))["cells"])
        found = re.search(r"https://colab\.research\.google\.com/github/custom-rm/custom_rm/blob/main/([\w/.-]+)", source)
        assert found and (root / found[1]).is_file() and found[1].endswith(p.name), p.name


def test_every_page_in_a_browser(site, address):
    faults = {}
    with browser() as b:
        for page in pages(site):
            with Watched(b, address, viewport=dict(width=1280, height=1000)) as w:
                w.page.goto(address + page, wait_until="load")
                if w.page.locator(".mermaid").count(): w.page.wait_for_selector(".mermaid svg, svg.mermaid-js", timeout=20_000)
                pictures = w.page.eval_on_selector_all("main img", "es => es.filter(e => !e.naturalWidth).map(e => e.src)")
                formulas = w.page.eval_on_selector_all(".math", "es => es.filter(e => !e.querySelector('.katex, math')).length")
                without = w.page.eval_on_selector_all("main img", "es => es.filter(e => !e.hasAttribute('alt')).length")
                found = w.faults + [f"not drawn: {x[:80]}" for x in pictures] + ([f"{formulas} formulas not drawn"] if formulas else []) + ([f"{without} images without alt"] if without else [])
                if w.page.locator("h1").count() != 1: found.append(f"{w.page.locator('h1').count()} titles")
                if found: faults[page] = found[:4]
    assert not faults, json.dumps(faults, indent=1)[:4000]


@pytest.mark.parametrize("word, page", [("ranking_loss", "losses"), ("forgetting", "forgetting")])
def test_search(site, address, word, page):
    with browser() as b, Watched(b, address, viewport=dict(width=1280, height=1000)) as w:
        w.page.goto(address + "index.html", wait_until="load")
        button = w.page.locator("#quarto-search button.aa-DetachedSearchButton, .aa-DetachedSearchButton").first
        if button.count(): button.click()
        field = w.page.locator("input[type=search]:visible, .aa-Input:visible, #quarto-search input:visible").first
        field.click(); field.press_sequentially(word, delay=20)
        results = w.page.locator(".aa-Item:visible, .search-result:visible, #quarto-search-results a:visible, .sd-search a:visible, [role=option]:visible")
        results.first.wait_for(timeout=10_000)
        assert any(page in (h or "") for h in w.page.eval_on_selector_all("a[href]", "es => es.filter(e => e.offsetParent).map(e => e.href)")), results.all_inner_texts()


@pytest.mark.parametrize("page", ["index.html", "api/losses.html", "tutorials/from_scratch.html"])
def test_dark_and_narrow(site, address, page):
    if page not in pages(site): page = next(p for p in pages(site) if p.endswith(Path(page).name))
    with browser() as b:
        with Watched(b, address, viewport=dict(width=1280, height=1000)) as w:
            w.page.goto(address + page)
            light = w.page.evaluate("getComputedStyle(document.body).backgroundColor")
            w.page.locator(".quarto-color-scheme-toggle").first.click()
            w.page.wait_for_function("c => getComputedStyle(document.body).backgroundColor != c", arg=light)
            assert not w.faults, w.faults
        with Watched(b, address, viewport=dict(width=390, height=800), is_mobile=True, has_touch=True) as w:
            w.page.goto(address + page); w.page.wait_for_timeout(500)
            assert w.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1, "wider than the screen"
