"The server's page in a real browser: a person types, every reward model answers with bars."
import pytest
from browser import Watched, browser
from test_serve import NAMES, folder, server, start  # noqa: F401 (fixtures)

pytest.importorskip("httpx")
pytest.importorskip("fastapi")


@pytest.mark.parametrize("screen", [dict(viewport=dict(width=1100, height=900)), dict(viewport=dict(width=390, height=800), color_scheme="dark")], ids=["wide", "narrow-dark"])
def test_ranks(server, screen, tmp_path):
    with browser() as b, Watched(b, server, **screen) as w:
        w.page.goto(server + "/")
        w.page.fill("#prompt", "Question 1")
        w.page.click("#more")
        answers = w.page.locator(".answer")
        assert answers.count() == 3
        for i, text in enumerate(["Answer 1.", "Answer 2, with more words.", "<b>bold</b>"]): answers.nth(i).fill(text)
        w.page.click("#ask")
        w.page.wait_for_selector("#out h2")
        assert sorted(w.page.locator("#out h2").all_inner_texts()) == sorted(NAMES)
        assert w.page.locator("#out .bar").count() == 3 * len(NAMES)
        widths = [x["width"] for x in (w.page.locator("#out .bar").nth(i).bounding_box() for i in range(3))]
        assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1] > 0, "the best stands first with the longest bar"
        assert w.page.locator("#out b").count() == 0 and w.page.inner_text("#error") == ""
        assert w.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        w.page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        assert not w.faults, w.faults


def test_says_what_is_wrong(server):
    with browser() as b, Watched(b, server) as w:
        w.page.goto(server + "/")
        w.page.fill("#prompt", "Question 1")
        w.page.click("#ask")  # no answer given
        w.page.wait_for_function("document.getElementById('error').textContent != ''")
        assert "at least one" in w.page.inner_text("#error") and w.page.locator("#out h2").count() == 0


def test_token(folder):
    process, address = start(folder, "--token", "secret")
    try:
        with browser() as b, Watched(b, address) as w:
            w.page.goto(address + "/")
            w.page.fill("#prompt", "Question 1"); w.page.locator(".answer").first.fill("Yes.")
            w.page.click("#ask")
            w.page.wait_for_function("document.getElementById('error').textContent.includes('token')")
            w.page.fill("#token", "secret"); w.page.click("#ask")
            w.page.wait_for_selector("#out h2")
    finally: process.terminate(); process.wait(timeout=40)
