"Studies: killed and continued, faults kept as figures; blending and calibrating by command; one training for several domains."
import json
import signal
from pathlib import Path

import pytest

STUDY = """
name: small
recipe:
  base: {{name: {home}/tiny, quantize: false, max_length: 64}}
  lora: {{rank: 4, alpha: 8}}
  general: {{train: {{sums: {home}/general.train.json}}, test: {{sums: {home}/general.test.json}}, learning_rate: 5e-3, batch_size: 4}}
  custom: {{domains: [loud, quiet], train: {home}/domains.train.json, test: {home}/domains.test.json, learning_rate: 5e-3, batch_size: 4, epochs: 1, sharing: apart, replay: 0, blend: 1}}
  validation: 0.2
strategies:
  base: {{measure: base}}
  general: {{measure: general}}
  plain:
  joint: {{custom: {{sharing: joint, blend: [0.5, 1.0]}}}}
  careful: {{custom: {{replay: 0.5, anchoring: 0.5, imitation: 0.1, imitate: general}}}}
  broken: {{custom: {{learning_rate: 1e12}}}}
"""


@pytest.fixture(scope="module")
def study(home):
    (home / "study.yaml").write_text(STUDY.format(home=home))
    return home / "study.yaml"


def cells(folder): return {p.name: json.loads(p.read_text()) for p in (folder / "cells").glob("*.json")}


def test_killed_and_continued(home, study, custom_rm, stopped_at):
    whole, parts = home / "study-whole", home / "study-parts"
    done = custom_rm("study", study, "--out", whole, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    killed = stopped_at("SIGKILL", "appears", r"cells/[^/]*\.json$", 6, "study", study, "--out", parts, "--device", "cpu")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {p: p.stat().st_mtime_ns for p in (parts / "cells").glob("*.json")}
    assert len(before) == 5, "the sixth cell was measured, and not yet kept"
    done = custom_rm("study", study, "--out", parts, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before, "a finished cell was repeated"
    a, b = cells(whole), cells(parts)
    assert a.keys() == b.keys() and len(a) == 14
    for name in a:
        same = ("test", "validation", "weights", "failed")
        assert {k: a[name].get(k) for k in same} == {k: b[name].get(k) for k in same}, name


def test_what_it_says(home, study, custom_rm):
    test_file = json.loads((home / "study-whole" / "summary.json").read_text())
    assert test_file["recommended"] in ("plain", "joint 0.5", "joint 1.0", "careful 0.5", "careful")
    assert set(test_file["domains"]) == {"loud", "quiet"} and not test_file["missing"]
    d = test_file["domains"]["loud"]
    assert d["low"] <= d["accuracy"] <= d["high"] and {"bag_of_words", "longer", "general_rm"} <= set(d)
    g = test_file["general"]
    assert g["low"] <= g["difference"] <= g["high"] and abs(g["recommended"] - g["general_rm"] - g["difference"]) < 1e-9
    failed = [c for c in cells(home / "study-whole").values() if "failed" in c]
    assert {c["strategy"] for c in failed} == {"broken"} and len(test_file["failed"]) == 2
    plain = next(c for c in cells(home / "study-whole").values() if c["strategy"] == "plain" and c["domain"] == "loud")
    assert plain["test"]["loud"]["accuracy"] > .9 and plain["tokens"] > 0 and plain["versions"]["torch"] and all(len(v) == 16 for v in plain["data"].values())


def test_more_seeds(home, study, custom_rm, tmp_path):
    "`--seed` runs further seeds into the same folder; a strategy's figure is the mean of the seeds it has."
    import shutil
    shutil.copytree(home / "study-whole", tmp_path / "out")
    done = custom_rm("study", study, "--out", tmp_path / "out", "--seed", "0", "--seed", "1", "--only", "base", "--device", "cpu")
    assert done.returncode == 0 and done.stdout.count("cell ") == 2 and "own by seed" in done.stdout, done.stdout + done.stderr
    p = json.loads((tmp_path / "out" / "summary.json").read_text())["points"]
    assert p["base"]["seeds"] == 2 and p["plain"]["seeds"] == 1 and list(p["base"]["domain"]["by_seed"]) == ["0", "1"]
    assert abs(sum(p["base"]["domain"]["by_seed"].values()) / 2 - p["base"]["domain"]["accuracy"]) < 1e-9


def test_one_training_serves_all_domains(home):
    both = [c for c in cells(home / "study-whole").values() if c["strategy"] == "joint 1.0"]
    assert len(both) == 2 and all(c["test"][c["domain"]]["accuracy"] > .9 for c in both)
    half = [c for c in cells(home / "study-whole").values() if c["strategy"] == "joint 0.5"]
    assert {tuple(c["weights"]) for c in half} == {tuple(c["weights"]) for c in both}, "a blend was trained anew"


def test_validation_is_kept_apart(tmp_path):
    "In both templates no training text is among those a choice is made on; a rewritten prompt must fall on the same side."
    from custom_rm.recipes import CustomConfig, GeneralConfig, Recipe
    from custom_rm.split import split_validation
    from custom_rm.stages import Run
    from custom_rm.study import study_sets
    hh = [{"text": [f"\n\nHuman: question {i}?\n\nAssistant: yes {i}", f"\n\nHuman: question {i}?\n\nAssistant: no {i}"], "score": [1.0, 0.0]} for i in range(60)]
    (tmp_path / "hh.json").write_text("\n".join(map(json.dumps, hh)))
    run = Run(Recipe("r", general=GeneralConfig(train={"hh": str(tmp_path / "hh.json")}), custom=CustomConfig(domains=[]), validation=0.3), tmp_path / "run")
    learnt, _ = split_validation(run.training_sets("general")["hh"], 0.3)
    kept = {t for r in study_sets(run)["validation", "hh"] for t in r["text"]}
    assert len(kept) > 10 and not kept & {t for r in learnt for t in r["text"]}


def test_blend_chooses(home, finished, custom_rm, tmp_path):
    from custom_rm.convert import convert
    from custom_rm.artefact import read_card
    folder, *_ = finished
    convert(home / "domains.test.json", tmp_path / "loud.json", domain="loud")
    done = custom_rm("blend", folder / "general", folder / "loud", tmp_path / "blend", "--choose", tmp_path / "loud.json", "--keep", home / "general.test.json", "--json", tmp_path / "blend.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "blend.json").read_text())
    assert written["device"] and written["versions"] and written["date"] and written["alpha"] == read_card(tmp_path / "blend")["parent"]["alpha"] and len(written["curve"]) == 11 and all(c["domain_pairs"] and c["general_pairs"] for c in written["curve"])
    assert done.stdout.count("chosen") == 1 and len(done.stdout.splitlines()) == 13
    card = read_card(tmp_path / "blend")
    assert 0 < card["parent"]["alpha"] <= 1 and [p["name"] for p in card["parent"]["of"]] == ["general", "loud"]
    done = custom_rm("evaluate", tmp_path / "blend", tmp_path / "loud.json", home / "general.test.json", "--json", tmp_path / "out.json", "--device", "cpu")
    figures = json.loads((tmp_path / "out.json").read_text())["rms"]["blend"]
    assert figures["loud"]["accuracy"] > .9 and figures["general.test"]["accuracy"] > .9
    for wrong, message in ((["--alpha", "2"], "alpha is 2.0"), ([], "either --alpha or --choose"), (["--choose", str(tmp_path / "loud.json")], "--keep")):
        done = custom_rm("blend", folder / "general", folder / "loud", tmp_path / "other", *wrong, "--device", "cpu")
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "other").exists()


def test_calibrate(home, finished, custom_rm, tmp_path):
    import shutil
    from custom_rm.convert import convert
    from custom_rm.scoring import Scorer
    shutil.copytree(finished[0] / "loud", tmp_path / "loud")
    convert(home / "domains.test.json", tmp_path / "data.json", domain="loud")
    done = custom_rm("calibrate", tmp_path / "loud", tmp_path / "data.json", "--device", "cpu")
    assert done.returncode == 0 and "calibration error" in done.stdout, done.stderr
    scorer = Scorer.load(tmp_path / "loud", device="cpu")
    assert scorer.scale["loud"][0] != 1.0 and .5 < scorer.compare("What is 3 plus one?", "It is 4!!!", "It is 4.") <= 1


@pytest.mark.parametrize("name", ["dsp", "dsp-bases", "dsp-cpu", "dsp-cpu-smollm2"])
def test_studies_load(name):
    from custom_rm.core import recipe_path
    from custom_rm.study import read_study
    found = read_study(recipe_path(name, "study"))
    assert name == "dsp-bases" or {"base", "general", "plain"} <= set(found.strategies)
    assert len(found.cells()) > 20


@pytest.mark.parametrize("text, message", [("a: 1", "is no study"), ("recipe: {custom: {domains: [a], train: b}}\nstrategies: {x: {custom: {replya: 1}}}", "replya"), ("recipe: [", "is not YAML")])
def test_faults(custom_rm, tmp_path, text, message):
    (tmp_path / "wrong.yaml").write_text(text)
    done = custom_rm("study", tmp_path / "wrong.yaml", "--out", tmp_path / "out")
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def stored(tmp_path, monkeypatch):
    "A study with every cell measured, as version 0.1.0 left it"
    import shutil
    from custom_rm.study import read_study
    from custom_rm.tiny import tiny_preferences
    here = Path(__file__).parent / "stored_study"
    shutil.copytree(here / "cells", tmp_path / "out" / "cells")
    monkeypatch.chdir(tiny_preferences(tmp_path, train=40, test=20))
    return read_study(here / "study.yaml"), tmp_path / "out", json.loads((here / "summary.json").read_text())


def without_intervals(summary):
    "Intervals of accuracies that are all right are wider today (Wilson's) than version 0.1.0 gave them"
    if not isinstance(summary, dict): return summary
    return {k: without_intervals(v) for k, v in summary.items() if k not in ("low", "high")}


def test_stored_cells_are_still_read(stored):
    from custom_rm.study import run_study
    from custom_rm.summary import summarize
    study, folder, summary = stored
    said = []
    assert len(run_study(study, folder, device="cpu", report=said.append)) == 28 and not said, said[:1]
    new = json.loads(json.dumps(summarize(study, folder)))
    assert without_intervals({k: new[k] for k in summary}) == without_intervals(summary)


def test_a_loss_that_is_added_makes_no_cell_stale(stored, monkeypatch):
    from custom_rm.losses import LOSSES, Loss
    from custom_rm.study import read_study, run_study
    monkeypatch.setitem(LOSSES, "shrinking", Loss(lambda rewards, scores, anchors: rewards.nan_to_num().square().sum(), "lists", "-"))
    _, folder, _ = stored
    study, said = read_study(Path(__file__).parent / "stored_study" / "study.yaml"), []
    run_study(study, folder, device="cpu", report=said.append)
    assert not said
    study.recipe["custom"]["shrinking"] = 0.1
    run_study(study, folder, only=["plain loud 0"], budget_minutes=0, device="cpu", report=said.append)
    assert "was measured with other settings" in said[0]


def test_a_changed_setting_makes_its_cells_stale(stored):
    from custom_rm.study import run_study
    study, folder, _ = stored
    study.recipe["custom"]["batch_size"] = 8
    said = []
    run_study(study, folder, only=["plain loud 0"], budget_minutes=0, device="cpu", report=said.append)
    assert "was measured with other settings" in said[0]
