"What goes through the two doors, of data and of scoring, means what the file means."
import json
import os
from types import SimpleNamespace

import pytest

from custom_rm import records
from custom_rm.artefact import load
from custom_rm.columns import guess
from custom_rm.convert import convert, file_records, to_trl
from custom_rm.core import DataError
from custom_rm.mapping import by_mapping, Conversion, Mapping
from custom_rm.records import load_records, write_json
from custom_rm.scoring import texts_of
from custom_rm.templates import join


def read(rows, **mapping):
    "Records and the report of a table"
    placed, report = [(f"line {i}", row) for i, row in enumerate(rows, 2)], Conversion("mine.csv")
    return [report.count(record) for record in by_mapping(placed, *guess(placed, Mapping(**mapping)), report)], report


def test_a_file_of_the_same_size_and_time_is_read_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    for answer in ("yes", "no."):
        write_json(path, [dict(text=[f"It is {answer}", "Hm"], score=[1, 0])])
        os.utime(path, (1, 1))
        assert load_records(path)[0]["text"][0] == f"It is {answer}"


def test_a_cache_of_other_code_is_not_taken(tmp_path, monkeypatch):
    write_json(tmp_path / "a.jsonl", [dict(text=["a", "b"], score=[1, 0])])
    assert load_records(tmp_path / "a.jsonl")[0]["prompt"] == ""
    monkeypatch.setattr(records, "prompt_of", lambda record: "another reading")
    assert load_records(tmp_path / "a.jsonl")[0]["prompt"] == "", "the same code is said to read it"
    monkeypatch.setattr(records, "_code", lambda: "another version")
    assert load_records(tmp_path / "a.jsonl")[0]["prompt"] == "another reading"


def test_bare_answers_are_trained_with_their_question(tmp_path):
    write_json(tmp_path / "a.jsonl", [dict(text=["It is 4.", "Five"], score=[1, 0], prompt="4")])
    assert load_records(tmp_path / "a.jsonl")[0]["text"] == ["## Human:\n4\n\n## Assistant:\nIt is 4.", "## Human:\n4\n\n## Assistant:\nFive"]
    write_json(tmp_path / "a.jsonl", [dict(text=["It is 4.", "Five"], score=[1, 0], question="2 + 2")])
    with pytest.raises(DataError, match="record 1|line 1.*rename question to prompt"): load_records(tmp_path / "a.jsonl")


def test_one_person_has_one_vote():
    duel = dict(prompt="Why does it rain?", response_a="Clouds.", response_b="Who knows?")
    votes = [duel | dict(winner=w, judge=j) for w, j in (("a", "Ann"), ("a", "Ann"), ("a", "Ann"), ("b", "Bob"), ("b", "Cleo"))]
    (majority,), (mean,) = (read(votes, votes=how)[0] for how in ("majority", "mean"))
    for one in (majority, mean): assert one["text"][0].endswith("Who knows?")
    assert majority["score"] == [1, 0] and mean["score"] == pytest.approx([2 / 3, 1 / 3])
    torn = [duel | dict(winner=w, judge=j) for w, j in (("a", "Ann"), ("b", "Ann"), ("b", "Ann"), ("a", "Bob"), ("b", "Bob"), ("a", "Bob"))]
    assert [read(torn, votes=how)[0][0]["score"] for how in ("majority", "mean")] == [[.5, .5]] * 2
    nameless = [duel | dict(winner=w) for w in "aab"]
    assert read(nameless, votes="majority")[0][0]["text"][0].endswith("Clouds.")


def test_one_person_has_one_grade_in_a_mean():
    grades = [("Clouds.", 1, "Ann"), ("Clouds.", 1, "Ann"), ("Clouds.", 4, "Bob"), ("Who knows?", 2, "Ann"), ("Who knows?", 2, "Bob")]
    rows = [dict(prompt="Why does it rain?", response=r, score=s, judge=j) for r, s, j in grades]
    (one,), _ = read(rows, votes="mean")
    assert dict(zip((text.rpartition("\n")[2] for text in one["text"]), one["score"])) == {"Clouds.": 2.5, "Who knows?": 2}
    with pytest.raises(DataError, match="different numbers of people"): read(rows[:-1], votes="mean")


@pytest.mark.parametrize("typed", ["3", "3.0", " 3"])
def test_only_compares_numbers_by_value(typed):
    rows = [dict(prompt=f"Why {i}?", chosen="Clouds.", rejected="Hm.", round=value) for i, value in enumerate((3, 3.0, "3", "3.0", 4, "13"))]
    found, report = read(rows, only=[f"round={typed}"])
    assert len(found) == 4 and sum(report.skipped.values()) == 2


def test_only_takes_true_in_any_spelling(tmp_path):
    rows = [dict(prompt=f"Why {i}?", chosen="Clouds.", rejected="Hm.", checked=value) for i, value in enumerate((True, "true", "TRUE", False))]
    assert len(read(rows, only=["checked=True"])[0]) == 3
    (tmp_path / "hh.jsonl").write_text("\n".join(json.dumps(dict(chosen=f"Human: {i}\nAssistant: a", rejected=f"Human: {i}\nAssistant: b", part=part)) for i, part in enumerate((1.0, 2))))
    assert len(list(file_records(tmp_path / "hh.jsonl", mapping=Mapping(only=["part=1"])))) == 1


def test_numbers_are_words_to_both():
    assert join(12, 144.0, "row") == "## Human:\n12\n\n## Assistant:\n144" == texts_of("row", dict(prompt=12, response=144), "dsp")[0]
    with pytest.raises(DataError, match="the prompt is"): join(float("nan"), "a", "row")


def test_no_text_is_lost_on_the_way_to_trl():
    chat = [dict(role="user", content="Why?"), dict(role="assistant", content="Clouds.")]
    (pair,) = to_trl([dict(text=[chat, "Nobody knows."], score=[1, 0])])
    assert pair == dict(prompt=[], chosen=chat, rejected=[dict(role="assistant", content="Nobody knows.")])


@pytest.mark.parametrize("hint", ["请用一句话回答", "一文で答えてください", "ตอบเป็นภาษาอังกฤษเท่านั้น", "In two words."])
@pytest.mark.parametrize("column", ["hint", "topic", "notes"])
def test_a_hint_in_any_script_is_missed(column, hint):
    if column != "hint" and hint.isascii(): hint = "Answer it in two words."
    row = dict(prompt="Why does it rain?", **{column: hint})
    with pytest.raises(DataError, match=f"--ignore {column}"): texts_of("line 1", row | dict(response="Clouds."), "dsp")
    with pytest.raises(DataError, match=f"--ignore {column}"): read([row | dict(chosen="Clouds.", rejected="Hm.")])


def test_markers_quoted_in_an_answer_stay(tmp_path):
    "Messages are read for the template that is trained in, and not by way of another one"
    quoted = [dict(role="user", content="Show a talk."), dict(role="assistant", content="Here:\n\n## Human:\nHi\n\n## Assistant:\nHo")]
    bare = "## Human:\nShow a talk.\n\n## Assistant:\nNo."
    for texts in ([quoted, bare], [bare, quoted]):
        write_json(tmp_path / "a.jsonl", [dict(text=texts, score=[1, 0])])
        data, _ = records.to_one_template(load_records(tmp_path / "a.jsonl", template="hh"), "hh")
        assert data[0]["text"] == [texts_of("row", text, "hh")[0] for text in texts] and sum("## Human" in text for text in data[0]["text"]) == 1


def test_names_of_artefacts(tmp_path):
    from custom_rm.tiny import sum_text, tiny_base
    from custom_rm.evaluate import evaluate
    from custom_rm.model import RewardModel
    rm = RewardModel(tiny_base(tmp_path / "base", [sum_text(i, "It is.") for i in range(4)])).add_adapter("together")
    places = [rm.save(tmp_path / run / "together") for run in "ab"]
    with pytest.raises(DataError, match="is called together, as .* is.*copy it and give the copy: cp -r ") as fault: load(*places, device="cpu")
    *_, made = str(fault.value).split()
    assert os.system(str(fault.value).rpartition("the copy: ")[2]) == 0
    assert load(places[0], made, device="cpu").adapters == ["together", "together-of-b"]
    with pytest.raises(DataError, match="given twice"): load(places[0], places[0], device="cpu")
    rm.widen(2).split_heads(["loud", "calm"])
    data = [dict(text=[sum_text(1, "It is 2."), sum_text(1, "Hm.")], score=[1., 0.])]
    assert list(evaluate(rm, dict(one=data))) == ["loud", "calm"], "an adapter with two heads is nobody's reward model"


def test_a_refused_text_is_named_by_its_line(monkeypatch):
    import custom_rm.scoring as scoring
    def refused(*args, **kwargs): raise DataError("'What'…: doesn't end with an answer of the assistant")
    monkeypatch.setattr(scoring, "score_texts", refused)
    monkeypatch.setattr(scoring, "accepted", lambda text, *args: refused() if "bad" in text else [])
    scorer = scoring.Scorer.__new__(scoring.Scorer)
    scorer.rm, scorer.names = SimpleNamespace(template="dsp", chat="jinja", tokenizer=None), ["one"]
    rows = [("a.jsonl, line 1", dict(prompt="Why?", response="good")), ("a.jsonl, line 2", dict(prompt="Why?", response="bad"))]
    with pytest.raises(DataError, match="^a.jsonl, line 2: 'What'"): list(scoring._scored(scorer, rows, 8))


def test_what_comes_before_is_dropped_only_where_it_stands_again():
    past = [dict(role="user", content="Rain?"), dict(role="assistant", content="No.")]
    longer = [dict(role="user", content="Rain? Or snow?"), dict(role="assistant", content="No. Sun."), dict(role="user", content="Why?")]
    rows = [dict(prompt=longer, history=past, chosen="So.", rejected="Hm.")]
    (record,), _ = read(rows)
    assert [turn["content"] for turn in record["text"][0]][:2] == ["Rain?", "No."] if isinstance(record["text"][0], list) else "Rain?\n" in record["text"][0]


def test_a_question_is_not_covered_by_an_answer(tmp_path):
    chat = [dict(role="user", content="What is snow?"), dict(role="assistant", content="Is it rain? No.")]
    with pytest.raises(DataError, match="another question"): read([dict(prompt="Is it rain?", chosen=chat, rejected=chat[:1] + [dict(role="assistant", content="Is it rain? Yes.")])])


def test_an_empty_question_of_a_form_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([dict(query=" ", responses=dict(x="Clouds.", y="Hm."))]))
    with pytest.raises(DataError, match="its question is empty"): convert(tmp_path / "a.json", tmp_path / "b.json", domain="x")
