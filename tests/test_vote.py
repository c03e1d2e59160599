"Voting without a browser: what is kept, who may ask, what comes out, and what 10,000 votes cost."
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("nh3")
from custom_rm.ballots import VERDICTS, VoteFile, answered_questions, ballots_of, first_wins, self_agreement
from custom_rm.convert import convert
from custom_rm.core import DataError
from custom_rm.display import ATTRIBUTES, TAGS, to_html
from custom_rm.vote import Desk, address_of, create_app, export_votes, host_fault, open_booth, votes_path


def row(i, *answers): return dict(query=f"What is {i} plus one?", responses={f"role {n}": answer for n, answer in enumerate(answers or (f"It is {i+1}!", f"It is {i+1}.", "No idea."))})


@pytest.fixture
def answers(tmp_path):
    (tmp_path / "answers.json").write_text(json.dumps([row(i) for i in range(12)]))
    return tmp_path / "answers.json"


def client(app, **headers):
    from fastapi.testclient import TestClient
    return TestClient(app, base_url="http://127.0.0.1:8001", headers=headers)


def body(state, verdict, **more): return dict(tab="t", ballot=state["ballot"]["ballot"], repeats=state["ballot"]["repeats"], shown=[one["key"] for one in state["ballot"]["answers"]], verdict=verdict) | more


def vote_on(desk, verdict, **more):
    shown = desk.show_next()
    desk.cast(shown.ballot.key, [one.key for one in shown.answers], verdict, repeats=shown.repeats, **more)
    return shown


# What is asked

@pytest.mark.parametrize("rows, pairs", [
    ([row(1), row(2)], 6),
    ([dict(prompt="Why?", responses=["So.", "Hm.", "So."])], 1),
    ([dict(text=["## Human:\nWhy?\n\n## Assistant:\nSo.", "## Human:\nWhy?\n\n## Assistant:\nHm."], score=[1, 0])], 1),
    ([dict(prompt="Why?", text=["So.", "Hm."], score=[0, 0])], 1),
    ([dict(prompt="Why?", chosen="So.", rejected="Hm.")], 1),
    ([dict(prompt="Why?", response_a="So.", response_b="Hm.", winner="tie")], 1),
    ([dict(prompt=[dict(role="system", content="Be brief."), dict(role="user", content="Why?")], responses=["So.", "Hm."])], 1),
    ([dict(chosen="\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant: So.", rejected="\n\nHuman: Hi\n\nAssistant: What?\n\nHuman: Why?\n\nAssistant: Hm.")], 1),
])
def test_files_that_can_be_voted_on(tmp_path, rows, pairs):
    (tmp_path / "a.json").write_text(json.dumps(rows))
    made = ballots_of(answered_questions(tmp_path / "a.json")[0])
    assert len(made) == pairs and all(ballot.is_duel for ballot in made)


@pytest.mark.parametrize("name, text, says", [
    ("a.json", json.dumps([dict(prompt="Why?")]), "custom-rm collect a.json"),
    ("a.csv", "question\nWhy?\nHow?\n", "custom-rm collect a.csv"),
    ("a.json", json.dumps([dict(prompt="Why?", responses=["So.", " "])]), "no question has two different answers"),
    ("a.json", json.dumps([dict(weather="fine")]), "a.json"),
])
def test_files_that_can_not(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says): answered_questions(tmp_path / name)


def test_rounds_have_each_question_once_and_sides_are_even(answers):
    made = ballots_of(answered_questions(answers)[0])
    assert [ballot.round for ballot in made] == [0] * 12 + [1] * 12 + [2] * 12
    assert all(len({b.question.key for b in made[n:n + 12]}) == 12 for n in (0, 12, 24))
    box = VoteFile(answers.parent / "v.sqlite")
    desks = [Desk(box, made, f"p{n}") for n in range(20)]
    left = np.mean([desk.sides(ballot)[0] is ballot.answers[0] for desk in desks for ballot in made])
    assert .42 < left < .58 and len({tuple(b.key for b in desk.queue[:6]) for desk in desks}) == 20


# What is kept

def test_a_file_that_was_edited_keeps_its_votes(answers):
    booth = open_booth(answers, "p1", learn=False)
    for _ in range(36): vote_on(booth.desk, "left", seconds=2.)
    assert booth.desk.progress()["done"] >= 33 and booth.desk.progress()["pace"] == 2.
    before = booth.desk.box.records()
    booth.close()
    answers.write_text(json.dumps([row(0, "It is 1!", "It is 1.", "One."), *(row(i) for i in range(11, 0, -1))]))  # one answer is new, the order is another
    again = open_booth(answers, "p1", learn=False)
    assert again.desk.box.records() == before, "what was judged stays, word for word"
    left = again.desk.left.values()
    assert all("One." in [one.turns[0]["content"] for one in ballot.answers] for ballot in left if ballot.question.turns[0]["content"] == "What is 0 plus one?")
    again.close()


def test_undo_and_pause_outlive_a_restart(answers):
    booth = open_booth(answers, "p1", learn=False)
    first, second = vote_on(booth.desk, "left", remark="so"), vote_on(booth.desk, "right")
    booth.desk.box.pause("p1", True)
    booth.close()
    booth = open_booth(answers, "p1", learn=False)
    assert booth.state("t")["paused"]
    back = booth.desk.undo()
    assert back.ballot.key == second.ballot.key and [one.key for one in back.answers] == [one.key for one in second.answers]
    assert booth.desk.undo().ballot.key == first.ballot.key and booth.desk.undo() is None
    base = sqlite3.connect(votes_path(answers))
    assert base.execute("SELECT count(*), count(undone_at), max(remark) FROM votes").fetchone() == (2, 2, "so")
    booth.close()


KILLED = """
import contextlib, os, signal, sys
from custom_rm import ballots, vote
from fastapi.testclient import TestClient
def die(*args, **more): os.kill(os.getpid(), signal.SIGKILL)
writing = ballots.VoteFile.writing
@contextlib.contextmanager
def dying(self):
    with writing(self) as db:
        yield db
        die()
def at(point, file):
    booth = vote.open_booth(file, "p1", learn=False)
    if point == "in the transaction": ballots.VoteFile._keep_texts = die
    if point == "before the commit": ballots.VoteFile.writing = dying
    if point == "before the reply": vote.Booth.state = die
    shown = booth.desk.show_next("t")
    with TestClient(vote.create_app(booth), base_url="http://127.0.0.1") as page:
        page.post("/vote", json=dict(ballot=shown.ballot.key, shown=[one.key for one in shown.answers], verdict="left"))
for point, file in zip(sys.argv[1::2], sys.argv[2::2]):
    if not (child := os.fork()): at(point, file); os._exit(0)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""


def test_kill_9(tmp_path):
    "A vote is there whole or not at all; sent again it counts once."
    points = {"in the transaction": 0, "before the commit": 0, "before the reply": 1}
    files = [tmp_path / f"{n}.json" for n in range(3)]
    for file in files: file.write_text(json.dumps([row(i) for i in range(12)]))
    done = subprocess.run([sys.executable, "-c", KILLED, *(str(word) for pair in zip(points, files) for word in pair)], capture_output=True, text=True)
    assert done.stdout.split() == [str(int(signal.SIGKILL))] * 3, done.stderr
    for (point, kept), file in zip(points.items(), files):
        booth = open_booth(file, "p1", learn=False)
        assert len(booth.desk.votes) == kept == len(booth.desk.box.records()), point
        first = booth.desk.queue[0]
        new = booth.desk.cast(first.key, [one.key for one in booth.desk.sides(first)], "left")
        assert new == (not kept) and len(booth.desk.box.records()) == 1
        booth.close()


def test_many_at_once(answers):
    "Four tabs of two people, each person in two processes' worth of desks: every pair is counted once for each."
    made = ballots_of(answered_questions(answers)[0])
    path = answers.parent / "v.sqlite"
    VoteFile(path).close()
    def voter(n):
        desk, rng = Desk(VoteFile(path), made, f"p{n % 2}", repeat=0), random.Random(n)
        while shown := desk.show_next(f"tab {n}"):
            desk.cast(shown.ballot.key, [one.key for one in shown.answers], rng.choice(list(VERDICTS)))
            if rng.random() < .1: desk.undo(f"tab {n}")
    with ThreadPoolExecutor(4) as pool: list(pool.map(voter, range(4)))
    for person in ("p0", "p1"): assert sorted(v.ballot for v in VoteFile(path).votes(person)) == sorted(b.key for b in made)


# How steady somebody is

@pytest.mark.parametrize("taste, agrees, first", [("content", 1., None), ("left", 0., 1.)])
def test_pairs_come_back(answers, taste, agrees, first):
    booth = open_booth(answers, "p1", learn=False, repeat=.3)
    while shown := booth.desk.show_next():
        keys = [one.key for one in shown.answers]
        verdict = "left" if taste == "left" or keys[0] < keys[1] else "right"
        booth.desk.cast(shown.ballot.key, keys, verdict, repeats=shown.repeats)
    votes = booth.desk.votes
    assert self_agreement(votes)["share"] == agrees and self_agreement(votes)["n"] >= 6
    by_number = {vote.number: vote for vote in votes}
    for vote in votes:
        if vote.repeats: assert vote.shown == by_number[vote.repeats].shown[::-1] and vote.number - vote.repeats > 10
    assert first is None or first_wins(votes)["share"] == first
    assert len(booth.desk.box.records()) == 36, "repetitions are no more data"
    booth.close()


# Who may ask

@pytest.mark.parametrize("headers, fine", [
    (dict(host="127.0.0.1:1"), True), (dict(host="[::1]:1"), True), (dict(host="localhost"), True), (dict(host="localhost."), True),
    (dict(host="192.168.1.7:1"), True), (dict(host="evil.example"), False), (dict(host=""), False), (dict(), False), (dict(host="127.0.0.1.evil.example"), False),
    (dict(host="localhost:1", origin="http://localhost:1"), True), (dict(host="localhost:1", origin="http://localhost:2"), False), (dict(host="localhost:1", origin="null"), False),
    (dict(host="localhost:1", origin="http://localhost:1@evil.example"), False), (dict(host="localhost:1", **{"sec-fetch-site": "cross-site"}), False), (dict(host="[", origin="x"), False),
])
def test_hosts(headers, fine): assert (host_fault(headers, "127.0.0.1") == "") == fine


def test_guards(answers):
    booth = open_booth(answers, "p1", learn=False)
    with client(create_app(booth, "secret")) as open_, client(create_app(booth, "secret"), authorization="Bearer secret") as known:
        assert open_.get("/").status_code == 200 and "It is" not in open_.get("/").text
        for path in ("next", "learned", "report", "export"): assert open_.get(f"/{path}").status_code == 401
        for path in ("vote", "undo", "pause", "model"): assert open_.post(f"/{path}", json={}).status_code in (401, 422)
        state = known.get("/next").json()
        assert known.post("/vote", json=body(state, "left"), headers=dict(origin="http://evil.example")).status_code == 403
        assert known.post("/vote", json=body(state, "left", remark="x" * 70_000)).status_code == 413
        for wrong in (dict(verdict="best"), dict(verdict="order"), dict(shown=["a", "b"]), dict(remark="\ud800"), dict(seconds=float(1e9)), dict(more=1), dict(repeats=99)):
            answer = known.post("/vote", content=json.dumps(body(state, "left") | wrong), headers={"content-type": "application/json"})
            assert answer.status_code == 422 and isinstance(answer.json()["detail"], str), wrong
        assert known.post("/model", json={}).status_code == 409
        assert not booth.desk.votes and not booth.desk.box.records()
        gone = known.post("/vote", json=body(state, "left", ballot="0" * 16)).json()
        assert "not in the file any more" in gone["note"] and gone["ballot"]
        policy = known.get("/next").headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "set-cookie" not in known.get("/").headers
    booth.close()
    assert address_of("127.0.0.1", 1, "t") == "http://127.0.0.1:1/#t" and address_of("::1", 1, None) == "http://[::1]:1/"


HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](http://evil.example/a.png)", "![x](data:image/svg+xml;base64,AAAA)", "[a](javascript:alert(1))",
           "[a](JaVaScRiPt:alert(1))", "[a](data:text/html,x)", "<javascript:alert(1)>", "[a](/vote)", "[a]( \x01javascript:x)", "<svg onload=alert(1)>", "<style>*{display:none}</style>",
           "<iframe src=//evil.example>", "<math href=javascript:alert(1)>", r"$\href{javascript:alert(1)}{x}$", r"$\text{<img src=x onerror=alert(1)>}$", r"$\style{background:url(//evil.example)}{x}$",
           r"\(\class{x}{</math><script>alert(1)</script>}\)", "$$\\unicode{<script>}$$", "<math><mtext><table><mglyph><style><!--</style><img title='--><img src onerror=alert(1)>'>",
           "```\n<script>", "```html onload=x\n</code></pre><script>", "|a|b|\n|-|-|\n|<img src=x onerror=x>|`<script>`|", "<a href='x' onclick='x'>", "</div></article><script>x</script>",
           "&lt;script&gt;&#x3C;script&#x3E;", "[x]: javascript:alert(1)\n[x]", "<form action=//evil.example><input name=a>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>", "\u202e\u2066<b>",
           "<template><script>1</script></template>", "<noscript><p title='</noscript><img src=x onerror=x>'>", "> " * 500 + "x", "*" * 5000, "[" * 5000, "\\(" * 5000, "$" + "{" * 3000 + "$"]


class Checked(HTMLParser):
    "Fails on an element or an attribute that is not allowed"
    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in {*ATTRIBUTES.get(tag, ()), "rel", "target"}, (tag, name)
            if name == "href": assert value.lower().startswith(("http:", "https:", "mailto:")), value
            if name == "rel": assert "noopener" in value


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_answers(text):
    for whole in (text, f"before {text} after", f"- {text}\n\n# {text}", text * 2):
        start = time.perf_counter()
        Checked().feed(to_html(whole))
        assert time.perf_counter() - start < 5


def test_markdown_is_still_shown():
    made = to_html("# Sum\n\n1. **one**\n2. $x^2$ and \\(y\\) for $5 to $6\n\n|a|b|\n|-|-|\n|1|~~2~~|\n\n[there](https://example.org)\n\n\\[ \\frac{1}{2} \\]")
    for part in ("<h3>", "<ol>", "<strong>one</strong>", "<msup>", "$5 to $6", "<td>1</td>", "<s>2</s>", 'href="https://example.org"', 'target="_blank" rel="noopener', "<mfrac>"): assert part in made, part


# What comes out

def test_export_and_the_view_say_the_same(answers):
    booth = open_booth(answers, "p1", learn=False)
    for verdict in ["left", "right", "both good", "both bad", "skip"] * 4: vote_on(booth.desk, verdict)
    booth.close()
    out, viewed = answers.parent / "out.jsonl", answers.parent / "viewed.jsonl"
    export_votes(votes_path(answers), out)
    convert(votes_path(answers), viewed)
    exported, converted = ([json.loads(line) for line in path.read_text().splitlines()] for path in (out, viewed))
    assert len(exported) == len(converted) > 10
    for a, b in zip(exported, converted):
        assert a["text"] == b["text"] and a["person"] == b["person"] == "p1" and np.sign(a["score"][0] - a["score"][1]) == np.sign(b["score"][0] - b["score"][1])
    assert {record["verdict"] for record in exported} == set(VERDICTS) and len({record["id"] for record in exported}) == len(exported)
    with pytest.raises(DataError, match="no vote by 'nobody'"): export_votes(votes_path(answers), out, "nobody")
    assert convert(out, answers.parent / "trl.jsonl", to="trl").written == sum(record["score"][0] != record["score"][1] for record in exported)


def test_lists_become_every_pair(answers):
    booth = open_booth(answers, "p1", learn=False, lists=True)
    shown = booth.desk.show_next()
    keys = [one.key for one in shown.answers]
    assert len(booth.desk.queue) == 12 and len(keys) == 3
    booth.desk.cast(shown.ballot.key, keys, "order", ranking=[keys[2]])
    (record,) = booth.desk.box.records()
    assert record["score"] == [0., 0., 1.]
    assert [r["winner"] for r in booth.desk.box.db.execute("SELECT winner FROM duels")] == ["tie", "b", "b"]
    with pytest.raises(DataError, match="no verdict on 3 answers"): booth.desk.cast(booth.desk.show_next().ballot.key, [one.key for one in booth.desk.show_next().answers], "left")
    booth.close()


def test_from_votes_to_a_reward_model(place, own_cache, tmp_path):
    "The learner reads, foretells, and writes what score takes."
    from custom_rm.learner import Learner, listener
    from custom_rm.scoring import Scorer
    (tmp_path / "a.json").write_text(json.dumps([dict(prompt=f"What is {i} plus one?", responses=[f"It is {i+1}!!!", f"It is {i+1}."]) for i in range(40)]))
    booth = open_booth(tmp_path / "a.json", "p1", base=str(place / "tiny"), device="cpu", out=tmp_path / "mine", order="uncertain", repeat=0)
    while shown := booth.desk.show_next():
        loud = [one.turns[0]["content"].endswith("!") for one in shown.answers]
        booth.desk.cast(shown.ballot.key, [one.key for one in shown.answers], "left" if loud[0] else "right")
        booth.hear()
    with client(create_app(booth)) as page:
        made = page.post("/model", json={}).json()
        assert made["comparisons"] == 40 and made["accuracy"] > .9
        for _ in range(600):
            learned = page.get("/learned").json()
            if learned["votes"] == 40 and learned["stage"] == "ready": break
            time.sleep(.1)
    assert [row["name"] for row in learned["rows"]] == ["what it learned from you", "the words alone", "the longer one wins"] and learned["rows"][0]["share"] > .7
    assert "better than guessing" in learned["said"] and booth.desk.margins is not None
    assert any(str(tmp_path / "mine") in line for line in booth.close())
    assert Scorer.load(tmp_path / "mine", "cpu").rank("What is 70 plus one?", ["It is 71.", "It is 71!!!"]) == [1, 0]
    card = json.loads((tmp_path / "mine" / "reward_model.json").read_text())
    assert card["head"]["comparisons"] == 40 and (tmp_path / "mine" / "questions.txt").is_file()
    rm, known = listener(general=tmp_path / "mine", device="cpu")
    assert known["general"].shape == (rm.width,)
    lost = Learner(lambda: listener(tmp_path / "nowhere"), booth.desk.queue).start()
    lost.thread.join(60)
    assert lost.status["stage"] == "off" and isinstance(lost.make_model(tmp_path / "x").exception(), DataError)


# What many votes cost

def many(path, n):
    "n votes on as many pairs, put into the file at once"
    box = VoteFile(path)
    with box.writing() as db:
        db.executemany("INSERT INTO prompts VALUES (?, ?, NULL)", [(f"q{i}", f"Question {i}") for i in range(n)])
        db.executemany("INSERT INTO responses VALUES (?, ?, ?, ?)", [(f"{side}{i}", f"q{i}", f"Answer {side}", f"## Human:\nQuestion {i}\n\n## Assistant:\nAnswer {side}") for i in range(n) for side in "ab"])
        db.executemany("INSERT INTO votes (person, ballot_id, verdict, seconds, at) VALUES ('p1', ?, 'left', 3, '')", [(f"b{i}",) for i in range(n)])
        db.executemany("INSERT INTO places VALUES (?, ?, ?, ?)", [(i + 1, place, f"{side}{i}", score) for i in range(n) for place, side, score in ((1, "a", 1.), (2, "b", 0.))])
    box.close()


def test_ten_thousand_votes_load_at_once_and_a_vote_is_quick(answers, tmp_path):
    many(votes_path(answers), 10_000)
    start = time.perf_counter()
    booth = open_booth(answers, "p1", learn=False)
    assert len(booth.desk.votes) == 10_000 and time.perf_counter() - start < 3
    stop = threading.Event()
    def refit():
        from custom_rm.heads import fit_head
        rng = np.random.default_rng(0)
        differences, groups = rng.normal(size=(2000, 192)), np.arange(2000)
        while not stop.is_set(): fit_head(differences, groups)
    busy = threading.Thread(target=refit, daemon=True)
    busy.start()
    with client(create_app(booth)) as page:
        state, took = page.get("/next").json(), []
        for _ in range(30):
            start = time.perf_counter()
            state = page.post("/vote", json=body(state, "left", seconds=1.)).json()
            took.append(time.perf_counter() - start)
    stop.set()
    busy.join(60)
    booth.close()
    assert np.median(took) < .05, took
