"A headless Chromium for the browser tests; they are skipped where there is none."
import shutil
from contextlib import contextmanager

import pytest

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


@contextmanager
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path: pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=FLAGS)
        try: yield b
        finally: b.close()


class Watched:
    "A page that remembers what went wrong on it: console errors, failed requests, and anything asked of another host"
    def __init__(self, browser, home: str, **options):
        self.context, self.home, self.faults = browser.new_context(**options), home, []
        self.context.route("**/*", self.route)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.faults.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.faults.append(f"error: {e}"))
        self.page.on("response", lambda r: self.faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)

    def route(self, route):
        if route.request.url.startswith((self.home, "data:", "blob:")): route.continue_()
        else: self.faults.append(f"outside: {route.request.url}"); route.abort()

    def __enter__(self): return self
    def __exit__(self, *e): self.context.close()
