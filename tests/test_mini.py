"data/mini is what data/README.md says of it."
import json
import re
import statistics
from pathlib import Path

from custom_rm.metrics import longer_wins, measure

mini = Path(__file__).parent.parent / "data" / "mini"
DOMAINS = ["academy", "business", "entertainment", "literature", "normal"]
read = lambda name: json.loads((mini / f"{name}.json").read_text(encoding="utf-8"))


def test_domains():
    train, test = read("domains.train"), read("domains.test")
    assert (len(train), len(test)) == (48, 16) and len({r["query"] for r in train + test}) == 64
    answers = [a for r in train + test for a in r["responses"].values()]
    assert all(list(r["responses"]) == DOMAINS for r in train + test) and len(set(answers)) == 320
    assert all(40 <= len(a.split()) <= 110 and a == a.strip() for a in answers)
    mean = {d: statistics.mean(len(r["responses"][d]) for r in train + test) for d in DOMAINS}
    assert max(mean.values()) < 1.05 * min(mean.values())
    for d in DOMAINS:
        openers = [r["responses"][d].split()[0] for r in train + test]
        assert max(map(openers.count, openers)) <= 12, f"{d} opens alike too often"


def test_length_says_nothing():
    for part in ("train", "test"):
        rows = read(f"domains.{part}")
        for d in DOMAINS:
            texts = [[r["responses"][d], *(a for e, a in r["responses"].items() if e != d)] for r in rows]
            found = measure(longer_wins(texts), [[1, 0, 0, 0, 0]] * len(rows))
            assert found["low"] <= .5 <= found["high"], (part, d, found["accuracy"])


def test_general():
    train, test = read("general.train"), read("general.test")
    assert (len(train), len(test)) == (90, 30)
    prompts = [re.match(r"## Human:\n(.+?)\n\n## Assistant:\n", r["text"][0], re.S)[1] for r in train + test]
    assert len(set(prompts)) == 120
    for r, p in zip(train + test, prompts):
        assert sorted(r["score"]) == [0, 1] and r["differs_in"] in ("harmlessness", "helpfulness", "truth")
        start = f"## Human:\n{p}\n\n## Assistant:\n"
        assert all(t.startswith(start) and len(t) > len(start) + 20 for t in r["text"]) and abs(len(r["text"][0]) - len(r["text"][1])) <= 22
    count = lambda rows: [sum(r["differs_in"] == k for r in rows) / len(rows) for k in ("harmlessness", "helpfulness", "truth")]
    assert all(abs(a - b) < .05 for a, b in zip(count(train), count(test)))
    assert .3 < sum(r["score"][0] for r in train + test) / 120 < .7  # which text comes first says nothing
