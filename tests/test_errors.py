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


def pairs_of(n, seed=0, a_question=4):
    rng = np.random.default_rng(seed)
    said = rng.normal(0, 1.5, n)
    return said * np.where(rng.random(n) < 1 / (1 + np.exp(-said)), 1, -1), np.arange(n) // a_question


def test_calibration_error_is_that_of_the_bins():
    "The same figure as the bins', the mean of several seeds', and nothing where there is no pair"
    from custom_rm.metrics import calibration_bins, calibration_error, expected_calibration_error
    margin, group = pairs_of(400)
    own = [expected_calibration_error(calibration_bins(scale * margin)) for scale in (1, 3)]
    assert [calibration_error(scale * margin, group)["ece"] for scale in (1, 3)] == pytest.approx(own)
    both = calibration_error(np.array([margin, 3 * margin]), group)
    assert both["ece"] == pytest.approx(np.mean(own)) and both["low"] <= both["ece"] <= both["high"] and (both["n"], both["questions"]) == (400, 100)
    nothing = calibration_error(np.zeros(0), np.zeros(0, int))
    assert nothing["n"] == 0 and np.isnan(nothing["ece"])
    assert calibration_error(np.array([np.nan, np.inf]), np.arange(2))["ece"] == pytest.approx(.25), "a model that diverged has no confidence, and is wrong or right"


def test_calibration_interval_covers():
    "An honest model is accused in few of many samples, a loud one in most, whatever pairs share a question"
    from custom_rm.metrics import calibration_error
    found = {scale: [calibration_error(scale * margin, group, draws=300) for margin, group in (pairs_of(400, seed) for seed in range(40))] for scale in (1, 3)}
    assert sum(one["low"] > 0 for one in found[1]) <= 5 and sum(one["low"] > 0 for one in found[3]) >= 35
    assert np.mean([one["by_chance"] for one in found[1]]) == pytest.approx(np.mean([one["ece"] for one in found[1]]), rel=.15)


def test_classes_of_a_partition_hold_all_errors():
    from custom_rm.metrics import accuracy_figures, correctness, error_class
    margin, group = pairs_of(300, a_question=3)
    right, kind = correctness(margin), np.arange(300) % 3
    found = [error_class(right, group, kind == k) for k in range(3)]
    assert sum(one["share"] for one in found) == pytest.approx(1) and {one["of"] for one in found} == {300} and {one["questions"] for one in found} == {100}
    for k, one in enumerate(found):
        assert one["inside"] == pytest.approx(1 - accuracy_figures(right[kind == k], group[kind == k])["accuracy"])
        assert one["low"] < one["difference"] < one["high"] and one["difference"] == pytest.approx(one["inside"] - one["outside"])
    assert np.isnan(error_class(np.ones(4), np.arange(4), np.arange(4) < 2)["share"]), "no error, no share"


def test_seeds_that_err_apart_gain_by_their_mean():
    from custom_rm.metrics import by_agreement, correctness, ensemble_figures
    rng, group = np.random.default_rng(0), np.arange(500) // 2
    skill = rng.normal(.8, 1, 500)
    margins = [skill + rng.normal(0, 1, 500) for _ in range(3)]
    parts, mean = by_agreement(margins, group), np.mean([correctness(m) for m in margins])
    assert parts["alike"]["share"] + parts["divided"]["share"] == pytest.approx(1) and parts["alike"]["accuracy"] > mean > parts["divided"]["accuracy"]
    assert ensemble_figures(margins, group)["over_mean"]["difference"] > 0
    same = ensemble_figures([margins[0]] * 3, group)["over_mean"]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert by_agreement([np.zeros(3)] * 2, np.arange(3))["alike"]["n"] == 0, "undecided is no agreement"


def test_length_leads():
    from custom_rm.metrics import length_leads, longer_wins, to_pairs
    texts, scores = [["aaaa", "a", ""], ["", ""]], [[1, 0, 2], [1, 0]]
    leads = length_leads(texts, scores)
    assert leads.tolist() == pytest.approx([.75, -1, -1, 0]) and np.sign(leads).tolist() == np.sign(to_pairs(longer_wins(texts), scores).margin).tolist()
