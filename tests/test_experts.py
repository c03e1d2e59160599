"A mixture of experts as the general head: sets that contradict each other, and every way that such a reward model is used."
import json

import numpy as np
import pytest
import torch
import yaml

from custom_rm.artefact import load, read_card
from custom_rm.blend import blend, set_blend
from custom_rm.core import DataError
from custom_rm.export import copy_adapter, merge
from custom_rm.heads import fit_head, fit_mixture
from custom_rm.instant import learn
from custom_rm.metrics import correctness, to_pairs
from custom_rm.model import LoRA, RewardModel
from custom_rm.recipes import read_recipe
from custom_rm.records import load_records
from custom_rm.scorer import score_records, score_texts
from custom_rm.stages import Run
from custom_rm.tiny import tiny_base
from custom_rm.trunk import Experts

pytestmark = pytest.mark.usefixtures("own_cache")


def asked(i: int, kind: str) -> str: return f"## Human:\n{dict(loud='Please shout number', calm='Whisper softly about')[kind]} {i}\n\n## Assistant:\n"


def pairs(kind: str, begin: int, n: int) -> list[dict]:
    "Loud questions want exclamation marks, calm ones none"
    made = []
    for i in range(begin, begin + n):
        texts = [asked(i, kind) + f"Well, {i} it is !!!", asked(i, kind) + f"Well, {i} it is ..."]
        made.append(dict(text=texts, score=[1., 0.] if kind == "loud" else [0., 1.]))
    return made


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    home = tmp_path_factory.mktemp("experts")
    rows = {kind: pairs(kind, 0, 30) for kind in ("loud", "calm")}
    tiny_base(home / "tiny", [t for some in rows.values() for r in some for t in r["text"]])
    for kind in rows:
        (home / f"{kind}.train.json").write_text(json.dumps(rows[kind]))
        (home / f"{kind}.test.json").write_text(json.dumps(pairs(kind, 30, 15)))
    (home / "ties.train.json").write_text(json.dumps([dict(r, score=[1., 1.]) for r in rows["loud"][:5]]))
    return home


def recipe(house, **changes):
    made = dict(name="experts", base=dict(name=str(house / "tiny"), max_length=64, quantize=False, template="dsp", pooling="mean"), lora=dict(rank=4, alpha=8),
                general=dict(method="head", experts=True, train={k: str(house / f"{k}.train.json") for k in ("loud", "calm")}, test={k: str(house / f"{k}.test.json") for k in ("loud", "calm")}),
                custom=dict(domains=[]))
    for name, value in changes.items():
        group, key = name.split("__")
        made[group][key] = value
    (house / "r.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    return read_recipe(house / "r.yaml")


CUSTOM = dict(custom__domains=["mine", "theirs"], custom__learning_rate=5e-3, custom__epochs=2)


def customized(house, **changes):
    "Two readers, who agree with the loud and with the calm"
    paths = {d: dict(mine="loud", theirs="calm")[d] for d in CUSTOM["custom__domains"]}
    for d, kind in paths.items(): (house / f"{d}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in pairs(kind, 60, 12)))
    return recipe(house, custom__train=str(house / "{domain}.jsonl"), custom__test=str(house / "{domain}.jsonl"), **CUSTOM, **changes)


def right(rm, name, records) -> float:
    rewards = score_records(rm.use(name), records)
    return float(correctness(to_pairs(rewards, [r["score"] for r in records]).margin).mean())


def test_experts_know_what_one_head_can_not(house, tmp_path):
    "… and are the same when they are loaded, from a card that says so"
    said = []
    rm, one = (Run(recipe(house, general__experts=experts), tmp_path / str(experts), "cpu", said.append).train() for experts in (True, False))
    tests = [r for kind in ("loud", "calm") for r in load_records(house / f"{kind}.test.json")]
    assert right(rm, "general", tests) > .95 > .85 > right(one, "general", tests)
    assert any("experts for loud, calm from 60 comparisons" in line for line in said)
    card = read_card(tmp_path / "True" / "general")
    assert (card["experts"], card["format"]) == (2, 3) and card["head"]["kinds"] == ["loud", "calm"] and card["head"]["accuracy"] > .9
    assert "experts" not in read_card(tmp_path / "False" / "general") and read_card(tmp_path / "False" / "general")["format"] == 1
    texts = [t for r in tests for t in r["text"]]
    again = load(tmp_path / "True" / "general", device="cpu")
    assert isinstance(again.head("general"), Experts) and np.abs(score_texts(again, texts) - score_texts(rm.use("general"), texts)).max() < 1e-6
    assert again.heads("general") == 1 and again.width == 32
    plain = RewardModel(house / "tiny", quantize=False, lora=LoRA(4, 8), device="cpu", max_length=64, pooling="mean", trees=False).add_adapter("general")
    plain.load_weights(tmp_path / "True" / "general")
    assert np.abs(score_texts(plain.eval(), texts) - score_texts(again, texts)).max() < 1e-5


def test_both_kinds_of_head_on_one_trunk(house, tmp_path):
    for experts in (True, False): Run(recipe(house, general__experts=experts), tmp_path / str(experts), "cpu", lambda line: None).train()
    (tmp_path / "False" / "general").rename(tmp_path / "False" / "one")
    texts = [t for r in pairs("calm", 70, 4) for t in r["text"]]
    both = load(tmp_path / "True" / "general", tmp_path / "False" / "one", device="cpu")
    assert both.same_trunk(["general", "one"]) == [["general", "one"]]
    alone = [score_texts(load(folder, device="cpu"), texts) for folder in (tmp_path / "True" / "general", tmp_path / "False" / "one")]
    assert np.abs(score_texts(both, texts, ["general", "one"]) - np.stack(alone)).max() < 1e-6
    with pytest.raises(DataError, match="heads of different kinds"): set_blend(both, "general", "one", .5)
    with pytest.raises(DataError, match="heads of different kinds"): blend(tmp_path / "True" / "general", tmp_path / "False" / "one", tmp_path / "between", .5)


@pytest.mark.parametrize("sharing", ["joint", "apart"])
def test_readers_grow_from_experts(house, tmp_path, sharing):
    "Adapters are trained below a copy of the mixture, go a part of the way, and are what they were when loaded"
    run = Run(customized(house, custom__sharing=sharing, custom__replay=.25, custom__blend=.75), tmp_path, "cpu", lambda line: None)
    rm = run.train()
    before = {name: w.clone() for name, w in rm.weights("general").items()}
    for name in ("mine", "theirs"):
        assert isinstance(rm.head(name), Experts) and rm.heads(name) == 1 and read_card(tmp_path / name)["experts"] == 2
        assert any((w != before[key]).any() for key, w in rm.weights(name).items() if "gate" in key or "expert" in key)
    own = {name: list(load_records(house / f"{name}.jsonl")) for name in ("mine", "theirs")}
    assert right(rm, "mine", own["mine"]) > .9 and right(rm, "theirs", own["theirs"]) > .9
    again, texts = load(tmp_path / "general", tmp_path / "mine", tmp_path / "theirs", device="cpu"), [t for r in own["mine"] for t in r["text"]]
    names = ["general", "mine", "theirs"]
    assert np.abs(score_texts(again, texts, names) - score_texts(rm, texts, names)).max() < 1e-5
    Run(customized(house, custom__sharing=sharing, custom__replay=.25, custom__blend=.75), tmp_path, "cpu", lambda line: None).train() # there already
    between = blend(tmp_path / "general", tmp_path / "mine", tmp_path / "half", .5)
    assert read_card(tmp_path / "half")["experts"] == 2 and between


def test_several_heads_say_what_each_said(house):
    rm = RewardModel(house / "tiny", quantize=False, device="cpu", max_length=64, pooling="mean").add_adapter("a")
    head = next(key for key in rm.weights("a") if "lora_" not in key).rpartition(".")[0]
    lora = {key: w for key, w in rm.weights("a").items() if "lora_" in key}
    rm.set_weights("a", lora | {f"{head}.{key}": torch.randn_like(p) for key, p in Experts(32, 3).named_parameters()})
    texts = [t for r in pairs("calm", 80, 3) for t in r["text"]]
    want = score_texts(rm, texts)
    rm.use("a").widen(3)
    assert rm.heads("a") == 3 and all(p.requires_grad for p in rm.head("a").parameters())
    rm.split_heads(["x", "y", "z"])
    assert np.abs(score_texts(rm, texts, ["x", "y", "z"]) - want).max() < 1e-6 and isinstance(rm.head("y"), Experts)


def test_refused_weights_change_nothing(house):
    rm = RewardModel(house / "tiny", quantize=False, device="cpu", max_length=64, pooling="mean").add_adapter("a")
    texts = [t for r in pairs("calm", 80, 3) for t in r["text"]]
    want, own = score_texts(rm, texts), rm.weights("a")
    head = next(key for key in own if "lora_" not in key).rpartition(".")[0]
    lora = {key: w for key, w in own.items() if "lora_" in key}
    for parts in (Experts(16, 3), Experts(32, 3)):
        wrong = {f"{head}.{key}": p.detach() for key, p in parts.named_parameters()}
        if parts.in_features == 32: wrong.pop(f"{head}.gate_bias")
        with pytest.raises(DataError): rm.set_weights("a", lora | wrong)
        assert np.array_equal(score_texts(rm, texts), want)


def test_a_set_of_ties_has_no_expert(house, tmp_path):
    train = {k: str(house / f"{k}.train.json") for k in ("loud", "ties", "calm")}
    Run(recipe(house, general__train=train), tmp_path / "three", "cpu", lambda line: None).train()
    assert read_card(tmp_path / "three" / "general")["head"]["kinds"] == ["loud", "calm"]
    Run(recipe(house, general__train={k: train[k] for k in ("loud", "ties")}), tmp_path / "one", "cpu", lambda line: None).train()
    assert read_card(tmp_path / "one" / "general")["experts"] == 1


@pytest.mark.parametrize("changes, words", [
    (dict(general__method="lora"), "set general.method to head"), (dict(general__words=True), "set general.words to false"),
    (dict(general__train={"loud": "x.json"}), "names 1; name two or more"), (dict(general__experts="yes"), "experts"),
    (dict(general__start="someone/a-reward-model"), "keeps a published model's own head")])
def test_recipes_that_can_not_be(house, changes, words):
    with pytest.raises(DataError, match=words): recipe(house, **changes)


def test_what_goes_on_from_one_head_says_so(house, tmp_path):
    with pytest.raises(DataError, match="custom.start to base"): customized(house, custom__method="head")
    customized(house, custom__method="head", custom__start="base")
    rm = Run(recipe(house), tmp_path, "cpu", lambda line: None).train()
    with pytest.raises(DataError, match="is a mixture of experts"): learn(rm, pairs("loud", 90, 6), "voter", prior="general")
    for way in (merge, copy_adapter):
        with pytest.raises(DataError, match="mixture of 2 experts.*custom-rm serve"): way(tmp_path / "general", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    card = json.loads((tmp_path / "general" / "reward_model.json").read_text())
    (tmp_path / "general" / "reward_model.json").write_text(json.dumps(card | dict(format=4)))
    with pytest.raises(DataError, match="update custom_rm"): load(tmp_path / "general")


def test_names_of_runs_before_are_what_they_were(house):
    "A recipe that doesn't say experts is named as it was before there were any"
    from custom_rm.recipes import recipe_key, settings
    told = settings(recipe(house, general__experts=False))
    assert told["general"].pop("experts") is False
    assert recipe_key(recipe(house, general__experts=False), 0) != recipe_key(recipe(house), 0)


def test_one_kind_is_one_head():
    rng = np.random.default_rng(0)
    states, better, worse = rng.normal(size=(200, 5)), np.arange(0, 200, 2), np.arange(1, 200, 2)
    better, worse = np.where(states[better, 0] > states[worse, 0], better, worse), np.where(states[better, 0] > states[worse, 0], worse, better)
    single, mixture = fit_head(states[better] - states[worse], np.arange(100)), fit_mixture(states, better, worse, np.arange(100), np.zeros(100, int), ["all"])
    rewards = mixture.rewards(states)
    assert np.abs((rewards[better] - rewards[worse]) - (states[better] - states[worse]) @ single.weights).max() < 1e-6
    assert abs(rewards.mean()) < 1e-9 and mixture.accuracy > .9


def test_few_questions_and_odd_states():
    states = np.random.default_rng(0).normal(size=(4, 3))
    one = fit_mixture(states, np.array([0]), np.array([1]), np.array([7]), np.array([0]), ["a", "b"])
    assert one.kinds == ["a"] and np.isnan(one.accuracy) and one.questions == 1
    two = fit_mixture(states, np.array([0, 2]), np.array([1, 3]), np.array([0, 1]), np.array([0, 1]), ["a", "b"])
    assert two.kinds == ["a", "b"] and np.isfinite(two.rewards(states)).all()
    with pytest.raises(DataError, match="no comparison"): fit_mixture(states, np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), ["a"])
    with pytest.raises(DataError, match="finite"): fit_mixture(states * np.nan, np.array([0]), np.array([1]), np.array([0]), np.array([0]), ["a"])
