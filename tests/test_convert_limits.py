"What the first rows don't show, and options that fight: refused or right, never silently wrong."
import json

import pytest
from forms.make import P, chat, rendered, user
from forms.meaning import run

MANY = 1005 # more rows than a mapping is guessed from
PLAIN = [dict(prompt=f"{i}: {P[i % 6][0]}", chosen=P[i % 6][1], rejected=P[i % 6][2]) for i in range(MANY + 5)]
ROWS = [dict(prompt=q, chosen=b, rejected=w) for q, b, w in P[:4]]
DUELS = [dict(prompt=q, response_a=b, response_b=w, winner="A") for q, b, w in P[:4]]


def converted(tmp_path, rows, options="", name="x.jsonl"):
    "What the verb makes of rows; a traceback is never right"
    path = tmp_path / name
    path.write_text(rendered(name, rows), encoding="utf-8")
    found = run(path, tmp_path / "out.jsonl", options)
    assert not found.crash, found.crash
    return found


def late(make): return [make(i, row) for i, row in enumerate(PLAIN)]


def flat(record): return json.dumps(record["text"], ensure_ascii=False)


# Rows after those that a mapping is guessed from

@pytest.mark.parametrize("rows", [
    pytest.param(late(lambda i, r: {**r, "preference": "chosen" if i < MANY else "tie"}), id="verdict"),
    pytest.param(late(lambda i, r: {**r, "margin": None if i < MANY else 0}), id="margin"),
    pytest.param(late(lambda i, r: r if i < MANY else {**r, "margin": 0}), id="new margin"),
    pytest.param(late(lambda i, r: r if i < MANY else {**r, "score_chosen": 3, "score_rejected": 3}), id="scores")])
def test_late_ties(rows, tmp_path):
    found = converted(tmp_path, rows)
    assert not found.done or sum(r["score"][0] == r["score"][1] for r in found.records) == 5


@pytest.mark.parametrize("column, value, option", [
    ("system", "Be brief.", "--system"), ("system", "Brief.", ""), ("input", "Berlin", ""), ("input", "In verse.", "")])
def test_late_words(column, value, option, tmp_path):
    found = converted(tmp_path, late(lambda i, r: {"instruction": r["prompt"], column: "" if i < MANY else value,
                                                   "chosen": r["chosen"], "rejected": r["rejected"]}))
    if found.done: assert all(value in flat(r) for r in found.records[MANY:])
    else: assert option in found.output


def test_late_people(tmp_path):
    found = converted(tmp_path, late(lambda i, r: {**r, "annotator": None if i < MANY else "ann"}))
    assert not found.done or [r.get("person") for r in found.records[MANY:]] == ["ann"] * 5


@pytest.mark.parametrize("verdict", [0, 3])
def test_late_verdicts(verdict, tmp_path):
    "After 1 and 2 alone, 0 or 3 is nothing that is known"
    rows = late(lambda i, r: dict(prompt=r["prompt"], answer_1=r["chosen"], answer_2=r["rejected"],
                                  label=1 + i % 2 if i < MANY else verdict))
    assert not converted(tmp_path, rows).done


# Options

def test_options_that_fight(tmp_path):
    rows = [{**d, "chosen": d["response_b"], "rejected": d["response_a"]} for d in DUELS]
    both = "--a response_a --b response_b --winner winner --chosen chosen --rejected rejected"
    assert not converted(tmp_path, rows, both).done


def test_semicolons_between_values(tmp_path):
    "They separate as commas do, and what was typed counts"
    by_commas, by_semicolons = (converted(tmp_path, DUELS, f"--values 'A=b{mark}B=a'").records for mark in ",;")
    assert by_commas == by_semicolons != converted(tmp_path, DUELS).records


def test_swapped_columns(tmp_path):
    "model_a is the model of response_a, whichever option names it"
    found = converted(tmp_path, [{**d, "winner": "model_a"} for d in DUELS], "--a response_b --b response_a")
    for record, (_, better, _) in zip(found.records, P):
        assert better in record["text"][record["score"].index(max(record["score"]))]


def test_underscore_is_no_space(tmp_path):
    rows = [{**r, "site": site} for r, site in zip(ROWS, ("a_b", "a b", "[a b]", "A_B"))]
    assert len(converted(tmp_path, rows, "--only site=a_b").records) == 1


def test_fill_down_leaves_other_columns(tmp_path):
    rows = [dict(instruction=q, input="" if i else "In verse.", chosen=b, rejected=w)
            for i, (q, b, w) in enumerate(P[:3])]
    found = converted(tmp_path, rows, "--fill-down")
    assert not found.done or sum("In verse." in flat(r) for r in found.records) == 1


def test_ties_in_pairs_are_said(tmp_path):
    rows = [dict(prompt=q, responses=[b, w, "Perhaps so."], scores=[2, 1, 1]) for q, b, w in P[:4]]
    assert "4 ties" in converted(tmp_path, rows, "--to-pairs").output


def test_lost_columns_of_majorities_are_said(tmp_path):
    found = converted(tmp_path, [{**r, "id": f"x{i}"} for i, r in enumerate(ROWS)], "--votes majority --keep id")
    assert not found.done or all("id" in r for r in found.records) or "id" in found.output


def test_ignored_objects(tmp_path):
    rows = [{**r, "more": dict(x="Some words.", y="Other words.")} for r in ROWS]
    assert len(converted(tmp_path, rows, "--ignore more").records) == 4


def test_kept_objects(tmp_path):
    tools = [dict(type="function", function=dict(name="f", description="Looks up words."))]
    found = converted(tmp_path, [{**r, "tools": tools} for r in ROWS], "--keep tools")
    assert [r["tools"] for r in found.records] == [tools] * 4


def test_answer_after_an_answer(tmp_path):
    "A prompt that ends with the assistant's words has no question that is still open"
    rows = [dict(prompt=[*chat(q, "I would say:")], chosen=b, rejected=w) for q, b, w in P[:4]]
    assert not converted(tmp_path, rows).done


def test_dialogue_in_a_prompt(tmp_path):
    "What follows a quoted dialogue is the human's"
    rows = [dict(prompt=f"User: {q}\nAssistant: Dunno.\n\nSum up this talk.", chosen=b, rejected=w)
            for q, b, w in P[:4]]
    found = converted(tmp_path, rows)
    for record in found.records:
        assert record["text"][0].count("## Assistant:") == 1 if isinstance(record["text"][0], str) else \
            record["text"][0][-2]["role"] == "user"


def test_messages_and_rejected(tmp_path):
    "ms-swift's pairs: the last turn of messages is the chosen answer"
    rows = [dict(messages=chat(q, b), rejected_response=w) for q, b, w in P[:4]]
    found = converted(tmp_path, rows)
    assert found.done or "--chosen" in found.output


def test_messages_of_role_and_text(tmp_path):
    rows = [dict(prompt=[dict(role="user", text=q)], chosen=dict(role="assistant", text=b),
                 rejected=dict(role="assistant", text=w)) for q, b, w in P[:4]]
    found = converted(tmp_path, rows)
    assert len(found.records) == 4 and all(q in flat(r) for r, (q, _, _) in zip(found.records, P))


@pytest.mark.parametrize("options", ["--margin spread", "--score spread"])
@pytest.mark.parametrize("spread", [[], ["x", "y"], [1, 5, 2], {"a": 1}, True])
def test_margins_that_are_none(options, spread, tmp_path):
    found = converted(tmp_path, [{**r, "spread": spread} for r in ROWS], options)
    assert not found.done and ("spread" in found.output)


@pytest.mark.parametrize("lines, good", [
    ("prompt: [brief, place]\n", True), ("prompt: brief,place\nonly: {lang: en}\n", True),
    ("prompt: brief,place\nkeep:\n", True), ("prompt: brief,place\nby: 3\n", False),
    ("prompt: brief,place\nlower_is_better: perhaps\n", False), ("prompt: brief,place\nvotes: [all]\n", False),
    ("prompt: brief,place\nvalues: 3\n", False)])
def test_yaml(lines, good, tmp_path):
    (tmp_path / "m.yaml").write_text(lines)
    rows = [dict(brief=q, place="At home.", chosen=b, rejected=w, lang="en") for q, b, w in P[:4]]
    found = converted(tmp_path, rows, f"--mapping {tmp_path / 'm.yaml'}")
    if not good: assert not found.done
    assert not found.done or len(found.records) == 4


def test_question_in_messages_is_not_doubled_by_late_rows(tmp_path):
    "Answers that begin with the question, from row 1,005 on"
    rows = late(lambda i, r: r if i < MANY else {**r, "chosen": r["prompt"] + "\n" + r["chosen"],
                                                 "rejected": r["prompt"] + "\n" + r["rejected"]})
    found = converted(tmp_path, rows)
    texts = [(row["prompt"], text) for row, r in zip(rows, found.records) for text in r["text"]]
    assert not found.done or all(text.count(prompt) == 1 for prompt, text in texts)


def test_late_chats_of_others(tmp_path):
    rows = late(lambda i, r: r if i < MANY else {**r, "chosen": chat("Who?", r["chosen"]), "rejected": [user("Who?")]})
    assert not converted(tmp_path, rows).done
