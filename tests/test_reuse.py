"One thing is changed between two runs: what depends on it is made anew or refused in one line, what doesn't is taken as it is."
import json
import shutil
from pathlib import Path

import pytest

from custom_rm.artefact import read_card
from custom_rm.core import DataError
from custom_rm.recipes import Recipe, fill_settings
from custom_rm.records import read_json, write_json
from custom_rm.runs import _still_hold, run_recipe
from custom_rm.stages import Run
from custom_rm.tiny import sum_text, tiny_base, tiny_preferences

HOW = dict(apart=dict(start="base", replay=.5), joint=dict(sharing="joint"), pooled=dict(sharing="pooled"))


def prepare(folder):
    "A base and small sums: two general training sets, and each domain in files of its own"
    from custom_rm.convert import from_dsp
    tiny_base(folder / "base", [sum_text(i, "It is.") for i in range(9)])
    tiny_preferences(folder, 16, 6)
    pairs = [record for _, record in read_json(folder / "general.train.json")]
    for name, part in (("sums", pairs[:8]), ("more", pairs[8:])): write_json(folder / f"{name}.json", part)
    for part in ("train", "test"):
        for domain in ("loud", "quiet", "normal"):
            write_json(folder / f"{domain}.{part}.json", from_dsp(read_json(folder / f"domains.{part}.json"), domain))
    shutil.copy(folder / "general.test.json", folder / "again.test.json")
    return folder


def recipe(folder, how, **changes):
    "A recipe; settings are named group__setting"
    given = dict(name="run", base=dict(name=str(folder / "base"), max_length=64, quantize=False), lora=dict(rank=2, alpha=4),
                 general=dict(train=dict(sums=f"{folder}/sums.json", more=f"{folder}/more.json"), test=dict(sums=f"{folder}/general.test.json"), batch_size=8),
                 custom=dict(domains=["loud", "quiet"], train=f"{folder}/{{domain}}.train.json", test=f"{folder}/{{domain}}.test.json", batch_size=8, **dict(epochs=1, sharing="apart", replay=0, blend=1) | HOW[how]))
    for name, value in changes.items():
        group, _, key = name.rpartition("__")
        (given[group] if group else given)[key] = value
    return fill_settings(Recipe, given, "")


def run(made, folder, **more):
    "Train and measure; what was said, and the figures"
    lines = []
    return lines, run_recipe(made, folder, "cpu", lines.append, **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "Runs of three kinds, and what they were made from, to be copied"
    home = prepare(tmp_path_factory.mktemp("reuse"))
    with pytest.MonkeyPatch.context() as patch: # drawing takes longer than training here
        patch.setattr("custom_rm.runs.save_figures", lambda report, histories, names, folder: [])
        for how in HOW: run(recipe(home, how), home / "runs" / how)
        yield home


@pytest.fixture
def copied(finished, tmp_path, monkeypatch):
    "The finished runs, their data and their base where they were, to be changed; put back afterwards"
    shutil.copytree(finished, tmp_path / "kept")
    yield finished
    for path in finished.iterdir(): shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(tmp_path / "kept", finished, dirs_exist_ok=True)


def edit(name, old="It is", new="It was"): return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


def swap(*names):
    def swapped(folder):
        one, two = ((folder / name).read_text() for name in names)
        (folder / names[0]).write_text(two)
        (folder / names[1]).write_text(one)
    return swapped


def other_base(folder): tiny_base(folder / "base", [sum_text(i, "It is.") for i in range(9)], seed=7)
def rewrite(name, **new): return lambda folder: (folder / "base" / name).write_text(json.dumps(json.loads((folder / "base" / name).read_text()) | new))


def reversed_sets(folder): return dict(general__train=dict(more=f"{folder}/more.json", sums=f"{folder}/sums.json"))
def twice(folder): return dict(general__train=dict(sums=f"{folder}/sums.json", more=f"{folder}/more.json", again=f"{folder}/more.json"))
def renamed(folder): return dict(general__train=dict(other=f"{folder}/sums.json", more=f"{folder}/more.json"))
def moved(folder):
    shutil.copy(folder / "sums.json", folder / "moved.json")
    return dict(general__train=dict(sums=f"{folder}/moved.json", more=f"{folder}/more.json"))


ALL, BOTH = {"general", "loud", "quiet"}, {"loud", "quiet"}
CASES = [ # what changes; settings; the stages that no longer hold by themselves, in three kinds of runs; do the figures still hold?
    ("nothing", None, {}, (set(), set(), set()), True),
    ("the base's weights", other_base, {}, (ALL, ALL, ALL), True),
    ("the base's tokenizer", rewrite("tokenizer_config.json", padding_side="left"), {}, (ALL, ALL, ALL), True),
    ("the base's config.json", rewrite("config.json", rms_norm_eps=1e-3), {}, (ALL, ALL, ALL), True),
    ("who wrote config.json", rewrite("config.json", transformers_version="1.0"), {}, (set(), set(), set()), True),
    ("a general file", edit("more.json"), {}, (ALL, {"general"}, {"general"}), True),
    ("a domain's file", edit("loud.train.json"), {}, ({"loud"}, BOTH, BOTH), True),
    ("two domains' files exchanged", swap("loud.train.json", "quiet.train.json"), {}, (BOTH, BOTH, BOTH), True),
    ("two general files exchanged", swap("sums.json", "more.json"), {}, (ALL, {"general"}, {"general"}), True),
    ("the order of general sets", None, reversed_sets, (ALL, {"general"}, {"general"}), True),
    ("a file named twice", None, twice, (ALL, {"general"}, {"general"}), True),
    ("a moved file", None, moved, (set(), set(), set()), False),
    ("the name of a general set", None, renamed, (set(), set(), set()), False), # its floor has it
    ("the order of domains", None, dict(custom__domains=["quiet", "loud"]), (set(), BOTH, BOTH), True),
    ("a domain more", None, dict(custom__domains=["loud", "quiet", "normal"]), (set(), BOTH, BOTH), None),
    ("a domain less", None, dict(custom__domains=["loud"]), (set(), {"loud"}, {"loud"}), False),
    ("rows of the general sets", None, dict(general__rows=4), (ALL, {"general"}, {"general"}), True),
    ("rows of the domains", None, dict(custom__rows=4), (BOTH, BOTH, BOTH), True),
    ("the general rate", None, dict(general__learning_rate=1e-3), ({"general"}, {"general"}, {"general"}), True),
    ("the rate of the domains", None, dict(custom__learning_rate=1e-3), (BOTH, BOTH, BOTH), True),
    ("the share of replay", None, dict(custom__replay=.25), (BOTH, BOTH, BOTH), True),
    ("the sharing", None, dict(custom__sharing="apart", custom__replay=0), (BOTH, BOTH, BOTH), True),
    ("the blend", None, dict(custom__blend=.5), (BOTH, BOTH, BOTH), True),
    ("the start", None, dict(custom__start="base", custom__replay=.25), (BOTH, BOTH, BOTH), True),
    ("a loss", None, dict(general__imitation=.1), ({"general"}, {"general"}, {"general"}), True),
    ("validation", None, dict(validation=.3), (ALL, ALL, ALL), True),
    ("the seed", None, dict(seeds=[3]), (ALL, ALL, ALL), True),
    ("max_length", None, dict(base__max_length=48), (ALL, ALL, ALL), True),
    ("4-bit", None, dict(base__quantize=True), (ALL, ALL, ALL), True),
    ("the template", None, dict(base__template="hh"), (ALL, ALL, ALL), True),
    ("layers", None, dict(base__layers=1), (ALL, ALL, ALL), True),
    ("frozen layers", None, dict(base__frozen=1), (ALL, ALL, ALL), True),
    ("the general method", None, dict(general__method="head", custom__head_rate=1), ({"general"}, {"general"}, {"general"}), True),
    ("the general method, the head's rate left open", None, dict(general__method="head"), ({"general"}, ALL, ALL), True), # apart begins with the base
    ("the head's rate", None, dict(custom__head_rate=3), (BOTH, BOTH, BOTH), True),
    ("the adapter's rank", None, dict(lora__rank=4), (ALL, ALL, ALL), True),
    ("what changes no weight", None, dict(general__token_budget=512, base__recompute=True, name="other"), (set(), set(), set()), True),
    ("a general test file", edit("general.test.json"), {}, (set(), set(), set()), False),
    ("a domain's test file", edit("loud.test.json"), {}, (set(), set(), set()), False),
    ("two domains' test files exchanged", swap("loud.test.json", "quiet.test.json"), {}, (set(), set(), set()), False),
    ("the name of a test set", None, lambda folder: dict(general__test=dict(renamed=f"{folder}/general.test.json")), (set(), set(), set()), False),
    ("a test set more", None, lambda folder: dict(general__test=dict(sums=f"{folder}/general.test.json", again=f"{folder}/again.test.json")), (set(), set(), set()), False),
    ("no test set", None, dict(general__test={}, custom__test=""), (set(), set(), set()), False),
    ("rows of the general test sets", None, dict(general__test_rows=3), (set(), set(), set()), False),
    ("rows of the domains' test sets", None, dict(custom__test_rows=3), (set(), set(), set()), False),
]


@pytest.mark.parametrize("what, change, settings, stale, figures", CASES, ids=[row[0] for row in CASES])
def test_what_depends_on_a_change(copied, what, change, settings, stale, figures):
    if change: change(copied)
    settings = settings(copied) if callable(settings) else settings
    for how, wanted in zip(HOW, stale):
        made, folder = recipe(copied, how, **settings), copied / "runs" / how
        if settings or wanted:
            with pytest.raises(DataError) as e: run(made, folder)
            line = str(e.value)
            assert "\n" not in line and "--again" in line and "--out" in line, line
        now = Run(made, folder, "cpu", again=True)
        cards = {stage: read_card(folder / stage) for stage in now.stages()[1:] if (folder / stage).exists()}
        assert {stage for stage, card in cards.items() if now.changes(stage, card)} == wanted, (how, what)
        measured = json.loads((folder / "metrics.json").read_text())
        if figures is not None: assert _still_hold(now, measured) == figures, (how, what)


@pytest.mark.parametrize("how, change, settings", [
    ("joint", None, dict(custom__domains=["loud", "quiet", "normal"])), ("pooled", None, dict(custom__domains=["normal", "loud", "quiet"])),
    ("apart", None, dict(custom__sharing="pooled", general__test=dict(renamed="{folder}/general.test.json"))),
], ids=["joint, a domain more", "pooled, a domain more", "shared and renamed"])
def test_made_anew_is_as_if_it_were_new(copied, monkeypatch, how, change, settings):
    "A run in an old folder, with --again, says and measures what one in a new folder does"
    if change: change(copied)
    from custom_rm.plots import save_figures
    if how == "apart" and settings: monkeypatch.setattr("custom_rm.runs.save_figures", save_figures)
    (copied / "runs" / how / "figures").mkdir(exist_ok=True)
    (copied / "runs" / how / "figures" / "reliability.png").write_text("of another recipe")
    settings = json.loads(json.dumps(settings).replace("{folder}", str(copied)))
    made, folder = recipe(copied, how, **settings), copied / "runs" / how
    (said, old), (fresh, new) = run(made, folder, again=True), run(made, copied / "runs" / "fresh")
    assert old["rms"] == new["rms"] and old["weights"] == new["weights"] and old["sets"] == new["sets"]
    taken = [line.split()[0] for line in said if "is there already" in line]
    assert taken == ["general"] * ("general" not in [line.split()[0] for line in said if "prefixes shared" in line]) + [line.split()[0] for line in fresh if "is there already" in line]
    assert any("trained and measured already" in line for line in run(made, folder)[0])
    pictures = {path.name for path in (folder / "figures").glob("*.png")}
    assert pictures == {path.name for path in (copied / "runs" / "fresh" / "figures").glob("*.png")}


def test_models_of_one_training_go_together(copied):
    "Where one of them is missing, all are made anew; before, the others were on the trunk already"
    for how in ("joint", "pooled"):
        before = json.loads((copied / "runs" / how / "metrics.json").read_text())
        shutil.rmtree(copied / "runs" / how / "quiet")
        lines, after = run(recipe(copied, how), copied / "runs" / how)
        assert after["weights"] == before["weights"] and any("made loud too, but quiet is not there" in line for line in lines)


def test_a_training_that_was_broken_off_begins_at_its_parent(copied, monkeypatch):
    "In the same process the adapter lies on the trunk half trained; no checkpoint was written yet"
    from custom_rm.trainer import RewardTrainer
    made, step, done = recipe(copied, "apart"), RewardTrainer.training_step, []
    def stopped(self, *rest):
        done.append(1)
        if len(done) == 2: raise KeyboardInterrupt
        return step(self, *rest)
    monkeypatch.setattr(RewardTrainer, "training_step", stopped)
    monkeypatch.setattr("custom_rm.trainer.RewardTrainer._save_checkpoint", lambda *rest: None)
    broken = Run(made, copied / "runs" / "broken", "cpu", report=lambda line: None)
    with pytest.raises(KeyboardInterrupt): broken.train_stage("general")
    done[:] = [0] * 9
    broken.train_stage("general")
    assert read_card(broken.folder / "general")["weights_sha256"] == read_card(copied / "runs" / "apart" / "general")["weights_sha256"]


def test_a_file_that_changes_while_a_model_learns_from_it(copied, monkeypatch):
    "The card says what was read, so the next call sees that the file is another"
    from custom_rm.trainer import RewardTrainer
    train = RewardTrainer.train
    monkeypatch.setattr(RewardTrainer, "train", lambda self, **more: (edit("more.json")(copied), train(self, **more))[1])
    made, folder = recipe(copied, "apart"), copied / "runs" / "changing"
    Run(made, folder, "cpu", report=lambda line: None).train_stage("general")
    with pytest.raises(DataError) as e: Run(made, folder, "cpu").train_stage("general")
    assert "more.json" in str(e.value) and "--again" in str(e.value)


def test_a_stage_asked_for_alone_has_its_parent(copied):
    "A customized stage that starts from the general model trains that first, in whatever order they are asked for"
    made = recipe(copied, "joint")
    alone = Run(made, copied / "runs" / "alone", "cpu", report=lambda line: None)
    alone.train_stage("quiet")
    for name in ("general", "loud", "quiet"):
        assert read_card(alone.folder / name)["weights_sha256"] == read_card(copied / "runs" / "joint" / name)["weights_sha256"]


def test_one_seed_and_several_are_two_recipes(copied):
    made, folder = recipe(copied, "apart", seeds=[0, 1]), copied / "runs" / "apart"
    with pytest.raises(DataError) as e: run(made, folder)
    assert "seeds differs" in str(e.value) and "--again" in str(e.value)
    measured = json.loads((folder / "metrics.json").read_text())
    one = Run(recipe(copied, "apart"), folder, "cpu")
    assert _still_hold(one, measured) and not _still_hold(one, measured | dict(seeds=[0, 1]))


def test_every_verb_that_says_again_has_it(custom_rm):
    for verb in ("train", "quickstart"): assert "--again" in custom_rm(verb, "--help").stdout


def test_other_weights_of_the_same_size_and_time(tmp_path):
    "As an archive unpacks them: the remembered hash is not taken for theirs"
    import os
    from custom_rm.fetch import fetch_model
    file, hashes = tiny_base(tmp_path / "base") / "model.safetensors", []
    for seed in (0, 1):
        tiny_base(tmp_path / "base", seed=seed)
        os.utime(file, (0, 0))
        hashes.append(fetch_model(tmp_path / "base").sha256)
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("frozen", [0, 1])
def test_states_that_are_kept_belong_to_the_configuration(tmp_path, frozen):
    "The same weights under another config.json say something else; what was kept of them is not read"
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    tiny_base(tmp_path / "base", [sum_text(0, "It is.")])
    def rewards(**more):
        rm = RewardModel(str(tmp_path / "base"), quantize=False, max_length=64, device="cpu", frozen=frozen).add_adapter("one")
        if more: rm.remember(**more)
        made = score_texts(rm, [sum_text(1, "It is 2."), sum_text(1, "No idea.")])
        for store in filter(None, (rm.pooled, rm.below and rm.below.store)): store.flush()
        return made.tolist()
    first = rewards(folder=tmp_path / "states")
    rewrite("config.json", rms_norm_eps=1.)(tmp_path)
    assert rewards(folder=tmp_path / "states") == pytest.approx(rewards(), rel=1e-4) != pytest.approx(first, rel=1e-4)


# Studies

STRATEGIES = dict(general=dict(measure="general"), plain=None, shared=dict(custom=dict(sharing="pooled")))


def small_study(folder, **changes):
    from custom_rm.recipes import settings
    from custom_rm.study import Study, strategies
    given = settings(recipe(folder, "apart", validation=.2, custom__replay=0, custom__start="general", **changes))
    return Study("small", {name: given[name] for name in ("base", "lora", "general", "custom", "validation")}, strategies(STRATEGIES), [0])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    "A study that is done"
    from custom_rm.study import run_study, study_floors
    home = prepare(tmp_path_factory.mktemp("studied"))
    assert not any("failed" in cell for cell in run_study(small_study(home), home / "out", device="cpu", report=lambda line: None))
    study_floors(small_study(home), home / "out", judge=str(home / "base"), questions=2, device="cpu")
    return home


@pytest.fixture
def copied_study(studied, tmp_path):
    shutil.copytree(studied, tmp_path / "kept")
    yield studied
    shutil.rmtree(studied)
    shutil.copytree(tmp_path / "kept", studied)


CELLS = [ # what changes; settings; why a cell is measured again, "" where it is not
    ("nothing", None, {}, ""), ("the base's weights", other_base, {}, "another base"), ("config.json", rewrite("config.json", rms_norm_eps=1e-3), {}, "another base"),
    ("the tokenizer", rewrite("tokenizer_config.json", padding_side="left"), {}, "another base"),
    ("a general file", edit("more.json"), {}, "other data"), ("a domain's file", edit("loud.train.json"), {}, "other data"),
    ("a test file", edit("loud.test.json"), {}, "other data"), ("a general test file", edit("general.test.json"), {}, "other data"),
    ("two files exchanged", swap("loud.train.json", "quiet.train.json"), {}, "other data"), ("two test files exchanged", swap("loud.test.json", "quiet.test.json"), {}, "other data"),
    ("the order of general sets", None, reversed_sets, "other data"), ("a file named twice", None, twice, "other settings"),
    ("a domain more", None, dict(custom__domains=["loud", "quiet", "normal"]), "other settings"), ("rows of a test set", None, dict(custom__test_rows=3), "other settings"),
    ("a general setting", None, dict(general__learning_rate=1e-3), "other settings"),
]


@pytest.mark.parametrize("what, change, settings, why", CELLS, ids=[row[0] for row in CELLS])
def test_why_a_cell_is_measured_again(copied_study, what, change, settings, why):
    from custom_rm.study import stored_cell, what_changed
    from custom_rm.summary import read_cells
    if change: change(copied_study)
    study = small_study(copied_study, **(settings(copied_study) if callable(settings) else settings))
    cells = [cell for cell in study.cells() if cell[1] != "normal"]
    stored = [stored_cell(study, cell, copied_study / "out") for cell in cells]
    assert {what_changed(study, cell, kept) for cell, (kept, _) in zip(cells, stored)} == {why} and {same for _, same in stored} == {not why}
    assert len(read_cells(study, copied_study / "out")) == (0 if why else len(cells)), "old cells beside new ones look like one comparison"


def test_what_a_strategy_measures_is_no_setting_of_its_recipe(studied):
    from custom_rm.study import stored_cell
    study = small_study(studied)
    study.strategies["plain"] = dict(measure="general")
    assert [stored_cell(study, (name, "loud", 0), studied / "out")[1] for name in ("general", "plain")] == [True, False]


def test_cells_of_earlier_versions_hold(studied):
    from custom_rm.study import what_changed
    study, kept = small_study(studied), json.loads((studied / "out" / "cells" / "plain--loud--0.json").read_text())
    del kept["made_from"]
    assert not what_changed(study, ("plain", "loud", 0), kept)


def test_a_cell_whose_base_is_gone(copied_study):
    "What can't be compared is not taken for the same; a cell that failed is tried when the file is there"
    from custom_rm.study import cell_or_fault, run_study, what_changed
    study, cell = small_study(copied_study), ("plain", "loud", 0)
    (copied_study / "base").rename(copied_study / "moved")
    with pytest.raises(DataError) as e: run_study(study, copied_study / "out", device="cpu", report=lambda line: None)
    assert "there is no such model" in str(e.value) and "\n" not in str(e.value)
    failed = cell_or_fault(study, cell, copied_study / "new", "cpu", lambda line: None)
    assert "no such model" in failed["failed"] and not what_changed(study, cell, failed)
    (copied_study / "moved").rename(copied_study / "base")
    assert what_changed(study, cell, failed) == "other data"


def test_a_study_after_a_change_is_as_if_it_were_new(copied_study):
    "With other weights under the base's name and another general file: cells, rewards and floors of a new folder"
    from custom_rm.study import run_study, study_floors
    other_base(copied_study)
    edit("more.json")(copied_study)
    study, said = small_study(copied_study), []
    for folder in ("out", "new"): run_study(study, copied_study / folder, device="cpu", report=said.append, only=["plain loud", "general loud"])
    assert sum("was measured with another base; again" in line for line in said) == 2
    for path in (copied_study / "new" / "cells").iterdir():
        new, old = (json.loads((copied_study / folder / "cells" / path.name).read_text()) for folder in ("new", "out"))
        assert all(old[part] == new[part] for part in ("test", "validation", "weights", "temperature", "made_from")), path.name
    assert study_floors(study, copied_study / "out") == study_floors(study, copied_study / "new") | dict(judge=study_floors(study, copied_study / "out")["judge"])


def test_rewards_are_of_weights_not_of_names(studied):
    from custom_rm.study import Trained, kept_rewards
    made = Run(recipe(studied, "joint"), studied / "rewards", "cpu", report=lambda line: None)
    made.model()
    one = Trained(made, "base", ["base"], [])
    first = kept_rewards(one, ["Hi", "Hello"], studied / "rewards")
    made.rm.head("base").weight.data *= 2
    assert kept_rewards(one, ["Hi", "Hello"], studied / "rewards") == pytest.approx(2 * first)
    assert len(list((studied / "rewards" / "rewards").iterdir())) == 2


def test_floors_are_about_todays_records(copied_study):
    from custom_rm.study import study_floors
    folder, told = copied_study / "out", []
    def floors(study=None, **more): return study_floors(study or small_study(copied_study), folder, device="cpu", report=told.append, **more)
    def kept(): return json.loads((folder / "floors.json").read_text())
    before = kept()
    assert floors() == before and set(before) == {"longer", "bag_of_words", "judge"} and not told
    edit("loud.test.json", "!!!", "!")(copied_study)
    after = floors()
    assert set(after) == {"longer", "bag_of_words"} and kept()["judge"] == before["judge"], "answers that took long are kept, not shown"
    assert told == [f"the judge's answers are not about today's records of loud; ask again with --judge {copied_study / 'base'}"]
    assert after["longer"]["quiet"] == before["longer"]["quiet"] and after["longer"]["loud"] != before["longer"]["loud"]
    asked = floors(judge=str(copied_study / "base"), questions=2)["judge"]
    assert asked["quiet"] == before["judge"]["quiet"] and asked["loud"]["made_from"] != before["judge"]["loud"]["made_from"]
    more = floors(small_study(copied_study, custom__domains=["loud", "quiet", "normal"]))
    assert set(more["bag_of_words"]) == set(more["longer"]) == {"loud", "quiet", "normal", "sums"} and "judge" not in more, "each domain, and each general set"
    fewer = floors(small_study(copied_study, custom__test_rows=3))
    assert fewer["longer"]["loud"]["n"] < after["longer"]["loud"]["n"], "the floor is of the records that the cells are of"
    other_base(copied_study)
    assert floors(judge=str(copied_study / "base"), questions=2)["judge"]["quiet"]["base_sha256"] != before["judge"]["quiet"]["base_sha256"]


def test_a_cell_that_was_killed_twice_is_tried_with_other_settings(studied):
    from custom_rm.recipes import recipe_key
    from custom_rm.study import cell_file, count_try, try_cell
    cell, folder = ("general", "loud", 0), studied / "killed"
    study, changed = small_study(studied), small_study(studied, custom__token_budget=512)
    mark = cell_file(folder, cell).with_suffix(".begun")
    for _ in range(2): count_try(mark, recipe_key(study.recipe_of("general"), 0))
    assert "failed" not in try_cell(changed, cell, folder, "cpu", lambda line: None)


def test_two_strategies_in_one_file():
    from custom_rm.study import make_study
    with pytest.raises(DataError) as e: make_study(dict(recipe=dict(custom=dict(domains=["a"], train="b")), strategies={"x 1": None, "x-1": None}), "s")
    assert "x 1 · a and x-1 · a" in str(e.value) and "rename" in str(e.value)
