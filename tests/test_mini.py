"data/mini is what data/README.md says of it."
import json
import re
import statistics
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from custom_rm.metrics import BagOfWords, longer_wins, measure

mini = Path(__file__).parent.parent / "data" / "mini"
DOMAINS = ["academy", "business", "entertainment", "literature", "normal"]
KINDS = {
    "correctness": 64, "substance": 38, "relevance": 35, "needless refusal": 31, "safety": 30, "honesty": 30,
    "harmlessness": 24, "completeness": 21, "instruction": 14, "false alarm": 13,
}
START = re.compile(r"## Human:\n(.+?)\n\n## Assistant:\n", re.S)


@cache
def read(name):
    return json.loads((mini / f"{name}.json").read_text(encoding="utf-8"))


def question(record): return record["query"] if "query" in record else START.match(record["text"][0])[1]


def answers(record): return list(record["responses"].values()) if "query" in record else [START.sub("", t) for t in record["text"]]


def lists(name, part):
    "A set's texts and scores: the pairs of general, or each question's five answers with one reader's preferred."
    if name == "general": return [r["text"] for r in read(f"general.{part}")], [r["score"] for r in read(f"general.{part}")]
    rows = read(f"domains.{part}")
    texts = [[r["responses"][name], *(a for d, a in r["responses"].items() if d != name)] for r in rows]
    return [[f"## Human:\n{r['query']}\n\n## Assistant:\n{a}" for a in t] for r, t in zip(rows, texts)], [[1, 0, 0, 0, 0]] * len(rows)


def held_back(texts, scores, folds=4, seed=0):
    "Rewards of a bag of words for questions that it has not seen."
    fold, rewards = np.random.default_rng(seed).permutation(len(texts)) % folds, [None] * len(texts)
    for f in range(folds):
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        bag = BagOfWords().fit([texts[i] for i in inside], [scores[i] for i in inside])
        for i, r in zip(outside, bag.rewards([texts[i] for i in outside])): rewards[i] = r
    return rewards


def words(text): return re.findall(r"\w+", text.lower())


def neighbours(text): return set(zip(words(text), words(text)[1:]))


def likeness(a, b): return len(a & b) / max(1, min(len(a), len(b)))


def test_domains():
    train, test = read("domains.train"), read("domains.test")
    assert (len(train), len(test)) == (80, 40) and len({r["query"] for r in train + test}) == 120
    texts = [a for r in train + test for a in answers(r)]
    assert all(list(r["responses"]) == DOMAINS for r in train + test) and len(set(texts)) == 600
    assert all(50 <= len(a.split()) <= 90 and a == a.strip() for a in texts)
    mean = {d: statistics.mean(len(r["responses"][d]) for r in train + test) for d in DOMAINS}
    assert max(mean.values()) < 1.05 * min(mean.values())
    for d in DOMAINS:
        openers = [r["responses"][d].split()[0] for r in train + test]
        assert max(map(openers.count, openers)) <= 15, f"{d} opens alike too often"


def test_general():
    train, test = read("general.train"), read("general.test")
    assert (len(train), len(test)) == (200, 100) and len({question(r) for r in train + test}) == 300
    for r in train + test:
        a, b = answers(r)
        assert sorted(r["score"]) == [0, 1] and a != b and min(len(a), len(b)) >= 5 and abs(len(a) - len(b)) <= 30
        assert all(t == START.match(t)[0] + x and x == x.strip() for t, x in zip(r["text"], (a, b)))
    count = lambda rows: {k: sum(r["differs_in"] == k for r in rows) for k in KINDS}
    assert count(train + test) == KINDS and all(abs(count(test)[k] - n / 3) <= 1 for k, n in KINDS.items())
    openers = [" ".join(a.split()[:3]) for r in train + test for a in answers(r)]
    assert max(openers.count(o) for o in openers) <= 12, "answers that open alike"


@pytest.mark.parametrize("part", ["train", "test"])
def test_place_and_length_say_nothing(part):
    assert sum(r["score"][0] for r in read(f"general.{part}")) == len(read(f"general.{part}")) / 2
    for name in ["general", *DOMAINS]:
        texts, scores = lists(name, part)
        assert .4 <= measure(longer_wins(texts), scores)["accuracy"] <= .6, name


@pytest.mark.parametrize("name, most", [("general", .80), *((d, .85) for d in DOMAINS)])
def test_words_do_not_tell(name, most):
    texts, scores = lists(name, "train")
    found = [measure(held_back(texts, scores, seed=s), scores)["accuracy"] for s in range(2)]
    assert .5 < statistics.mean(found) <= most, f"a bag of words gets {statistics.mean(found):.3f} of {name}"


@pytest.mark.parametrize("name", ["general", "domains"])
def test_parts_share_nothing(name):
    asked = {p: {question(r): neighbours(question(r)) for r in read(f"{name}.{p}")} for p in ("train", "test")}
    told = {p: [neighbours(a) for r in read(f"{name}.{p}") for a in answers(r)] for p in ("train", "test")}
    assert not asked["train"].keys() & asked["test"].keys()
    near = [(a, b) for a, x in asked["test"].items() for b, y in asked["train"].items() if len(x & y) > 3 and likeness(x, y) > .6]
    assert not near, near
    assert max(likeness(a, b) for a in told["test"] for b in told["train"] if min(len(a), len(b)) > 10) < .35


def test_sets_share_no_question():
    names = [f"{n}.{p}" for n in ("general", "domains") for p in ("train", "test")]
    assert len({" ".join(words(question(r))) for n in names for r in read(n)}) == sum(len(read(n)) for n in names)
