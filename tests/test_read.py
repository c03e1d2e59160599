"A head that reads several depths of the trunk: what transformers' own hidden states say, in every way that texts are fed."
import json

import numpy as np
import pytest
import torch
import yaml

from custom_rm.artefact import load, read_card
from custom_rm.blend import set_blend
from custom_rm.core import DataError
from custom_rm.export import copy_adapter, merge
from custom_rm.instant import learn
from custom_rm.model import LoRA, RewardModel
from custom_rm.packing import encode
from custom_rm.plan import plan
from custom_rm.recipes import read_recipe
from custom_rm.scorer import score_texts, text_states
from custom_rm.stages import Run
from custom_rm.tiny import sum_text, tiny_base

TEXTS = [sum_text(i, answer) for i in range(4) for answer in ("Yes.", "No, it is more!!!", "Hm")]


pytestmark = pytest.mark.usefixtures("own_cache")


def bent(rm, names=("a",)):
    "The model with adapters whose every weight is random"
    for n, name in enumerate(names):
        rm.add_adapter(name)
        rm.set_weights(name, {key: torch.randn(w.shape, generator=torch.Generator().manual_seed(n + len(key))) * .2 for key, w in rm.weights(name).items()})
    return rm.use(names[0]).eval()


def wide(place, read=(0, 1, 2), kind="tiny", names=("a",), **more):
    return bent(RewardModel(place / kind, quantize=False, device="cpu", max_length=64, lora=LoRA(4, 8), read=list(read), **more), names)


def deeper(place):
    "A base of four layers in the folder deep, if it isn't there yet"
    base = place / "deep"
    if base.exists(): return
    tiny_base(base, TEXTS)
    config = json.loads((base / "config.json").read_text())
    from transformers import AutoModelForCausalLM, LlamaConfig
    AutoModelForCausalLM.from_config(LlamaConfig(**config | dict(num_hidden_layers=4, layer_types=None))).save_pretrained(base)


def by_hand(rm, read, texts=TEXTS):
    "Rewards, with a graph, from the hidden states that transformers gives of one text at a time"
    trunk, head, out = rm.bare_trunk().base_model, rm.head().weight[0], []
    norm = getattr(trunk, "norm", None) or getattr(trunk, "ln_f", None) or (lambda states: states)
    for ids in encode(texts, rm.tokenizer, rm.max_length)["input_ids"]:
        ids = torch.tensor([ids])
        *lower, top = trunk(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states
        states = torch.cat([([*map(norm, lower), top][depth]) for depth in read], -1)[0]
        out.append((states[-1] if rm.pooling == "last" else states.mean(0)) @ head)
    return torch.stack(out)


@pytest.mark.parametrize("frozen, remember", [(0, False), (1, False), (1, True)])
@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_rewards_are_those_of_the_hidden_states(place, tmp_path, pooling, trees, frozen, remember):
    "… fed in trees and in rectangles, computed and out of the store"
    rm = wide(place, pooling=pooling, trees=trees, frozen=frozen)
    assert rm.trees == trees and rm.width == 96 and rm.head().weight.shape == (1, 96)
    with torch.no_grad(): want = by_hand(rm, [0, 1, 2]).numpy()
    if remember: rm.remember(tmp_path)
    for _ in range(1 + remember): assert np.abs(score_texts(rm, TEXTS) - want).max() < 1e-5
    assert not remember or rm.below.read > 0
    assert want.std() > 1e-2


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "bert", "qwen3"])
def test_other_trunks(place, kind):
    base = place / kind
    if not base.exists(): tiny_base(base, TEXTS, kind)
    rm = wide(place, [0, 2], kind)
    if kind == "gpt_neox": rm.bare_trunk().base_model.norm = rm.bare_trunk().base_model.final_layer_norm
    with torch.no_grad(): want = by_hand(rm, [0, 2]).numpy()
    assert np.abs(score_texts(rm, TEXTS) - want).max() < 1e-5


@pytest.mark.parametrize("recompute", [False, True])
def test_states_of_frozen_layers_and_gradients(place, tmp_path, recompute):
    "Four layers, two of them frozen: depths below, between and above come from where they are known, and the gradients are the plain model's"
    deeper(place)
    read = [0, 1, 2, 3, 4]
    grads, rewards = [], []
    for remember in (False, True):
        rm = wide(place, read, "deep", pooling="mean", frozen=2)
        if recompute: rm.checkpoint_activations()
        if remember: rm.remember(tmp_path)
        tokens = encode(TEXTS, rm.tokenizer, rm.max_length)["input_ids"]
        batch = [dict(input_ids=tokens[i:i + 3]) for i in range(0, 12, 3)]
        for _ in range(1 + remember):
            rm.train().zero_grad()
            out = rm(**rm.batch(batch))["rewards"]
            (out * torch.arange(12.)).sum().backward()
        rewards.append(out.detach())
        grads.append({name: p.grad for name, p in rm.named_parameters() if p.grad is not None})
        assert rm.depths.seen is None
    assert rm.below.read == 1 and rm.below.computed == 1 and rm.below.between == [1]
    assert (rewards[0] - rewards[1]).abs().max() < 1e-5
    assert grads[0].keys() == grads[1].keys() and len(grads[0]) > 4
    for name in grads[0]: assert (grads[0][name] - grads[1][name]).abs().max() < 1e-5 * max(1, float(grads[0][name].abs().max())), name
    plain = wide(place, read, "deep", pooling="mean", frozen=2)
    (by_hand(plain, read) * torch.arange(12.)).sum().backward()
    for name, p in plain.named_parameters():
        if name in grads[1]: assert (p.grad - grads[1][name]).abs().max() < 1e-4 * max(1, float(p.grad.abs().max())), name


def test_imitation_takes_the_last_states(place):
    "A head that stops below the top doesn't change what the trunk says next"
    tokens = encode(TEXTS[:3], RewardModel(place / "tiny", quantize=False, device="cpu").tokenizer, 64)
    record = dict(input_ids=tokens["input_ids"], response_start=tokens["response_start"], score=[1., 0., .5])
    losses = []
    for read in ([0, 1], None):
        rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64, read=read).add_adapter("a")
        losses.append(float(rm(**rm.batch([record], imitate=True))["imitation"].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and any("base.layers: 1" in note for note in RewardModel(place / "tiny", quantize=False, device="cpu", read=[0, 1]).notes)


def test_one_depth_is_a_shorter_trunk(place):
    rm, short = (RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64, **more).add_adapter("a") for more in (dict(read=[1]), dict(layers=1)))
    assert np.abs(score_texts(rm, TEXTS) - score_texts(short, TEXTS)).max() < 1e-5
    assert RewardModel(place / "tiny", quantize=False, device="cpu", read=[2]).reads == []


@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize("read", [[2], [0, 1], [1, 2]])
def test_nothing_computes_above_what_is_read(place, tmp_path, read, trees):
    "Rewards and gradients are those of a trunk that goes on to the top; only predicting the next token needs that"
    deeper(place)
    found = []
    for stored in (False, True):
        rm = bent(RewardModel(place / "deep", quantize=False, device="cpu", max_length=64, read=read, trees=trees, frozen=read[-1] - 1, pooling="mean"))
        if stored and rm.frozen: rm.remember(tmp_path / "states")
        record = encode(TEXTS[:3], rm.tokenizer, 64) | dict(score=[1., 0., .5])
        layers, passed = rm.bare_trunk().base_model.layers, []
        for i, layer in enumerate(layers): layer.register_forward_hook(lambda *_, i=i: passed.append(i))
        for imitate in (False, True) * 2: # the second time out of the store
            passed.clear()
            rm.zero_grad()
            out = rm(**rm.batch([record], imitate))
            (out["rewards"] * torch.arange(3.)).sum().backward()
            assert set(passed) - set(range(rm.frozen)) == set(range(rm.frozen, len(layers) if imitate else read[-1])), passed
            assert ("imitation" in out) == imitate and (rm.depths.seen, rm.depths.stop) == (None, False)
            found.append((out["rewards"].detach(), {name: p.grad.clone() for name, p in rm.named_parameters() if p.grad is not None}))
        assert np.abs(score_texts(rm, TEXTS[:3]) - found[0][0].numpy()).max() < 1e-5
    for rewards, grads in found[1:]:
        assert (rewards - found[0][0]).abs().max() < 1e-5
        for name, grad in found[0][1].items(): assert (grads[name] - grad).abs().max() < 1e-5 * max(1, float(grad.abs().max())), name


def test_a_pass_that_fails_leaves_no_trace(place):
    deeper(place)
    rm = bent(RewardModel(place / "deep", quantize=False, device="cpu", max_length=64, read=[1]))
    want = score_texts(rm, TEXTS)
    with pytest.raises(ZeroDivisionError): rm.depths.watch(lambda: 1 / 0, last=False)
    assert (rm.depths.seen, rm.depths.stop) == (None, False) and np.array_equal(score_texts(rm, TEXTS), want)


def test_saved_loaded_compared(place, tmp_path):
    rm = wide(place, names=("a", "b"))
    want = score_texts(rm, TEXTS, ["a", "b"])
    for name in ("a", "b"): rm.use(name).save(tmp_path / name)
    assert read_card(tmp_path / "a")["read"] == [0, 1, 2]
    again = load(tmp_path / "a", tmp_path / "b", device="cpu")
    assert again.reads == [0, 1, 2] and np.abs(score_texts(again, TEXTS, ["a", "b"]) - want).max() < 1e-6
    set_blend(again, "a", "b", .5)
    assert np.isfinite(score_texts(again, TEXTS)).all() and again.width == 96
    narrow = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64, lora=LoRA(4, 8)).add_adapter("c")
    assert "read" not in read_card(narrow.save(tmp_path / "c")) and load(tmp_path / "c", device="cpu").reads == []
    with pytest.raises(DataError, match="another read than"): load(tmp_path / "a", tmp_path / "c", device="cpu")
    card = json.loads((tmp_path / "a" / "reward_model.json").read_text())
    (tmp_path / "a" / "reward_model.json").write_text(json.dumps(card | dict(read=[2, 0])))
    with pytest.raises(DataError, match="depths from below"): load(tmp_path / "a", device="cpu")


def test_exports_say_what_to_do(place, tmp_path):
    wide(place).save(tmp_path / "a")
    wide(place, [1]).save(tmp_path / "one")
    wide(place, [2]).save(tmp_path / "top")
    for export in (merge, copy_adapter):
        with pytest.raises(DataError, match="custom-rm serve"): export(tmp_path / "a", tmp_path / "out")
        with pytest.raises(DataError, match="base.layers: 1"): export(tmp_path / "one", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert merge(tmp_path / "top", tmp_path / "out", texts=TEXTS)["share"] < 1e-3


def test_the_stores_of_two_readings_are_two(place, tmp_path):
    states = []
    for read in ([0, 1], [0, 2], [0, 1]):
        rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64, read=read).add_adapter("a").remember(tmp_path)
        states.append(text_states(rm, encode(TEXTS, rm.tokenizer, 64)["input_ids"]))
    assert torch.equal(states[0], states[2]) and not torch.equal(states[0], states[1])
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2


def recipe(place, method, **base):
    base = dict(name=str(place / "tiny"), max_length=64, quantize=False, template="dsp", pooling="mean", read=[0, 1, 2]) | base
    stage = dict(learning_rate=5e-3, method=method)
    made = dict(name="sums", base=base, lora=dict(rank=4, alpha=8), general=stage | dict(train=dict(sums=str(place / "general.train.json")), test=dict(sums=str(place / "general.test.json"))),
                custom=stage | dict(domains=["loud"], train=str(place / "domains.train.json"), test=str(place / "domains.test.json")))
    (place / "r.yaml").write_text(yaml.safe_dump(made))
    return read_recipe(place / "r.yaml")


@pytest.mark.parametrize("method, frozen", [("lora", 1), ("head", 0)])
def test_a_run(place, tmp_path, method, frozen):
    said = []
    run = Run(recipe(place, method, frozen=frozen), tmp_path / "run", "cpu", said.append)
    rm = run.train()
    assert method == "lora" or any("head of 96 numbers" in line for line in said)
    again = load(tmp_path / "run" / "loud", device="cpu")
    assert np.abs(score_texts(again, TEXTS) - score_texts(rm.use("loud"), TEXTS)).max() < 1e-5
    loud, quiet = score_texts(again, [sum_text(3, "It is 4!!!"), sum_text(3, "It is 4...")])
    assert loud > quiet


def test_votes(place):
    rm = wide(place, pooling="mean", names=("general",))
    found = learn(rm, [dict(text=[sum_text(i, "It is so!!!"), sum_text(i, "It is so...")], score=[1, 0]) for i in range(6)], prior="general")
    assert found.weights.shape == (96,) and found.questions == 6
    loud, quiet = score_texts(rm, [sum_text(9, "It is so!!!"), sum_text(9, "It is so...")])
    assert loud > quiet


def test_plan_counts_the_head(place):
    sizes = [plan(recipe(place, "lora", read=read), "cpu", measure=False)["estimate"] for read in ([], [0, 1, 2])]
    assert sizes[1]["adapter"] * 2**30 - sizes[0]["adapter"] * 2**30 == pytest.approx(4 * 64, abs=1)


@pytest.mark.parametrize("base, words", [
    (dict(read=[2, 1]), "from below, each once"), (dict(read=[0]), "the last one is above 0"), (dict(read=["a"]), "depths from below"),
    (dict(read=[0, 2], layers=1), "the trunk has 1 layers"), (dict(read=[0, 5]), "the trunk has 2 layers"), (dict(read=[0, 1], frozen=1), "base.frozen to 0")])
def test_refused(place, tmp_path, base, words):
    with pytest.raises(DataError, match=words): Run(recipe(place, "lora", **base), tmp_path / "run", "cpu", lambda line: None).model()
