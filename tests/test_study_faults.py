"Studies, recipes and benchmarks as strangers leave them: what can't be meant is refused in a line, and what is damaged is made anew."
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from custom_rm.core import DataError

here = Path(__file__).parent
DATA = {"general": {"train": {"sums": "g.train.json"}, "test": {"sums": "g.test.json"}},
        "custom": {"domains": ["loud", "quiet"], "train": "d.train.json", "test": "d.test.json"}, "validation": 0.2}


def made(strategies="{plain: , general: {measure: general}}", more="", **recipe):
    from custom_rm.study import make_study
    given = yaml.safe_load(f"strategies: {strategies}\n{more}")
    return make_study({"recipe": DATA | recipe} | given, "mine")


# A study's file

@pytest.mark.parametrize("seeds, words", [("[0, 0]", "0 twice"), ("3", "give a list"), ("'01'", "give a list"), ("[true]", "whole numbers"), ("[1.0]", "whole numbers"), ("", "give a list"), ("[]", "empty")])
def test_seeds_that_are_none(seeds, words):
    with pytest.raises(DataError, match=words): made(more=f"seeds: {seeds}")


def test_a_seed_typed_twice():
    with pytest.raises(DataError, match="5 twice"): replace(made(), seeds=[5, 5])


STRATEGIES = {"{x: {measure: genral}}": "choose base, general or custom", "{x: {measure: }}": "choose base, general or custom", "[plain]": "strategies is", "{}": "strategies is", "": "strategies is",
    "{no: }": "put it in quotes", "{1: }": "put it in quotes", "{x: 3}": "give the settings that it changes", "{x: {custom: {replay: []}}}": "an empty list",
    "{x 0.1: , x: {custom: {replay: [0.1, 0.2]}}}": "another strategy named 'x 0.1'", "{plain: , x: {custom: {domains: []}}}": "name at least one", "{x: {seeds: [5]}}": "one for the whole study", "{x: {name: y}}": "one for the whole study"}

@pytest.mark.parametrize("strategies", STRATEGIES)
def test_strategies_that_are_none(strategies):
    with pytest.raises(DataError, match=STRATEGIES[strategies]): made(strategies)


@pytest.mark.parametrize("changes", ["custom: {test_rows: 3}", "custom: {test: other.json}", "general: {test: {}}", "general: {rows: [3, 9]}", "custom: {train: other.json}", "validation: 0.3"])
def test_strategies_are_measured_on_the_same_pairs(changes):
    with pytest.raises(DataError, match="compared on the same pairs"): made(f"{{plain: , x: {{{changes}}}}}")


def test_what_strategies_may_change():
    assert set(made("{plain: , x: {custom: {rows: [3, 9], epochs: 1}, base: {max_length: 64}}, empty: {custom: }}").strategies) == {"plain", "x 3", "x 9", "empty"}
    assert len(made("{general: {measure: [base, general]}, one: {custom: {domains: [loud]}}, both: }").cells()) == 7


def test_a_choice_needs_something_to_choose_on():
    with pytest.raises(DataError, match="set recipe.validation"): made("{plain: , x: {custom: {blend: 1}}}", validation=0)
    assert made("{plain: , general: {measure: general}}", validation=0).cells(), "one strategy is no choice"
    with pytest.raises(DataError, match="'loud' names both"): made(general={"train": {"loud": "g.train.json"}})
    with pytest.raises(DataError, match="no general stage"): made(general={}, custom=DATA["custom"] | {"replay": 0})


def test_seeds_of_a_recipe_are_the_studys():
    assert made(seeds=[0, 1]).seeds == [0, 1] and made(more="seeds: [2]").seeds == [2]
    with pytest.raises(DataError, match="recipe.seeds and seeds differ"): made(more="seeds: [2]", seeds=[0, 1])


@pytest.mark.parametrize("verb, text", [("study", "recipe: {}\nstrategies:\n  a: {custom: {blend: 1}}\n  a: {custom: {blend: 0.5}}"), ("train", "custom:\n  epochs: 3\n  rows: 5\n  epochs: 1\n")])
def test_a_name_that_stands_twice(tmp_path, verb, text, custom_rm):
    (tmp_path / "twice.yaml").write_text(text)
    done = custom_rm(verb, tmp_path / "twice.yaml", "--out", tmp_path / "out")
    assert done.returncode == 2 and "line 4" in done.stderr and "twice; keep one" in done.stderr and done.stderr.count("\n") == 1


def test_yaml_that_repeats_in_other_places(tmp_path):
    from custom_rm.recipes import read_yaml
    text = "a: &shared {x: 1, y: [1, 1]}\nb: {x: 1}\nc: {<<: *shared, x: 2}\nd: *shared\n"
    (tmp_path / "fine.yaml").write_text(text)
    assert read_yaml(tmp_path / "fine.yaml") == yaml.safe_load(text)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml") is None


# What lies in a study's folder

@pytest.fixture
def stored(tmp_path, monkeypatch):
    "A study with every cell measured"
    from custom_rm.study import read_study
    from custom_rm.tiny import tiny_preferences
    shutil.copytree(here / "stored_study" / "cells", tmp_path / "out" / "cells")
    monkeypatch.chdir(tiny_preferences(tmp_path, train=40, test=20))
    return read_study(here / "stored_study" / "study.yaml"), tmp_path / "out"


HARMS = {"cut": lambda p: p.write_text(p.read_text()[:90]), "empty": lambda p: p.write_text(""), "a list": lambda p: p.write_text("[]"), "no text": lambda p: p.write_bytes(b"\xff\xfe\x00"),
    "without figures": lambda p: p.write_text(json.dumps({k: v for k, v in json.loads(p.read_text()).items() if k != "test"})),
    "another cell's": lambda p: shutil.copy(p.with_name("plain--quiet--0.json"), p)}

@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_cell_is_one_to_be_measured(stored, harm):
    from custom_rm.study import stored_cell
    from custom_rm.summary import read_cells
    study, folder = stored
    path, whole = folder / "cells" / "plain--loud--0.json", len(read_cells(study, folder))
    HARMS[harm](path)
    assert stored_cell(study, ("plain", "loud", 0), folder) == (None, False)
    assert len(read_cells(study, folder)) == whole - 1


def test_a_copy_of_a_cell_counts_once(stored):
    from custom_rm.summary import read_cells
    study, folder = stored
    whole = len(read_cells(study, folder))
    shutil.copy(folder / "cells" / "plain--loud--0.json", folder / "cells" / "plain--loud--0 (copy).json")
    assert len(read_cells(study, folder)) == whole


def test_seeds_that_were_taken_out_are_told(stored):
    from custom_rm.summary import study_table, summarize
    study, folder = stored
    named = sorted({cell[2] for cell in study.cells()})
    assert "does not name" not in study_table(summarize(study, folder))
    fewer = summarize(replace(study, seeds=named[:1]), folder)
    assert fewer["other_seeds"] == named[1:] and "does not name" in study_table(fewer)


@pytest.mark.parametrize("text", ["", "{\"longer\": {\"lo", "[]", "{\"longer\": 3, \"bag_of_words\": {\"loud\": null}, \"judge\": {\"loud\": {}}}"])
def test_damaged_floors_are_measured_anew(stored, text):
    from custom_rm.study import study_floors
    study, folder = stored
    whole = study_floors(study, folder)
    (folder / "floors.json").write_text(text)
    assert study_floors(study, folder, report=lambda line: None) == whole


@pytest.mark.parametrize("text", ["", " ", "one a1b2", "\0\0"])
def test_a_damaged_mark_is_a_first_try(tmp_path, text):
    from custom_rm.study import count_try
    (tmp_path / "a.begun").write_text(text)
    assert [count_try(tmp_path / "a.begun", "a1b2") for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(p.read_bytes()[:20]), lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-4]), lambda p: np.save(p, np.zeros(3))])
def test_damaged_rewards_are_computed_anew(tmp_path, monkeypatch, harm):
    from types import SimpleNamespace as Some
    from custom_rm import study
    monkeypatch.setattr(study, "score_texts", lambda rm, texts, names, tell: [np.arange(len(texts)) + 1.])
    monkeypatch.setattr(study, "model_hash", lambda rm, name: "a")
    trained = study.Trained(Some(rm=None, folder=tmp_path / "run"), "a", ["a"], [])
    first = study.kept_rewards(trained, ["one", "two"], tmp_path)
    harm(next((tmp_path / "rewards").iterdir()))
    assert (study.kept_rewards(trained, ["one", "two"], tmp_path) == first).all()


@pytest.mark.parametrize("harm", [lambda p: p.write_text(p.read_text()[:50]), lambda p: p.write_text("")])
def test_a_damaged_general_artefact_is_made_anew(place, tmp_path, harm):
    from custom_rm.artefact import read_card
    from custom_rm.study import cell_run, make_study, share_general
    custom = {"domains": ["loud"], "train": str(place / "domains.train.json")}
    recipe = {"base": {"name": str(place / "tiny"), "quantize": False, "max_length": 64}, "lora": {"rank": 2}, "general": {"train": {"sums": str(place / "general.train.json")}, "rows": 8}, "custom": custom}
    study = make_study({"recipe": recipe, "strategies": {"plain": None}}, "s")
    def share():
        run = cell_run(study, ("plain", "loud", 0), tmp_path, "cpu", lambda line: None)
        share_general(study.recipe_of("plain"), run, tmp_path)
        return run.folder / "general" / "reward_model.json"
    card = share()
    weights = read_card(card.parent)["weights_sha256"]
    for path in tmp_path.glob("runs/*/general/reward_model.json"): harm(path)
    assert read_card(share().parent)["weights_sha256"] == weights


# What a study says

def cell(strategy, domain, right, **more):
    sets = {domain: dict(accuracy=.5, low=.4, high=.6, n=len(right), ece=0., ece_scaled=0., same_length=[None, 0], right=right)}
    return dict(strategy=strategy, domain=domain, seed=0, measure="custom", general_sets=["sums"], test=sets, validation={}, seconds=1.) | more


def test_a_difference_is_of_the_same_sets():
    from custom_rm.summary import paired
    questions = {"test": {"loud": [0, 0, 1, 1], "quiet": [2, 2, 3, 3]}}
    with pytest.raises(DataError, match="not measured on the same sets"): paired([cell("a", "loud", "1100")], [cell("b", "quiet", "1111")], questions)
    assert paired([cell("a", "loud", "1100")], [cell("b", "loud", "1111")], questions)["difference"] == -.5


def test_cells_of_other_pairs_are_refused():
    from custom_rm.summary import accuracy_point
    with pytest.raises(DataError, match="kept 6 pairs and the study's files have 4"): accuracy_point([cell("a", "loud", "110011")], {"test": {"loud": [0, 0, 1, 1]}})


def test_questions_that_are_not_known_are_not_one_question():
    from custom_rm.summary import pair_questions
    data = [dict(text=[f"yes {i}", f"no {i}"], score=[1, 0], prompt="") for i in range(3)]
    number = {}
    assert pair_questions(data, number) == [0, 1, 2] and pair_questions(data[:1], number) == [3]


def test_fewer_seeds_are_not_compared():
    "One lucky seed beats nobody who ran with two; it can win when it has as many"
    from custom_rm.summary import recommend
    questions = dict.fromkeys(("test", "validation"), {"loud": [0, 0, 1, 1]})
    def chosen(*args, **more): return (lambda made: made | dict(validation=made["test"]))(cell(*args, **more))
    both = [chosen("steady", "loud", "1110", seed=0), chosen("steady", "loud", "1110", seed=1), chosen("lucky", "loud", "1111", seed=0)]
    assert recommend(both, questions) == "steady"
    assert recommend([*both, chosen("lucky", "loud", "1111", seed=1)], questions) == "lucky" == recommend(both[2:], questions)


def test_a_study_may_name_what_it_recommends(stored):
    "Then no figure chooses, and the summary says where the choice was made; a name that nothing has measured yet is left to validation"
    from custom_rm.summary import study_table, summarize
    study, folder = stored
    chosen = summarize(study, folder)
    other = next(s for s in chosen["points"] if study.measured(s) == "custom" and s != chosen["recommended"])
    named = summarize(replace(study, recommended=other), folder)
    assert (chosen["chosen"], named["chosen"], named["recommended"]) == ("on validation", "in the study's file", other)
    assert named["points"] == chosen["points"] and f"{other}" in next(line for line in study_table(named).splitlines() if "recommended, chosen in the study's file" in line)
    assert summarize(replace(study, recommended="not measured yet"), folder)["recommended"] == chosen["recommended"]


@pytest.mark.parametrize("key", ["recommended", "plain"])
@pytest.mark.parametrize("name", ["plian", "general", 3, None])
def test_what_a_study_names_is_a_strategy(key, name):
    from custom_rm.study import make_study
    recipe = dict(general=dict(train=dict(sums="a.json")), custom=dict(domains=["loud"], train="b.json"), validation=.1)
    given = dict(recipe=recipe, strategies=dict(general=dict(measure="general"), plain=None, both=dict(custom=dict(epochs=2.0))))
    assert getattr(make_study(given | {key: "both"}, "x"), key) == "both"
    with pytest.raises(DataError, match=f"{key}: .* is no strategy that customizes; those are plain, both"): make_study(given | {key: name}, "x")


def test_nothing_is_recommended_without_validation():
    from custom_rm.summary import recommend
    both = [cell("a", "loud", "1100"), cell("b", "loud", "1111")]
    with pytest.raises(DataError, match="no validation pair"): recommend(both, {"test": {"loud": [0, 0, 1, 1]}, "validation": {}})
    assert recommend(both[:1], {"test": {"loud": [0, 0, 1, 1]}, "validation": {}}) == "a"


def test_lines_of_cells_without_a_test_or_a_general_set():
    from custom_rm.study import cell_line, cells_table
    one = cell("a", "loud", "1100")
    half = one | dict(test={"sums": one["test"]["loud"]}, validation=one["test"])
    none = one | dict(test={}, validation={})
    assert [cell_line(c).strip() for c in (one, half, none)] == ["loud 50.0 [40, 60], 1 s", "loud 50.0 [40, 60], general 50.0, 1 s", "loud –, 1 s"]
    assert cells_table([one, half, none]).row_count == 1


# Files given twice, and benchmarks

def test_one_training_file_may_serve_two_sets(finished, home, custom_rm, tmp_path):
    "and the bag of words of each set is learned from its own"
    folder, *_ = finished
    for name in "abc": shutil.copy(home / "general.test.json", tmp_path / f"{name}.json")
    train, other = home / "general.train.json", tmp_path / "other.json"
    other.write_text("\n".join(json.dumps({"text": [f"## Human:\nQ{i}\n\n## Assistant:\n{a}" for a in ("No idea.", "It is 3.")], "score": [1, 0]}) for i in range(9)))
    done = custom_rm("evaluate", folder / "general", *(tmp_path / f"{n}.json" for n in "abc"), "--train", train, "--train", train, "--train", other, "--json", tmp_path / "out.json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    bags = json.loads((tmp_path / "out.json").read_text())["floors"]["bag_of_words"]
    assert list(bags) == ["a", "b", "c"] and bags["a"]["accuracy"] == bags["b"]["accuracy"] == 1 and bags["c"]["accuracy"] < .5
    done = custom_rm("evaluate", folder / "general", tmp_path / "a.json", tmp_path / "a.json", "--device", "cpu")
    assert done.returncode == 2 and "given twice" in done.stderr and done.stderr.count("\n") == 1


def test_rewardbench_2_without_its_counts(tmp_path):
    from custom_rm.benchmarks import read_benchmark
    row = dict(id="1", prompt="Add 1.", chosen=["2"], rejected=["3", "4", "5"], subset="Math")
    nine = dict(id=1, prompt="Add 1.", chosen=["2", "Two.", "**2**"], rejected=["3", "Three.", "**3**"], domain="math", subset="algebra")
    for kind, given in (("rewardbench-2", row), ("rm-bench", nine)):
        (tmp_path / "file.jsonl").write_text(json.dumps(given))
        assert read_benchmark(tmp_path / "file.jsonl")[0] == kind


def test_spellings_of_a_question_are_one_question():
    "in capitals and white space, for the intervals of a set as for a split"
    from custom_rm.metrics import measure
    from custom_rm.summary import pair_questions
    asked = ["What is it?", "what is  it?", " What is it? ", "Why?"]
    assert measure([[1., 0.]] * 4, [[1, 0]] * 4, asked)["questions"] == 2
    assert measure([[1., 0.]] * 4, [[1, 0]] * 4, ["", "", None, "Why?"])["questions"] == 4, "what is not known is not one question"
    assert pair_questions([dict(text=["yes", "no"], score=[1, 0], prompt=q) for q in asked], {}) == [0, 0, 0, 1]
