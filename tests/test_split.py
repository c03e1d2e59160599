"Parts that share no question; figures that say how much they share after all; comparisons that nobody can make."
import json
import random
import shutil

import pytest

from custom_rm.core import DataError
from custom_rm.records import read_json, read_records, write_json
from custom_rm.split import draw, overlap, question_keys, questions_of, split_file, split_lines, split_validation

from conftest import text


def pair(i, *answers, **more): return dict(text=[text(i, a) for a in answers or (f"It is {i+1}.", "No idea.")], score=[1, 0], **more)
def questions(path): return {record["text"][0].split("\n")[1] for record in read_records(path)}
def lines(path): return sorted(path.read_text().splitlines())


def spelled(record, rng):
    "The same question in another template, other capitals, other white space"
    def other(t):
        question, answer = t.removeprefix("## Human:\n").split("\n\n## Assistant:\n")
        question = rng.choice([question, question.upper(), question.replace(" ", "  ") + " "])
        return rng.choice([f"\n\nHuman: {question}\n\nAssistant: {answer}", f"## Human:\n{question}\n\n## Assistant:\n{answer}"])
    return dict(record, text=[other(t) for t in record["text"]])


@pytest.mark.parametrize("seed", range(5))
def test_never_a_question_on_both_sides(tmp_path, seed):
    rng = random.Random(seed)
    rows = [spelled(pair(i, f"A {j}", f"B {j}", person=rng.choice("abc")), rng) for i in range(25) for j in range(rng.randint(1, 4))]
    rng.shuffle(rows)
    write_json(tmp_path / "a.jsonl", rows)
    done = split_file(tmp_path / "a.jsonl", .3, seed=seed)
    train, test = (list(read_records(tmp_path / f"a.{part}.jsonl")) for part in ("train", "test"))
    assert not questions_of(train) & questions_of(test) and done["both_questions"] == 0
    assert lines(tmp_path / "a.jsonl") == sorted(lines(tmp_path / "a.train.jsonl") + lines(tmp_path / "a.test.jsonl")), "every record once, as it was"
    assert abs(len(test) - .3 * len(rows)) <= 2 and done["test"]["records"] == len(test)
    assert overlap(questions_of(train), test) == dict(records=0, of=len(test), questions=0)
    rng.shuffle(rows)
    write_json(tmp_path / "b.jsonl", rows)
    split_file(tmp_path / "b.jsonl", .3, seed=seed)
    assert lines(tmp_path / "b.test.jsonl") == lines(tmp_path / "a.test.jsonl"), "whatever the order of the file"


def test_seeds_differ_and_share_is_met():
    counts = {i.to_bytes(2, "big"): 1 for i in range(1, 101)}
    drawn = [frozenset(draw(counts, .2, seed)) for seed in range(4)]
    assert len(set(drawn)) == 4 and {len(d) for d in drawn} == {20}
    uneven = {b"a": 50, b"b": 10, b"c": 40}
    assert all(sum(uneven[k] for k in draw(uneven, .5, seed)) == 50 for seed in range(9))
    for share in (.01, .99): assert 0 < len(draw({b"a": 5, b"b": 1}, share)) < 2


def test_by_person(tmp_path):
    rows = [pair(i, person=person) for person, n in (("ann", 6), ("bob", 3), ("cy", 3)) for i in range(n)]
    write_json(tmp_path / "a.jsonl", rows)
    done = split_file(tmp_path / "a.jsonl", .25, "person")
    test, train = ({r["person"] for r in read_records(tmp_path / f"a.{part}.jsonl")} for part in ("test", "train"))
    assert len(test) == 1 and not test & train and done["test"]["records"] == 3 and done["both_people"] == 0
    assert any("3 of 3 test questions are asked in the training part too" in line for line in split_lines(done))
    write_json(tmp_path / "b.jsonl", [*rows, pair(1)])
    with pytest.raises(DataError, match="b.jsonl, line 13: has no person; keep .* with `custom-rm convert --by COLUMN`"): split_file(tmp_path / "b.jsonl", by="person")
    assert not list(tmp_path.glob("b.t*"))


def test_records_without_a_question_stay_with_those_that_share_a_text(tmp_path):
    rows = [dict(text=[f"t{i}", f"t{i + 1}"], score=[1, 0]) for i in range(10)] + [dict(text=["x", "y "], score=[1, 0]), dict(text=["y", "z"], score=[1, 0])]
    write_json(tmp_path / "a.json", rows)
    done = split_file(tmp_path / "a.json", .2)
    assert (done["train"]["records"], done["test"]["records"], done["unknown"], done["test"]["questions"]) == (10, 2, 12, 1)
    assert any("12 records without a known question" in line for line in split_lines(done))
    assert question_keys(dict(text=["1", "2"], prompt="Hi ")) == question_keys(dict(text=["## Human:\nhi\n\n## Assistant:\n1", "2"]))
    say = [{"role": "user", "content": "HI"}, {"role": "assistant", "content": "1"}]
    assert question_keys(dict(text=[say, say])) == question_keys(dict(text=["1", "2"], prompt="hi"))


def test_split_refuses_in_a_line_and_leaves_nothing(custom_rm, tmp_path, monkeypatch):
    write_json(tmp_path / "one.jsonl", [pair(1), pair(1, "a", "b")])
    before = (tmp_path / "one.jsonl").read_bytes()
    done = custom_rm("split", tmp_path / "one.jsonl")
    assert done.returncode == 2 and "its 2 records have 1 question, and a split by question needs at least 2" in done.stderr
    for wrong, message in ((dict(share=0), "--test is 0"), (dict(by="colour"), "choose question or person"), (dict(out_test=tmp_path / "one.jsonl"), "is read or written already"),
                           (dict(out_train=tmp_path / "x.csv"), "neither .json nor .jsonl"), (dict(out_train=tmp_path / "x.jsonl", out_test=tmp_path / "x.jsonl"), "read or written already")):
        with pytest.raises(DataError, match=message): split_file(tmp_path / "one.jsonl", **wrong)
    write_json(tmp_path / "bad.jsonl", [pair(1), pair(2), {"text": ["a"], "score": [1]}])
    with pytest.raises(DataError, match="line 3: holds 1 text"): split_file(tmp_path / "bad.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jsonl", "one.jsonl"] and (tmp_path / "one.jsonl").read_bytes() == before


def test_an_error_half_way_leaves_older_parts(tmp_path, monkeypatch):
    import custom_rm.split as module
    write_json(tmp_path / "a.jsonl", [pair(i) for i in range(10)])
    split_file(tmp_path / "a.jsonl")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    read, calls = module.read_json, []
    def breaks(path):
        calls.append(path)
        for n, item in enumerate(read(path)):
            if len(calls) == 2 and n == 7: raise DataError("gone")
            yield item
    monkeypatch.setattr(module, "read_json", breaks)
    with pytest.raises(DataError, match="gone"): split_file(tmp_path / "a.jsonl", seed=5)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_split_from_the_command_line(custom_rm, tmp_path):
    write_json(tmp_path / "v.jsonl", [pair(i, "a", str(j), person=person) for i in range(20) for j, person in enumerate(("ann", "bob"))])
    done = custom_rm("split", tmp_path / "v.jsonl", "--test", ".25", "--by", "question", "--out-train", tmp_path / "A.json.gz", "--out-test", tmp_path / "B.jsonl")
    assert done.returncode == 0, done.stderr
    assert f"train 30 records, 15 questions, 2 people in {tmp_path}/A.json.gz" in done.stdout and f"test  10 records, 5 questions, 2 people in {tmp_path}/B.jsonl" in done.stdout
    assert len(list(read_json(tmp_path / "A.json.gz"))) == 30 and not questions(tmp_path / "A.json.gz") & questions(tmp_path / "B.jsonl")


def test_validation_keeps_spellings_together():
    from datasets import Dataset
    rows = [dict(text=["a", "b"], score=[1., 0.], prompt=p) for i in range(60) for p in (f"Question {i}?", f"question  {i}? ")]
    learn, watch = split_validation(Dataset.from_list(rows), .3)
    number = lambda data: {p.split()[1] for p in data["prompt"]}
    assert not number(learn) & number(watch) and len(watch) > 20


@pytest.fixture(scope="module")
def leaky(home, custom_rm, tmp_path_factory):
    "A recipe whose training file holds 20 of the 30 test records, spelled otherwise, trained"
    folder = tmp_path_factory.mktemp("leaky")
    test = [pair(i) for i in range(200, 230)]
    write_json(folder / "test.jsonl", test)
    write_json(folder / "train.jsonl", [pair(i) for i in range(10)] + [spelled(r, random.Random(i)) for i, r in enumerate(test[:20])])
    (folder / "recipe.yaml").write_text(f"name: leaky\nbase: {{name: {home}/tiny, max_length: 96}}\n"
        f"general: {{train: {{sums: {folder}/train.jsonl}}, test: {{sums: {folder}/test.jsonl}}, batch_size: 16}}\n")
    done = custom_rm("train", folder / "recipe.yaml", "--out", folder / "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_train_says_20_of_30(leaky):
    from custom_rm.artefact import read_card
    folder, out = leaky
    line, found = "sums: 20 of 30 records ask a question that general was trained on", dict(records=20, of=30, questions=20)
    assert out.count(line) == 2, "while it is measured, and below the table"
    assert json.loads((folder / "run" / "metrics.json").read_text())["overlap"] == {"general": {"sums": found}}
    assert read_card(folder / "run" / "general")["overlap"] == {"sums": found}
    assert json.loads((folder / "run" / "log.jsonl").read_text().splitlines()[-1])["overlap"]["general"]["sums"] == found
    assert len((folder / "run" / "general" / "questions.txt").read_text().split()) == 30


def test_evaluate_says_20_of_30(leaky, custom_rm):
    folder, _ = leaky
    unasked = custom_rm("evaluate", folder / "run" / "general", folder / "test.jsonl", "--json", folder / "out.json", "--device", "cpu")
    assert "test: 20 of 30 records ask a question that general was trained on" in unasked.stdout, unasked.stderr
    figures = json.loads((folder / "out.json").read_text())
    assert figures["overlap"] == {"general": {"test": dict(records=20, of=30, questions=20)}} and figures["cut"]["test"]["lost"] == 0
    (folder / "run" / "general" / "questions.txt").rename(folder / "questions.txt")
    try:
        given = custom_rm("evaluate", folder / "run" / "general", folder / "test.jsonl", "--train", folder / "train.jsonl", "--device", "cpu")
        silent = custom_rm("evaluate", folder / "run" / "general", folder / "test.jsonl", "--device", "cpu")
    finally: (folder / "questions.txt").rename(folder / "run" / "general" / "questions.txt")
    assert "test: 20 of 30 records ask a question of the training records given" in given.stdout and "keeps no" not in given.stdout
    assert "general: keeps no record of its training questions" in silent.stdout


def test_nothing_is_said_where_nothing_overlaps(finished):
    _, metrics, out = finished
    assert "trained on" not in out and {cell["records"] for sets in metrics["overlap"].values() for cell in sets.values()} == {0}
    assert set(metrics["overlap"]) == {"general", "loud", "quiet"} and set(metrics["cut"]) == {"sums", "loud", "quiet"}


def test_comparisons_lost_by_cutting(home, leaky, custom_rm):
    folder, _ = leaky
    same_end = lambda i: dict(text=[text(i, f"{word} {'and so on ' * 40}") for word in ("Yes.", "No.")], score=[1, 0])
    write_json(folder / "long.jsonl", map(same_end, range(300, 306)))
    (folder / "long.yaml").write_text(f"name: long\nbase: {{name: {home}/tiny, max_length: 96}}\n"
        f"general: {{train: {{long: {folder}/long.jsonl}}, test: {{long: {folder}/long.jsonl}}, batch_size: 4}}\n")
    line = "6 of 6 comparisons can't be told apart after cutting to 96 tokens; raise max_length"
    done = custom_rm("evaluate", folder / "run" / "general", folder / "long.jsonl", "--json", folder / "long.json", "--device", "cpu")
    assert f"long: {line}" in done.stdout and json.loads((folder / "long.json").read_text())["cut"]["long"] == dict(lost=6, of=6, max_length=96)
    done = custom_rm("train", folder / "long.yaml", "--out", folder / "long", "--device", "cpu")
    assert f"general   {line}" in done.stdout and f"long: {line}" in done.stdout, done.stderr
    card = json.loads((folder / "long" / "general" / "reward_model.json").read_text())
    assert (card["counts"]["lost"], card["counts"]["comparisons"], card["cut"]["long"]["lost"]) == (6, 6, 6)


def test_ties_only(home, leaky, custom_rm):
    folder, _ = leaky
    write_json(folder / "ties.jsonl", [dict(pair(i), score=[1, 1]) for i in range(6)])
    (folder / "ties.yaml").write_text(f"name: ties\nbase: {{name: {folder}/no-such-model}}\ngeneral: {{train: {{t: {folder}/ties.jsonl}}}}\n")
    done = custom_rm("train", folder / "ties.yaml", "--out", folder / "ties", "--device", "cpu")
    assert done.returncode == 2 and f"{folder}/ties.jsonl: its 6 records are ties only" in done.stderr and "no-such-model" not in done.stderr
    done = custom_rm("evaluate", folder / "run" / "general", folder / "ties.jsonl", "--device", "cpu")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "all are ties (equal scores), so there is nothing to measure" in done.stderr
    done = custom_rm("evaluate", folder / "run" / "general", folder / "test.jsonl", folder / "ties.jsonl", "--train", folder / "ties.jsonl", "--train", folder / "ties.jsonl", "--device", "cpu")
    assert done.returncode == 0 and "ties: all 6 pairs are ties, so there is nothing to measure" in done.stdout and "nan" not in done.stdout, done.stderr
    shutil.copytree(folder / "run" / "general", folder / "custom")
    for choose, keep, side in (("ties", "test", "the domain's"), ("test", "ties", "the general")):
        done = custom_rm("blend", folder / "run" / "general", folder / "custom", folder / "mixed", "--choose", folder / f"{choose}.jsonl", "--keep", folder / f"{keep}.jsonl", "--device", "cpu")
        assert done.returncode == 2 and f"{side} validation records hold ties only (6 records)" in done.stderr and not (folder / "mixed").exists(), (done.stdout, done.stderr)
