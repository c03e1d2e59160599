"Conversion and cleaning of the published sets against what the paper's code makes of them, and of files larger than memory should be."
import gzip
import json
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from custom_rm.clean import clean_file
from custom_rm.convert import convert
from custom_rm.records import DataError, read_json, write_json

DATA = Path(os.environ.get("CUSTOM_RM_DATA", "/nonexistent"))
published = pytest.mark.skipif(not (DATA / "raw").is_dir(), reason="CUSTOM_RM_DATA does not point to the published sets")
key = lambda r: json.dumps([r["text"], r["score"]])
values = lambda path: [v for _, v in read_json(path)]


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
    n = convert(source, tmp_path / "out.json", domain=domain, pairs=pairs)
    assert n == 119 * (4 if pairs else 1)
    assert [(r["text"], r["score"]) for r in values(tmp_path / "out.json")] == list(papers_converter(json.loads(source.read_text()), domain, pairs))


@published
@pytest.mark.parametrize("name, raw, clean", [("helpful", 1894, 1892), ("harmless", 1839, 1839)])
def test_hh_raw_to_clean(tmp_path, name, raw, clean):
    assert convert(DATA / "raw" / f"hh-{name}-base.jsonl.gz", tmp_path / "raw.jsonl.gz") == raw
    said = clean_file(tmp_path / "raw.jsonl.gz", tmp_path / "clean.jsonl")
    assert (said.read, said.written, len(said.found["identical"])) == (raw, clean, raw - clean)
    expected = [r for part in ("train", "test") for r in values(DATA / f"{name}.{part}.json")]
    assert Counter(map(key, values(tmp_path / "clean.jsonl"))) == Counter(map(key, expected))


@published
def test_gpt4llm_v1(tmp_path):
    assert convert(DATA / "raw" / "gpt4llm.v1.json", tmp_path / "out.json") == 877
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
    assert len(clean_file(tmp_path / "out.json", tmp_path / "clean.json", ties="drop").found["ties"]) == 154


def test_list_and_lines_and_gzip_are_the_same(tmp_path):
    rows = [dict(query=f"Question {i}?", responses={d: f"{d} says {i}" for d in "abc"}) for i in range(50)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    with gzip.open(tmp_path / "c.json.gz", "wt") as f: json.dump(rows, f)
    for i, source in enumerate(("a.json", "b.jsonl", "c.json.gz")): convert(tmp_path / source, tmp_path / f"{i}.jsonl", domain="b")
    assert len({(tmp_path / f"{i}.jsonl").read_bytes() for i in range(3)}) == 1


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, form):
    "40 MB pass through a few"
    source, word, n = tmp_path / f"big.{form}", "word " * 400, 10_000
    row = lambda i: dict(prompt=f"Question {i // 2}?", response=f"{i} {word}", score=i % 2)
    if form == "csv":
        with open(source, "w") as f:
            f.write("prompt,response,score\n")
            for i in range(n): f.write(",".join(f'"{v}"' for v in row(i).values()) + "\n")
    else: write_json(source, ({"chosen": f"{i} {word}", "rejected": f"{i} {word[:-9]}"} for i in range(n)))
    tracemalloc.start()
    made = convert(source, tmp_path / "out.jsonl")
    if form != "csv": clean_file(tmp_path / "out.jsonl", tmp_path / "clean.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made == (n // 2 if form == "csv" else n) and source.stat().st_size > 20e6
    assert peak < 12e6, f"{peak / 1e6:.0f} MB"


def test_messages_name_file_and_record(tmp_path):
    cases = {
        "t.csv": ("prompt,response,score\nHi,a,1\nHi,b,high\n", "t.csv, line 3: score is 'high', not a number"),
        "m.jsonl": ('{"prompt": "a", "chosen": [{"role": "tool", "content": "x"}], "rejected": [{"role": "assistant", "content": "y"}]}', "m.jsonl, line 1: a message has role 'tool'"),
        "w.jsonl": ('{"question": {"full_text": "q"}, "answer_0": "a", "score_0": 0.5, "answer_1": "b"}', 'w.jsonl, line 1: key "score_1" is missing'),
        "d.json": ('[{"query": "q", "responses": {"a": "x", "b": 5}}]', 'd.json, record 1, responses: "b" is a int'),
        "n.json": ('[{"text": ["a", null], "score": [1, 0]}]', "n.json, record 1: text[1] is null, not a string"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError) as fault: convert(tmp_path / name, tmp_path / "out.json", domain="a" if name == "d.json" else None)
        assert message in str(fault.value) and "\n" not in str(fault.value)
        assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".tmp") == sorted(p.name for p in tmp_path.iterdir())
        assert not (tmp_path / "out.json").exists()
