"Records, their files and their templates; the small change of core; the split by question."
import gzip
import io
import json
import random
from pathlib import Path

import pytest
from datasets import Dataset

from custom_rm.clean import Known, clean_file, shared_prompts
from custom_rm.core import DataError, atomic_write, choices, choose, patch, quietly
from custom_rm.records import _json_list, check_record, load_records, read_json, read_records, to_one_template, write_json
from custom_rm.split import split_validation
from custom_rm.templates import TEMPLATES, Template, split_text, template_of, to_template

record = {"text": ["## Human:\nHi\n\n## Assistant:\nHello!", "## Human:\nHi\n\n## Assistant:\nWhat?"], "score": [1.0, 0.0]}

FAULTS = {
    'key "score" is missing': {"text": ["a", "b"]}, "at least 2": {"text": ["a"], "score": [1]}, "2 texts but 3 scores": {"text": ["a", "b"], "score": [1, 0, 0]},
    r"score\[1\] is NaN": {"text": ["a", "b"], "score": [1, float("nan")]}, r"text\[1\] is null": {"text": ["a", None], "score": [1, 0]}, "not an object": [1],
    "is true, not a number": {"text": ["a", "b"], "score": [1, True]}, '"text" is not a list': {"text": "ab", "score": [1, 0]},
    r"score\[0\] is too large": {"text": ["a", "b"], "score": [10**400, 0]}, "is infinite": {"text": ["a", "b"], "score": [1, float("inf")]},
}


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_of_a_record(message):
    with pytest.raises(DataError, match=message): check_record(FAULTS[message])


FILES = { # name: content, message
    "a.jsonl": (b'{"text": ["a", "b"], "score": [1, 0]}\n{"text": \n', "a.jsonl, line 2: broken JSON"),
    "a.json": (b'[{"text": ["a", "b"], "score": [1, 0]}, {"text": ', "a.json, record 2: broken JSON"),
    "b.json": (b'[{"text": ["a", "b"], "score": [1, 0]}]\n[3]', "more text after"),
    "e.json": (b"", "is empty"), "e2.json": (b" [] ", "is empty"),
    "l.json": ('[{"text": ["é", "b"], "score": [1, 0]}]'.encode("latin-1"), "is not UTF-8"),
    "z.json.gz": (b"no gzip", "broken JSON"),
    "d.json": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"), "d.jsonl": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "n.json": (b'[{"text": ["a", "b"], "score": [1, ' + b"1" * 5000 + b"]}]", "can't be read"), "n.jsonl": (b"1" * 5000, "can't be read"),
}


@pytest.mark.parametrize("name", FILES)
def test_each_fault_of_a_file(tmp_path, name):
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as fault: list(read_records(tmp_path / name))
    assert fault.value.__cause__ is None and "\n" not in str(fault.value)


def test_a_damaged_archive(tmp_path):
    whole = bytearray(gzip.compress(b'{"text": ["a", "b"], "score": [1, 0]}' * 500))
    whole[20:40] = b"\xff" * 20
    (tmp_path / "y.json.gz").write_bytes(bytes(whole))
    with pytest.raises(DataError, match="gzip|JSON|UTF-8"): list(read_records(tmp_path / "y.json.gz"))
    with pytest.raises(DataError, match="no such file"): list(read_json(tmp_path / "none.json"))


@pytest.mark.parametrize("chunk", range(1, 12))
def test_values_cut_anywhere_are_put_together(chunk):
    values = [{"text": ["a]", "b\"["], "score": [1.5, 0]}, 12345, "x,y", [1, [2]], True]
    assert [v for _, v in _json_list(io.StringIO(json.dumps(values)), Path("x"), chunk)] == values


def test_a_fault_while_writing_leaves_nothing(tmp_path):
    def broken():
        yield record
        raise DataError("stop")
    for values in (broken(), []):
        with pytest.raises(DataError): write_json(tmp_path / "out.json", values)
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "out.json"): raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_markers_come_from_the_template():
    assert {n: (t.human, t.assistant) for n, t in TEMPLATES.items()} == {"dsp": ("## Human:\n", "\n\n## Assistant:\n"), "hh": ("\n\nHuman: ", "\n\nAssistant: ")}
    assert [template_of(t) for t in ("## Human:\nx", "\n\nHuman: x", "\n\nHuman:x", "x", "")] == ["dsp", "hh", "hh", None, None]
    assert split_text("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d") == ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: ", "d")
    assert split_text("\n\nHuman: a\n\nAssistant:b") == ("\n\nHuman: a\n\nAssistant:", "b"), "an answer may begin right after its marker"


def test_a_template_is_one_line(monkeypatch):
    monkeypatch.setitem(TEMPLATES, "qa", Template("Q: {prompt}\n\nA: {response}"))
    qa = TEMPLATES["qa"].format(prompt="Hi {you}", response="Hello\\1!")
    assert template_of(qa) == "qa" and split_text(qa) == ("Q: Hi {you}\n\nA: ", "Hello\\1!")
    for name in ("dsp", "hh"):
        other = to_template(qa, name)
        assert other == TEMPLATES[name].format(prompt="Hi {you}", response="Hello\\1!") and to_template(other, "qa") == qa


def test_no_character_is_lost():
    rng = random.Random(0)
    parts = ["## Human:", "Human:", "## Assistant:", "Assistant:", "\n\n", "\n", " ", "a", "é"]
    for _ in range(3000):
        text = rng.choice(["", *(t.human for t in TEMPLATES.values())]) + "".join(rng.choices(parts, k=rng.randint(0, 8)))
        assert "".join(split_text(text)) == text
    dialogue = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d"
    assert to_template(to_template(dialogue, "dsp"), "hh") == dialogue and to_template("plain", "hh") == "plain"


def test_an_edited_file_is_loaded_anew(tmp_path):
    for n in (3, 5):
        write_json(tmp_path / "a.json", [record] * n)
        data = load_records(tmp_path / "a.json")
        assert len(data) == n and data[n - 1] == {**record, "prompt": "## Human:\nHi\n\n## Assistant:\n"}
    assert len(load_records(tmp_path / "a.json", rows=2)) == 2
    hh, rewritten = to_one_template(data, "hh")
    assert rewritten == 5 and hh[0]["prompt"] == "\n\nHuman: Hi\n\nAssistant: " and to_one_template(hh, "hh")[1] == 0
    (tmp_path / "b.json").write_text('[{"text": ["a"], "score": [1]}]')
    with pytest.raises(DataError, match="b.json, record 1: holds 1 text"): load_records(tmp_path / "b.json")


def test_cleaning_at_the_edges(tmp_path):
    (tmp_path / "odd.json").write_text(json.dumps([{"text": ["a", 5], "score": [1, 0]}, {"text": ["a", "b"], "score": [1, 0]}]))
    assert clean_file(tmp_path / "odd.json", tmp_path / "even.json").records["non_strings"] == [1]
    with pytest.raises(DataError, match="not an action; choose flag, drop"): clean_file(tmp_path / "odd.json", tmp_path / "x.json", non_strings="keep")
    write_json(tmp_path / "plain.jsonl", [dict(record, text=["a", "b"]), record])
    assert clean_file(tmp_path / "plain.jsonl", tmp_path / "y.jsonl").records["mixed_templates"] == [2], "a file's template may be none"
    assert clean_file(tmp_path / "plain.jsonl", tmp_path / "y.jsonl", mixed_templates="fix").unmended == {"mixed_templates": 1}
    assert not (tmp_path / "x.json").exists() and not shared_prompts(dict(record, text=["no", "template"]), Known(prompts={b"x"}))


def test_choices():
    assert [choices(t) for t in (["last", "mean", "max", "null"], {"dsp": 1, "hh": 2}, ["chat"], ["a", None], [])] == ["last, mean, max or null", "dsp or hh", "chat", "a or null", ""]
    assert choose("hh", TEMPLATES, "base.template") == "hh" and choose(None, ["last", None], "base.pooling") is None
    with pytest.raises(DataError, match="^base.pooling is 'first'; choose last, mean, max or null$"): choose("first", ["last", "mean", "max", None], "base.pooling")
    with pytest.raises(DataError, match=r"^base.template is \['dsp'\]; choose dsp or hh$"): choose(["dsp"], TEMPLATES, "base.template")


def test_quietly_puts_back_what_it_found(capfd):
    from datasets.utils import are_progress_bars_disabled
    from transformers.utils import logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    with pytest.raises(ValueError, match="forty"): quietly(int, "forty")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == before and capfd.readouterr().err == ""


def test_patch():
    class A: pass
    @patch
    def double(self:A, n): return 2 * n
    assert A().double(4) == 8


def test_a_question_falls_on_one_side():
    make = lambda numbers: Dataset.from_list([dict(text=[f"q{i} a{j}", f"q{i} b{j}"], score=[1., 0.], prompt=f"q{i}") for i in numbers for j in range(3)])
    learn, watch = split_validation(make(range(200)), .2)
    assert len(learn) + len(watch) == 600 and not set(learn["prompt"]) & set(watch["prompt"]) and 90 < len(watch) < 160
    more = set(split_validation(make(range(200)), .4)[1]["prompt"])
    again = set(split_validation(make(range(100)), .2)[1]["prompt"])
    assert set(watch["prompt"]) < more and again == {q for q in watch["prompt"] if int(q[1:]) < 100}
    assert [split_validation(make(range(9)), share)[1] for share in (0, 1e-6)] == [None, None]


def test_one_template_keeps_a_prompt_that_no_text_says():
    rows = [dict(text=["a", "b"], score=[1., 0.], prompt="Why?"), dict(text=["\n\nHuman: Hi\n\nAssistant: a", "\n\nHuman: Hi\n\nAssistant: b"], score=[1., 0.], prompt="\n\nHuman: Hi\n\nAssistant: ")]
    data, count = to_one_template(Dataset.from_list(rows), "dsp")
    assert count == 1 and data["prompt"][:] == ["Why?", "## Human:\nHi\n\n## Assistant:\n"]
