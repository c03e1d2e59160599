"The voting page in a real browser: keys and fingers, several tabs, hostile answers, a server that goes away, and axe-core."
import json
import threading
import time
from contextlib import contextmanager

import pytest
from browser import Watched, browser

pytest.importorskip("fastapi")
pytest.importorskip("nh3")
uvicorn = pytest.importorskip("uvicorn")
from custom_rm.serve import listen_at
from custom_rm.vote import create_app, open_booth

WIDE, PHONE = dict(viewport=dict(width=1280, height=860)), dict(viewport=dict(width=390, height=800), has_touch=True, is_mobile=True)


def write(path, rows): path.write_text(json.dumps(rows)); return path


@pytest.fixture
def answers(tmp_path): return write(tmp_path / "answers.json", [dict(query=f"What is {i} plus one?", responses=dict(a=f"It is **{i+1}**!", b=f"It is ${i}+1={i+1}$.")) for i in range(6)])


@contextmanager
def served(path, port=0, token=None, **settings):
    "The page at an address, in a thread of this process"
    booth = open_booth(path, "p1", **dict(learn=False) | settings)
    with listen_at("127.0.0.1", port) as address:
        server = uvicorn.Server(uvicorn.Config(create_app(booth, token), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs=dict(sockets=[address]), daemon=True)
        thread.start()
        while not server.started: time.sleep(.01)
        try: yield f"http://127.0.0.1:{address.getsockname()[1]}", booth
        finally:
            server.should_exit = True
            thread.join(20)
            booth.close()


def until(page, expression):
    "Wait until an expression is true; Playwright's own way needs eval, which the page's policy forbids"
    start = time.monotonic()
    while not page.evaluate(expression):
        assert time.monotonic() - start < 20, expression
        page.wait_for_timeout(20)


def ready(page):
    "Wait until a pair is shown and keys are taken: for a moment after it came they are not"
    page.wait_for_selector(".answer")
    until(page, "!busy && !!now.ballot && performance.now() - shownAt > GUARD")


def votes(page, booth, n):
    "The votes, once there are as many. Playwright hands on the page's requests (browser.py's route) only while it is waited in: time.sleep would hold the vote back"
    start = time.monotonic()
    while len(booth.desk.votes) != n:
        assert time.monotonic() - start < 20, f"{len(booth.desk.votes)} votes, not {n}"
        page.wait_for_timeout(20)
    return booth.desk.votes


def press(page, key, done):
    "A key, and what the progress says after it"
    page.keyboard.press(key)
    until(page, f"document.getElementById('progress').textContent.startsWith({done!r})")
    ready(page)


def test_keys_undo_and_restart(answers):
    with browser() as b:
        with served(answers) as (home, booth), Watched(b, home, **WIDE) as w:
            w.page.goto(home + "/"); ready(w.page)
            assert w.page.locator(".answer").count() == 2 and w.page.locator(".answer strong").count() == 1 and w.page.locator(".answer math").count() == 1
            for n, (key, verdict) in enumerate([("ArrowLeft", "left"), ("ArrowRight", "right"), ("ArrowUp", "both good"), ("ArrowDown", "both bad")], 1):
                shown = w.page.locator(".answer").all_inner_texts()
                press(w.page, key, f"{n} of 6")
                assert booth.desk.box.votes()[-1].verdict == verdict, "on disk when the next pair is there"
            press(w.page, "u", "3 of 6")
            assert w.page.locator(".answer").all_inner_texts() == shown, "the pair that was taken back comes back, its sides as they were"
            w.page.keyboard.press("r")
            w.page.keyboard.type("left and up, s u p")  # keys in the field are letters
            w.page.keyboard.press("Escape")
            press(w.page, "s", "4 of 6")
            assert booth.desk.box.votes()[-1].verdict == "skip" and booth.desk.box.votes()[-1].remark == "left and up, s u p"
            assert w.page.input_value("#remark") == "" and not w.faults, w.faults
            w.page.keyboard.press("p")
            w.page.wait_for_selector("#resume", state="visible")
            assert not w.page.is_visible(".answer")
            port = int(home.rpartition(":")[2])
        with served(answers, port) as (home, booth), Watched(b, home, **WIDE) as w:
            w.page.goto(home + "/")
            w.page.wait_for_selector("#resume", state="visible")  # still paused
            w.page.keyboard.press("p"); ready(w.page)
            press(w.page, "ArrowLeft", "5 of 6")
            w.page.keyboard.press("ArrowLeft")
            w.page.wait_for_selector("#report h2")
            assert "That was all: 6 votes" in w.page.inner_text("#report") and "How steady you are" in w.page.inner_text("#report")
            assert 0 < booth.desk.votes[-1].seconds < 30
            with w.page.expect_download() as got: w.page.click("text=Download my votes")
            assert len(open(got.value.path()).read().splitlines()) == 5  # without the one that was skipped
            w.page.click("text=Undo the last vote"); ready(w.page)
            assert w.page.inner_text("#progress").startswith("5 of 6") and not w.faults, w.faults


def test_an_impatient_person(answers):
    "A key that is hammered or held, and a button that is clicked thrice, give one vote."
    with browser() as b, served(answers) as (home, booth), Watched(b, home, **WIDE) as w:
        w.page.goto(home + "/"); ready(w.page)
        for n, often in enumerate(["document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))", "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', repeat: i > 0}))",
                                   "document.querySelector('[data-verdict=left]').click()"], 1):
            w.page.evaluate(f"for (let i = 0; i < 30; i++) {often}")
            until(w.page, f"document.getElementById('progress').textContent.startsWith('{n} of 6')")
            ready(w.page)
            assert len(booth.desk.votes) == n


def test_two_tabs(answers):
    with browser() as b, served(answers) as (home, booth), Watched(b, home, **WIDE) as one, Watched(b, home, **WIDE) as two:
        for w in (one, two): w.page.goto(home + "/"); ready(w.page)
        assert one.page.inner_text("#question") != two.page.inner_text("#question")
        for n in range(6):
            w = (one, two)[n % 2]
            ready(w.page)
            w.page.keyboard.press("ArrowLeft")
            votes(w.page, booth, n + 1)
        assert len(booth.desk.votes) == 6 == len({vote.ballot for vote in booth.desk.votes})
        assert not one.faults + two.faults


def test_hostile_answers(tmp_path):
    from test_vote import HOSTILE
    texts = HOSTILE[::2] # each is shown thrice
    path = write(tmp_path / "a.json", [dict(prompt=f"{i} {text}", responses=[f"{i} {text}", f"{text} {i}!"]) for i, text in enumerate(texts)])
    with browser() as b, served(path, repeat=0) as (home, booth), Watched(b, home, **WIDE) as w:
        said = []
        w.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        w.page.goto(home + "/"); ready(w.page)
        for n in range(1, len(texts) + 1):
            assert not w.page.evaluate("!!document.querySelector('#voting :is(script, style, img, svg, iframe, form, input, base, meta, link, object, embed)')")
            assert not w.page.evaluate("[...document.querySelectorAll('#voting *')].some(e => [...e.attributes].some(a => a.name.startsWith('on') || /javascript:|data:/i.test(a.value)))")
            assert w.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            w.page.evaluate("say('left')")
            until(w.page, f"document.getElementById('progress').textContent.startsWith('{n} of') || !document.getElementById('report').hidden")
            if n < len(texts): ready(w.page)
        assert not said and not w.faults, (said, w.faults)


@pytest.mark.parametrize("screen", [WIDE, PHONE | dict(color_scheme="dark")], ids=["wide", "phone-dark"])
def test_axe_and_width(answers, screen, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    def check(w, what):
        found = axe.run(w.page, options=dict(runOnly=["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])).response["violations"]
        assert not found, (what, [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in found])
        assert w.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    lists = write(tmp_path / "l.json", [dict(prompt="# Which?", responses=["# One\n\n| a | b |\n|-|-|\n| 1 | 2 |", "`two`\n\n> so", "three\n\n```\n" + "long " * 80 + "\n```", "[four](https://example.org)"])] * 2)
    with browser() as b, served(answers) as (home, booth), Watched(b, home, **screen) as w:
        w.page.goto(home + "/"); ready(w.page); check(w, "duel")
        w.page.evaluate("showLearned({stage: 'reading', done: 3, total: 9, said: 'So.', likes: 'Long ones.', rows: [{name: 'what it learned from you', share: .7, low: .6, high: .8, n: 30}]}); document.getElementById('learned').open = true")
        check(w, "learned")
        w.page.evaluate("say('left')"); w.page.wait_for_selector("#note.shown"); w.page.wait_for_timeout(300); check(w, "note")
        w.page.click("#pause"); w.page.wait_for_selector("#resume", state="visible"); check(w, "pause")
        w.page.click("#resume"); ready(w.page)
        w.page.click("#finish"); w.page.wait_for_selector("#report h2"); check(w, "report")
        assert not w.faults, w.faults
    with browser() as b, served(lists, lists=True) as (home, booth), Watched(b, home, **screen) as w:
        w.page.goto(home + "/"); ready(w.page); check(w, "list")
        w.page.keyboard.press("2"); check(w, "list, one placed")


def test_by_keyboard_alone(answers):
    "Every button can be reached with Tab, is seen to be so, and works with Enter."
    with browser() as b, served(answers) as (home, booth), Watched(b, home, **WIDE) as w:
        w.page.goto(home + "/"); ready(w.page)
        reached = {}
        for _ in range(20):
            w.page.keyboard.press("Tab")
            name, outline = w.page.evaluate("(e => [e.dataset.verdict || e.id || e.tagName, getComputedStyle(e).outlineStyle])(document.activeElement)")
            reached[name] = outline
        assert {"pause", "finish", "left", "both good", "both bad", "right", "skip", "remark"} <= set(reached)
        assert all(reached[name] != "none" for name in ("left", "pause", "remark"))
        w.page.focus("[data-verdict='both good']"); w.page.keyboard.press("Enter")
        assert [vote.verdict for vote in votes(w.page, booth, 1)] == ["both good"]
        ready(w.page)
        w.page.focus("#undo"); w.page.keyboard.press("Enter")
        assert not votes(w.page, booth, 0)


def test_lists_by_numbers_and_by_dragging(tmp_path):
    path = write(tmp_path / "a.json", [dict(prompt=f"Question {i}?", responses=[f"{name} {i}." for name in ("One", "Two", "Three", "Four")]) for i in range(3)])
    with browser() as b, served(path, lists=True) as (home, booth), Watched(b, home, **WIDE) as w:
        def order(): return w.page.locator(".answer.placed h2").all_inner_texts()
        w.page.goto(home + "/"); ready(w.page)
        keys = [one.key for one in booth.desk.sides(booth.desk.queue[0])]
        w.page.keyboard.press("Enter"); w.page.wait_for_timeout(200)
        assert not booth.desk.votes, "nothing has a place yet"
        for key in "3124": w.page.keyboard.press(key)
        w.page.keyboard.press("Backspace"); w.page.keyboard.press("1")
        assert order() == ["First: answer 3", "Second: answer 2"]
        w.page.locator(".answer.placed").nth(1).locator("[data-move=up]").click()
        assert order() == ["First: answer 2", "Second: answer 3"]
        press(w.page, "Enter", "1 of 3")
        assert dict(zip(booth.desk.votes[0].shown, booth.desk.votes[0].scores)) == {keys[1]: 2., keys[2]: 1., keys[0]: 0., keys[3]: 0.}
        def drag(number, to):
            handle = w.page.locator(".answer", has=w.page.locator(f"h2:text-matches('nswer {number}$')")).locator(".handle").bounding_box()
            w.page.mouse.move(handle["x"] + 5, handle["y"] + 8); w.page.mouse.down()
            w.page.mouse.move(handle["x"] + 5, to["y"] + to["height"] / 3, steps=12); w.page.mouse.up()
        drag(4, w.page.locator("#divider").bounding_box())
        assert order() == ["First: answer 4"]
        drag(2, w.page.locator(".answer.placed").nth(0).bounding_box())
        assert order() == ["First: answer 2", "Second: answer 4"]
        drag(2, w.page.locator(".answer:not(.placed)").nth(1).bounding_box())
        assert order() == ["First: answer 4"] and w.page.locator(".dragged").count() == 0
        press(w.page, "Enter", "2 of 3")
        assert max(booth.desk.votes[1].scores) == 1. and sum(booth.desk.votes[1].scores) == 1. and not w.faults, w.faults


def test_a_server_that_goes_away(answers):
    "What was said is kept, sent again when the server is back, and counted once."
    with browser() as b:
        with served(answers) as (home, booth):
            w = Watched(b, home, **WIDE).__enter__()
            w.page.goto(home + "/"); ready(w.page)
            port = int(home.rpartition(":")[2])
        w.page.keyboard.press("ArrowRight")
        until(w.page, "document.getElementById('error').textContent.includes('kept here')")
        w.page.keyboard.press("ArrowLeft")  # is not taken meanwhile
        with served(answers, port) as (home, booth):
            until(w.page, "document.getElementById('progress').textContent.startsWith('1 of 6')")
            assert [vote.verdict for vote in votes(w.page, booth, 1)] == ["right"] and w.page.inner_text("#error") == ""
        w.context.close()


def test_a_token_stands_in_the_address(answers):
    with browser() as b, served(answers, token="k3y") as (home, booth):
        with Watched(b, home) as w:
            w.page.goto(home + "/")
            until(w.page, "document.getElementById('error').textContent.includes('token')")
            assert not w.page.locator(".answer").count()
        with Watched(b, home) as w:
            w.page.goto(home + "/#k3y"); ready(w.page)
            w.page.reload(); ready(w.page)
            assert not w.faults and w.context.cookies() == [], w.faults


def test_what_was_learned(place, own_cache, tmp_path):
    "The page says what it learned, and makes the reward model at a button."
    path = write(tmp_path / "a.json", [dict(prompt=f"What is {i} plus one?", responses=[f"It is {i+1}!!!", f"It is {i+1}."]) for i in range(25)])
    with browser() as b, served(path, learn=True, base=str(place / "tiny"), device="cpu", out=tmp_path / "mine", repeat=0) as (home, booth), Watched(b, home, **WIDE) as w:
        w.page.goto(home + "/"); ready(w.page)
        assert "too early" in w.page.inner_text("#learned summary")
        for n in range(24):
            shown = booth.desk.show_next("x")
            booth.desk.cast(shown.ballot.key, [one.key for one in shown.answers], "left" if shown.answers[0].turns[0]["content"].endswith("!") else "right")
        w.page.keyboard.press("ArrowLeft")
        w.page.wait_for_selector("#report h2")
        w.page.click("text=Make my reward model")
        until(w.page, "document.getElementById('report').textContent.includes('Your reward model is in')")
        assert (tmp_path / "mine" / "reward_model.json").is_file() and not w.faults, w.faults
