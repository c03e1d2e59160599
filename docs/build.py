"""The documentation site: `python docs/build.py` writes `_docs`, `--serve` shows it at http://127.0.0.1:8080.

The notebooks go through nbdev's processors (docs/pages.py says what is added to them), and then through Quarto where it is on the PATH. Elsewhere smalldocs
(from PyPI) reads the same pages and the same `nbs/_quarto.yml`; KaTeX and mermaid come from npm into the site, so that its pages ask nothing of any other
host. Each page's foot says which engine built it.
"""
import argparse
import functools
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

root = Path(__file__).parent.parent
SETTLED = ("output-file is not read", "format commonmark", "keep-md")  # `stage` has read the first; the others are nbdev's wishes for Quarto
LIBRARIES = {"katex": "0.16.11", "mermaid": "11.4.1"}


def from_npm(folder: Path) -> Path:
    "The two libraries' files, fetched once; npm verifies what it fetches"
    for name, version in LIBRARIES.items():
        home = folder / name
        if (home / "package.json").exists() and json.loads((home / "package.json").read_text())["version"] == version: continue
        with tempfile.TemporaryDirectory() as work:
            done = subprocess.run(["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", work], capture_output=True, text=True)
            if done.returncode: sys.exit(f"npm can't get {name} {version}: {done.stderr.strip()[-300:]}")
            shutil.rmtree(home, ignore_errors=True); home.mkdir(parents=True)
            with tarfile.open(next(Path(work).glob("*.tgz"))) as tar: tar.extractall(work, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # Python before 3.11.4 has no filter
            shutil.copytree(Path(work) / "package", home, dirs_exist_ok=True)
    return folder


def output_file(notebook: dict) -> str | None:
    "The name nbdev gives a page, without its number"
    first = notebook["cells"][0] if notebook["cells"] else None
    found = first and first["cell_type"] == "raw" and re.search(r"^output-file:\s*(\S+)$", "".join(first["source"]), re.M)
    return found and found[1]


NAMED = re.compile(r"(?<![\w.-])()([\w-]+)\.(ipynb|html)")  # a notebook's name in the site's configuration
LINKED = re.compile(r"""(\]\((?!https?:)[\w./-]*?|href=\\?["'](?!https?:)[\w./-]*?)([\w-]+)\.(ipynb|html)""")  # … in a link of a page; what stands in code stays as it is


def stage(processed: Path, dest: Path) -> Path:
    "Copy the processed notebooks, each under its page's name, links with it"
    shutil.rmtree(dest, ignore_errors=True); shutil.copytree(processed, dest)
    names = {}
    for p in sorted(dest.rglob("*.ipynb")):
        out = output_file(json.loads(p.read_text(encoding="utf-8")))
        if out and Path(out).stem != p.stem: names[p.stem] = Path(out).stem; p.rename(p.with_name(Path(out).stem + ".ipynb"))
    for p in [*dest.rglob("*.ipynb"), *dest.rglob("*.yml"), *dest.rglob("*.qmd")]:
        pattern, text = LINKED if p.suffix == ".ipynb" else NAMED, p.read_text(encoding="utf-8")
        p.write_text(pattern.sub(lambda m: f"{m[1]}{names.get(m[2], m[2])}.{m[3]}", text), encoding="utf-8")
    return dest


def vendor(site: Path, libraries: Path) -> None:
    "Serve KaTeX and mermaid from the site, and fetch no web fonts"
    from smalldocs.layout import KATEX, MERMAID
    addresses = {"katex": KATEX, "mermaid": MERMAID.rsplit("/", 1)[0]}
    for name, address in addresses.items():
        if f"{name}@{LIBRARIES[name]}/" not in address + "/": sys.exit(f"the pages ask for {address}, fetched is {name} {LIBRARIES[name]}")
    lib = site / "site_libs"
    shutil.copytree(libraries / "katex" / "dist", lib / "katex", dirs_exist_ok=True)
    (lib / "mermaid").mkdir(exist_ok=True)
    dist = libraries / "mermaid" / "dist"
    shutil.copy(dist / "mermaid.esm.min.mjs", lib / "mermaid")
    shutil.copytree(dist / "chunks" / "mermaid.esm.min", lib / "mermaid" / "chunks" / "mermaid.esm.min", ignore=shutil.ignore_patterns("*.map"), dirs_exist_ok=True)
    for p in site.rglob("*.html"):
        text, up = p.read_text(encoding="utf-8"), "../" * (len(p.relative_to(site).parts) - 1) or "./"
        for name, address in addresses.items(): text = text.replace(address, f"{up}site_libs/{name}")
        p.write_text(text, encoding="utf-8")
    for p in lib.rglob("*.css"):
        text = p.read_text(encoding="utf-8")
        p.write_text(re.sub(r'@import\s+url\(["\']?https://fonts\.googleapis[^)]*\)\s*;', "", text), encoding="utf-8")


def whole_by_itself(site: Path, base: str, engine: str) -> None:
    "Point links to the published site at this build, badges at a copy here, and say who built it"
    badge = '<svg xmlns="http://www.w3.org/2000/svg" width="117" height="20" role="img" aria-label="Open in Colab"><rect width="117" height="20" rx="3" fill="#555"/><text x="58" y="14" fill="#fff" font-family="sans-serif" font-size="11" text-anchor="middle">Open in Colab</text></svg>'
    (site / "site_libs").mkdir(exist_ok=True); (site / "site_libs" / "colab.svg").write_text(badge, encoding="utf-8")
    for p in site.rglob("*.html"):
        up = "../" * (len(p.relative_to(site).parts) - 1) or "./"
        text = p.read_text(encoding="utf-8").replace(f'href="{base}/', f'href="{up}').replace("https://colab.research.google.com/assets/colab-badge.svg", f"{up}site_libs/colab.svg")
        text = text.replace("</main>", f'<p style="opacity:.7;font-size:.8rem;margin-top:3rem">Built by {engine}.</p></main>', 1)
        p.write_text(text, encoding="utf-8")


OUTPUT = re.compile(r'(<div class="cell-output[^"]*"[^>]*>\s*<pre)(?: class="[^"]*")?(>\s*<code>)(.*?)(</code>\s*</pre>)', re.S)


def aligned(text: str) -> bool:
    "Is a printed text laid out in columns? Then it scrolls; all other text is wrapped"
    lines = text.splitlines()
    if any(re.search("[╭│├└┌┏]", line) for line in lines): return True
    columns = [line for line in lines if re.search(r"\S {2,}\S", line)]
    return len(columns) > 1 and 2 * len(columns) >= len(lines) and max(map(len, lines)) <= 120


def printed(site: Path) -> None:
    "Say of each printed text whether it may be wrapped; styles.css does the rest"
    mark = lambda m: f'{m[1]} class="{"aligned" if aligned(html.unescape(m[3])) else "prose"}" tabindex="0"{m[2]}{m[3]}{m[4]}'
    for p in site.rglob("*.html"):
        p.write_text(OUTPUT.sub(mark, p.read_text(encoding="utf-8")), encoding="utf-8")


def with_quarto(source: Path, out: Path) -> str:
    "Render the processed notebooks with Quarto"
    env = {k: v for k, v in os.environ.items() if not k.startswith("QUARTO_PROJECT")}  # where `quarto render` called this
    done = subprocess.run(["quarto", "render", "--no-cache"], cwd=source, env=env)
    if done.returncode: sys.exit(done.returncode)
    shutil.rmtree(out, ignore_errors=True); shutil.move(source / out.name, out)
    return "Quarto"


def with_smalldocs(source: Path, out: Path) -> str:
    "Render the processed notebooks with smalldocs, and bring along what its pages would ask of other hosts"
    from importlib.metadata import version
    from smalldocs.site import build as smalldocs
    staged = stage(source, root / "_site_src")
    site = smalldocs(staged, quiet=True)
    for w in site.warnings:
        if not any(known in w for known in SETTLED): print("warning:", w)
    shutil.rmtree(out, ignore_errors=True); shutil.move(staged / out.name, out); shutil.rmtree(staged)
    vendor(out, from_npm(root / ".npm"))
    return f"smalldocs {version('smalldocs')}"


def build(engine: str) -> Path:
    os.chdir(root); sys.path[:0] = [str(root)]; os.environ["DOCS_ENGINE"] = engine
    from nbdev.config import get_config
    from nbdev.doclinks import _build_modidx
    from nbdev.quarto import refresh_quarto_yml
    from pages import process
    cfg = get_config(path=root); out = cfg.doc_path
    refresh_quarto_yml(); _build_modidx()
    source = process()
    shutil.copytree(root / "results", source / "results", dirs_exist_ok=True)
    named = (with_quarto if engine == "quarto" else with_smalldocs)(source, out)
    printed(out)
    whole_by_itself(out, cfg.doc_host + cfg.doc_baseurl, named)
    return out


def serve(out: Path, port: int = 8080) -> None:
    "Show the site on this machine"
    print(f"http://127.0.0.1:{port}")
    http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(out))).serve_forever()


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--engine", choices=["auto", "quarto", "smalldocs"], default="auto")
    p.add_argument("--serve", action="store_true", help="show the site at http://127.0.0.1:8080")
    a = p.parse_args()
    if a.engine == "quarto" and not shutil.which("quarto"): sys.exit("there is no quarto on the PATH; install it, or build with --engine smalldocs")
    out = build("quarto" if a.engine != "smalldocs" and shutil.which("quarto") else "smalldocs")
    print(f"{sum(1 for _ in out.rglob('*.html'))} pages in {out.relative_to(root)}")
    if a.serve: serve(out)
