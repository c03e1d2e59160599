"What strangers' tables hold that looks like something else: nothing is read wrongly, and what a refusal offers is right when it is typed."
import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from custom_rm.columns import value_options
from custom_rm.convert import convert
from custom_rm.core import DataError
from custom_rm.mapping import flagged, parse_values, whole_names

RAIN, SNOW = ("Why does it rain?", "Warm air rises and cools.", "It just does."), ("Why does it snow?", "The water in the air freezes.", "No idea.")


def write(path, rows):
    import csv
    if path.suffix == ".jsonl": path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        with path.open("w", newline="") as f: (w := csv.DictWriter(f, list(rows[0]))).writeheader(), w.writerows(rows)
    return path


def typed(path, tmp_path, options=""):
    "(exit status, message, pairs of better and worse answers, ties)"
    from custom_rm.cli import app
    out = tmp_path / "out.jsonl"
    out.unlink(missing_ok=True)
    done = CliRunner().invoke(app, ["convert", str(path), str(out), *shlex.split(options)])
    if isinstance(done.exception, DataError): return 2, str(done.exception), [], 0
    if done.exception: raise done.exception
    answers = [(r["text"], r["score"]) for r in map(json.loads, out.read_text().splitlines())]
    said = lambda text: (text if isinstance(text, str) else text[-1]["content"]).rpartition("## Assistant:\n")[2]
    pairs = [(said(t[i]), said(t[j])) for t, s in answers for i in range(len(t)) for j in range(len(t)) if s[i] > s[j]]
    return 0, done.output, pairs, sum(s[0] == s[1] for _, s in answers)


RIGHT = sorted([RAIN[1:], SNOW[1:]])


def duel(verdicts, a="response_a", b="response_b", **more):
    "Rain's better answer stands first, snow's second"
    rows = [dict(prompt=RAIN[0], **{a: RAIN[1], b: RAIN[2]}), dict(prompt=SNOW[0], **{a: SNOW[2], b: SNOW[1]})]
    return [row | {name: said[i] for name, said in (verdicts | more).items()} for i, row in enumerate(rows)]


@pytest.mark.parametrize("name", ["swap", "swapped", "is_swapped", "flip", "Flipped", "reverse", "order_reversed", "inverted", "switch", "mirrored", "swap_ab", "responses_swapped"])
@pytest.mark.parametrize("mark", [True, "yes", 1])
def test_marks_of_changed_places(name, mark, tmp_path):
    rows = duel(dict(winner=("A", "A")), **{name: ("no", mark)})
    status, told, _, _ = typed(write(tmp_path / "t.csv", rows), tmp_path)
    assert status == 2 and f"--ignore {name}" in told and "changed places" in told


@pytest.mark.parametrize("name, odd, even", [("left", "B", "A"), ("shown_first", "B", "A"), ("first", "response_b", "response_a"), ("presented_first", "b", "a"), ("right", "A", "B"), ("second", "A", "B"), ("left_response", "B", "A")])
def test_who_stood_where(name, odd, even, tmp_path):
    assert flagged(name, odd) and not flagged(name, even) and not flagged(name, "gpt-4")
    status, told, _, _ = typed(write(tmp_path / "t.csv", duel(dict(winner=("A", "B")), **{name: (even, odd)})), tmp_path)
    assert status == 2 and "changed places" in told


@pytest.mark.parametrize("values", [("1.500", "900"), ("12.000", "900"), ("900", "-1.500")])
def test_dots_between_thousands(values, tmp_path):
    rows = [dict(prompt=RAIN[0], response=said, score=value) for said, value in zip(RAIN[1:], values)]
    assert typed(write(tmp_path / "t.csv", rows), tmp_path)[0] == 2


@pytest.mark.parametrize("values", [("1.500", "0.900"), ("1.5", "1"), ("2.250", "1.125"), ("1500", "900"), ("1.500", "0.5")])
def test_decimals_stay_decimals(values, tmp_path):
    rows = [dict(prompt=RAIN[0], response=said, score=value) for said, value in zip(RAIN[1:], values)]
    assert typed(write(tmp_path / "t.csv", rows), tmp_path)[2] == [RAIN[1:]]


@pytest.mark.parametrize("name", ["username", "user_id", "email", "who"])
def test_a_writer_is_no_judge(name, tmp_path):
    "bob answered rain twice; as a judge he alone would have compared anything"
    rows = [dict(question=RAIN[0], answer=f"Answer {i}, at some length.", score=i, **{name: who}) for i, who in enumerate(["bob", "ann", "bob"])]
    rows += [dict(question=SNOW[0], answer=f"Reply {i}, at some length.", score=i, **{name: who}) for i, who in enumerate(["cem", "ann"])]
    path = write(tmp_path / "t.csv", rows)
    status, told, _, _ = typed(path, tmp_path)
    assert status == 2 and f"--ignore {name}" in told
    assert len(typed(path, tmp_path, f"--ignore {name}")[2]) == 4


@pytest.mark.parametrize("name", ["username", "user_id", "rater"])
def test_a_judge_is_a_judge(name, tmp_path):
    rows = [dict(question=RAIN[0], answer=said, score=score, **{name: who}) for who in "uvw" for said, score in zip(RAIN[1:], (3, 1))]
    assert typed(write(tmp_path / "t.csv", rows), tmp_path)[2] == [RAIN[1:]] * 3


@pytest.mark.parametrize("more", [['{"ImportId":"QID1"}'] * 3, ["prompt", "chosen", "rejected"]])
def test_headers_among_rows(more, tmp_path):
    rows = [dict(zip(("prompt", "chosen", "rejected"), line)) for line in (("The question", "The better answer", "The worse answer"), more, RAIN, SNOW)]
    status, told, _, _ = typed(write(tmp_path / "t.csv", rows), tmp_path)
    assert status == 2 and "delete" in told and typed(write(tmp_path / "u.csv", rows[2:]), tmp_path)[2] == [RAIN[1:], SNOW[1:]]


@pytest.mark.parametrize("nothing", ["#NAME?", "#REF!", "#N/A", "nan", "NaN", "NA", "n/a", "NULL", "<NA>", " #VALUE! "])
@pytest.mark.parametrize("column", ["prompt", "chosen", "rejected"])
def test_texts_that_are_nothing(nothing, column, tmp_path):
    rows = [dict(zip(("prompt", "chosen", "rejected"), RAIN)), dict(zip(("prompt", "chosen", "rejected"), SNOW)) | {column: nothing}]
    status, told, _, _ = typed(write(tmp_path / "t.jsonl", rows), tmp_path)
    assert status == 2 and "line 2" in told
    assert typed(tmp_path / "t.jsonl", tmp_path, "--skip-faulty")[2] == [RAIN[1:]]


@pytest.mark.parametrize("words", [["ennui", "angst", "ice-cream", "A4", "bliss", "café", "l’heure"], ["Tea", "Rain", "Ink"]])
def test_single_words_of_a_question(words, tmp_path):
    rows = [dict(prompt="Write a line about it", chosen="A line.", rejected="Another line.", thing=w) for w in words]
    status, told, _, _ = typed(write(tmp_path / "t.jsonl", rows), tmp_path)
    assert status == 2 and "--prompt prompt,thing" in told


@pytest.mark.parametrize("names", [("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating"), ("rating_chosen", "rating_rejected")])
def test_scores_that_speak_late(names, tmp_path):
    "They say the contrary from row 1101 on"
    rows = [dict(zip(("prompt", "chosen", "rejected"), (f"{RAIN[0]} {i}", *RAIN[1:]))) | dict.fromkeys(names, None) for i in range(1105)]
    for row in rows[1100:]: row |= dict(zip(names, (1, 5)))
    status, told, _, _ = typed(write(tmp_path / "t.jsonl", rows), tmp_path)
    assert status == 2 and names[0] in told


# What is offered is right when it is typed

def offers(told): return [o for o in re.findall(r"--values (?:'[^']*'|\"[^\"]*\"|\S+)", told)]


@pytest.mark.parametrize("first, second, tie", [
    ("A is better", "B is better", "A and B are the same"), ("A", "B", "A = B"), ("A", "B", "A≈B"), ("A > B", "A < B", "A = B"), ("Answer A is better", "Answer B is better", "neither, both bad"),
    ("a lot better: first", "a lot better: second", "about the same"), ("A wins", "B wins", "Both are equal"), ("B is worse", "A is worse", "the same"), ("good, yes", "bad, no", "so, so")])
def test_no_offer_gives_a_side_to_what_is_none(first, second, tie, tmp_path):
    rows = duel(dict(winner=(first, second))) + [dict(prompt="Why is it hot?", response_a="The sun is high.", response_b="It is summer.", winner=tie)]
    path = write(tmp_path / "t.jsonl", rows)
    status, told, pairs, ties = typed(path, tmp_path)
    if status == 0: assert sorted(pairs) == RIGHT and ties == 1
    found = offers(told)
    assert status == 0 or found
    outcomes = []
    for o in found:
        if "…" in o: outcomes.append((sorted(RIGHT), 1) if typed(path, tmp_path, o)[0] == 2 else None)
        else: outcomes.append((sorted(typed(path, tmp_path, o)[2]), typed(path, tmp_path, o)[3]))
    turned = sorted(pair[::-1] for pair in RIGHT)
    assert all(o in ((RIGHT, 1), (turned, 1)) for o in outcomes) and (not outcomes or (RIGHT, 1) in outcomes), outcomes


@pytest.mark.parametrize("values, right", [((1, 0, .5), "1=a,0=b,0.5=tie"), ((0, 1, .5), "0=a,1=b,0.5=tie"), ((1, 2, 0), "1=a,2=b,0=tie"), ((1, 3, 2), "1=a,3=b,2=tie"), ((1, 2, 3), "1=a,2=b,3=tie"), ((1, 7, 4), "1=a,7=b,4=tie")])
def test_three_numbers(values, right):
    same = lambda o: parse_values(o) == parse_values(right)
    assert sum(same(shlex.split(o)[1]) for o in value_options([*map(str, values)])) == 1


def test_three_numbers_of_a_scale():
    assert all("<" in o for o in value_options(["0.1", "0.9", "1"])) and "0.5" in value_options(["0.1", "0.9", "1"])[0]
    assert all("<3=" in o for o in value_options(["1", "2", "5"]))


@pytest.mark.parametrize("values", [(1, 5, 3, 2), (5, 2, 3, 1), (1, 2, 4, 5)])
def test_a_scale_is_no_number_of_an_answer(values, tmp_path):
    "1 is the first answer's number, and here the end of a scale: `5=b` says nothing of 2"
    rows = [dict(prompt=f"{RAIN[0]} {i}", answer_1=RAIN[1], answer_2=RAIN[2], preference=v) for i, v in enumerate(values)]
    path = write(tmp_path / "t.jsonl", rows)
    status, told, _, _ = typed(path, tmp_path)
    assert status == 2 and "<3=a,3=tie,>3=b" in told
    assert typed(path, tmp_path, "--values 5=b")[0] == 2 and typed(path, tmp_path, "--values 5=b,3=tie,4=b")[0] == 2
    _, _, pairs, ties = typed(path, tmp_path, "--values '<3=a,3=tie,>3=b'")
    assert pairs.count(RAIN[1:]) == sum(v < 3 for v in values) and pairs.count(RAIN[:0:-1]) == sum(v > 3 for v in values) and ties == values.count(3)


@pytest.mark.parametrize("names", [("mark_1", "mark_2"), ("Note 1", "Note 2"), ("q1", "q2"), ("wins_1", "wins_2"), ("1_mark", "2_mark")])
def test_grades_of_two_answers_are_no_verdicts(names, tmp_path):
    path = write(tmp_path / "t.csv", duel({names[0]: (2, 1), names[1]: (1, 2)}, a="answer_1", b="answer_2"))
    status, told, _, _ = typed(path, tmp_path)
    assert status == 2 and not re.search(rf"--winner '?{re.escape(names[0])}'?( or|;)", told)
    offer = re.search(r"(--response \S+ --score (?:'[^']*'|\S+)) where", told)
    assert offer and sorted(typed(path, tmp_path, offer[1])[2]) == RIGHT


@pytest.mark.parametrize("names", [("1st", "2nd", "3rd"), ("first", "second", "third"), ("place_1", "place_2", "place_3")])
def test_places_are_no_scores(names, tmp_path):
    rows = [dict(prompt=RAIN[0], answer_1="One answer.", answer_2="Another answer.", answer_3="A third answer.") | dict(zip(names, (2, 3, 1)))]
    status, told, _, _ = typed(write(tmp_path / "t.csv", rows), tmp_path)
    assert status == 2 and f"--score {','.join(names)}" not in told


def test_verdicts_and_columns_with_commas(tmp_path):
    rows = duel(dict(winner=("left one, clearly", "right one, clearly")))
    path = write(tmp_path / "t.csv", rows)
    found = offers(typed(path, tmp_path)[1])
    assert sorted(sorted(typed(path, tmp_path, o)[2]) for o in found) == sorted([RIGHT, sorted(p[::-1] for p in RIGHT)])
    rows = [{"Context, if any": "It is spring.", "Question": q, "chosen": a, "rejected": b} for q, a, b in (RAIN, SNOW)]
    path = write(tmp_path / "u.csv", rows)
    status, told, _, _ = typed(path, tmp_path)
    offer = re.search(r"--prompt '[^']*'", told)
    assert status == 2 and typed(path, tmp_path, offer[0])[2] == [RAIN[1:], SNOW[1:]]
    assert all("It is spring." in t for r in (tmp_path / "out.jsonl").read_text().splitlines() for t in json.loads(r)["text"])
    assert whole_names("a, b,c,d", ["a, b", "c,d"]) == ["a, b", "c,d"] and whole_names("a, b", ["a", "b"]) == ["a", "b"]
    with pytest.raises(DataError, match="no JSON"): parse_values('{"a": ')


@pytest.mark.parametrize("who", ["speaker", "sender", "role"])
@pytest.mark.parametrize("column", ["history", "conversation"])
def test_turns_by_their_speaker(who, column, tmp_path):
    turns = [{who: "user", "text": "Tell me about weather."}, {who: "bot", "text": "Sure, what of it?"}]
    rows = [{column: turns, "prompt": RAIN[0], "chosen": RAIN[1], "rejected": RAIN[2]}]
    if column == "conversation": rows = [{column: [*turns, {who: "user", "text": RAIN[0]}], "chosen": RAIN[1], "rejected": RAIN[2]}]
    assert typed(write(tmp_path / "t.jsonl", rows), tmp_path)[2] == [RAIN[1:]]
    (text, _) = json.loads((tmp_path / "out.jsonl").read_text())["text"]
    assert text.index("Tell me") < text.index("Sure") < text.index(RAIN[0]) and text.count("## Human:") == 2


@pytest.mark.parametrize("who", ["speaker", "sender", "author"])
@pytest.mark.parametrize("names", [("user", "bot"), ("bot", "bot")])
def test_answers_have_authors_and_are_no_chat(who, names, tmp_path):
    rows = [dict(question=RAIN[0], answers=[{who: name, "text": said, "score": score} for name, said, score in zip(names, RAIN[1:], (5, 1))])]
    assert typed(write(tmp_path / "t.jsonl", rows), tmp_path)[2] == [RAIN[1:]]


@pytest.mark.parametrize("column, turns", [("earlier", [dict(user="Tell me about weather.", assistant="Sure, what of it?")]), ("before", [dict(q="Tell me about weather.", a="Sure, what of it?")])])
def test_what_is_offered_for_turns_in_a_list_works(column, turns, tmp_path):
    path = write(tmp_path / "t.jsonl", [{column: turns, "prompt": RAIN[0], "chosen": RAIN[1], "rejected": RAIN[2]}])
    status, told, _, _ = typed(path, tmp_path)
    assert status == 2
    assert typed(path, tmp_path, re.search(r"--history \S+", told)[0].rstrip(","))[2] == [RAIN[1:]]


def test_a_question_of_a_form(tmp_path):
    "The verdict's column has words for cells; the address of who answered has none, and is no verdict"
    rows = [{"Timestamp": "2026/01/02 10:11", "Email Address": f"{who}@x.org", "Question": q, "Answer A": a, "Answer B": b, "Which answer is better?": better}
            for who, (q, a, b), better in (("ann", RAIN, "Answer A"), ("ben", (SNOW[0], *SNOW[:0:-1]), "Answer B"))]
    path = write(tmp_path / "t.csv", rows)
    status, told, pairs, _ = typed(path, tmp_path)
    if status == 0: assert sorted(pairs) == RIGHT
    else:
        assert "--winner 'Email Address'" not in told
        assert sorted(typed(path, tmp_path, re.search(r"--winner '[^']*'", told)[0] + " --ignore 'Email Address'")[2]) == RIGHT


@pytest.mark.parametrize("place", ["kept", "person", "prompt", "chosen"])
def test_half_a_letter_is_refused_wherever_it_stands(place, tmp_path):
    rows = [dict(prompt=RAIN[0], chosen=RAIN[1], rejected=RAIN[2], person="Ann", kept="x") | {place: "a \ud83d"}]
    status, told, _, _ = typed(write(tmp_path / "t.jsonl", rows), tmp_path, "--keep kept")
    assert status == 2 and "line 1" in told and "UTF-8" in told


@pytest.mark.parametrize("name", ["score", "scores", "grades"])
def test_numbers_that_are_none_are_named_once(name):
    from custom_rm.files import number
    with pytest.raises(DataError, match="; (scores|grades) must be finite"): number("nan", "line 1", name)


@pytest.mark.parametrize("style", ["## Human:\n{}\n\n## Assistant:\n{}", "\n\nHuman: {}\n\nAssistant: {}", "Human: {}\nAssistant: {}", "## Human:\n{}\n## Assistant:\n{}"])
@pytest.mark.parametrize("answer", ["It is.", "One line\nand two", " "])
def test_windows_lines_around_markers(style, answer, tmp_path):
    "A record, a text to score and a text's question are the same with either end of lines; within a turn nothing changes"
    from custom_rm.records import load_records, prompt_of
    from custom_rm.templates import restored, turns_of
    plain = style.format("Why?", answer)
    marked = plain.replace("\n", "\r\n")
    assert restored(marked).replace("\r\n", "\n") == restored(plain)
    assert [t["content"].replace("\r\n", "\n") for t in turns_of(restored(marked))] == [t["content"] for t in turns_of(restored(plain))]
    other = style.format("Why?", "No.")
    for name, texts in (("lf", [plain, other]), ("crlf", [marked, other.replace("\n", "\r\n")])): (tmp_path / name).with_suffix(".jsonl").write_text(json.dumps(dict(text=texts, score=[1, 0])) + "\n")
    (a,), (b,) = (load_records(tmp_path / f"{name}.jsonl") for name in ("lf", "crlf"))
    assert [t.replace("\r\n", "\n") for t in b["text"]] == a["text"] and prompt_of(a) == prompt_of(b)
    if "\n" not in answer: assert a["text"] == b["text"]
