"Conversion and cleaning of the published sets against what the paper's code makes of them, and of files larger than memory should be."
import gzip
import json
import os
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from custom_rm.clean import clean_file
from custom_rm.columns import guess
from custom_rm.convert import convert, FORMS, pair_records, to_trl
from custom_rm.core import DataError
from custom_rm.mapping import by_mapping, Conversion, Mapping
from custom_rm.records import read_json, write_json

DATA = Path(os.environ.get("CUSTOM_RM_DATA", "/nonexistent"))
published = pytest.mark.skipif(not (DATA / "raw").is_dir(), reason="CUSTOM_RM_DATA does not point to the published sets")
key = lambda r: json.dumps([r["text"], r["score"]])
values = lambda path: [v for _, v in read_json(path)]


def mapped(rows):
    "The records of a table's rows, by the names of their columns"
    rows, report = list(rows), Conversion("rows")
    return [report.count(record) for record in by_mapping(rows, *guess(rows, Mapping()), report)]


def papers_converter(rows, domain, pairs):
    "What convert_data of the paper's repository does, told anew: scores by domain, then an ascending sort turned round"
    prompt = "## Human:\n{}\n\n## Assistant:\n{}"
    for row in rows:
        texts = {d: prompt.format(row["query"], r) for d, r in row["responses"].items()}
        if pairs:
            for d, t in texts.items():
                if d != domain: yield [texts[domain], t], [1.0, 0.0]
        else:
            names = list(texts)
            order = sorted(range(len(names)), key=lambda i: float(names[i] == domain))[::-1]
            yield [texts[names[i]] for i in order], [float(names[i] == domain) for i in order]


@published
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("domain", ["academy", "business", "entertainment", "literature", "normal"])
def test_dsp_as_the_paper(tmp_path, domain, pairs):
    source = DATA / "domain_specific_preference.test.json"
    report = convert(source, tmp_path / "out.json", domain=domain, pairs=pairs)
    assert report.written == 119 * (4 if pairs else 1) and report.comparisons == 119 * 4 and not report.unused
    assert [(r["text"], r["score"]) for r in values(tmp_path / "out.json")] == list(papers_converter(json.loads(source.read_text()), domain, pairs))


@published
@pytest.mark.parametrize("name, raw, clean", [("helpful", 1894, 1892), ("harmless", 1839, 1839)])
def test_hh_raw_to_clean(tmp_path, name, raw, clean):
    assert convert(DATA / "raw" / f"hh-{name}-base.jsonl.gz", tmp_path / "raw.jsonl.gz").written == raw
    said = clean_file(tmp_path / "raw.jsonl.gz", tmp_path / "clean.jsonl")
    assert (said.read, said.written, said.found["identical"]) == (raw, clean, raw - clean)
    expected = [r for part in ("train", "test") for r in values(DATA / f"{name}.{part}.json")]
    assert Counter(map(key, values(tmp_path / "clean.jsonl"))) == Counter(map(key, expected))


@published
def test_gpt4llm_v1(tmp_path):
    assert convert(DATA / "raw" / "gpt4llm.v1.json", tmp_path / "out.json").written == 877
    expected = [r for part in ("train", "test") for r in values(DATA / f"gpt4llm.{part}.json")]
    assert Counter(map(key, values(tmp_path / "out.json"))) == Counter(map(key, expected))


@published
def test_webgpt_ties_stay_ties(tmp_path):
    "The published rows made from the paper's file come back as they were, ties and ascending pairs included"
    expected = values(DATA / "webgpt.train.json")
    split = lambda t: t.removeprefix("## Human:\n").split("\n\n## Assistant:\n", 1)
    two = lambda r: [dict(question=dict(full_text=split(t)[0]), answer=split(t)[1], score=s - 1) for t, s in zip(r["text"], r["score"])]
    hub = lambda r: {k: v for i, a in enumerate(two(r)) for k, v in {"question": a["question"], f"answer_{i}": a["answer"], f"score_{i}": a["score"]}.items()}
    for name, form in (("published", two), ("hub", hub)):
        write_json(tmp_path / f"{name}.jsonl", map(form, expected))
        convert(tmp_path / f"{name}.jsonl", tmp_path / "out.json")
        assert list(map(key, values(tmp_path / "out.json"))) == list(map(key, expected))
    ties = [r for r in values(tmp_path / "out.json") if r["score"][0] == r["score"][1]]
    assert len(ties) == 154
    assert clean_file(tmp_path / "out.json", tmp_path / "clean.json", ties="drop").found["ties"] == 154


def test_list_and_lines_and_gzip_are_the_same(tmp_path):
    rows = [dict(query=f"Question {i}?", responses={d: f"{d} says {i}" for d in "abc"}) for i in range(50)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    with gzip.open(tmp_path / "c.json.gz", "wt") as f: json.dump(rows, f)
    for i, source in enumerate(("a.json", "b.jsonl", "c.json.gz")): convert(tmp_path / source, tmp_path / f"{i}.jsonl", domain="b")
    assert len({(tmp_path / f"{i}.jsonl").read_bytes() for i in range(3)}) == 1


@published
def test_dsp_lists_keep_records_whose_unpreferred_texts_are_equal(tmp_path):
    "Two equal texts of score 0 do not make the preferred one wrong"
    convert(DATA / "domain_specific_preference.train.json", tmp_path / "list.json", domain="normal")
    equal = [r for r in values(tmp_path / "list.json") if len(set(r["text"])) < 5]
    wrong = [r for r in equal if r["text"][0] in r["text"][1:]]
    said = clean_file(tmp_path / "list.json", tmp_path / "clean.json")
    assert (len(equal), len(wrong)) == (17, 9) and said.found["identical"] == 9 and said.written == 410 - 9


human = lambda q, a: f"## Human:\n{q}\n\n## Assistant:\n{a}"
hi = [human("Hi", "Hello!"), human("Hi", "What?")]
say = lambda role, content: {"role": role, "content": content}
MADE = {
    "webgpt hub": ({"question": {"full_text": "Hi"}, "answer_0": "Hello!", "score_0": -0.5, "answer_1": "What?", "score_1": 0.5}, hi, [0.5, 1.5]),
    "webgpt hub, tie, plain question": ({"question": "Hi", "answer_0": "Hello!", "score_0": 0, "answer_1": "What?", "score_1": 0}, hi, [1, 1]),
    "webgpt published": ([{"question": {"full_text": "Hi"}, "answer": a, "score": s} for a, s in (("Hello!", 0.5), ("What?", -0.5))], hi, [1.5, 0.5]),
    "gpt4llm v1": ({"user_input": "Hi", "completion_a": "Hello!", "completion_b": "What?"}, hi, [1, 0]),
    "gpt4llm v2": ({"user_input": "Below is …\n\n### Instruction:\nHi\n\n### Response:", "responses_and_scores": [{"response": "Hello!", "score": 9}, {"response": "What?", "score": 9}, {"response": "", "score": 1}]}, [*hi, human("Hi", "")], [9, 9, 1]),
    "gpt4llm v2, input": ({"user_input": "Below is …\n\n### Instruction:\nHi\n\n### Input:\nyou\n\n### Response:", "responses_and_scores": [{"response": "a", "score": 1}, {"response": "b", "score": 2}]}, [human("Hi\nyou", "a"), human("Hi\nyou", "b")], [1, 2]),
    "hh": ({"chosen": "\n\nHuman: Hi\n\nAssistant: a", "rejected": "\n\nHuman: Hi\n\nAssistant: b"}, ["\n\nHuman: Hi\n\nAssistant: a", "\n\nHuman: Hi\n\nAssistant: b"], [1, 0]),
    "trl strings": ({"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}, hi, [1, 0]),
    "trl chat": ({"prompt": [say("user", "Hi")], "chosen": [say("assistant", "Hello!")], "rejected": [say("assistant", "What?")]}, hi, [1, 0]),
    "trl chat, implicit prompt": ({k: [say("user", "Hi"), say("assistant", a)] for k, a in (("chosen", "Hello!"), ("rejected", "What?"))}, hi, [1, 0]),
    "trl chat, system": ({"prompt": [say("system", "Be kind."), say("user", "Hi")], "chosen": [say("assistant", "a")], "rejected": [say("assistant", "b")]}, [[say("system", "Be kind."), say("user", "Hi"), say("assistant", a)] for a in "ab"], [1, 0]), # turns stay turns
    "trl in a template": ({"prompt": "\n\nHuman: Hi\n\nAssistant: ", "chosen": "a", "rejected": "b"}, ["\n\nHuman: Hi\n\nAssistant: a", "\n\nHuman: Hi\n\nAssistant: b"], [1, 0]),
    "dsp": ({"query": "Hi", "responses": {"x": "Hello!", "y": "What?"}}, hi, [1, 0]),
    "records": ({"text": hi, "score": [2, 1]}, hi, [2, 1]),
}


@pytest.mark.parametrize("name", MADE)
def test_each_form(tmp_path, name):
    row, text, score = MADE[name]
    write_json(tmp_path / "in.jsonl", [row, row]) # a line alone that is or holds a list may be a whole file
    assert convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl.gz", domain="x" if name == "dsp" else None).written == 2
    for record in values(tmp_path / "out.jsonl.gz"):
        assert record == {"text": text, "score": score} and all(isinstance(s, float) for s in record["score"])


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.tsv.gz"])
def test_tables(tmp_path, name):
    "Rows of a prompt lie apart; cells hold separators, quotes and lines"
    comma = "\t" if "tsv" in name else ","
    rows = [["domain", "prompt", "response", "score"], ["x", '"a, or\tb?"', '"two\nlines"', "2"], ["x", "Ho", "yes", "0"],
            ["y", '"a, or\tb?"', '"said ""no"""', "3"], ["y", "Ho", "no", "1"]]
    def write(columns): # of these rows
        content = "".join(comma.join(row[:columns]) + "\r\n" for row in rows).encode("utf-8-sig")
        with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "wb") as f: f.write(content)
    texts = [[human("a, or\tb?", "two\nlines"), human("a, or\tb?", 'said "no"')], [human("Ho", "yes"), human("Ho", "no")]]
    for domain, scores in ((None, [[2, 3], [0, 1]]), ("x", [[1, 0], [1, 0]]), ("y", [[0, 1], [0, 1]])):
        write(3 if domain else 4)
        convert(tmp_path / name, tmp_path / "out.json", domain=domain)
        assert [(r["text"], r["score"]) for r in values(tmp_path / "out.json")] == list(zip(texts, scores))
    write(4)
    with pytest.raises(DataError, match="line 2: has a score, so --domain would overrule it; --only domain=x takes that domain's rows, or leave --domain out"):
        convert(tmp_path / name, tmp_path / "out.json", domain="x")


def test_rows_that_say_nothing_are_counted(tmp_path):
    "A prompt with one answer, a cell without a score and an empty line stop nothing, and are told"
    (tmp_path / "t.csv").write_text("prompt,response,score\nHi,a,1\nHi,b,0\nHo,a,1\nHu,a,1\nHu,b,\n\n")
    report = convert(tmp_path / "t.csv", tmp_path / "out.json")
    assert report.skipped == {"an answer without a score": 1, "one answer alone": 2}
    assert (report.comparisons, report.ties, report.written, len(values(tmp_path / "out.json"))) == (1, 0, 1, 1)
    assert "skipped   1 (an answer without a score), 2 (one answer alone)" in str(report)


def test_pairs_and_trl_of_random_lists():
    "Every unequal pair once, in TRL's form and back without loss; any template, any text"
    rng = random.Random(0)
    for _ in range(300):
        prompt, k = rng.choice(["## Human:\nHi\n\n## Assistant:\n", "\n\nHuman: Hi\n\nAssistant: "]), rng.randint(2, 6)
        word = lambda: "".join(rng.choices("ab \n:#é", k=rng.randint(0, 6)))
        record = {"text": [prompt + word() for _ in range(k)], "score": [float(rng.randint(0, 3)) for _ in range(k)], "source": "s"}
        pairs = list(pair_records([record]))
        assert len(pairs) == sum(a > b for a in record["score"] for b in record["score"]) and all(p["score"][0] > p["score"][1] and p["source"] == "s" for p in pairs)
        told = [p for p in pairs if all(map(str.strip, map(str.removeprefix, p["text"], [prompt] * 2))) and p["text"][0] != p["text"][1]]
        if told: assert [r["text"] for r in mapped(("", row) for row in to_trl(told))] == [p["text"] for p in told]


def test_table_in_any_order():
    "However the rows are mixed, each prompt gets its own, in their order"
    rng = random.Random(1)
    for _ in range(20):
        rows = [(f"Q{q}?", f"A{q}.{i}", float(i)) for q in range(9) for i in range(rng.randint(2, 5))]
        rng.shuffle(rows)
        made = mapped((f"line {n}", dict(prompt=p, response=r, score=s)) for n, (p, r, s) in enumerate(rows))
        prompts = list(dict.fromkeys(p for p, *_ in rows))
        assert made == [{"text": [human(p, r) for q, r, _ in rows if q == p], "score": [s for q, _, s in rows if q == p]} for p in prompts]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, form):
    "60 MB pass through a few"
    source, word, n = tmp_path / f"big.{form}", "word " * 2000, 3000
    if form == "csv":
        with open(source, "w") as f:
            f.write("prompt,response,score\n")
            for i in range(2 * n): f.write(f'"Question {i % n}?","{i} {word}",{i // n}\n') # a prompt's rows lie as far apart as can be
    else: write_json(source, ({"prompt": f"Question {i}?", "chosen": f"{i} {word} ", "rejected": f"{i} {word[:-9]}"} for i in range(n)))
    tracemalloc.start()
    made = convert(source, tmp_path / "out.jsonl")
    clean_file(tmp_path / "out.jsonl", tmp_path / "clean.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.written == n and source.stat().st_size > 59e6
    assert peak < 12e6, f"{peak / 1e6:.0f} MB"


def test_a_report_stays_small(tmp_path):
    "Every record is at fault; the report lists the first of them only"
    write_json(tmp_path / "a.jsonl", ({"text": [f"a{i} ", f"b{i}"], "score": [1, 1]} for i in range(5000)))
    said = clean_file(tmp_path / "a.jsonl", tmp_path / "b.jsonl", report=tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert said.found["ties"] == report["found"]["ties"] == 5000 and report["records"]["ties"] == list(range(1, 21))
    assert "ties" in str(said) and "5,000  flagged   records 1, 2, 3, 4, 5 …" in str(said) and (tmp_path / "report.json").stat().st_size < 4000


good = {"text": hi, "score": [1, 0]}
CLEAN = { # check: records, options, numbers of those found, records left by default and when dropped
    "identical": ([good, {"text": [hi[0], hi[0]], "score": [1, 0]}, {"text": [*hi, hi[1]], "score": [1, 0, 0]}, {"text": [*hi, hi[0]], "score": [1, 0, 0]}], [2, 4], 2, 2),
    "empty": ([good, {"text": [hi[0], human("Hi", " ")], "score": [1, 0]}], [2], 2, 1),
    "ties": ([good, {"text": hi, "score": [2, 2]}], [2], 2, 1),
    "non_strings": ([{"text": [hi[0], None], "score": [1, 0]}, good, {"text": [hi[0], 5], "score": [1, 0]}, {"text": [hi[0], "\ud800"], "score": [1, 0]}], [1, 3, 4], 1, 1),
    "mixed_templates": ([{"text": ["plain", "words"], "score": [1, 0]}, good], [2], 2, 1),
    "prompts_differ": ([good, {"text": [hi[0], human("Ho", "What?")], "score": [1, 0]}, {"text": ["\n\nHuman: Hi\n\nAssistant:", "\n\nHuman: Hi\n\nAssistant: a"], "score": [0, 1]}], [2], 3, 2),
    "role_markers": ([good, {"text": [hi[0] + "\n\nHuman: And you?", hi[1]], "score": [1, 0]}, {"text": [hi[0] + "\n\n## Assistant:\nYes.", hi[1]], "score": [1, 0]}], [2, 3], 3, 1),
    "white_space": ([good, {"text": [hi[0] + " ", hi[1]], "score": [1, 0]}], [2], 2, 1),
    "duplicates": ([good, {"text": [human("Hi", "a"), hi[1]], "score": [1, 0]}, {"text": hi[::-1], "score": [0, 1]}], [3], 3, 2),
}


@pytest.mark.parametrize("check", CLEAN)
def test_each_check(tmp_path, check):
    rows, found, left, dropped = CLEAN[check]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    for action, written in ((None, left), ("drop", dropped)):
        said = clean_file(tmp_path / "in.json", tmp_path / "out.json", **({check: action} if action else {}))
        assert (said.records[check], said.found[check], said.read, said.written) == (found, len(found), len(rows), written)
        assert len(values(tmp_path / "out.json")) == written
    if check == "non_strings": return
    kept = clean_file(tmp_path / "in.json", tmp_path / "out.json", **{check: "keep"})
    assert (kept.written, kept.found[check], kept.records[check]) == (len(rows), len(found), [])


def test_against_finds_records_and_prompts_in_any_template(tmp_path):
    write_json(tmp_path / "test.jsonl", [{"text": ["\n\nHuman: Hi\n\nAssistant: What?", "\n\nHuman: Hi\n\nAssistant: Hello!"], "score": [0, 1]}, {"text": ["plain", "words"], "score": [1, 0]}])
    write_json(tmp_path / "train.jsonl", [good, {"text": [human("Hi", "a"), human("Hi", "b")], "score": [1, 0]}, {"text": [human("Ho", "a"), human("Ho", "b")], "score": [1, 0]}, {"text": ["other", "words"], "score": [1, 0]}])
    said = clean_file(tmp_path / "train.jsonl", tmp_path / "out.jsonl", against=tmp_path / "test.jsonl", duplicates="drop")
    assert (said.records["duplicates"], said.records["shared_prompts"], said.written) == ([1], [1, 2], 3)


def test_fixes(tmp_path):
    write_json(tmp_path / "in.jsonl", [{"text": [human("Hi", " Hello! "), hi[1]], "score": [1, 0]}, {"text": ["\n\nHuman: Hi\n\nAssistant: a", "\n\nHuman: Hi\n\nAssistant: b"], "score": [1, 0]}, {"text": [hi[0], hi[0] + "\n"], "score": [1, 0]}])
    said = clean_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", white_space="fix", mixed_templates="fix")
    assert [r["text"] for r in values(tmp_path / "out.jsonl")] == [hi, [human("Hi", "a"), human("Hi", "b")]]
    assert said.records["white_space"] == [1, 3] and said.records["identical"] == [3], "what stripping makes equal is dropped"
    again = clean_file(tmp_path / "out.jsonl", tmp_path / "again.jsonl")
    assert not any(again.found.values()) and (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


dsp = lambda **responses: {"query": "Hi", "responses": responses}
asked = "\n\nHuman: Hi\n\nAssistant: "
ok = {"chosen": asked + "a", "rejected": asked + "b"}
lines = lambda *rows: "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows).encode()
zipped = lambda content: gzip.compress(content)
BAD = { # file: content, options, the message after the folder's name
    "key.jsonl": (lines(ok, {"chosen": asked}), {}, "line 2: key \"rejected\" is missing (it has 'chosen'); add it, or name the right form with --from"),
    "null.jsonl": (lines(ok, dict(ok, rejected=None)), {}, 'line 2: "rejected" is null, not a string; mend or remove that row'),
    "row.json": (json.dumps([ok, [1]]).encode(), {}, "record 2: is [1], not an object; mend or remove that row"),
    "domain.json": (json.dumps([dsp(a="x", b="y")]).encode(), dict(domain="c"), "record 1: unknown domain 'c'; known are a, b; choose one of these"),
    "none.json": (json.dumps([dsp(a="x", b="y")]).encode(), {}, "record 1: has one response per domain; say with --domain whose are preferred: a, b"),
    "absent.jsonl": (lines(dsp(a="x", b="y"), dsp(b="x", c="y")), dict(domain="a"), "line 2: has no response of domain 'a', only of b, c; add it or remove that query"),
    "bare.jsonl": (lines({"chosen": "a, and so on", "rejected": "b, and so on"}), {}, "no column known by name holds the question, and a reward model must read it; say which: --prompt COLUMN; the columns are chosen, rejected"),
    "mixed.jsonl": (lines(ok, dict(ok, rejected="b")), {}, 'line 2, "rejected": is "b", no dialogue that begins with a human\'s turn; name the column of its question with --prompt'),
    "left.jsonl": (lines(dict(dsp(a="x", b="y"), context="On a ship.")), dict(domain="a"), "line 1: 'context' holds text that no record would have (\"On a ship.\"); if it belongs to the question join them in the file, else leave it out with --ignore context"),
    "judge.json": (json.dumps([dict(dsp(a="x", b="y"), grader="Ann")]).encode(), dict(domain="a"), "record 1: 'grader' says who judged; keep it with --by grader, else leave it out with --ignore grader"),
    "ties.jsonl": (lines(dict(good, score=[1, 1])), dict(pairs=True), "holds no comparison (1 × a tie); nothing was written"),
    "one.jsonl": (lines(dsp(a="x", b="y"), dsp(a="x")), dict(domain="a"), "line 2: holds 1 text; a comparison needs at least 2"),
    "nan.jsonl": (lines({"user_input": "q", "responses_and_scores": [{"response": "a", "score": float("nan")}, {"response": "b", "score": 1}]}, {"user_input": "q"}), {}, "line 1: score[0] is NaN; scores must be finite numbers"),
    "huge.jsonl": (lines({"text": ["a", "b"], "score": [10**400, 0]}), {}, "line 1: score[0] is too large; scores must be finite numbers"),
    "unequal.jsonl": (lines(good, dict(good, score=[1])), {}, "line 2: 2 texts but 1 scores; give each text its score"),
    "half.jsonl": (lines(json.dumps(dict(ok, chosen=asked + "\ud800"))), {}, "line 1: text[0]: holds half a surrogate pair ('\\ud800', character 25), which UTF-8 can't write; mend or remove it"),
    "half.json": (json.dumps([dict(good, source="\ud800")]).encode(), {}, "record 1: a key or its value holds half a surrogate pair, which UTF-8 can't write; mend or remove that row"),
    "broken.jsonl": (lines(ok, '{"chosen": '), {}, "line 2: broken JSON (Expecting value at column 12); mend or remove that line"),
    "empty.json": (b"", {}, "is empty; nothing to read"),
    "latin.json": ('[{"chosen": "é"'.encode("latin-1"), {}, "is not UTF-8 (byte 0xe9); save it as UTF-8"),
    "form.json": (b'[{"b": 1, "a": 2}]', {}, "no column known by name holds an answer; say which: --chosen COLUMN --rejected COLUMN or --a COLUMN --b COLUMN --winner COLUMN or --response COLUMN --score COLUMN; the columns are b, a"),
    "number.json": (b"[1, 2]", {}, "record 1: is 1, which has no known form; known are " + ", ".join(FORMS)),
    "role.jsonl": (lines(dict({k: [say("robot", "x")] for k in ok}, prompt="Hi")), {}, "line 1: a message has role 'robot'; known are user, human, prompter, customer, assistant, gpt, bot, model, chatbot, chatgpt, ai, system, developer, tool, function, observation, ipython, function_response, function_call; mend or remove that row"),
    "chat.jsonl": (lines(dict({k: [say("user", "Hi")] for k in ok}, prompt="Hi")), {}, "line 1: its last turn is not an answer; mend or remove that row"),
    "fewer.csv": (b"prompt,response,score\nHi,a\n", {}, "line 2: has 2 cells, the first line names 3; quote cells that hold the separator"),
    "high.csv": (b'prompt,response,score\nHi,"a\nb",1\nHi,b,high\n', {}, 'line 4: score is "high", not a number; mend that cell'),
    "nan.csv": (b"prompt,response,score\nHi,a,1\nHi,b,nan\n", {}, "line 3: score is nan; scores must be finite numbers"),
    "blank.csv": (b"prompt,response,score\nHi,a,1\nHi,b,\n", {}, "no row holds a comparison (1 × an answer without a score, 1 × one answer alone); nothing was written"),
    "domain.csv": (b"prompt,response,domain\nHi,a,x\nHi,b,y\n", dict(domain="z"), "unknown domain 'z'; known are x, y; choose one of these"),
    "whose.csv": (b"prompt,response,domain\nHi,a,x\nHi,b,y\n", {}, "answers in response, but no column known by name holds their score; say which: --score COLUMN; the columns are prompt, response, domain; or say with --domain whose responses are preferred: x, y"),
    "absent.csv": (b"prompt,response,domain\nHi,a,x\nHo,a,y\nHi,b,y\nHo,b,y\n", dict(domain="x"), "1 prompt has no response of domain 'x' (\"## Human:\\nHo\\n\\n## Assistant:\\na\"); add it, or remove the rows"),
    "quote.csv": (b'prompt,response,score\nHi,a,1\nHi,"b,0\n', {}, "line 3: is not CSV (unexpected end of data); mend that row, or close its quote"),
    "rows.csv": (b"prompt,response,score\n", {}, "names columns, and no row follows; nothing to read"),
    "empty.csv": (b"", {}, "is empty; nothing to read"),
    "latin.csv": ("prompt,response,score\nHi,é,1\n".encode("latin-1"), {}, 'is not UTF-8 (byte 0xe9); in Excel save it as "CSV UTF-8", elsewhere try `iconv -f cp1252 -t utf-8 "latin.csv" > new.csv`'),
    "gzip.csv.gz": (b"no gzip", {}, "names columns, and no row follows; nothing to read"), # gzip goes by content
    "cut.csv.gz": (zipped(b"prompt,response,score\nHi,a,1\nHi,b,0\n")[:-9], {}, "is not a whole gzip file (Compressed file ended before the end-of-stream marker was reached); get it anew"),
    "cut.jsonl.gz": (zipped(lines(ok, ok))[:-9], {}, "is not a whole gzip file (Compressed file ended before the end-of-stream marker was reached); get it anew"),
    "knows.jsonl": (lines(ok), dict(domain="x"), "is of the form hh, which knows no domains; leave --domain out"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(tmp_path, name):
    content, options, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as fault: convert(tmp_path / name, tmp_path / "out.json", **options)
    between = ", " if message.startswith(("line ", "record ")) else ": "
    assert str(fault.value) == f"{tmp_path / name}{between}{message}"
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == content


def test_places_that_would_do_harm(tmp_path):
    write_json(tmp_path / "a.jsonl", [good])
    before = (tmp_path / "a.jsonl").read_bytes()
    for call, message in ((lambda: convert(tmp_path / "a.jsonl", tmp_path / "a.jsonl"), "is the input"), (lambda: convert(tmp_path / "a.jsonl", tmp_path / "a.csv"), "neither .json nor .jsonl"),
                          (lambda: clean_file(tmp_path / "a.jsonl", tmp_path / "." / "a.jsonl"), "read or written already"), (lambda: clean_file(tmp_path / "a.jsonl", tmp_path / "b.jsonl", report=tmp_path / "a.jsonl"), "read or written already"),
                          (lambda: clean_file(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tie="drop"), "tie: is not a check; known are no_question, identical, empty"), (lambda: clean_file(tmp_path / "a.jsonl", tmp_path / "b.jsonl", ties="fix"), "ties: 'fix' is not an action; choose keep, flag, drop")):
        with pytest.raises(DataError, match=message): call()
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"] and (tmp_path / "a.jsonl").read_bytes() == before


def test_full_temporary_folder(tmp_path, monkeypatch):
    "The database of a table is held to a few pages"
    import custom_rm.mapping as module
    (tmp_path / "a.csv").write_text("prompt,response,score\n" + "".join(f"Q{i // 2},{'word ' * 500},{i % 2}\n" for i in range(400)))
    monkeypatch.setattr(module, "_SCHEMA", module._SCHEMA + "pragma max_page_count = 20;")
    with pytest.raises(DataError, match="can't hold the table while it is sorted .database or disk is full.; free some space there or set TMPDIR"): convert(tmp_path / "a.csv", tmp_path / "b.json")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("work", [convert, clean_file])
def test_full_disk(tmp_path, monkeypatch, work):
    "Played by /dev/full, which takes no byte"
    import tempfile
    write_json(tmp_path / "a.jsonl", [good])
    real = tempfile.mkstemp
    def full(**options):
        handle, name = real(**options)
        os.close(handle)
        return os.open("/dev/full", os.O_WRONLY), name
    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(DataError, match="b.json: can't be written .*No space left on device.*; free some space"): work(tmp_path / "a.jsonl", tmp_path / "b.json")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def ask(question, a="a", b="b", score=(1, 0), **more): return {"text": [human(question, a), human(question, b)], "score": list(score), **more}

def found(tmp_path, rows, against=None, **actions):
    write_json(tmp_path / "in.jsonl", rows)
    if against: write_json(tmp_path / "against.jsonl", against)
    said = clean_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", against=tmp_path / "against.jsonl" if against else None, **actions)
    return {check: numbers for check, numbers in said.records.items() if numbers}


def test_against_sees_through_spaces_and_capitals(tmp_path):
    rows = [ask("Why is it so? ", "1", "2"), ask("WHY is it so?", "3", "4"), ask("Why is\nit so?", "5", "6"), ask("Why is it?", "7", "8"), {"text": ["yes", "no"], "score": [1, 0], "prompt": "why is it so?"}]
    assert found(tmp_path, rows, [ask("Why is it so?")])["shared_prompts"] == [1, 2, 3, 5]
    assert found(tmp_path, [ask("Why?", "a  b ", "c")], [{"text": ["\n\nHuman: Why?\n\nAssistant: c", "\n\nHuman: Why?\n\nAssistant: a b"], "score": [0, 5]}])["duplicates"] == [1]


def test_contradictions_are_not_duplicates(tmp_path):
    turned = {"text": [human("Q", "b"), human("Q", "a")], "score": [1, 0]}
    assert found(tmp_path, [ask("Q"), turned, ask("Q")]) == {"contradictions": [2, 3], "duplicates": [3]}
    assert found(tmp_path, [ask("Q"), ask("Q", score=[1, 1]), ask("Q", score=[0, 0])]) == {"ties": [2, 3], "duplicates": [3]}, "a tie is neither"
    votes = [ask("Q", person=p, score=s) for p, s in (("ann", (1, 0)), ("bob", (0, 1)), ("cy", (1, 0)), ("ann", (2, 0)), ("bob", (1, 0)), (None, (1, 0)))]
    assert found(tmp_path, votes) == {"duplicates": [4], "contradictions": [5]}
    three = {"text": [human("Q", a) for a in "abc"], "score": [2, 1, 0]}
    assert found(tmp_path, [three, ask("Q", "c", "b"), ask("Q", "a", "c")]) == {"contradictions": [2]}
    bare = [{"text": ["yes", "no"], "score": s, "prompt": p} for p, s in (("P", [1, 0]), ("Q", [0, 1]), ("q ", [1, 0]))]
    assert found(tmp_path, bare) == {"contradictions": [3]}, "the same answers to another question say nothing"
    clean_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", contradictions="drop")
    assert [r["prompt"] for r in values(tmp_path / "out.jsonl")] == ["P", "Q"]


def test_no_question(tmp_path):
    rows = [ask("Q"), {"text": ["a", "b"], "score": [1, 0]}, {"text": ["c", "d"], "score": [1, 0], "prompt": "  "}, ask(" ", "e", "f"), {"text": ["g", "h"], "score": [1, 0], "prompt": "Why?"}]
    assert found(tmp_path, rows)["no_question"] == [2, 3, 4]


SKY = "Why is the sky over the sea so very blue on a clear day in the early summer?"
NOT_NEAR = ["Name a fruit", "Name a fruit that is red", "Name a red fruit", "What is 3 plus one?", "What is 4 plus one?", "What is the capital of France?", "What is the capital of Spain?",
            "Is Paris in France?", "Is France in Paris?", SKY, SKY.replace("very", "not very"), SKY.replace("a clear", "2 clear"), "Translate: dog", "Translate: cat"]


def test_near_duplicate_questions(tmp_path):
    assert not found(tmp_path, [ask(q, str(i), "x") for i, q in enumerate(NOT_NEAR)])
    near = ["Name a fruit!", '"Name a fruit"', SKY.replace("sea", "seas").replace("?", "..."), SKY.replace("very", "very very")]
    assert found(tmp_path, [ask(q, str(i), "x") for i, q in enumerate([*NOT_NEAR, *near, "name a fruit "])]) == {"near_duplicate_questions": [15, 16, 17, 18]}
    assert found(tmp_path, [ask(near[0]), ask(near[0], "c", "d")], [ask("Name a fruit")]) == {"near_duplicate_questions": [1, 2]}, "every record of the question, and other files count"
    said = clean_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", against=tmp_path / "against.jsonl")
    assert "(at least 80% of word pairs in common)" in str(said)


def test_near_duplicates_against_the_definition():
    "What the filed pairs find is what comparing all with all finds"
    from custom_rm.clean import NEAR, Questions, _likeness, _sketch
    rng, words = random.Random(0), "the of rain sun moon river mountain yellow umbrella".split()
    asked = [" ".join(rng.choices(words, k=rng.randint(3, 14))) for _ in range(120)]
    asked += [" ".join(w for w in q.split() if rng.random() > .05) for q in asked for _ in range(2)]
    unique = list(dict.fromkeys(asked))
    questions = Questions()
    expected = [any(_likeness(_sketch(q), _sketch(o)) >= NEAR for o in unique[:i]) for i, q in enumerate(unique)]
    assert [questions.is_near(q) for q in unique] == expected and 20 < sum(expected) < len(unique)


def test_messages_stay_messages(tmp_path):
    chat = lambda a: [say("system", "Be kind."), say("user", "Hi"), say("assistant", a)]
    rows = [{"text": [chat("Hello!"), chat("What? ")], "score": [1, 0], "id": 7}, {"text": [chat("Hello!"), chat("What?")], "score": [5, 1]}, {"text": [chat("a"), chat("b")[:2]], "score": [1, 0]},
            {"text": [chat("x"), chat("Human: y")], "score": [1, 0]}]
    assert found(tmp_path, rows) == {"white_space": [1], "duplicates": [2], "non_strings": [3]}
    assert values(tmp_path / "out.jsonl")[0] == rows[0] | {"score": [1.0, 0.0]}
    found(tmp_path, rows, white_space="fix")
    assert values(tmp_path / "out.jsonl")[0]["text"] == [chat("Hello!"), chat("What?")]


def test_clean_writes_json_only(tmp_path):
    write_json(tmp_path / "a.jsonl", [good])
    for name in ("o.csv", "o.csv.gz", "o"):
        with pytest.raises(DataError, match=f"{name}: is neither .json nor .jsonl; name it so"): clean_file(tmp_path / "a.jsonl", tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
