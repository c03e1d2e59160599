"Forms that know their columns, and exports of labelling tools: what they don't read is refused, never passed over."
import json
import random

import pytest
from custom_rm.core import DataError
from custom_rm.convert import convert
from custom_rm.mapping import Mapping
from custom_rm.records import check_record, with_prompt

ASKED, GOOD, BAD = "Why does it rain?", "Warm air rises.", "Nobody has an idea."
DUEL = dict(user_input=ASKED, completion_a=GOOD, completion_b=BAD)
DSP = dict(query=ASKED, responses=dict(A=GOOD, B=BAD))
HUB = dict(question=ASKED, answer_0=GOOD, answer_1=BAD, score_0=1.0, score_1=-1.0)
HH = dict(chosen=f"\n\nHuman: {ASKED}\n\nAssistant: {GOOD}", rejected=f"\n\nHuman: {ASKED}\n\nAssistant: {BAD}")


def told(tmp_path, rows, **options):
    "(records, report) of rows"
    path, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    path.write_text(json.dumps(rows), encoding="utf-8")
    out.unlink(missing_ok=True)
    report = convert(path, out, **options)
    return [json.loads(line) for line in out.open(encoding="utf-8")], report


def best(record): return [text for text, score in zip(record["text"], record["score"]) if score == max(record["score"])]


def refused(tmp_path, rows, *words, **options):
    with pytest.raises(DataError) as caught: told(tmp_path, rows, **options)
    message = str(caught.value)
    assert "\n" not in message and not (tmp_path / "out.jsonl").exists()
    for word in words: assert word in message, message
    return message


# Forms that know their columns

CODES = [dict(human_choice="b"), dict(which="B"), dict(which=2), dict(which="2"), dict(gold=1), dict(gold="tie"), dict(human_label="[[B]]"),
         dict(h="completion_b"), dict(h="Response B"), dict(h="right"), dict(h="the second"), dict(h="A<B"), dict(h="B is better"),
         dict(h="both"), dict(h=["b", "b", "a"]), dict(meta=dict(h="b")), dict(meta=dict(human_choice="xy")), dict(crowd_vote="xy"),
         dict(model_a="gpt", model_b="llama", h="llama"), dict(answer_id="b"), dict(answer_id=2), dict(judge_says="b"), dict(h=-1), dict(h=0.5)]
GRADES = [dict(a_score=1, b_score=5), dict(elo_a=1200, elo_b=1300), dict(a_elo="1200", b_elo="1300"), dict(q1=3, q2=5),
          dict(elo=[1200, 1300]), dict(elo=dict(a=1, b=5)), dict(completion_a_stars=1, completion_b_stars=5),
          dict(stars_completion_a="1", stars_completion_b="5"), dict(a_wins=False, b_wins=True), dict(p_a=0.2),
          dict(left_points=1, right_points=5), dict(qualityA="poor", qualityB="fine"), dict(a="poor", b="fine")]
HARMLESS = [dict(id=1), dict(id="7"), dict(index=0), dict(source="a"), dict(source="a book"), dict(category="a"), dict(category="Open QA"),
            dict(model_a="gpt-4", model_b="llama"), dict(model="gpt-4"), dict(tokens_a=1, tokens_b=2), dict(length=[1, 2]), dict(turns=2),
            dict(created="2024-05-01"), dict(lang="de"), dict(split="train"), dict(num_votes=3), dict(comment="I like the first more."),
            dict(question_id=2), dict(epoch=1), dict(is_safe=True), dict(watts=250), dict(meta=dict(id=1, source="a"))]


@pytest.mark.parametrize("more", CODES + GRADES, ids=json.dumps)
@pytest.mark.parametrize("row", [DUEL, HUB, HH], ids=["gpt4llm", "webgpt", "hh"])
def test_unread_verdicts(row, more, tmp_path):
    "Whatever may say who is better is refused, with what to type"
    named = {"webgpt": ("answer_0", "answer_1"), "hh": ("chosen", "rejected")}.get("hh" if row is HH else "webgpt" if row is HUB else "")
    if named: more = json.loads(json.dumps(more).replace("completion_a", named[0]).replace("completion_b", named[1]))
    first = row if row is HH else {**row, **more} # a form of two keys is known by its first row
    message = refused(tmp_path, [first, {**row, **more}], "--ignore")
    assert any(name in message for name in more), message
    _, report = told(tmp_path, [first, {**row, **more}], mapping=Mapping(ignore=list(more)))
    assert report.comparisons == 2


@pytest.mark.parametrize("more", CODES + GRADES, ids=json.dumps)
def test_unread_verdicts_of_domains(more, tmp_path):
    more = json.loads(json.dumps(more).replace("completion_a", "A").replace("completion_b", "B"))
    refused(tmp_path, [{**DSP, **more}], "--ignore", domain="A")


@pytest.mark.parametrize("more", [dict(human="academy"), dict(academy_score=2, normal_score=5), dict(elo=[1, 2])], ids=json.dumps)
def test_domains_by_name(more, tmp_path):
    row = dict(query=ASKED, responses=dict(academy=GOOD, normal=BAD))
    refused(tmp_path, [{**row, **more}], "--ignore", domain="academy")
    assert len(told(tmp_path, [{**row, "category": "academy"}], domain="academy")[0]) == 1


@pytest.mark.parametrize("more", HARMLESS, ids=json.dumps)
@pytest.mark.parametrize("row", [DUEL, HUB, DSP], ids=["gpt4llm", "webgpt", "dsp"])
def test_harmless_columns(row, more, tmp_path):
    records, report = told(tmp_path, [{**row, **more}], domain="A" if row is DSP else None)
    assert report.comparisons == 1 and GOOD in best(records[0])[0]


def test_numbers_need_the_whole_column(tmp_path):
    "1 and 2 are codes only where there is nothing else; also after the rows that are looked at first"
    rows = [{**DUEL, "watts": n} for n in (1, 2, 250)]
    assert told(tmp_path, rows)[1].comparisons == 3
    refused(tmp_path, rows[:2], "watts", "record 1")
    late = [{**DUEL, "watts": None if n < 1003 else 2} for n in range(1005)]
    refused(tmp_path, late, "watts", "record 1004")


@pytest.mark.parametrize("row, more, mapping", [
    (DUEL, dict(which="b"), dict(a="completion_a", b="completion_b", winner="which")),
    (DSP, dict(which="B"), dict(a="responses.A", b="responses.B", winner="which")),
    (HUB, dict(elo_0=1, elo_1=5), dict(response="answer_0,answer_1", score="elo_0,elo_1")),
    (DUEL, dict(elo_a=1, elo_b=5), dict(response="completion_a,completion_b", score="elo_a,elo_b")),
    (DUEL, dict(elo=[1, 5]), dict(response="completion_a,completion_b", score="elo"))])
def test_what_is_typed_works(row, more, mapping, tmp_path):
    typed = [f"--{name} {column}" for name, column in mapping.items()]
    refused(tmp_path, [{**row, **more}], *typed, domain="A" if row is DSP else None)
    leave = ["score_0", "score_1"] if row is HUB else []
    records, _ = told(tmp_path, [{**row, **more}], mapping=Mapping(**mapping, ignore=leave))
    assert [BAD in text for text in best(records[0])] == [True]


# Records

BARE = dict(text=[GOOD, BAD], score=[1, 0])
NAMES = ["problem", "input", "title", "post", "passage", "context", "user", "topic", "question", "query", "instruction", "Prompt", "Question",
         "user_input", "request", "human", "system", "document", "frage"]


@pytest.mark.parametrize("name", NAMES)
def test_question_beside_answers(name, tmp_path):
    refused(tmp_path, [{**BARE, name: ASKED}], name)
    with pytest.raises(DataError, match=name): with_prompt(check_record({**BARE, name: ASKED}), "line 1")
    whole = [f"{ASKED} {text}" for text in BARE["text"]]
    assert told(tmp_path, [{**BARE, "text": whole, name: ASKED}])[0][0]["text"] == whole
    marked = [f"## Human:\n{ASKED}\n\n## Assistant:\n{text}" for text in BARE["text"]]
    assert told(tmp_path, [{**BARE, "text": marked, name: "Something else that was kept."}])[0][0]["text"] == marked


@pytest.mark.parametrize("name", ["idea", "scenario", "vignette", "Aufgabenstellung", "x", "claim"])
def test_text_beside_answers(name, tmp_path):
    "Also under a name that nobody knows, and within an object; what is typed works"
    refused(tmp_path, [{**BARE, name: ASKED}], f"--prompt {name}", f"--ignore {name}")
    refused(tmp_path, [{**BARE, "meta": {name: ASKED}}], "meta")
    records, _ = told(tmp_path, [{**BARE, name: ASKED}], mapping=Mapping(prompt=name))
    assert all(ASKED in text for text in records[0]["text"])
    records, _ = told(tmp_path, [{**BARE, name: ASKED}], mapping=Mapping(ignore=[name]))
    assert records == [{**BARE, "score": [1.0, 0.0]}]


@pytest.mark.parametrize("more", [dict(context="At sea."), dict(system="Be brief."), dict(input="Berlin"), dict(scene="We are on a ship.")], ids=json.dumps)
def test_part_of_a_question(more, tmp_path):
    refused(tmp_path, [{**BARE, "prompt": ASKED, **more}], next(iter(more)))
    held = {**BARE, "prompt": f"{next(iter(more.values()))} {ASKED}", **more}
    assert all(ASKED in text for text in told(tmp_path, [held])[0][0]["text"])


@pytest.mark.parametrize("more", [dict(id=3), dict(source="a book"), dict(topic="weather"), dict(person="ann"), dict(comment="I like the first more."),
                                  dict(user="ann"), dict(best_answer=GOOD), dict(language="en"), dict(kept=[1, 2])], ids=json.dumps)
def test_harmless_beside_answers(more, tmp_path):
    assert told(tmp_path, [{**BARE, **more}])[0] == [{**BARE, "score": [1.0, 0.0], **more}]


# Prodigy

def picked(accept, *texts, **more):
    options = [dict(id=i, text=text) for i, text in enumerate((GOOD, BAD, *texts))]
    return dict(text=ASKED, options=options, accept=accept, answer="accept", **more)


TIE = ["Tie", "tie", "Neither", "Both", "Both.", "Both are good", "Both bad", "No preference", "Can't tell", "Equal", "It's a tie",
       "None of these", "Not sure", "Equally good", "About the same", "Skip"]


@pytest.mark.parametrize("tie", TIE)
def test_options_that_are_no_answers(tie, tmp_path):
    rows = [picked([0]), picked([2], tie), picked([1], tie), picked([0, 2], tie)]
    records, report = told(tmp_path, rows)
    assert [best(r)[0].endswith(answer) for r, answer in zip(records, (GOOD, BAD))] == [True, True] and len(records) == 2
    assert report.skipped == {"a tie, or no verdict": 2, "an option that is no answer": 1}
    assert not any(tie in text for r in records for text in r["text"] if tie not in (GOOD, BAD))


@pytest.mark.parametrize("texts", [("A", "B"), ("b", "a"), ("Response A", "Response B"), ("1", "2"), ("Left", "Right"), ("First", "Second"),
                                   ("A is better", "B is better"), ("A", "B", "Tie"), ("A", "B", "C"), ("Answer 1", "Answer 2", "Both")])
def test_options_that_point(texts, tmp_path):
    row = dict(text=f"{ASKED}\nA: {GOOD}\nB: {BAD}", accept=["x0"], options=[dict(id=f"x{i}", text=t) for i, t in enumerate(texts)])
    refused(tmp_path, [row], "only point to answers", "record 1")


@pytest.mark.parametrize("row", [picked([7]), picked(["x"]), {**picked([0]), "options": [dict(id=1, text=GOOD)] * 2}])
def test_unknown_options(row, tmp_path): refused(tmp_path, [row], "record 1")


# Label Studio

def task(*results, **data):
    return dict(data=dict(prompt=ASKED, answer1=GOOD, answer2=BAD) | data, annotations=[dict(completed_by=1, result=list(results))])


def result(name="pw", to="pair", **value): return dict(from_name=name, to_name=to, value=value)


ITEMS = dict(items=[dict(id="a", body=GOOD), dict(id="b", body=BAD)])


@pytest.mark.parametrize("choices", [["answer1", "answer2"], ["answer2", "answer1"], ["A", "B"], ["Left", "Right"], ["Answer 1", "Answer 2"]])
def test_both_marked(choices, tmp_path):
    rows = [task(result(choices=["answer2"])), task(result(choices=choices))]
    records, report = told(tmp_path, rows)
    assert report.ties == 1 and best(records[0])[0].endswith(BAD) and len(best(records[1])) == 2


@pytest.mark.parametrize("values", [(dict(selected="left"), dict(selected="right")), (dict(choices=["answer1"]), dict(choices=["answer2"])),
                                    (dict(rating=1), dict(rating=5)), (dict(selected="left"), dict(choices=["answer2"]))])
def test_contradicting_results(values, tmp_path):
    rows = [task(result(choices=["answer1"])), task(*(result(**value) for value in values))]
    refused(tmp_path, rows, "record 2")
    assert told(tmp_path, rows, skip_faulty=True)[1].skipped == {"a fault": 1}
    assert told(tmp_path, [rows[0], task(*[result(choices=["answer1"])] * 2)])[1].comparisons == 2 # said twice


@pytest.mark.parametrize("ranker", [{"bad": ["b", "a"], "good": []}, {"good": ["a", "b"], "bad": []}, {"bad": ["b", "a"]}, {"good": ["a"], "bad": ["b"]},
                                    {"relevant": ["a", "b"], "_": []}])
def test_buckets(ranker, tmp_path):
    refused(tmp_path, [task(result(ranker=ranker), **ITEMS)], "record 1")


def test_nobody_ordered(tmp_path):
    rows = [task(result(ranker=ranker), **ITEMS) for ranker in ({"rank": ["b", "a"], "_": []}, {"_": ["b", "a"]}, {"rank": [], "_": ["a", "b"]})]
    for row in rows: row["data"] = {k: v for k, v in row["data"].items() if k in ("prompt", "items")}
    records, report = told(tmp_path, rows)
    assert [best(r)[0].endswith(BAD) for r in records] == [True]
    assert report.skipped == {"an annotation that says nothing": 2}


@pytest.mark.parametrize("names, to, left", [
    (("answer_a", "answer_b"), "answer_b,answer_a", 1), (("answer_a", "answer_b"), "answer_a,answer_b", 0), (("answer1", "answer2"), "answer2, answer1", 1),
    (("text_1", "text_2"), "text-2,text-1", 1), (("answerA", "answerB"), "answerB,answerA", 1), (("answer_a", "answer_b"), "txt-1,txt-2", 0),
    (("answer_a", "answer_b"), "pair", 0)])
def test_left_is_named(names, to, left, tmp_path):
    rows = [dict(data={"prompt": ASKED, names[0]: GOOD, names[1]: BAD}, annotations=[dict(result=[result(to=to, selected=side)])]) for side in ("left", "right")]
    records, _ = told(tmp_path, rows)
    assert [best(r)[0].endswith((GOOD, BAD)[i]) for r, i in zip(records, (left, 1 - left))] == [True, True]


@pytest.mark.parametrize("to", ["txt-2,txt-1", "txt_b,txt_a", "right,left"])
def test_turned_names(to, tmp_path): refused(tmp_path, [task(result(to=to, selected="left"))], "record 1", to)


# Argilla

def item(*responses): return dict(fields=dict(prompt=ASKED, response_1=GOOD, response_2=BAD), responses=list(responses))


def answer(value, user="u", status="submitted"): return dict(user_id=user, status=status, values=dict(better=dict(value=value)))


@pytest.mark.parametrize("responses", [
    [answer("response_1"), answer("response_2")], [answer("response_1", None), answer("response_2", None)],
    [answer("response_1", None), answer("response_1", None)], [answer("response_1", ["u"])]])
def test_answered_twice(responses, tmp_path): refused(tmp_path, [item(*responses)], "record 1", "better")


@pytest.mark.parametrize("states", [("draft", "submitted"), ("submitted", "draft"), ("discarded", "submitted")])
def test_draft_and_submitted(states, tmp_path):
    records, _ = told(tmp_path, [item(*(answer("response_2", status=s) for s in states))])
    assert [best(r)[0].endswith(BAD) for r in records] == [True]


@pytest.mark.parametrize("more", [{"better.responses.users": ["u"]}, {"better.responses.status": ["submitted"]}], ids=json.dumps)
def test_lists_of_other_lengths(more, tmp_path):
    row = {**item()["fields"], "better.responses": ["response_1", "response_2"], "better.responses.users": ["u", "v"]} | more
    refused(tmp_path, [row], "record 1")


def test_fields_that_are_none(tmp_path):
    row = dict(fields="physics", prompt=ASKED, responses=[BAD, GOOD], scores=[1, 2])
    assert best(told(tmp_path, [row])[0][0])[0].endswith(GOOD)


# Faults are one line with their row, and are skipped

FAULTS = [
    (picked([0]), dict(prompt=ASKED, options=[GOOD, BAD], accept=[0])), (picked([0]), picked([0]) | dict(options=[None])),
    (picked([0]), 5), (item(answer("response_1")), item(dict(user_id="u", status="submitted", values=dict(better="response_1")))),
    (item(answer("response_1")), item(None)), (item(answer("response_1")), item("A")), (item(answer("response_1")), 5),
    (item(answer("response_1")), {**item(), "responses": dict(better=["response_1"])}),
    (task(result(selected="left")), {**task(), "annotations": ["A", "B"]}), (task(result(selected="left")), {**task(), "annotations": [None]}),
    (task(result(selected="left")), {**task(), "annotations": 5}), (task(result(selected="left")), task(None)),
    (task(result(selected="left")), task(dict(from_name=["x"], value=dict(selected="left")))), (task(result(selected="left")), task(dict(value=5))),
    (task(result(selected="left")), task(result(ranker=dict(rank="a")))), (task(result(selected="left")), [])]


@pytest.mark.parametrize("good, bad", FAULTS)
def test_faults_are_told_and_skipped(good, bad, tmp_path):
    refused(tmp_path, [good, bad], "record 2")
    records, report = told(tmp_path, [good, bad], skip_faulty=True)
    assert len(records) == 1 and report.skipped == {"a fault": 1} and "record 2" in report.faults[0]


@pytest.mark.parametrize("said", [10**400, -10**400, 1e400])
def test_huge_answers(said, tmp_path):
    rows = [[dict(question=dict(full_text=ASKED), answer=text, score=1) for text in (GOOD, said)]]
    refused(tmp_path, rows, "record 1")


# Whatever stands in them, no traceback comes

VALID = [picked([0], "Tie"), picked([1], _annotator_id="ann"), item(answer("response_1"), answer("response_2", "v", "draft")),
         {**item(), "responses": dict(better=[dict(user_id="u", value="response_1", status="submitted")])},
         {**item(), "responses": dict(order=[dict(user_id="u", value=[dict(rank=1, value="response_1"), dict(rank=2, value="response_2")])])},
         {**item()["fields"], "better.responses": ["response_1"], "better.responses.users": ["u"], "better.responses.status": ["submitted"]},
         task(result(selected="left", to="answer2,answer1")), task(result(choices=["answer1"]), result("ease", rating=4)),
         dict(data=dict(prompt=ASKED, **ITEMS), annotations=[dict(completed_by=dict(id=1, email="x@y"), result=[result(ranker=dict(rank=["b", "a"], _=[]))])]),
         DUEL, {**DUEL, "completion_a": DUEL["completion_b"], "elo": [1, 2], "meta": {"h": {"x": "b"}}}, DSP, HUB, HH, {**BARE, "prompt": ASKED, "idea": "Rain."},
         [dict(question=dict(full_text=ASKED), answer=text, score=1) for text in (GOOD, BAD)]]
STRANGE = [None, 3, -1, 0.5, True, "", "x", "a", "left", [], ["a"], [None], [1, 2], {}, {"id": 1}, {"text": "x", "value": [1]}, 10**400, float("nan"), "\ud800"]


def changed(value, dice):
    "A value with one of its parts replaced or deleted"
    paths = []
    def walk(one, path):
        for key in (list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()):
            paths.append((*path, key))
            walk(one[key], (*path, key))
    value = json.loads(json.dumps(value))
    walk(value, ())
    if not paths: return dice.choice(STRANGE)
    *front, key = dice.choice(paths)
    inner = value
    for step in front: inner = inner[step]
    if dice.random() < .15: del inner[key]
    else: inner[key] = dice.choice(STRANGE)
    return value


def fuzzed(tmp_path, seed, tries):
    dice, path, done = random.Random(seed), tmp_path / "in.jsonl", 0
    for _ in range(tries):
        good = dice.choice(VALID)
        bad = changed(good, dice)
        while dice.random() < .4: bad = changed(bad, dice)
        rows = dice.choice([[bad], [good, bad], [bad, good]])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        try: done += convert(path, tmp_path / "out.jsonl", domain="A" if "query" in good else None, skip_faulty=dice.random() < .5).written
        except DataError as fault: assert "\n" not in str(fault), rows
        except Exception as crash: raise AssertionError(f"{crash!r} of {rows}") from crash
    return done


@pytest.mark.parametrize("seed", range(3))
def test_no_traceback(seed, tmp_path): assert fuzzed(tmp_path, seed, 200) > 20
