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
                 custom=dict(domains=["loud", "quiet"], train=f"{folder}/{{domain}}.train.json", test=f"{folder}/{{domain}}.test.json", batch_size=8, **HOW[how]))
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
    ("apart", swap("loud.train.json", "quiet.train.json"), {}), ("joint", None, dict(custom__domains=["loud"], general__test={})),
    ("apart", None, dict(custom__sharing="pooled", general__test=dict(renamed="{folder}/general.test.json"))),
], ids=["joint, a domain more", "pooled, a domain more", "exchanged", "joint, a domain less", "shared and renamed"])
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
    assert "seeds" in run(made, folder, again=True)[1] and "seeds" not in run(recipe(copied, "apart"), folder, again=True)[1]
