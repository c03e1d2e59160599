"Collecting from endpoints that misbehave, being killed, two at once: nothing is lost, paid twice, guessed or shown."
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("openai")
from endpoint import Drop, Endpoint, Raw, Status  # noqa: E402

from custom_rm import collect as room  # noqa: E402
from custom_rm.collect import Answer, collect, collect_file, flags_of, is_refusal, Job, parse_answers, read_questions, read_roles, Sampling  # noqa: E402
from custom_rm.core import DataError, recipe_path  # noqa: E402

ROLES = {"poet": "Answer in verse.", "clerk": "Answer in a list.", "normal": ""}
ASKED = ["Is bread good?", "Is rain good?", "Is gold good?", "Is snow good?"]
KEY = "sk-a-key-that-nobody-may-see-0123456789"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"): monkeypatch.delenv(name, raising=False)


def a_job(folder, server, asked=ASKED, sampling=None, at_once=4, retries=3, **settings):
    sampling = sampling or Sampling(["m"], roles=ROLES)
    return Job(list(asked), Path(folder) / "out.jsonl", sampling, room.Endpoint(server.address, at_once=at_once, retries=retries, timeout=5), **settings)


def lines(path): return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]


# What comes back

def test_a_fault_of_each_kind_is_met_and_nothing_is_guessed(tmp_path):
    "Limits, server faults and breaks are asked again by the client; what is no answer is told, and asked again by the next run"
    faults = {2: Status(429, {"Retry-After": "0.3"}), 4: Status(500), 5: Status(503, body=b"<html>busy</html>"), 7: Drop(),
              9: Raw(b"<html>hello</html>", "text/html"), 10: Raw(b'{"choices": []}'), 11: Raw(b'{"choices": [{"mess'), 12: Raw(b'{"error": {"message": "overloaded"}}')}
    def behave(body, n):
        if n in faults: raise faults[n]
        return "Good words."
    with Endpoint(behave) as server:
        first = collect(a_job(tmp_path, server, at_once=1))
        # the clerk and normal of the third question and so on have met what is no answer
        assert sum(first.missing.values()) == 4 and first.written == 2 and first.left_out == 2
        assert "the same command asks for nothing else" in str(first) and "4 missing replies" in str(first)
        waited = server.asked[2]["time"] - server.asked[1]["time"]
        assert .3 <= waited < 2, "as long as Retry-After says"
        before = len(server.asked)
        second = collect(a_job(tmp_path, server, at_once=1))
        assert (second.new, len(server.asked) - before, second.missing, second.written) == (4, 4, {}, 4)
    assert [set(row["responses"]) for row in lines(tmp_path / "out.jsonl")] == [set(ROLES)] * 4


@pytest.mark.parametrize("choice,flags,words", [
    (dict(message=dict(content=None), finish_reason="stop"), ["empty"], ""),
    (dict(message=dict(content="It is"), finish_reason="length"), ["cut"], "It is"),
    (dict(message=dict(content=""), finish_reason="content_filter"), ["filtered", "empty"], ""),
    (dict(message=dict(content=None, refusal="I can't help with that."), finish_reason="stop"), ["refused"], "I can't help with that."),
    (dict(message=dict(content="I’m sorry, but I cannot assist with this request."), finish_reason="stop"), ["refused"], "I’m sorry, but I cannot assist with this request."),
    (dict(message=dict(content=[{"type": "text", "text": "Parts "}, {"type": "text", "text": "too."}]), finish_reason="stop"), [], "Parts too."),
    (dict(message=dict(content="Call it.", tool_calls=[]), finish_reason="tool_calls"), ["unfinished"], "Call it."),
    (dict(message=dict(content="No reason."), finish_reason=None), ["unfinished"], "No reason."),
    (dict(message=dict(content="<think>Hm</think>Yes."), finish_reason="stop"), ["thinking"], "<think>Hm</think>Yes."),
    (dict(message=dict(content="half \ud83d pair"), finish_reason="stop"), ["broken"], "half \ufffd pair"),
    (dict(message=dict(content="null \0 and \u2028 é 漢 😀"), finish_reason="stop"), [], "null \0 and \u2028 é 漢 😀"),
])
def test_an_answer_is_kept_and_flagged(tmp_path, choice, flags, words):
    other = dict(message=dict(content="Quite another answer than that one."), finish_reason="stop")
    with Endpoint(lambda body, n: choice if len(body["messages"]) == 2 else other) as server:
        report = collect(a_job(tmp_path, server, ["Ça va? 漢字 😀"], Sampling(["m"], roles={"poet": "Verse.", "normal": ""})))
    assert report.flags == {flag: 1 for flag in flags} and report.written == 1
    (row,) = lines(tmp_path / "out.jsonl")
    assert row == {"query": "Ça va? 漢字 😀", "responses": {"poet": words.strip(), "normal": "Quite another answer than that one."}}
    assert [line["flags"] for line in lines(tmp_path / "out.about.jsonl")] == [flags, []]


def test_a_huge_answer(tmp_path):
    with Endpoint(lambda body, n: "wörd " * 200_000 + str(len(body["messages"]))) as server:
        report = collect(a_job(tmp_path, server, ["Why?"]))
    assert report.flags == {"same": 2, "near": 1}, "two roles said the same million letters"
    assert len(lines(tmp_path / "out.jsonl")[0]["responses"]["poet"]) > 10**6


@pytest.mark.parametrize("fault,told", [
    (Status(401, body={"error": {"message": f"Incorrect API key provided: {KEY}"}}), "set the right key in OPENAI_API_KEY"),
    (Status(404), "check --base-url"), (Status(429, {"Retry-After": "300"}), "run the same command in 300 seconds"),
    (Status(429, body={"error": {"message": "no money", "code": "insufficient_quota"}}), "see to your account there")])
def test_what_would_meet_all_ends_the_run(tmp_path, fault, told, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    def behave(body, n): raise fault
    with Endpoint(behave) as server:
        with pytest.raises(DataError, match=told) as raised: collect(a_job(tmp_path, server, [f"Is {i}?" for i in range(50)], retries=0))
        assert len(server.asked) <= 8
    assert KEY not in str(raised.value) and not (tmp_path / "out.jsonl").exists()


def test_an_endpoint_that_is_down(tmp_path):
    with Endpoint() as server: pass
    with pytest.raises(DataError, match=r"no connection.*requests in a row have failed.*what was answered is kept"):
        collect(a_job(tmp_path, server, [f"Is {i}?" for i in range(50)], retries=0))


def test_a_slow_one_is_asked_again(tmp_path):
    def behave(body, n):
        if n == 1: time.sleep(1.5)
        return "At last."
    with Endpoint(behave) as server:
        job = a_job(tmp_path, server, ["Why?"], Sampling(["m"], n=2))
        job.endpoint.timeout = .5
        assert collect(job).new == 2 and len(server.asked) == 3


# The same command twice, with something changed between

def test_only_what_is_new_is_asked(tmp_path):
    with Endpoint() as server:
        def asked(**changed):
            "How many requests a changed command sends, and the report"
            before = len(server.asked)
            report = collect(a_job(tmp_path, server, **changed))
            return len(server.asked) - before, report
        assert asked()[0] == 12
        assert asked()[0] == 0
        kept = lines(tmp_path / "out.jsonl")
        assert asked(sampling=Sampling(["m"], roles={"bard": ROLES["poet"], "clerk": ROLES["clerk"], "normal": ""}))[0] == 0, "a role was renamed"
        renamed = lines(tmp_path / "out.jsonl")
        assert [row["responses"]["bard"] for row in renamed] == [row["responses"]["poet"] for row in kept] and "poet" not in renamed[0]["responses"]
        assert asked(sampling=Sampling(["m"], roles=ROLES | {"poet": "Answer in prose."}))[0] == 4, "a role is told something else"
        assert asked(sampling=Sampling(["m"], roles={name: ROLES[name] for name in ("normal", "clerk")}))[0] == 0, "a role is gone"
        assert list(lines(tmp_path / "out.jsonl")[0]["responses"]) == ["normal", "clerk"]
        assert asked(sampling=Sampling(["other"], roles=ROLES))[0] == 12, "another model"
        assert asked(sampling=Sampling(["m"], roles=ROLES, parameters={"temperature": .5}))[0] == 12, "another parameter"
        assert asked(asked=[*ASKED[1:], "Is fog good?"])[0] == 3, "a question was replaced"
        assert [row["query"] for row in lines(tmp_path / "out.jsonl")] == [*ASKED[1:], "Is fog good?"]
        sent, report = asked(asked=[*ASKED, ASKED[0], ASKED[0]])
        assert (sent, report.twice, report.questions, report.written) == (0, 2, 4, 4), "a question twice is asked once"
        assert asked(sampling=Sampling(["m"], n=3))[0] == 8, "the first sample is what the role without a prompt was asked"
        assert asked(sampling=Sampling(["m"], n=5))[0] == 8, "samples are added"
        assert asked(sampling=Sampling(["m"], n=2))[0] == 0 and len(lines(tmp_path / "out.jsonl")[0]["responses"]) == 2
        assert asked(sampling=Sampling(["m", "k"], n=2))[0] == 8, "another model beside the first"
        assert asked(sampling=Sampling(["m"], n=2, seed=7))[0] == 8 and {one["body"].get("seed") for one in server.asked[-8:]} == {7, 8}
    with Endpoint() as server: assert len(collect(a_job(tmp_path, server)).models) and len(server.asked) == 12, "another endpoint"


def test_what_is_flagged_may_be_asked_again_or_left_out(tmp_path):
    def behave(body, n):
        stubborn = "rain" in str(body) and len(body["messages"]) == 2
        return dict(message=dict(content="I cannot help with that."), finish_reason="length") if stubborn else f"Words {n} {body['messages'][0]['content']}"
    with Endpoint(behave) as server:
        assert collect(a_job(tmp_path, server)).flags == dict(cut=2, refused=2, same=2)
        report = collect(a_job(tmp_path, server, leave_out=("cut",)))
        assert (report.written, report.left_out, len(server.asked)) == (3, 1, 12)
        assert [line["place"] for line in lines(tmp_path / "out.about.jsonl")][3:6] == [None] * 3
        server.behave = lambda body, n: f"{n}" * 20
        again = collect(a_job(tmp_path, server, ask_again=("cut",)))
        assert (again.new, again.flags, again.written, len(server.asked)) == (2, {}, 4, 14)
        assert collect(a_job(tmp_path, server, ask_again=("cut",))).new == 0
    assert len({one["key"] for one in server.asked}) == 14, "an endpoint that knows idempotency keys must not repeat the refusal"


def test_diverse_answers(tmp_path):
    def behave(body, n):
        return "<answer 1>Yes.</answer 1>\n<answer 2>No, never.</answer 2>" if "bread" in str(body) else "1. Yes 2. No"
    with Endpoint(behave) as server: report = collect(a_job(tmp_path, server, ASKED[:2], Sampling(["m"], n=2, diverse=True)))
    assert (report.written, report.left_out, report.flags, report.answers) == (1, 1, {"unparsed": 1}, 2)
    assert lines(tmp_path / "out.jsonl") == [{"prompt": "Is bread good?", "responses": ["Yes.", "No, never."]}]
    assert [line.get("reply") for line in lines(tmp_path / "out.about.jsonl")] == [None, None, "1. Yes 2. No"]


@pytest.mark.parametrize("reply", ["<answer 1>a</answer 1>", "<answer 2>b</answer 2><answer 1>a</answer 1>", "<answer 1>a</answer 1><answer 2></answer 2>",
                                   "<answer 1>a<answer 2>b</answer 2></answer 1>", "<answer 1>a</answer 1><answer 2>b</answer 2><answer 3>c</answer 3>",
                                   "<answer 1>a</answer 2><answer 2>b</answer 1>", "<answer>a</answer><answer>b</answer>", "", "<answer 1>a</answer 1><answer 2>b"])
def test_a_reply_that_is_not_all_of_it_is_not_guessed(reply): assert parse_answers(reply, 2) is None


def test_replies_that_are(): assert parse_answers("<think><answer 1>x</answer 1></think>ok\n< answer_1 >a\n\nb</ answer_1 ><ANSWER 2>c</ANSWER 2>\nHope it helps", 2) == ["a\n\nb", "c"]


def test_replies_of_any_shape():
    "An answer, or why there is none; and in no time, even where a model repeats itself without end"
    import random
    def value(r, depth=0):
        kind = r.randrange(12 if depth < 4 else 8)
        if kind < 8: return r.choice([None, True, 0, -1, 3.5, "", "stop", "length", "x\ud83d", "<answer 1>", float("nan"), 10**400])
        if kind < 10: return [value(r, depth + 1) for _ in range(r.randrange(4))]
        return {r.choice(["choices", "message", "content", "usage", "prompt_tokens", "model", "text", "type", "error"]): value(r, depth + 1) for _ in range(r.randrange(6))}
    answers = 0
    for seed in range(4000):
        r = random.Random(seed)
        choice = {"message": {"content": value(r, 2), "refusal": value(r, 3)}, "finish_reason": value(r, 3)}
        raw = json.dumps(r.choice([value(r), {"choices": [choice], "usage": {"prompt_tokens": value(r, 3)}, "model": value(r, 3)}])).encode()
        try: answer = room.read_reply(raw[:r.randrange(len(raw) + 1)] if r.random() < .1 else raw)
        except room.Unanswered: continue
        flags_of(answer), answer.text.encode()
        assert answer.tokens_in is None or 0 <= answer.tokens_in < 10**12
        answers += 1
    assert answers > 1000
    began = time.process_time()
    for text in ("<answer 1>" * 20_000, "<answer 1>a</answer 1>" * 20_000, "i'm very " * 20_000, "sorry " * 20_000): assert parse_answers(text, 2) is None and not is_refusal(text)
    assert time.process_time() - began < 5


def test_convert_takes_the_file(tmp_path, custom_rm):
    with Endpoint(lambda body, n: f"Answer {n}: {body['messages'][0]['content']}\n\n## Human:\nno turn") as server: collect(a_job(tmp_path, server))
    done = custom_rm("convert", tmp_path / "out.jsonl", tmp_path / "records.json", "--domain", "poet")
    assert done.returncode == 0 and "4 rows → 8 comparisons" in done.stdout, done.stderr
    records = json.loads((tmp_path / "records.json").read_text())
    assert [record["score"] for record in records] == [[1, 0, 0]] * 4 and not any("flags" in record for record in records)
    wrong = custom_rm("convert", tmp_path / "out.about.jsonl", tmp_path / "no.json")
    assert wrong.returncode == 2 and not (tmp_path / "no.json").exists(), "the file beside it is nothing to be learned from"


# Killed, stopped, two at once

DRIVER = """
import os, signal, sys
from custom_rm import collect
when, name, n, *words = sys.argv[1:]
real, count = getattr(collect.Store, name, None), 0
def watched(self, *args):
    global count
    count += 1
    if when == "before" and count == int(n): os.kill(os.getpid(), signal.SIGKILL)
    result = real(self, *args)
    if when == "after" and count == int(n): os.kill(os.getpid(), signal.SIGKILL)
    return result
if name != "none": setattr(collect.Store, name, watched)
from custom_rm.cli import main
sys.argv = ["custom-rm", *words]
main()
"""


def command(folder, server, *more, at_once=1, out="out.jsonl"):
    (folder / "ask.txt").write_text("\n".join(ASKED))
    (folder / "roles.yaml").write_text("".join(f"{name}: {told}\n" for name, told in ROLES.items()))
    return ["collect", folder / "ask.txt", "--roles", folder / "roles.yaml", "--model", "m", "--base-url", server.address, "--out", folder / out, "--at-once", at_once, *more]


def start(*words, when=("before", "none", "0"), env=None):
    return subprocess.Popen([sys.executable, "-c", DRIVER, *when, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | (env or {}))


@pytest.mark.parametrize("when,forsaken,twice", [
    (("after", "begin", "5"), 1, 0),   # noted, and not sent
    (("before", "keep", "5"), 1, 1),   # answered, and not kept: nobody can know of it, but an endpoint that knows the key
    (("after", "keep", "5"), 0, 0)])   # kept
def test_killed_and_gone_on(tmp_path, when, forsaken, twice):
    with Endpoint() as plain, Endpoint(honours_keys=True) as knowing:
        for server, again in ((plain, twice), (knowing, 0)) if twice else ((plain, 0),):
            folder = tmp_path / str(server.server_port)
            folder.mkdir()
            killed = start(*command(folder, server), when=when)
            killed.communicate(timeout=60)
            assert killed.returncode == -signal.SIGKILL and not (folder / "out.jsonl").exists()
            report = collect(a_job(folder, server, at_once=1))
            assert report.forsaken == forsaken and (f"{forsaken}  requests were on the way" in str(report)) == bool(forsaken)
            assert sum(server.paid.values()) - 12 == again and len(server.paid) == 12
            assert report.written == 4 and not list(folder.glob("*.tmp"))


def test_killed_while_many_are_on_the_way(tmp_path):
    "At most those that were on the way are paid twice, and they are counted; an endpoint that knows the key charges them once"
    def behave(body, n):
        if n == 7: os.kill(running.pid, signal.SIGKILL)
        time.sleep(.05)
        return f"Words {body}"
    with Endpoint(behave, honours_keys=True) as server:
        running = start(*command(tmp_path, server, at_once=4))
        running.communicate(timeout=60)
        assert running.returncode == -signal.SIGKILL
        server.behave = lambda body, n: f"Words {body}"
        report = collect(a_job(tmp_path, server, at_once=4))
    assert 1 <= report.forsaken <= 4 and report.written == 4 and set(server.paid.values()) == {1} and len(server.asked) <= 12 + 4


def test_two_at_once_pay_once(tmp_path):
    def behave(body, n):
        time.sleep(.1)
        return f"Words {body}"
    with Endpoint(behave) as server:
        store = ["--store", tmp_path / "both.db"]
        both = [start(*command(tmp_path, server, *store, out=out)) for out in ("a.jsonl", "b.jsonl")]
        said = [one.communicate(timeout=60) for one in both]
        assert [one.returncode for one in both] == [0, 0], said
    assert set(server.paid.values()) == {1} and len(server.paid) == 12
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert sum("waiting for it, to ask nothing twice" in err for _, err in said) == 1 and sorted(out.split("; ")[1].split()[0] for out, _ in said) == ["0", "12"]


@pytest.mark.parametrize("name,code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_stopped_politely(tmp_path, name, code):
    "What is on the way comes home, since it is paid for"
    def behave(body, n):
        if n == 6: running.send_signal(getattr(signal, name))
        time.sleep(.3)
        return f"Words {body}"
    with Endpoint(behave) as server:
        running = start(*command(tmp_path, server, at_once=3))
        out, err = running.communicate(timeout=60)
        assert running.returncode == code and err.endswith("custom-rm: stopped; the same command goes on from here\n"), err
        assert "waiting for" in err and not (tmp_path / "out.jsonl").exists()
        paid = sum(server.paid.values())
        server.behave = lambda body, n: f"Words {body}"
        report = collect(a_job(tmp_path, server))
    assert report.forsaken == 0 and report.new == 12 - paid and set(server.paid.values()) == {1}


# The key

def test_the_key_is_nowhere(tmp_path):
    "Not in files, output or tracebacks, though the endpoint repeats it wherever it can, and the client logs all it can"
    def behave(body, n):
        key = server.asked[0]["authorization"].removeprefix("Bearer ")
        if n in (2, 3): raise Raw(f"no JSON but {key}".encode(), "text/plain")
        if n == 4: raise Status(400, body={"error": {"message": f"bad key {key}"}})
        return dict(message=dict(content=f"Your key is {key}.", refusal=None), finish_reason=f"stop {key}")
    with Endpoint(behave) as server:
        running = start(*command(tmp_path, server, "--key-env", "MY_KEY", "--json", tmp_path / "report.json"), env=dict(MY_KEY=KEY, OPENAI_LOG="debug"))
        out, err = running.communicate(timeout=60)
        assert running.returncode == 1, err
        assert server.asked[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in out + err and "[key]" in out
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert b"[key]" in (tmp_path / "out.collect.sqlite").read_bytes()


@pytest.mark.parametrize("value", [KEY + "\nX-Other: y", KEY + " ", "schlüssel-" + KEY, KEY + "\x7f"])
def test_a_key_that_no_header_holds(tmp_path, value, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with Endpoint() as server:
        try: collect(a_job(tmp_path, server, ["Why?"]))
        except DataError as fault: assert KEY not in str(fault) and "set it anew" in str(fault)
        else: assert value.strip() == KEY and server.asked[0]["authorization"] == f"Bearer {KEY}"


def test_a_key_where_none_belongs(tmp_path, custom_rm):
    "In the place of its variable's name, or in the address: refused, and not repeated"
    (tmp_path / "ask.txt").write_text("Why?\n")
    words = ["collect", tmp_path / "ask.txt", "--n", 2, "--model", "m", "--out", tmp_path / "out.jsonl"]
    for more in (["--base-url", "https://api.example.org/v1", "--key-env", KEY], ["--base-url", f"https://user:{KEY}@api.example.org/v1"], ["--base-url", f"https://api.example.org/v1?key={KEY}"]):
        done = custom_rm(*words, *more)
        assert done.returncode == 2 and KEY not in done.stdout + done.stderr and not list(tmp_path.glob("out*")), done.stderr


# Dry runs, databases, disks

def test_a_dry_run_asks_and_writes_nothing(tmp_path, custom_rm):
    with Endpoint() as server:
        done = custom_rm(*command(tmp_path, server, "--dry-run", "--max-tokens", 100, "--price-in", 1, "--price-out", 10))
        assert done.returncode == 0 and "12 requests would be asked; 0 are answered already" in done.stdout and "at most 1,200 out" in done.stdout, done.stderr
        assert "0.01" in done.stdout and not server.asked and not list(tmp_path.glob("out*"))
        collect(a_job(tmp_path, server, sampling=Sampling(["m"], roles=ROLES, parameters={"max_tokens": 100})))
        before = (tmp_path / "out.collect.sqlite").read_bytes()
        done = custom_rm(*command(tmp_path, server, "--dry-run", "--max-tokens", 100))
        assert "0 requests would be asked; 12 are answered already" in done.stdout and len(server.asked) == 12
        assert (tmp_path / "out.collect.sqlite").read_bytes() == before


def test_without_a_key_or_the_client_what_is_there_can_be_written(tmp_path, monkeypatch):
    with Endpoint() as server:
        collect(a_job(tmp_path, server))
        monkeypatch.setitem(sys.modules, "openai", None)
        assert collect(a_job(tmp_path, server)).written == 4
        with pytest.raises(DataError, match=r'pip install "custom_rm\[collect\]"'): collect(a_job(tmp_path / "new", server))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("make,told", [
    (lambda path: path.write_bytes(b"no database" * 200), "is not a database of answers"),
    (lambda path: sqlite3.connect(path).executescript("create table diary (day text)"), "is a database of something else"),
    (lambda path: room.Store(path).base.executescript("pragma user_version = 99"), "was made by another version"),
    (lambda path: path.mkdir(), "is a folder")])
def test_a_database_that_is_not_ours_stays_as_it_is(tmp_path, make, told):
    make(tmp_path / "out.collect.sqlite")
    with Endpoint() as server, pytest.raises(DataError, match=told): collect(a_job(tmp_path, server))
    assert not server.asked and not (tmp_path / "out.jsonl").exists()


def test_a_full_disk(tmp_path, monkeypatch):
    "What came before is kept, the line says what to do, and the same command goes on"
    prepare = room._prepare
    def small(base, path):
        prepare(base, path)
        base.execute("pragma max_page_count = 12")
    monkeypatch.setattr(room, "_prepare", small)
    with Endpoint(lambda body, n: f"{n} " + "long words " * 1000) as server:
        with pytest.raises(DataError, match="disk is full.*free some space.*same command again"): collect(a_job(tmp_path, server, at_once=2))
        paid = sum(server.paid.values())
        assert paid <= 6 and not (tmp_path / "out.jsonl").exists()
        monkeypatch.undo()
        report = collect(a_job(tmp_path, server, at_once=2))
        assert report.written == 4 and 12 - report.new >= 1 and sum(server.paid.values()) <= 12 + 2


# Files of questions and of roles

@pytest.mark.parametrize("name,text,told", [
    ("a.txt", "question\nWhy?\n", "names columns in its first line"), ("a.txt", '["Why?", "How?"]', "is JSON"), ("a.txt", "1\tWhy?\n2\tHow?\n", "name it .tsv"),
    ("a.txt", "\n \n", "is empty"), ("a.txt", "Why\0?\n", "zero bytes"), ("a.md", "Why?", "of no known kind"),
    ("a.csv", "question,context\nWhy?,It rained all day long.\n", "context holds text that would not be asked"),
    ("a.csv", "question,choices\nWhich?,the red or the blue one\n", "choices holds text"),
    ("a.csv", "text,other\nWhy is it?,How is it?\n", "say which: --prompt text or --prompt other"),
    ("a.csv", 'prompt,system\nWhy?,You are a very gloomy pirate.\n', "system holds text"),
    ("a.json", '[{"prompt": [{"role": "user", "content": "Why?"}]}]', "where a question should be"),
    ("a.json", '["Why?", {"prompt": "How?"}]', "not an object with columns"), ("a.jsonl", '{"prompt": ""}\n{"prompt": "Why?"}', "is \"\"; fill it in"),
    ("a.jsonl", '{"prompt": "a \\ud83d b"}', "half a surrogate pair"),
    ("a.jsonl", '{"prompt": "Human: Hi there\\n\\nAssistant: Hello.\\n\\nHuman: Why?\\n\\nAssistant:"}', "turns of a conversation")])
def test_questions_that_are_not_understood_are_refused(tmp_path, name, text, told):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told): read_questions(tmp_path / name)


@pytest.mark.parametrize("name,text,asked", [
    ("a.txt", "\ufeffWhy?\r\n\r\n  Ça va?  \r\n", ["Why?", "Ça va?"]), ("a.json", '["Why?", "How?"]', ["Why?", "How?"]), ("a.jsonl", '"Why?"\n"How?"\n', ["Why?", "How?"]),
    ("a.txt", "[citation needed]?\nWhy?", ["[citation needed]?", "Why?"]), ("a.csv", "question\nWhy?\n", ["Why?"]),
    ("a.csv", "id,question,answer,topic\n1,Why?,Because it is so.,sky\n", ["Why?"]),
    ("a.jsonl", '{"query": "Why?", "responses": {"academy": "It is so and so.", "normal": "So."}}', ["Why?"])])
def test_questions_that_are(tmp_path, name, text, asked):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_questions(tmp_path / name) == asked


@pytest.mark.parametrize("text,told", [
    ("a: Verse.\na: Prose.\nb: List.\n", "role a stands there twice"), ("a: Verse.\nb: Verse.\n", "a and b are told the same"), ("a: Verse.\n", "no two roles"),
    ("no: Verse.\nb: List.\n", "put the name in quotes"), ("a: [x]\nb: List.\n", "not a text"), ("- a\n- b\n", "no two roles"), ("a: {", "is not YAML"), ("a:\nb:\n", "told the same")])
def test_roles_that_are_refused(tmp_path, text, told):
    (tmp_path / "roles.yaml").write_text(text)
    with pytest.raises(DataError, match=told): read_roles(tmp_path / "roles.yaml")


def test_the_roles_that_come_along():
    roles = read_roles(recipe_path("dsp", "roles"))
    assert list(roles) == ["academy", "business", "entertainment", "literature", "normal"] and roles["normal"] == ""
    with pytest.raises(DataError, match="no such roles; give a YAML file, or one of dsp"): recipe_path("nobody", "roles")


@pytest.mark.parametrize("text,refuses", [
    ("I'm sorry, but I can't assist with that request.", True), ("I cannot provide medical advice.", True), ("Unfortunately, I am unable to help with this.", True),
    ("As an AI, I can't create such content.", True), ("I won't help you do that.", True), ("Sorry to hear that! Try tea.", False), ("I can't recommend this book enough.", False),
    ("I cannot but agree.", False), ("You can't help but laugh.", False), ("", False)])
def test_refusals_by_their_words(text, refuses): assert is_refusal(text) is refuses and ("refused" in flags_of(Answer(text, "stop"))) is refuses


def test_the_file_of_questions_is_not_written_over(tmp_path):
    (tmp_path / "ask.jsonl").write_text('{"query": "Why?"}\n')
    with Endpoint() as server, pytest.raises(DataError, match="is the file of questions"):
        collect_file(tmp_path / "ask.jsonl", tmp_path / "ask.jsonl", sampling=Sampling(["m"], n=2), endpoint=room.Endpoint(server.address))


# A real endpoint

@pytest.fixture(scope="module")
def served(tmp_path_factory):
    "`transformers serve` with a tiny model that has a chat template; skipped where it doesn't start"
    import httpx
    import socket
    from custom_rm.tiny import TINY_CHAT, tiny_base
    home = tmp_path_factory.mktemp("served")
    base = tiny_base(home / "tiny", ["Is bread good?"], chat=TINY_CHAT)
    settings = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps(settings | dict(do_sample=True)))  # or the server passes over the temperature
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    words = ["serve", str(base), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    offline = os.environ | dict(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1")
    with open(home / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-c", "from transformers.cli.transformers import main; main()", *words], stdout=log, stderr=log, env=offline)
    try:
        for _ in range(600):
            with __import__("contextlib").suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200: break
            if process.poll() is not None: pytest.skip(f"transformers serve doesn't start here: {(home / 'log').read_text(errors='replace')[-300:]}")
            time.sleep(.1)
        yield f"http://127.0.0.1:{port}/v1", base
    finally:
        process.terminate()
        try: process.wait(20)
        except subprocess.TimeoutExpired: process.kill(); process.wait()


def test_a_real_endpoint(served, tmp_path):
    address, base = served
    roles = Sampling([str(base)], roles={"poet": "Verse.", "normal": ""}, parameters=dict(max_tokens=6))
    endpoint = room.Endpoint(address, at_once=2, timeout=60)
    report = collect(Job(ASKED[:2], tmp_path / "roles.jsonl", roles, endpoint))
    assert (report.written, report.answers, report.missing) == (2, 4, {}), str(report)
    assert report.tokens_in > 0 and 0 < report.tokens_out <= 24 and report.uncounted == 0
    samples = Sampling([str(base)], n=2, seed=1, parameters=dict(max_tokens=6, temperature=1.0))
    many = collect(Job(ASKED[:1], tmp_path / "lists.jsonl", samples, endpoint))
    assert many.new == 2 and "cut" in report.flags | many.flags
    (row,) = lines(tmp_path / "lists.jsonl")
    assert row["responses"][0] != row["responses"][1], "each sample has a seed of its own"
    wrong = Job(ASKED[:1], tmp_path / "no.jsonl", Sampling(["nobody/nothing"], n=2), room.Endpoint(address, retries=0, timeout=60))
    try: assert collect(wrong).written == 0
    except DataError as fault: assert address in str(fault)
