"""Rows of every container, and files that may be read in two ways: refused with what to type"""
import gzip
import io
import json
import sys

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from custom_rm.core import DataError, quietly
from custom_rm.files import number, read_rows, unpacked

ROWS = [{"prompt": "Why, then?", "response": 'It "is";\nso.', "score": "5"}, {"prompt": "How?", "response": "No|t.", "score": "4,5"}]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)


def write(name, content):
    with open(name, "wb") as file: file.write(content if isinstance(content, bytes) else content.encode())
    return name


def rows(source): return [row for _, row in read_rows(source)]


def places(source): return [where for where, _ in read_rows(source)]


def refused(source, *words):
    with pytest.raises(DataError) as e: rows(source)
    assert "\n" not in str(e.value)
    for word in words: assert word in str(e.value), str(e.value)


def quoted(table, separator=",", end="\n"):
    cells = [list(table[0]), *(list(row.values()) for row in table)]
    return end.join(separator.join('"' + c.replace('"', '""') + '"' for c in line) for line in cells) + end


# Delimited text

@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.TSV", "t.txt", "t.csv.gz"])
def test_delimited(separator, end, name):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        content = quoted(ROWS, separator, end).encode(encoding)
        for packed in (content, gzip.compress(content)): assert rows(write(name, packed)) == ROWS


def test_separator_line():
    assert rows(write("t.csv", "sep=|\n" + quoted(ROWS, "|"))) == ROWS
    assert places("t.csv") == ["t.csv, line 3", "t.csv, line 5"]


def test_blanks_behind_commas(): assert rows(write("t.csv", 'a, b , c\nHi, "1, 2", x\n')) == [{"a": "Hi", "b": "1, 2", "c": "x"}]


def test_blank_rows_and_columns():
    assert rows(write("t.csv", "\n,,\nprompt,score,\n\n , ,\nHi,5,\n,,\n\n")) == [{"prompt": "Hi", "score": "5"}]
    assert rows(write("t.csv", ",prompt\n0,Hi\n")) == [{"index": "0", "prompt": "Hi"}]
    assert rows(write("t.csv", ",index,prompt\n0,7,Hi\n")) == [{"level_0": "0", "index": "7", "prompt": "Hi"}]


def test_one_column(): assert rows(write("t.csv", "text\nHi\nHo\n")) == [{"text": "Hi"}, {"text": "Ho"}]


@pytest.mark.parametrize("content, words", {
    "": ["is empty"], "\ufeff": ["is empty"], "a,b\n": ["no row follows"], ",,\n,,\n": ["is empty"],
    "a,b,a \n1,2,3\n": ['t.csv, line 1', 'two columns are named "a"'],
    "a,b\n1,2\n1,2,3\n": ["t.csv, line 3: has 3 cells, the first line names 2"],
    "a,b\n1,2\n1\n": ["t.csv, line 3: has 1 cells"],
    'a,b\n1,2\n1,"x\n2,3\n': ["t.csv, line 3: is not CSV", "close its quote"],
    'a,b\n1,"x"y\n': ["t.csv, line 2: is not CSV"],
    "a,b,\n1,2,\n1,2,x\n": ["t.csv, line 3: cell 3 is \"x\"", "has no name"],
    "a;b,c\n1;2,3\n": ["may be separated by", "sep="],
    "a\0,\0b\0": ["zero bytes"],
}.items())
def test_refused_text(content, words): refused(write("t.csv", content), *words)


def test_refused_encodings():
    refused(write("t.csv", "a,b\nnaïve,5\n".encode("latin-1")), "is not UTF-8 (byte 0xef)", "CSV UTF-8", "iconv")
    refused(write("t.csv", b"a,b\n" + b"x,1\n" * 50_000 + "ï,5\n".encode("latin-1")), "CSV UTF-8")
    refused(write("t.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-5]), "is not a whole gzip file")
    refused(write("t.txt", "Dear reader\nHello\n"), "names no columns")


cell = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(",;\t|"))
def test_any_cells(table, separator):
    named = [dict(zip(("prompt", "a", "b"), cells)) for cells in table]
    assert rows(write("t.csv", quoted(named, separator))) == named


# JSON

PAIR = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
PAIRS = [PAIR, {"prompt": "How?", "chosen": "Thus.", "rejected": "No."}]
CHAT = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]

SINGLE = [
    PAIR, {"messages": CHAT, "rating": 5}, {"messages": CHAT}, {"chosen": CHAT, "rejected": CHAT},
    {"text": ["a", "b"], "score": [1, 0]}, {"text": ["a", "b"]}, {"text": ["a", "b"], "score": [1, 0], "prompt": "p"},
    {"query": "Why?", "responses": {"academy": "So.", "business": "No."}},
    {"query": "Why?", "responses": {"0": "So.", "1": "No."}},
    {"instruction": "Why?", "generations": ["a", "b"], "ratings": [5, 2]},
    {"prompt": "Why?", "answers": [{"answer": "So.", "rank": 1}, {"answer": "No.", "rank": 2}], "turns": 1},
    {"source": "x", "instruction": "Why?", "models": ["a", "b"], "completions": [{"model": "a", "response": "So."}]},
    {"frage": "Warum?", "answers": [{"answer": "So.", "rank": 1}]},
    {"prompt": "Why?", "candidates": [{"messages": CHAT, "score": 5}]},
    {"prompt": "Why?", "data": [{"answer": "So.", "rank": 1}]},
    {"id": 1, "data": {"prompt": "Why?"}, "annotations": [{"result": []}], "predictions": [{"a": 1}]},
    {"id": 1, "fields": {"prompt": "Why?"}, "responses": {"preference": [{"value": "a"}]}},
    {"input": {"messages": CHAT}, "preferred_output": CHAT[1:], "non_preferred_output": CHAT[1:]},
    {"conversations": [{"from": "human", "value": "Why?"}], "chosen": {"from": "gpt", "value": "So."}, "rejected": {"from": "gpt", "value": "No."}},
    {"chosen": {"from": "gpt", "value": "So."}, "rejected": {"from": "gpt", "value": "No."}},
    {"chosen": ["a", "b"], "rejected": ["c"]}, {"context": CHAT, "response1": "a", "response2": "b", "votes": [{"score": 1}]},
    {"question": {"full_text": "Why?"}, "quotes_0": {"title": [], "extract": []}, "answer_0": "a", "score_0": 1.0, "answer_1": "b", "score_1": 0},
]


@pytest.mark.parametrize("row", SINGLE, ids=lambda r: "-".join(r))
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_a_row_stays_a_row(row, indent, name):
    assert rows(write(name, json.dumps(row, indent=indent))) == [row]
    assert rows(write(name, json.dumps([row], indent=indent))) == [row]


WHOLE = {
    "data": {"data": PAIRS}, "any name": {"vergleiche": PAIRS}, "about": {"version": 2, "license": "MIT", "info": {"a": 1}, "rows": PAIRS},
    "answers that ask": {"responses": PAIRS}, "columns": {k: {str(i): p[k] for i, p in enumerate(PAIRS)} for k in PAIR},
    "index": {"0": PAIRS[0], "1": PAIRS[1]}, "lists": {k: [p[k] for p in PAIRS] for k in PAIR},
    "split": {"columns": list(PAIR), "index": [0, 1], "data": [list(p.values()) for p in PAIRS]},
    "table": {"schema": {"fields": []}, "data": PAIRS}, "list": PAIRS,
}


@pytest.mark.parametrize("obj", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_table_is_rows(obj, indent):
    for name in ("t.json", "t.json.gz", "t.jsonl"): assert rows(write(name, json.dumps(obj, indent=indent))) == PAIRS
    assert places("t.json")[1] == "t.json, record 2"


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table", "records"])
def test_pandas(orient):
    pd.DataFrame(PAIRS).to_json("t.json", orient=orient)
    assert [{k: row[k] for k in PAIR} for row in rows("t.json")] == PAIRS
    pd.DataFrame(PAIRS).to_csv("t.csv")
    assert rows("t.csv") == [{"index": str(i), **pair} for i, pair in enumerate(PAIRS)]


@pytest.mark.parametrize("obj, words", [
    ({"train": PAIRS, "test": PAIRS}, ["t.json#train or t.json#test"]),
    ({"answers": [{"answer": "a", "rank": 1}]}, ["t.json#answers", "[{…}]"]),
    ({"task": "Rate.", "pairs": PAIRS}, ["t.json#pairs", "beside task"]),
    ({"prompt": "Rate.", "data": PAIRS}, ["t.json#data", "beside prompt"]),
    ({"generations": ["a", "b"], "ratings": [5, 2]}, ["one row or a whole table", "[{…}]", "orient"]),
    ({"chosen": ["a", "b"], "rejected": ["c", "d"]}, ["one row or a whole table"]),
    ({"q1": PAIRS[0], "q2": PAIRS[1]}, ["one row or a whole table"]),
    ({"prompt": [], "chosen": []}, ["is empty"]),
], ids=lambda x: "-".join(x))
def test_two_readings(obj, words): refused(write("t.json", json.dumps(obj)), *words)


def test_key():
    write("t.json", json.dumps({"task": "Rate.", "pairs": PAIRS, "empty": []}))
    assert rows("t.json#pairs") == PAIRS
    refused("t.json#rows", 'has no list "rows"', "t.json#pairs")
    refused("t.json#empty", "its list of rows is empty")
    refused(write("l.json", json.dumps(PAIRS)) + "#data", 'no list "data"', "give l.json alone")


def test_lines_and_broken_json():
    assert places(write("t.jsonl", "\n".join(map(json.dumps, PAIRS)))) == ["t.jsonl, line 1", "t.jsonl, line 2"]
    assert rows(write("t.ndjson", "\n".join(map(json.dumps, PAIRS)))) == PAIRS
    assert rows(write("t.json", "\n".join(json.dumps(p, indent=2) for p in PAIRS))) == PAIRS
    refused(write("t.jsonl", '{"a": 1}\n{"a": \n'), "t.jsonl, line 2: broken JSON")
    refused(write("t.json", '{\n "a": 1,\n "b" 2\n}'), "t.json, line 3: broken JSON")
    refused(write("t.json", '{"a": "cut in a te\n{"a": 1}\n'), "t.json, line 1: broken JSON")
    refused(write("t.json", " \n"), "is empty")
    refused(write("t.json", b"\xff\xfe\xff"), "UTF")


def test_packed_by_content():
    assert rows(write("t.jsonl", gzip.compress(json.dumps(PAIR).encode()))) == [PAIR]
    assert rows(write("t.jsonl.gz", json.dumps(PAIR))) == [PAIR]
    assert rows(write("t.json", json.dumps(PAIRS).encode("utf-16"))) == PAIRS


# Workbooks

def workbook(name, **sheets):
    book = Workbook()
    book.remove(book.active)
    for title, table in sheets.items():
        sheet = book.create_sheet(title)
        for cells in table: sheet.append(cells)
    book.save(name)
    return book


def test_workbook():
    workbook("t.xlsx", Votes=[[], ["prompt ", "score"], ["Why?", 5], [None, None], ["How?", 4.5], ["Who?", None]], Empty=[])
    assert rows("t.xlsx") == [{"prompt": "Why?", "score": 5}, {"prompt": "How?", "score": 4.5}, {"prompt": "Who?", "score": None}]
    assert places("t.xlsx") == ["t.xlsx, row 3", "t.xlsx, row 5", "t.xlsx, row 6"]


def test_sheets():
    table = [["prompt"], ["Why?"]]
    book = workbook("t.xlsx", A=table, B=[["prompt"], ["How?"]])
    refused("t.xlsx", "t.xlsx#A or t.xlsx#B")
    refused("t.xlsx#C", 'no sheet "C"', "t.xlsx#A")
    assert rows("t.xlsx#B") == [{"prompt": "How?"}]
    book["B"].sheet_state = "hidden"
    book.save("t.xlsx")
    assert rows("t.xlsx") == [{"prompt": "Why?"}]


def test_refused_workbooks(monkeypatch):
    workbook("t.xlsx", A=[["a", "a"], [1, 2]])
    refused("t.xlsx", "t.xlsx, row 1", 'two columns are named "a"')
    workbook("t.xlsx", A=[["My survey"], ["prompt", "score"], ["Why?", 5]])
    refused("t.xlsx", "row 2: cell 2", "has no name")
    workbook("e.xlsx", A=[])
    refused("e.xlsx", "is empty")
    refused(write("b.xlsx", "no workbook"), "can't be read as a workbook")
    refused(write("t.csv", open("t.xlsx", "rb").read()), "is not text; name it .xlsx")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    refused("t.xlsx", 'pip install "custom_rm[excel]"')


# Arrow, Parquet, folders

TABLE = pa.table({"prompt": ["Why?", "How?"], "scores": [[5.0, 4.0], None]})


def test_columns():
    with pa.ipc.new_stream("s.arrow", TABLE.schema) as file: file.write_table(TABLE)
    with pa.ipc.new_file("f.feather", TABLE.schema) as file: file.write_table(TABLE)
    pq.write_table(TABLE, "p.parquet")
    for name in ("s.arrow", "f.feather", "p.parquet"):
        assert rows(name) == TABLE.to_pylist()
        assert places(name) == [f"{name}, row 1", f"{name}, row 2"]
    pq.write_table(TABLE[:0], "e.parquet")
    refused("e.parquet", "has no rows")
    refused(write("b.parquet", "PAR1"), "can't be read")
    refused(write("b.arrow", "x"), "can't be read")
    refused(write("b.csv", open("p.parquet", "rb").read()), "name it .parquet")


def test_folders(tmp_path):
    saved = datasets.Dataset(TABLE)
    quietly(saved.save_to_disk, "saved")
    quietly(saved.save_to_disk, "many", num_shards=2)
    quietly(datasets.DatasetDict(train=saved, test=saved).save_to_disk, "dict")
    quietly(datasets.DatasetDict(train=saved).save_to_disk, "one")
    for folder in ("saved", "many", "dict/train", "one"): assert rows(folder) == TABLE.to_pylist()
    refused("dict", "dict/test, dict/train")
    (tmp_path/"dict"/"train"/"data-00000-of-00001.arrow").unlink()
    refused("dict/train", "no such file")


def shards(folder, *names):
    for name in names:
        (path := folder/name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(TABLE, path)


def test_shards(tmp_path):
    shards(tmp_path, *(f"a/train-0000{i}-of-00002.parquet" for i in (0, 1)), "a/test-00000-of-00001.parquet")
    shards(tmp_path, "b/data/0000.parquet", "b/data/0001.parquet", "c/train-00000-of-00002.parquet")
    shards(tmp_path, "d/votes-2023.parquet", "d/votes-2024.parquet", "e/train.parquet", "e/test.parquet")
    assert rows("a/train") == rows("b") == rows("b/data") == 2 * TABLE.to_pylist()
    assert rows("a/test") == rows("e/train") == rows("e/test.parquet") == TABLE.to_pylist()
    refused("a", "a/test, a/train")
    refused("e", "e/test, e/train")
    refused("c", "without a gap", "get those")
    refused("d", "without a gap")
    (tmp_path/"f").mkdir()
    refused("f", "without a set in it")
    write("f/one.csv", "a,b\n1,2\n")
    refused("f", "give what you mean of it: f/one.csv")


# The hub

@pytest.fixture
def hub(monkeypatch):
    asked = []

    def load_dataset(*args, **options):
        asked.append((args, options))
        if isinstance(hub.answer, Exception): raise hub.answer
        return hub.answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hub = type("Hub", (), {"asked": asked, "answer": {"train": PAIRS}})
    return hub


def test_hub(hub):
    assert rows("ann/votes") == PAIRS
    assert places("ann/votes/en:train") == ["ann/votes/en:train, row 1", "ann/votes/en:train, row 2"]
    assert rows("https://huggingface.co/datasets/ann/votes") == rows("hf://datasets/ann/votes") == PAIRS
    assert [args for args, _ in hub.asked] == [("ann/votes", None), ("ann/votes", "en"), *2 * [("ann/votes", None)]]
    assert all(options == {"streaming": True} for _, options in hub.asked)


def test_refused_hub(hub):
    hub.answer = {"train": PAIRS, "test": PAIRS}
    refused("ann/votes", "has several splits", "ann/votes:train, ann/votes:test")
    refused("ann/votes:dev", 'has no split "dev"', "ann/votes:train")
    hub.answer = {"train": []}
    refused("ann/votes", "has no rows")
    hub.answer = ConnectionError("Couldn't reach it\nat all")
    refused("ann/votes", "Couldn't reach it", "check the name and the network")
    hub.answer = ValueError("Config name is missing.\nPlease pick one among the available configs: ['en', 'de']\nExample")
    refused("ann/votes", "ann/votes/en, ann/votes/de")

    def stops():
        yield PAIR
        raise TimeoutError

    hub.answer = {"train": stops()}
    refused("ann/votes", "row 2: the hub stopped (TimeoutError)")


def test_paths_are_not_asked_of_the_hub(hub, tmp_path):
    (tmp_path/"data").mkdir()
    for source in ("data/train", "absent/t.csv", "absent.json", "a/b.xlsx#c"): refused(source, "no such file")
    refused(write("t.pdf", "x"), 'no known kind (".pdf")', ".xlsx", ".parquet")
    refused(write("t", "x"), "no known kind")
    assert not hub.asked


def test_nothing_is_read_before_the_first_row(): assert read_rows("absent.json")


# Cells

@pytest.mark.parametrize("cell, value", [
    ('["a", "b"]', ["a", "b"]), (' [{"role": "user"}]\n', [{"role": "user"}]), ("['a', None, True]", ["a", None, True]),
    ("{'a': 'it\\'s'}", {"a": "it's"}), ("[]", []), ("[1, 2.5]", [1, 2.5]),
    *((same, same) for same in ("[citation needed]", "[1] and [2]", "{x}", "{1, 2}", "[", "]", "", " ", "[a", "5", "(1, 2)",
                                "[__import__('os')]", "[" * 5000 + "]" * 5000, None, 5, ["a"], "['\\d' + 'x']")),
])
def test_unpacked(cell, value): assert unpacked(cell) == value


def test_lists_that_numpy_printed():
    frame = pd.read_parquet(_parquet({"answers": [["So.", "No."]], "chat": [CHAT]}))
    frame.to_csv("t.csv", index=False)
    for text in rows("t.csv")[0].values():
        with pytest.raises(DataError, match="t.csv, line 2: is a list without commas"): unpacked(text, "t.csv, line 2")


def _parquet(columns):
    pq.write_table(pa.table(columns), file := io.BytesIO())
    return file


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_unpacked_undoes(value):
    if isinstance(value, list | dict): assert unpacked(json.dumps(value)) == unpacked(repr(value)) == unpacked(value) == value


@pytest.mark.parametrize("cell, value", [
    (5, 5), (5.5, 5.5), ("5", 5), (" 4 ", 4), ("5.5", 5.5), ("5,5", 5.5), ("1e-3", .001), ("+3", 3), ("-2,25", -2.25), (".5", .5),
    ("0,125", .125), ("1234,567", 1234.567), ("1.234", 1.234), ("", None), ("  ", None), (None, None),
])
def test_number(cell, value): assert number(cell, "t.csv, line 2") == value


@pytest.mark.parametrize("cell, words", [
    *((wrong, "not a number; mend that cell") for wrong in ("five", "4/5", "1_0", True, [5], "5 5", "1,2,3", "1.2.3", "0x10", "５", "80%", "-", ".", "e5")),
    *((wrong, "must be finite") for wrong in ("nan", "NaN", "inf", "-Infinity", "1e999", float("nan"), float("inf"), 10**400)),
    ("1,234", "write 1234 or 1.234"), ("-12,500", "write -12500 or -12.500"),
])
def test_no_number(cell, words):
    with pytest.raises(DataError) as e: number(cell, "t.csv, line 2")
    assert str(e.value).startswith("t.csv, line 2: score is ") and words in str(e.value)


def test_a_numbers_name():
    with pytest.raises(DataError, match='helpfulness is "x", not a number'): number("x", "t.csv, line 2", "helpfulness")
