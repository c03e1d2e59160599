"What is still wrong: rules that find what they say, and `bench/errors.py` on a tiny study, from its cells and from its runs."
import json
import sys
from pathlib import Path

import numpy as np
import pytest

root = Path(__file__).parent.parent


@pytest.fixture
def errors(monkeypatch):
    monkeypatch.syspath_prepend(str(root / "bench"))
    yield __import__("errors")
    sys.modules.pop("errors", None)


def asked(answer): return f"## Human:\nWhat is it?\n\n## Assistant:\n{answer}"


def test_rules_find_what_they_say(errors):
    found = {rule.__name__: rule(asked(answer)) for rule, answer in (
        (errors.refuses, "I'm sorry, that is nothing I can help with."), (errors.asks, "Why do you want to know?"), (errors.opens, "Sure! Here it is."),
        (errors.marks, "Two:\n- one\n2. **two**"), (errors.sources, "So it is [1], and so [2, 3]."), (errors.length, "Four words of it."))}
    assert found == dict(refuses=True, asks=True, opens=True, marks=3, sources=2, length=4)
    plain = asked("It is a plain thing. It cannot be missed.")
    assert not any(rule(plain) for rule in (errors.refuses, errors.asks, errors.evades, errors.opens, errors.marks, errors.sources))
    assert errors.overlap(asked("one two three"), asked("One, two; four")) == pytest.approx(2 / 3) and errors.overlap(asked("a"), asked("b")) == 0
    assert errors.turns(asked("x")) == 1 and errors.turns(asked("x") + "\n\n## Human:\nAnd?\n\n## Assistant:\ny") == 2


def test_a_tiny_study(errors, place, monkeypatch, tmp_path, capsys):
    "Figures of a study's cells are those of its runs, rewards are kept, and every class has its rule"
    from custom_rm.study import read_study, run_study
    (tmp_path / "study.yaml").write_text(f"""
name: small
recipe:
  base: {{name: {place}/tiny, quantize: false, max_length: 64}}
  lora: {{rank: 4, alpha: 8}}
  general: {{rows: 16, train: {{sums: {place}/general.train.json}}, test: {{sums: {place}/general.test.json}}, learning_rate: 5e-3, batch_size: 4, token_budget: 256}}
  custom: {{rows: 16, domains: [loud, quiet], train: {place}/domains.train.json, test: {place}/domains.test.json, learning_rate: 5e-3, batch_size: 4, token_budget: 256, sharing: joint}}
  validation: 0.25
seeds: [0, 1]
strategies: {{general: {{measure: general}}, joint: {{custom: {{blend: 0.5}}}}}}
""")
    study = read_study(tmp_path / "study.yaml")
    run_study(study, tmp_path / "st", device="cpu", report=lambda line: None)
    def made(*words):
        out = tmp_path / "errors.json"
        monkeypatch.setattr(sys, "argv", ["errors.py", *map(str, words), "--study", str(tmp_path / "study.yaml"), "--device", "cpu", "--work", str(tmp_path / "work"), "--out", str(out)])
        errors.main()
        return json.loads(out.read_text())
    found = made(tmp_path / "st", "--strategy", "joint")
    assert "scoring" not in capsys.readouterr().out, "the study has kept them"
    runs = [p.parent for p in sorted((tmp_path / "st/runs").glob("*/loud"))]
    (tmp_path / "work").rename(tmp_path / "kept")
    again = made(*runs, "--strategy", "joint")
    assert "scoring" in capsys.readouterr().out and found["blend"] == .5 and again["seeds"] == found["seeds"] == [0, 1]
    assert again["sets"]["domains"]["before"]["ece"] == pytest.approx(found["sets"]["domains"]["before"]["ece"], abs=1e-4)
    assert set(found["sets"]) == {"loud", "quiet", "sums", "domains", "general", "general, customized"}
    own = found["sets"]["loud"]
    cells = [json.loads(p.read_text()) for p in (tmp_path / "st/cells").glob("joint--loud--*.json")]
    assert own["accuracy"] == pytest.approx(np.mean([cell["test"]["loud"]["accuracy"] for cell in cells]), abs=1e-5)
    assert sorted(own["temperature"]["loud"]) == pytest.approx(sorted(cell["temperature"] for cell in cells), rel=1e-4)
    assert own["before"]["ece"] == pytest.approx(np.mean([cell["test"]["loud"]["ece"] for cell in cells]), abs=1e-5)
    assert {"written for quiet", "written for normal"} <= set(own["classes"])
    for key in own["classes"]: assert key in found["rules"] or key.startswith("written for")
    assert own["seeds"]["agreement"]["seeds"] == 2 and own["length"]["longer_wins"]["model"]["n"] + own["length"]["longer_loses"]["model"]["n"] <= own["n"]
    text = json.dumps(found)
    assert "plus one" not in text and str(tmp_path) not in text
