"""What voting costs, and a picture of its page: `python bench/vote.py`.

Writes `results/use/vote.json` with the rows `load` (10,000 votes from the file to the page), `answer` (milliseconds from a vote's
request to its reply over HTTP, while a head is fitted again to 10,000 votes after each one) and `model` (seconds from the fortieth
vote to a reward model on disk, states known), each written when it is measured; `--rows` takes some. `--picture` draws
`results/use/vote.png` from the small data set that comes along, with votes by a script whose taste is an order of its five styles.
Measure on a machine that does nothing else.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median, quantiles

root = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(root)]
results = root / "results" / "use"
VOTES, ASKED = 10_000, 200  # votes that are there; votes that are timed

STANDS_IN = """
import sys, numpy as np
from custom_rm.learner import Learner
def compute(self, keys): self._add_states(keys, np.random.default_rng(0).normal(size=(len(keys), 576)).astype(np.float32))
if sys.argv.pop(1) == "stand-in": Learner.compute = compute
sys.argv[0] = "custom-rm"
from custom_rm.cli import main
main()
"""


def answers(address: str) -> bool:
    import httpx
    try: return httpx.get(address, timeout=10).is_success
    except httpx.TransportError: return False


@contextmanager
def page(*words, states="stand-in"):
    "`custom-rm vote` in a process of its own; its address. With stand-in states no model reads anything"
    command = [sys.executable, "-W", "ignore", "-u", "-c", STANDS_IN, states, "vote", *map(str, words), "--person", "p1", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | dict(PYTHONPATH=str(root)))
    try:
        line = process.stdout.readline()
        if "vote at " not in line: raise SystemExit(f"the page didn't open: {line}{process.stdout.read()}")
        address, end = line.split()[2].rstrip("/"), time.time() + 30
        while not answers(address) and time.time() < end: time.sleep(.1)  # the line comes a moment before the server
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def many(home: Path) -> Path:
    "A file of answers to 10,400 questions, and votes on 10,000 of them"
    from custom_rm.ballots import Vote, VoteFile, answered_questions, ballots_of
    from custom_rm.records import write_json
    from custom_rm.vote import Desk, votes_path
    file = home / "many.jsonl"
    write_json(file, (dict(prompt=f"What is {i} plus one?", responses=[f"It is {i + 1}, and that is that.", f"That would be {i + 1}."]) for i in range(VOTES + 2 * ASKED)))
    box = VoteFile(votes_path(file))
    desk = Desk(box, ballots_of(answered_questions(file)[0]), "p1")
    box.db.execute("PRAGMA synchronous=OFF")  # only while the file is made
    for n, ballot in enumerate(desk.queue[:VOTES]):
        sides = desk.sides(ballot)
        box.cast(Vote(ballot.key, [one.key for one in sides], "left", [1., 0.], "p1", 3. + n % 5), ballot)
    box.close()
    return file


def load(home: Path, file: Path) -> dict:
    from custom_rm.ballots import VoteFile, answered_questions, ballots_of
    from custom_rm.vote import Booth, Desk, votes_path
    ballots = ballots_of(answered_questions(file)[0])
    start = time.perf_counter()
    box = VoteFile(votes_path(file))
    Booth(Desk(box, ballots, "p1")).state("")
    seconds = time.perf_counter() - start
    box.close()
    return dict(votes=VOTES, seconds=round(seconds, 2))


def said(state: dict, verdict: str) -> dict:
    shown = state["ballot"]
    return dict(tab="t", ballot=shown["ballot"], repeats=shown["repeats"], shown=[one["key"] for one in shown["answers"]], verdict=verdict, seconds=3.)


def answer(home: Path, file: Path) -> dict:
    import httpx
    with page(file) as address, httpx.Client(base_url=address, timeout=60) as client:
        state, start = client.get("/next").json(), time.time()
        while client.get("/learned").json()["votes"] < VOTES * .9:  # fitted once, so that it is fitted again from now on
            if time.time() - start > 600: raise SystemExit("the head was not fitted within ten minutes")
            time.sleep(.5)
        took, fits = [], set()
        for _ in range(ASKED):
            start = time.perf_counter()
            state = client.post("/vote", json=said(state, "left")).json()
            took.append(1000 * (time.perf_counter() - start))
            fits.add(state["learned"]["votes"])
            time.sleep(.2)
        last = quantiles(took, n=20)[-1]
        return dict(votes=VOTES, asked=ASKED, fitted_again=len(fits), median_ms=round(median(took), 1), p95_ms=round(last, 1), largest_ms=round(max(took), 1))


TASTE = ("entertainment", "literature", "normal", "business", "academy")  # of the small data set's styles, from the best on


def taste(file: Path) -> dict[str, int]:
    "Key of an answer → the place of its style in the taste"
    from custom_rm.ballots import content_key
    from custom_rm.convert import from_dsp
    from custom_rm.records import read_json
    placed = {}
    for place, style in enumerate(TASTE):
        for record in from_dsp(read_json(file), style): placed[content_key(record["text"][0])] = place
    return placed


def voted(address: str, file: Path, n: int):
    "n votes by the taste; the time when the last reply was there"
    import httpx
    places = taste(file)
    with httpx.Client(base_url=address, timeout=120) as client:
        while (learned := client.get("/learned").json())["stage"] in ("loading", "reading"): time.sleep(.5)
        if learned["stage"] == "off": raise SystemExit(learned["why"])
        state = client.get("/next").json()
        for _ in range(n):
            first, second = (places[one["key"]] for one in state["ballot"]["answers"])
            state = client.post("/vote", json=said(state, "left" if first < second else "right")).json()
            time.sleep(.3)
        return time.perf_counter()


def model(home: Path, file: Path) -> dict:
    import httpx
    from custom_rm.core import mini_dir
    shutil.copy(mini_dir() / "domains.test.json", home / "mini.json")
    with page(home / "mini.json", "--out", home / "mine", "--device", "cpu", states="read") as address:
        at = voted(address, home / "mini.json", 40)
        found = httpx.post(f"{address}/model", json={}, timeout=120).json()
        seconds = time.perf_counter() - at
    return dict(votes=40, comparisons=found["comparisons"], seconds=round(seconds, 2))


def picture(home: Path) -> None:
    from PIL import Image
    from playwright.sync_api import sync_playwright
    from custom_rm.core import mini_dir
    shutil.copy(mini_dir() / "domains.test.json", home / "answers.json")
    with page(home / "answers.json", "--device", "cpu", states="read") as address, sync_playwright() as p:
        voted(address, home / "answers.json", 70)
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport=dict(width=1180, height=880))
        shown.goto(address + "/")
        shown.wait_for_selector(".answer")
        shown.evaluate("fetch('learned').then(a => a.json()).then(l => { showLearned(l); document.getElementById('learned').open = true })")
        time.sleep(8)  # until what was said last is learned
        shown.evaluate("look()")
        time.sleep(1)
        shown.screenshot(path=str(home / "vote.png"))
        browser.close()
    Image.open(home / "vote.png").convert("RGB").quantize(128).save(results / "vote.png", optimize=True)


def main():
    from custom_rm.core import versions
    from custom_rm.trunk import device_name, find_device
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--picture", action="store_true", help="draw the page, and measure nothing")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        if a.picture: return picture(home)
        out, file = results / "vote.json", many(home) if set(a.rows) - {"model"} else None
        made = json.loads(out.read_text(encoding="utf-8")) if out.exists() else dict(rows={})
        for name in a.rows:
            made["rows"][name] = ROWS[name](home, file)
            print(name, made["rows"][name], flush=True)
            made |= dict(device=device_name(find_device("cpu")), date=str(date.today()), versions=versions())
            out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


ROWS = dict(load=load, answer=answer, model=model)
if __name__ == "__main__": main()
