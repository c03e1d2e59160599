"The documentation site, built here and walked through in a real browser: nothing a notebook says is lost, nothing is cut, every link holds."
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import fields, is_dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag

import playwright.sync_api as playwright_sync
import pytest
from browser import Watched, browser

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / "docs"))
from address import move, settings, texts  # noqa: E402
from sidebar import config, house, renewed, with_rooms  # noqa: E402

notebooks = [p for p in sorted((root / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in str(p)]
WIDTHS = (1280, 390)


def cells(path, kind): return ["".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def page_of(path): return re.sub(r"(^|/)\d+[a-z]?_", r"\1", path.relative_to(root / "nbs").with_suffix(".html").as_posix())


# Without a build

def test_sidebar():
    "The sidebar and the list of rooms are those of the notebooks; python docs/sidebar.py brings them up to date."
    assert renewed(config.read_text(encoding="utf-8")) == config.read_text(encoding="utf-8")
    assert with_rooms(house.read_text(encoding="utf-8")) == house.read_text(encoding="utf-8")
    named = set(re.findall(r"- ((?:tutorials|api|explanations)/\S+\.ipynb)", config.read_text(encoding="utf-8")))
    assert named == {p.relative_to(root / "nbs").as_posix() for p in notebooks if p.parent.name != "nbs"}


@pytest.mark.parametrize("path", sorted((root / "nbs" / "tutorials").glob("*.ipynb")), ids=lambda p: p.stem)
def test_colab_button(path):
    s = settings()
    button = f"https://colab.research.google.com/github/{s['user']}/{s['repo']}/blob/{s['branch']}/nbs/tutorials/{path.name})"
    assert button in "\n".join(cells(path, "markdown"))


def test_address_has_one_home(tmp_path):
    "After docs/address.py nothing names the old address, and settings.ini's parts agree."
    copy, s = tmp_path / "repo", settings()
    for path in texts(root):
        there = copy / path.relative_to(root)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    move(copy, "https://github.com/somebody-else/another-name")
    new = settings(copy)
    assert (new["user"], new["repo"], new["git_url"]) == ("somebody-else", "another-name", "https://github.com/somebody-else/another-name")
    assert new["doc_host"] + new["doc_baseurl"] == "https://somebody-else.github.io/another-name" and new["lib_name"] == s["lib_name"]
    old = [f"{s['user']}/{s['repo']}", s["doc_host"].split("//")[1], f"github.com/{s['user']}", f"{s['user']}@", s["git_url"]]
    left = [(p.relative_to(copy).as_posix(), o) for p in copy.rglob("*") if p.is_file() for o in old if o.encode() in p.read_bytes()]
    assert not left, left[:9]


@pytest.mark.parametrize("text, columns", [
    ("Why do we yawn?\n\nbusiness: Nobody has signed off on one cause, so plan around the pattern.", False),
    ("strategy   own domain   general\nbase       33.3         91.7\nplain      80.0         60.4", True),
    ("{'accuracy': 1.0,\n 'low': 1.0}", False),
    ("╭─ Error ─╮\n│ no file │\n╰─────────╯", True),
])
def test_what_scrolls(text, columns):
    from build import aligned
    assert aligned(text) == columns


def test_printed_tables_become_html():
    pytest.importorskip("nbdev")
    from pages import split_tables
    from rich.console import Console
    from rich.table import Table
    table = Table(title="accuracy in %")
    for name in ("reward model", "loud"): table.add_column(name)
    table.add_row("general", "80")
    table.add_row("a <b>", "97")
    console = Console(width=60, record=True, file=open("/dev/null", "w"))
    console.print("before", table, "after")
    before, made, after = split_tables(console.export_text())
    assert before == ("text", "before") and after[1].strip() == "after"
    assert re.findall(r"<(?:th|td|caption)\b[^>]*>(.*?)</", made[1]) == ["accuracy in %", "reward model", "loud", "general", "80", "a &lt;b&gt;", "97"]


@pytest.mark.parametrize("line, made", [
    ("see `measure` there", "see [`measure`](api/metrics.html#measure) there"),
    ("see `measure()` there", "see [`measure()`](api/metrics.html#measure) there"),
    ("[`measure`](x.ipynb)", "[`measure`](x.ipynb)"),
    ("[a `measure` of it](x.ipynb)", "[a `measure` of it](x.ipynb)"),
    ("`` `measure` ``", "`` `measure` ``"),
    ("`evaluate` and `clean`", "[`evaluate`](api/evaluate.html#evaluate) and `clean`"),
    ("# `measure`", "# `measure`"),
    ("```python\n`measure`\n```", "```python\n`measure`\n```"),
])
def test_names_in_backticks(line, made):
    pytest.importorskip("nbdev")
    from pages import Names, linked
    index = {"custom_rm.cli": {"custom_rm.cli.evaluate": ("api/cli.html#evaluate", ""), "custom_rm.cli.clean": ("api/cli.html#clean", "")},
             "custom_rm.evaluate": {"custom_rm.evaluate.evaluate": ("api/evaluate.html#evaluate", "")},
             "custom_rm.metrics": {"custom_rm.metrics.measure": ("api/metrics.html#measure", "")}}
    assert linked(line, Names(index, "custom_rm.scorer"), "") == made


# The build

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("smalldocs")
    if not shutil.which("npm"): pytest.skip("no npm on this machine")
    copy = tmp_path_factory.mktemp("site") / "repo"  # a build writes beside the sources: not into a checkout under test
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git", "runs", "_docs", "_proc", "__pycache__", "*.egg-info"))
    done = subprocess.run([sys.executable, "docs/build.py", "--engine", "smalldocs"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "warning:" not in done.stdout, done.stdout
    assert (copy / "README.md").read_bytes() == (root / "README.md").read_bytes(), "a build leaves README.md alone"
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


def main_of(site, page):
    "A page's content as HTML"
    return re.search(r"<main\b.*</main>", (site / page).read_text(encoding="utf-8"), re.S)[0]


def words(text): return re.sub(r"[\W_]+", "", text).lower()


def seen(markup): return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<!--.*?-->|<(script|style)\b.*?</\1>", "", markup, flags=re.S)))


def test_every_notebook_has_a_page(site):
    assert {page_of(p) for p in notebooks} <= set(pages(site))
    assert all("Built by" in (site / p).read_text(encoding="utf-8") for p in pages(site))


def test_every_paragraph_is_there(site):
    "What stands in a notebook's prose stands in its page: paragraphs, list entries, table cells."
    from markdown_it import MarkdownIt
    read, lost = MarkdownIt("commonmark").enable("table"), []
    for path in notebooks:
        page = words(seen(main_of(site, page_of(path))))
        for block in (t for source in cells(path, "markdown") for t in read.parse(source) if t.type == "inline"):
            said = words(seen(read.renderInline(block.content)))
            if "$" not in block.content and said not in page: lost.append((page_of(path), block.content[:80]))  # formulas are drawn
    assert not lost, lost[:20]


def test_tutorials_have_their_button(site):
    for path in (root / "nbs" / "tutorials").glob("*.ipynb"):
        assert re.search(rf'<a href="https://colab\.research\.google\.com/github/[^"]*/{path.name}"[^>]*>\s*<img', main_of(site, page_of(path))), path.name


def test_no_raw_markdown(site):
    "Outside of code there is no link, no emphasis, no table and no code span left as it was written."
    left = []
    for page in pages(site):
        text = seen(re.sub(r'<(pre|code)\b.*?</\1>|<span class="math.*?</span>', "", main_of(site, page), flags=re.S))
        left += [(page, m[0]) for m in re.finditer(r".{0,30}(?:\]\(|\*\*|`|\|\s*-{3}).{0,30}", text)]
        left += [(page, m[0]) for m in re.finditer(r"\[`[^`\n]*`\]\([^)\n]*\)", seen(main_of(site, page)))]
    assert not left, left[:20]


def test_links_and_anchors(site):
    text = {p: (site / p).read_text(encoding="utf-8") for p in pages(site)}
    broken = []
    for page, markup in text.items():
        for href in re.findall(r'<a\b[^>]*\shref="([^"]+)"', markup):
            url, anchor = urldefrag(unquote(href))
            if re.match(r"[a-z]+:", url): continue
            target = ((site / page).parent / url).resolve() if url else (site / page).resolve()
            if target.is_dir(): target = target / "index.html"
            if not target.is_file(): broken.append((page, href)); continue
            if anchor and target.suffix == ".html" and not re.search(rf'(?:id|name)="{re.escape(anchor)}"', text[target.relative_to(site.resolve()).as_posix()]): broken.append((page, href))
    assert not broken, broken[:20]


def test_names_do_not_lead_to_the_command_line(site):
    "The verb `evaluate` and the function `evaluate` share a name; prose and signatures mean the function."
    found = [(p, m) for p in pages(site) if p != "api/cli.html" for m in re.findall(r'href="[^"]*cli\.html#[^"]+"', main_of(site, p))]
    assert not found, found[:9]


def test_fields_show_their_help(site):
    "A dataclass's page names every field with its help, be it metadata or a comment."
    import importlib
    for name in ("recipes", "model", "metrics"):
        module, page = importlib.import_module(f"custom_rm.{name}"), seen(main_of(site, f"api/{name}.html"))
        classes = [c for c in vars(module).values() if isinstance(c, type) and is_dataclass(c) and c.__module__ == module.__name__ and not c.__name__.startswith("_")]
        assert classes
        for c in classes:
            for f in fields(c):
                assert f.name in page
                help = f.metadata.get("help", "").replace("{choices}", ", ".join(f.metadata.get("choices") or []))
                assert words(help) in words(page), (c, f.name)
    assert words("their product is scaled by alpha") in words(seen(main_of(site, "api/model.html")))
    assert not [p for p in pages(site) if "<factory>" in seen(main_of(site, p)) or "__main__" in seen(main_of(site, p))]


# In the browser

LOOK = """() => {
  const main = document.querySelector('main'), right = main.getBoundingClientRect().right + 1, faults = [];
  const scrolls = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  const inBox = e => { for (; e && e !== main; e = e.parentElement) if (scrolls(e)) return true; return false; };
  const all = s => [...main.querySelectorAll(s)];
  const say = (what, es) => es.forEach(e => faults.push(what + ': ' + (e.textContent || e.src || '').trim().slice(0, 60)));
  say('clipped', all('pre, table, .cell-output').filter(e => e.scrollWidth > e.clientWidth + 1 && !scrolls(e) && !inBox(e)));
  say('outside the page', all('pre, table, img, svg, h1, h2, h3, p, code').filter(e => e.getBoundingClientRect().right > right && !inBox(e)));
  say('prose that does not wrap', all('.cell-output > pre.prose').filter(e => e.scrollWidth > e.clientWidth + 1));
  say('printed without a class', all('.cell-output > pre').filter(e => !e.classList.contains('prose') && !e.classList.contains('aligned')));
  say('a table of characters', all('pre').filter(e => /[┏┃╇]/.test(e.textContent)));
  say('picture not drawn', all('img').filter(e => !e.naturalWidth));
  say('picture without alt', all('img').filter(e => !e.hasAttribute('alt')));
  say('formula not drawn', all('.math').filter(e => !e.querySelector('.katex, math')));
  if (document.querySelectorAll('h1').length !== 1) faults.push(document.querySelectorAll('h1').length + ' titles');
  if (![...document.styleSheets].some(s => (s.href || '').endsWith('/styles.css'))) faults.push('no styles.css');
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 1) faults.push('wider than the screen by ' + wide);
  return faults;
}"""


def test_every_page_in_a_browser(site, address):
    "Nothing is cut, nothing is missing, nothing comes from another host, no error on the console, on a desk and on a phone."
    faults = {}
    with browser() as b, Watched(b, address, viewport=dict(width=1280, height=1000)) as w:
        for page in pages(site):
            w.faults.clear()
            w.page.set_viewport_size(dict(width=WIDTHS[0], height=1000))
            w.page.goto(address + page, wait_until="load")
            if w.page.locator(".mermaid").count(): w.page.wait_for_function("document.querySelectorAll('.mermaid svg').length == document.querySelectorAll('pre.mermaid').length", timeout=30_000)
            found = w.faults.copy()
            for width in WIDTHS:
                w.page.set_viewport_size(dict(width=width, height=1000))
                found += [f"{width}: {fault}" for fault in w.page.evaluate(LOOK)]
            if found: faults[page] = found[:5]
    assert not faults, json.dumps(faults, indent=1, ensure_ascii=False)[:6000]


@pytest.mark.parametrize("word, page", [("ranking_loss", "losses"), ("forgetting", "forgetting")])
def test_search(site, address, word, page):
    with browser() as b, Watched(b, address, viewport=dict(width=1280, height=1000)) as w:
        w.page.goto(address + "index.html", wait_until="load")
        field = w.page.locator("#quarto-search input").first
        field.click(); field.press_sequentially(word, delay=20)
        results = w.page.locator(".search-result:visible")
        there = "p => [...document.querySelectorAll('.search-result')].some(e => e.offsetParent && (e.href ?? '').includes(p))"
        try: w.page.wait_for_function(there, arg=page, timeout=10_000)  # the first results belong to the first letters typed
        except playwright_sync.TimeoutError: raise AssertionError(results.all_inner_texts()) from None


BRIGHT = """s => { const e = document.querySelector(s), c = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number); return (c[0] + c[1] + c[2]) / 3; }"""


@pytest.mark.parametrize("page", ["index.html", "api/losses.html", "explanations/house.html"])
def test_light_and_dark(site, address, page):
    "Page and search box are light in the light and dark in the dark."
    with browser() as b, Watched(b, address, viewport=dict(width=1280, height=1000), color_scheme="light") as w:
        w.page.goto(address + page)
        assert min(w.page.evaluate(BRIGHT, s) for s in ("body", "#quarto-search input")) > 200
        w.page.locator(".quarto-color-scheme-toggle").first.click()
        w.page.wait_for_function("getComputedStyle(document.body).backgroundColor != 'rgb(255, 255, 255)'")
        assert max(w.page.evaluate(BRIGHT, s) for s in ("body", "#quarto-search input")) < 80
        assert not w.faults, w.faults
