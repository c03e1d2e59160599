"Validation and test kept apart: whatever chooses is run where test files can't be opened, and again where they are gone or say the contrary; it must choose the same."
import json
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

root = Path(__file__).parent.parent
IS_TEST = re.compile(r"\.test\.jsonl?(\.gz)?$")
_guard = dict(on=False)


def _watch(event, args):
    "Every file that is opened passes here"
    if _guard["on"] and event == "open" and isinstance(args[0], (str, bytes, Path)) and IS_TEST.search(str(args[0])): raise AssertionError(f"a choice opened {Path(str(args[0])).name}")


sys.addaudithook(_watch)


@contextmanager
def no_test_file():
    "Here nobody may open a test file"
    _guard["on"] = True
    try: yield
    finally: _guard["on"] = False


def contrary(path: Path) -> None:
    "A file of records, or of answers by reader, that says the opposite"
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.read_text()[:1] != "[" else json.loads(path.read_text())
    for row in rows:
        if "score" in row: row["score"] = row["score"][::-1]
        else: row["responses"] = dict(zip(row["responses"], list(row["responses"].values())[1:] + list(row["responses"].values())[:1]))
    path.write_text("\n".join(map(json.dumps, rows)))


def three_ways(folder: Path, choose):
    "What is chosen under the guard, with test files that say the contrary, and with none"
    tests = [p for p in folder.iterdir() if IS_TEST.search(p.name)]
    assert tests, "nothing to poison"
    with no_test_file(): made = [choose("guarded")]
    for path in tests: contrary(path)
    made.append(choose("contrary"))
    for path in tests: path.write_text("this is no record")
    made.append(choose("broken"))
    return made


@pytest.fixture
def tiny(tmp_path):
    "General pairs and two readers' answers about small sums, and a tiny base"
    from custom_rm.tiny import sum_text, tiny_base, tiny_preferences
    tiny_preferences(tmp_path, train=24, test=12)
    tiny_base(tmp_path / "tiny", [sum_text(i, "Yes!!! No...") for i in range(9)])
    return tmp_path


def test_the_guard_sees(tiny):
    "The test of the test: a choice that reads a test file fails, by whatever door"
    from custom_rm.records import load_records
    path = next(p for p in tiny.iterdir() if p.name.startswith("general.test"))
    with no_test_file():
        for read in (lambda: path.read_text(), lambda: open(path, "rb"), lambda: load_records(path)):
            with pytest.raises(AssertionError, match="a choice opened general.test.json"): read()
    assert path.read_text()


def recipe(folder, **groups):
    from custom_rm.recipes import fill_settings, Recipe
    given = dict(name="r", base=dict(name=str(folder / "tiny"), pooling="mean", max_length=64, quantize=False), validation=.25,
                 general=dict(train={"sums": str(folder / "general.train.json")}, test={"sums": str(folder / "general.test.json")}, method="head"),
                 custom=dict(domains=["loud", "quiet"], train=str(folder / "domains.train.json"), test=str(folder / "domains.test.json"), method="head", words=True))
    return fill_settings(Recipe, {k: given.get(k, {}) | groups.get(k, {}) if isinstance(given.get(k), dict) else groups.get(k, given.get(k)) for k in {**given, **groups}}, "")


def test_strengths_of_heads(tiny, own_cache):
    "A run of heads and words: strengths, weights and what is watched come out of training files alone"
    from custom_rm.artefact import read_card
    from custom_rm.stages import Run
    def trained(name):
        run = Run(recipe(tiny), tiny / name, "cpu", lambda line: None)
        run.train()
        return {stage: (lambda card: (card["weights_sha256"], card.get("head"), card.get("counts")))(read_card(tiny / name / stage)) for stage in ("general", "loud", "quiet")}
    made = three_ways(tiny, trained)
    assert made[0] == made[1] == made[2]


def test_alpha(tiny):
    "How far to go is chosen on the records that are given, and on nothing that lies beside them"
    from custom_rm.blend import choose_alpha
    from custom_rm.model import RewardModel
    from custom_rm.records import load_records
    from custom_rm.stages import domain_records
    import torch
    rm = RewardModel(tiny / "tiny", False, device="cpu", max_length=64).add_adapter("general").add_adapter("loud")
    torch.manual_seed(0)
    for name in ("general", "loud"): rm.set_weights(name, {k: torch.randn_like(w) for k, w in rm.weights(name).items()})
    def chosen(name):
        (tiny / name).mkdir()
        domain = domain_records(str(tiny / "domains.train.json"), "loud", tiny / name, None, "dsp").select(range(10))
        return choose_alpha(rm, "general", "loud", domain, {"sums": load_records(tiny / "general.train.json").select(range(10))}, alphas=(0., .5, 1.))
    made = three_ways(tiny, chosen)
    assert made[0] == made[1] == made[2] and len(made[0][1]) == 3


def flipped(cell: dict) -> dict:
    "A cell whose test figures say the contrary"
    def turned(figures): return figures | dict(right=figures["right"].translate(str.maketrans("01", "10")), accuracy=1 - figures["accuracy"], ece=1 - figures["ece"])
    return cell if "failed" in cell else cell | dict(test={name: turned(f) for name, f in cell["test"].items()})


@pytest.fixture
def stored(tmp_path, monkeypatch):
    "A study with every cell measured"
    import shutil
    from custom_rm.study import read_study
    from custom_rm.tiny import tiny_preferences
    here = root / "tests" / "stored_study"
    shutil.copytree(here / "cells", tmp_path / "out" / "cells")
    monkeypatch.chdir(tiny_preferences(tmp_path, train=40, test=20))
    return read_study(here / "study.yaml"), tmp_path / "out"


def test_recommended(stored):
    "A study recommends by validation: with test figures that say the contrary it recommends the same, and its figures show them"
    from custom_rm.summary import read_cells, recommend, study_questions, summarize
    study, folder = stored
    before = summarize(study, folder)
    cells, questions = read_cells(study, folder), study_questions(study, folder)
    rightly = recommend(cells, questions)
    assert rightly == before["recommended"] == recommend([flipped(c) for c in cells], questions)
    assert rightly == recommend([c | dict(test={}) for c in cells if "failed" not in c], questions)
    for path in (folder / "cells").glob("*.json"): path.write_text(json.dumps(flipped(json.loads(path.read_text()))))
    after = summarize(study, folder)
    assert after["recommended"] == before["recommended"] and after["validation"] == before["validation"] and after["points"] != before["points"]
    worse = [c | dict(validation=flipped(dict(test=c["validation"]))["test"]) if c["strategy"] == rightly else c for c in cells]
    assert recommend(worse, questions) != rightly, "validation figures decide"


def test_temperature(stored):
    "A cell's scale is fitted to validation pairs; rewards of test pairs may be anything"
    from custom_rm.study import cell_temperature
    rng = np.random.default_rng(0)
    records = [dict(text=["a", "b"], score=[1., 0.])] * 30
    rewards = {("validation", "loud"): rng.normal([1, 0], 1, (30, 2)).tolist(), ("test", "loud"): [[float("nan")] * 2] * 30}
    sets = {key: records for key in rewards}
    alone = {key: value for key, value in rewards.items() if key[0] == "validation"}
    assert cell_temperature(rewards, sets, "loud") == cell_temperature(alone, {k: sets[k] for k in alone}, "loud") != 1.


# bench/ledger.py

@pytest.fixture
def ledger(monkeypatch, tmp_path):
    "The script with three depths of a tiny base, two readers and few ideas"
    monkeypatch.syspath_prepend(str(root / "bench"))
    import ledger, read
    for module in (ledger, read):
        monkeypatch.setattr(module, "DEPTHS", [0, 1, 2])
        monkeypatch.setattr(module, "DOMAINS", ["loud", "quiet"])
    monkeypatch.setattr(ledger, "IDEAS", {})
    ledger.add("[1]", ledger.heads("[1]"), "", "one", "-")
    ledger.add("[2]", ledger.heads("[2]"), "[1]", "two", "-")
    ledger.add("words", ledger.words_alone, "[1]", "words", "-")
    ledger.add("beside", ledger.together("[1]", "words"), "[1]", "both", "-", False)
    ledger.add("joint", ledger.joint("[1]", ledger.own_pairs, ledger.whose, ledger.strangers, classes=1, strengths=(100., 10.)), "[1]", "joint", "-")
    ledger.add("bag of words", ledger.bag_of_words, "[1]", "floor", "-")
    yield ledger
    for name in ("ledger", "read"): sys.modules.pop(name, None)


def asked(ledger, folder, name, part="domains"):
    from types import SimpleNamespace
    ledger.MADE.clear()
    ledger.KEPT = None
    return SimpleNamespace(base=str(folder / "tiny"), max_length=64, only=[], compute=False, out=folder / f"{name}.json", part=part)


def test_ledger(ledger, tiny, own_cache, monkeypatch):
    "Ideas are measured and chosen on training questions; only `final` opens the test file"
    monkeypatch.setenv("CUSTOM_RM_DATA", str(tiny))
    monkeypatch.setattr(ledger, "domain_data", lambda *a, beside=True, data=ledger.domain_data, **k: data(*a, beside=False, **k))
    del ledger.IDEAS["joint"] # slow, and looked at below
    for part in ("train", "test"): (tiny / f"domains.{part}.json").rename(tiny / f"domain_specific_preference.{part}.json")
    def chosen(name):
        ledger.measure_domains(asked(ledger, tiny, name))
        made = json.loads((tiny / f"{name}.json").read_text())
        return [{k: v for k, v in line.items() if k != "seconds"} for line in made["heads"]], made["choice"], made["recipe"], made["luck"]
    test_file = tiny / "domain_specific_preference.test.json"
    saved = test_file.read_text()
    made = three_ways(tiny, chosen)
    assert made[0] == made[1] == made[2] and len(made[0][0]) == len(ledger.IDEAS)
    with no_test_file(), pytest.raises(AssertionError, match="a choice opened"): ledger.measure_final(asked(ledger, tiny, "guarded"))
    test_file.write_text(saved)
    ledger.measure_final(asked(ledger, tiny, "guarded"))
    final = json.loads((tiny / "guarded.json").read_text())["final"]
    assert final["recipe"]["name"] == made[0][2] and final["recipe"]["mean"]["n"] == 2 * 2 * 12


def test_held_back_answers_teach_nothing(ledger):
    "An idea's rewards of a fold are the same whoever is preferred in it"
    from scipy.sparse import csr_matrix
    rng = np.random.default_rng(0)
    n = 40
    begins, features = np.arange(0, 3 * n + 1, 3), {"[1]": rng.normal(size=(3 * n, 6)), "[2]": rng.normal(size=(3 * n, 6)), "length": rng.normal(size=(3 * n, 1))}
    words = csr_matrix((rng.random((3 * n, 30)) < .2).astype(np.float32))
    def data(turn):
        "Loud prefers a question's first text, quiet its second; in fold 0 both turn round where `turn` says so"
        pairs = {}
        for k, reader in enumerate(("loud", "quiet")):
            q = np.repeat(np.arange(n), 2)
            better, worse = 3 * q + k, 3 * q + np.tile([j for j in range(3) if j != k], n)
            flip = np.isin(q, np.flatnonzero(fold == 0)) & turn
            pairs[reader] = np.where(flip, worse, better), np.where(flip, better, worse), q
        made = ledger.Data(features, words, begins, pairs)
        made.texts = [f"word{i % 7} word{i % 3}" for i in range(3 * n)]
        made.records = [{r: (list(range(3)), [float(j == k) for j in range(3)]) for k, r in enumerate(("loud", "quiet"))} for _ in range(n)]
        return made
    fold = ledger.Data(features, words, begins, {}).fold
    def rewards(turn):
        ledger.MADE.clear()
        one = data(turn)
        return {name: ledger.result(one, name, np.flatnonzero(fold != 0))[0] for name in ledger.IDEAS}
    plain, turned = rewards(False), rewards(True)
    for name in plain: assert np.array_equal(plain[name], turned[name]), name


def test_choose_follows_what_is_kept(ledger):
    def line(name, against, passed, surprise, available=True): return dict(name=name, against=against, passed=passed, surprise=surprise, available=available)
    lines = [dict(name="a", surprise=.5), line("b", "a", True, .4), line("c", "a", True, .3, False), line("d", "c", False, .1), line("e", "b", True, .35), line("f", "x", True, .1)]
    assert ledger.choose(lines) == ["a", "c"] and ledger.choose(lines, True) == ["a", "b", "e"]


def test_the_committed_ledger_chose_so(monkeypatch):
    "The stored choice follows from the stored lines, and no line of it was measured on a test file"
    path = root / "results" / "study" / "ledger.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    monkeypatch.syspath_prepend(str(root / "bench"))
    import ledger
    assert ledger.choose(stored["heads"])[-1] == stored["choice"] and ledger.choose(stored["heads"], True)[-1] == stored["recipe"]
    for line in [*stored["heads"], *stored.get("general", [])]:
        assert "training questions" in line["measured"]
        if "against" in line: assert line["passed"] == ledger.passes([line["effect"], line["low"], line["high"]], line["surprise_effect"])
    for key in ("recipe", "choice"):
        if "final" in stored: assert stored["final"][key]["name"] == stored[key]
