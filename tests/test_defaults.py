"What a recipe gets that names only data, and what is said where a guard against forgetting is switched off."
import json

import pytest
import yaml

from custom_rm.core import DataError, recipe_path, results_file
from custom_rm.recipes import BaseConfig, CustomConfig, fill_settings, GeneralConfig, read_recipe, Recipe, recipe_key, settings, to_yaml
from custom_rm.runs import forgetting, guards_off
from custom_rm.study import read_study

DATA = dict(general=dict(train=dict(sums="a.json")), custom=dict(domains=["loud", "quiet"], train="b.json"))


def made(**changes):
    "A recipe that names data, with changes to its groups"
    given = {group: dict(values) for group, values in DATA.items()}
    for group, values in changes.items(): given[group] = given.get(group, {}) | values
    return fill_settings(Recipe, given, "")


def guards(recipe): return recipe.custom.sharing, recipe.custom.replay, recipe.custom.blend


def test_only_data():
    "A recipe that names only data is the recommended one, from a file or in Python"
    recipe = made()
    assert not guards_off(recipe.custom) and recipe.custom.sharing == "joint"
    assert (recipe.base.layers, recipe.base.frozen, recipe.base.pooling, recipe.base.read) == (20, 14, "mean", [])
    assert recipe.general.learning_rate == recipe.custom.learning_rate == 1e-3 and recipe.custom.epochs == 3
    in_python = Recipe(general=GeneralConfig(train=dict(sums="a.json")), custom=CustomConfig(domains=["loud", "quiet"], train="b.json"))
    assert in_python == recipe and "auto" not in json.dumps({k: v for k, v in settings(recipe).items() if k != "base"})
    assert recipe == fill_settings(Recipe, yaml.safe_load(to_yaml(recipe)), "")


def test_the_shipped_recipe_is_the_recommended_one():
    dsp, least = read_recipe(recipe_path("dsp")), made()
    for name in ("sharing", "replay", "blend", "learning_rate", "epochs"): assert getattr(dsp.custom, name) == getattr(least.custom, name)
    for name in ("layers", "frozen", "pooling"): assert getattr(dsp.base, name) == getattr(least.base, name)


@pytest.mark.parametrize("changes, wanted", [
    (dict(custom=dict(domains=["loud"])), ("apart", ..., ...)),                     # one domain shares nothing
    (dict(general=dict(train={})), ("joint", 0, 1)),                                # nothing to replay, nothing to stay near
    (dict(custom=dict(start="base")), ("joint", ..., 1)),
    (dict(custom=dict(method="head")), ("apart", 0, 1)),
    (dict(general=dict(train={}, start="x/y"), base={}), ("joint", 0, ...)),        # a published model is stayed near
    (dict(custom=dict(sharing="apart", replay=0, blend=1)), ("apart", 0, 1)),       # what is said is taken
    (dict(custom=dict(sharing="auto", replay="auto", blend="auto")), ("joint", ..., ...)),
])
def test_what_suits_the_data(changes, wanted):
    usual = guards(made())
    assert guards(made(**changes)) == tuple(of_usual if want is ... else want for want, of_usual in zip(wanted, usual))


@pytest.mark.parametrize("base, wanted", [
    ({}, (20, 14, "mean", 1e-3)), (dict(name="someone/a-7b"), (None, 0, None, 2e-4)), (dict(layers=8), (8, 0, "mean", 1e-3)),
    (dict(layers=None), (None, 14, "mean", 1e-3)), (dict(frozen=0), (20, 0, "mean", 1e-3)), (dict(pooling="last", layers=24), (24, 14, "last", 1e-3)),
    (dict(pooling=None), (20, 14, None, 1e-3)), (dict(name="minilm"), (None, 0, None, 1e-3)),
])
def test_what_suits_the_base(base, wanted):
    recipe = made(base=base)
    assert (recipe.base.layers, recipe.base.frozen, recipe.base.pooling, recipe.custom.learning_rate) == wanted


def test_imitation_keeps_the_vocabulary():
    "Imitation needs all layers; the reward is read where it would be read without it"
    recipe = made(custom=dict(imitation=.1))
    assert (recipe.base.layers, recipe.base.read, recipe.base.frozen) == (None, [20], 14)
    with_layers = made(custom=dict(imitation=.1), base=dict(layers=20))  # somebody who says so is told by the model
    assert with_layers.base.layers == 20 and with_layers.base.read == []


def test_a_published_model_keeps_what_it_has():
    recipe = made(general=dict(train={}, start="x/y"))
    assert (recipe.base.name, recipe.base.layers, recipe.base.frozen, recipe.base.pooling) == ("x/y", None, 0, None)
    assert recipe.custom.learning_rate == 2e-4


@pytest.mark.parametrize("group, name", [("lora", "rank"), ("custom", "epochs"), ("base", "max_length"), ("general", "batch_size"), ("custom", "imitation")])
def test_auto_stands_only_where_it_means_something(group, name):
    with pytest.raises(DataError, match=f"{group}.{name}"): made(**{group: {name: "auto"}})


def test_a_wrong_value_is_still_refused():
    for group, values in (("custom", dict(sharing="both")), ("custom", dict(replay=2)), ("base", dict(layers=0)), ("base", dict(frozen="some")), ("custom", dict(blend="half"))):
        with pytest.raises(DataError, match=f"{group}.{next(iter(values))}"): made(**{group: values})
    for wrong in (dict(read=["a"]), dict(read=[14, 0]), dict(read=[0]), dict(layers=20, read=[14, 30]), dict(frozen=14, read=[0, 7])):
        with pytest.raises(DataError, match="base.read"): made(base=wrong)  # also while others are left to auto


@pytest.mark.parametrize("base, wanted", [
    (dict(read=[0, 14, 20]), (20, 14)), (dict(read=[0, 14, 30]), (None, 14)), (dict(read=[0, 7]), (20, 0)), (dict(read=[14]), (20, 0)),
    (dict(frozen=19), (20, 19)), (dict(frozen=25), (None, 25)), (dict(frozen=0, read=[25]), (None, 0)), (dict(layers=20, read=[10]), (20, 0)),
    (dict(layers=None, read=[10]), (None, 0)), (dict(name="someone/a-7b", read=[0, 9]), (None, 0)),
])
def test_what_is_left_open_suits_what_is_named(base, wanted):
    "Nobody is refused for a layer that was cut off, or frozen, by a setting that the file doesn't name"
    recipe = made(base=base)
    assert (recipe.base.layers, recipe.base.frozen) == wanted
    assert recipe.base.read == base.get("read", [])
    with_imitation = made(base=base, general=dict(imitation=.1)).base
    assert with_imitation.layers is None or "layers" in base, "the vocabulary stays, unless a file says otherwise"
    assert with_imitation.read == base.get("read", [20] if wanted[0] == 20 else []) and with_imitation.frozen == wanted[1]


def test_a_study_means_what_it_meant():
    "Studies say their guards themselves: a new default makes no measured cell stale"
    study = read_study(recipe_path("dsp", "study"))
    assert guards(study.recipe_of("joint 1.0")) == ("joint", 0, 1) and guards(study.recipe_of("plain")) == ("apart", 0, 1)
    from custom_rm.study import trained_recipe
    assert recipe_key(trained_recipe(study, ("joint replay 1.0", "academy", 2)), 2) == "9605a3e4144c", "named before there were such defaults"
    for name in ("dsp-cpu", "dsp-cpu-smollm2"):
        small = read_study(recipe_path(name, "study"))
        assert guards(small.recipe_of("plain")) == ("apart", 0, 1) and small.recipe_of("plain").base.frozen == 0


def test_a_guard_that_is_off_is_told():
    "With the figures that were measured; only where something can be forgotten, and only where it was measured"
    measured = json.loads(results_file("study/guards.json").read_text())
    off = {tuple(row["off"]): row["change"] for row in reversed(measured["rows"])} # the first of each kind is told
    said = forgetting(made(custom=dict(replay=0, blend=1)))
    seen = off["custom.replay", "custom.blend"]
    assert f"{100 * seen['difference']:+.1f}".replace("-", "−") in said and f"{100 * seen['low']:+.1f}".replace("-", "−") in said and measured["base"] in said
    assert seen["high"] < 0, "without guards, the general preferences are forgotten"
    assert forgetting(made()) == "" and forgetting(made(custom=dict(start="base", replay=0, blend=1))) == ""
    assert forgetting(made(custom=dict(method="head"))) == "" and forgetting(made(general=dict(train={}))) == ""
    assert forgetting(made(custom=dict(replay=0, blend=1, imitation=.1))) == "", "another guard, not measured with these off"


def test_training_says_it_first(tmp_path, home):
    "Before the first stage, and a data error comes before it"
    from custom_rm.runs import run_recipe
    recipe = yaml.safe_load((home / "recipe.yaml").read_text())
    recipe["custom"] |= dict(replay=0, blend=1, imitation=0, rows=4)
    recipe["general"] |= dict(rows=4)
    said = []
    def stop(line):
        said.append(line)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): run_recipe(fill_settings(Recipe, recipe, ""), tmp_path / "run", "cpu", stop)
    assert said[0].startswith("guard off (custom.replay 0 and custom.blend 1)")


def test_a_base_alone_is_not_settled():
    "Depths are checked when the recipe is whole"
    assert BaseConfig().layers == "auto" and BaseConfig(read=[0, 14]).read == [0, 14]


def test_what_was_left_open_is_told(tmp_path):
    "By name and value, once, before anything is trained; not where it came to the plain way, and not what a file names"
    from custom_rm.runs import defaults_taken
    assert defaults_taken(made()) == ("left open, so as the study recommends: base.pooling mean, base.layers 20, base.frozen 14, "
                                 "custom.replay 0.25, custom.sharing joint, custom.blend 0.75")
    assert defaults_taken(made(base=dict(layers=8, frozen=0, pooling="last"), custom=dict(sharing="apart", replay=0, blend=1))) == ""
    assert defaults_taken(made(base=dict(name="someone/a-7b"), custom=dict(sharing="joint", replay=.1))).endswith("recommends: custom.blend 0.75")
    written = tmp_path / "recipe.yaml"
    written.write_text(to_yaml(made()))
    assert defaults_taken(read_recipe(written)) == "", "a run's own recipe names everything"
