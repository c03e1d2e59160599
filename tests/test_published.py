"A published reward model as the beginning: its own rewards, kept until training changes them, wherever they are asked for."
import json
import shutil

import numpy as np
import pytest
import torch

from custom_rm.core import DataError, quietly
from custom_rm.tiny import TINY_CHAT, sum_text, tiny_base, tiny_preferences

# name → kind of base, what its tokenizer is made with, and the padding token that its configuration names
PUBLISHED = dict(qwen3=("qwen3", dict(chat=TINY_CHAT), None), llama=("llama", dict(chat=TINY_CHAT, bos=True), "eos_token"),
                 deberta=("deberta-v2", {}, "pad_token"), bert=("bert", {}, "pad_token"), roberta=("roberta", {}, "pad_token"))
TEXTS = [sum_text(i, answer) for i in (3, 14) for answer in (f"It is {i + 1}.", "No idea, no idea, no idea!", f"It is {i + 1}!!!", "Well.")]
SMALL = dict(quantize=False, device="cpu")


def publish(folder, name, base=None):
    "A classifier of one label with a head of its own, as somebody else would publish it"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    kind, options, pad = PUBLISHED[name]
    base = base or tiny_base(folder / f"{name}-base", TEXTS * 9, kind, **options)
    model, tokenizer = quietly(AutoModelForSequenceClassification.from_pretrained, base, num_labels=1), AutoTokenizer.from_pretrained(base)
    model.config.pad_token_id = pad and getattr(tokenizer, f"{pad}_id")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for key, p in model.named_parameters():
            if not key.startswith(f"{model.base_model_prefix}.") or "pooler" in key: p.copy_(torch.randn_like(p) * .3)
            elif kind == "bert" and p.ndim > 1: p.mul_(12) # made so small that all texts would be alike
    quietly(model.save_pretrained, folder / name)
    tokenizer.save_pretrained(folder / name)
    return folder / name


def own_rewards(folder, texts, quantize=False):
    "What `transformers` says, one text at a time, by the folder's chat template where it has one"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig
    skip = ["score", "classifier", "pooler", r".*\.pooler"]
    bits = dict(device_map={"": "cpu"}, quantization_config=BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skip))
    model = quietly(AutoModelForSequenceClassification.from_pretrained, folder, dtype=torch.float32, **(bits if quantize else {})).eval()
    for layer in model.modules(): # on a CPU with AVX512-BF16 bitsandbytes would pack weights anew, which takes 64 columns
        if hasattr(layer, "support_avx512bf16_for_cpu"): layer.support_avx512bf16_for_cpu = False
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer.apply_chat_template(turns(text), tokenize=True, return_dict=False) if tokenizer.chat_template else tokenizer(text)["input_ids"] for text in texts]
    with torch.no_grad(): return np.array([model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64)).logits.item() for ids in rows])


def turns(text):
    question, answer = text.split("\n\n## Assistant:\n")
    return [dict(role="user", content=question.removeprefix("## Human:\n")), dict(role="assistant", content=answer)]


def rewards_of(rm, texts):
    from custom_rm.scorer import score_texts
    from custom_rm.templates import to_template
    return score_texts(rm, [to_template(text, rm.template) for text in texts])


def begin(folder, name="", **options):
    "A reward model that begins with a published one"
    from custom_rm.model import LoRA, RewardModel
    template = "chat" if PUBLISHED.get(name, ("", {}))[1] else "dsp"
    return RewardModel(folder, lora=LoRA(4, 8), start=True, **SMALL | dict(template=template) | options).add_adapter("general").eval()


def unsettle(rm, name):
    "An adapter that has learned something: random matrices, and a head that has moved"
    rm.use(name)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in rm.parameters():
            if p.requires_grad: p.add_(torch.randn(p.shape, generator=generator) * .1)
    return rm.eval()


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request, tmp_path_factory):
    return request.param, publish(tmp_path_factory.mktemp("published"), request.param)


@pytest.mark.parametrize("quantize", [False, True])
def test_rewards_are_transformers_own(published, quantize):
    name, folder = published
    own = own_rewards(folder, TEXTS, quantize)
    assert own.std() > .02
    for trees in (True, False):
        rm = begin(folder, name, quantize=quantize, trees=trees)
        assert rm.pooling == ("last" if rm.is_decoder else "first") and rm.trees == (trees and rm.is_decoder)
        assert np.abs(rewards_of(rm, TEXTS) - own).max() < 1e-4 # in batches, shorter texts padded
        alone = np.concatenate([rewards_of(rm, [text]) for text in TEXTS])
        assert np.abs(alone - own).max() < 1e-4
        assert {p.dtype for p in rm.head().parameters()} == {torch.float32}
    rm.add_adapter("loud", like="general")
    assert np.array_equal(rewards_of(rm.eval(), TEXTS), rewards_of(rm.use("general"), TEXTS)) # before its first step
    names = [name for name, p in rm.named_parameters() if "lora_" in name]
    assert names and not any("score." in name or "pooler" in name or ".classifier." in name for name in names)


@pytest.mark.parametrize("name", ["llama", "deberta", "bert"])
def test_every_way_out_says_the_same(name, tmp_path):
    from custom_rm.artefact import load, read_card
    from custom_rm.blend import blend
    from custom_rm.core import file_sha256
    from custom_rm.export import merge, model_card
    from custom_rm.scoring import Scorer
    from custom_rm.serve import create_app
    from starlette.testclient import TestClient
    from transformers import AutoTokenizer, pipeline
    folder = publish(tmp_path, name)
    rm = begin(folder, name)
    before = rewards_of(rm, TEXTS)
    rm.save(tmp_path / "general")
    unsettle(rm.add_adapter("loud", like="general"), "loud").save(tmp_path / "loud", parent=dict(name="general"))
    after = rewards_of(rm, TEXTS)
    assert np.abs(after - before).max() > .01
    card = read_card(tmp_path / "loud")
    assert card["base"]["start"] and card["base"]["sha256"] == file_sha256(folder / "model.safetensors")
    assert "the published reward model" in model_card(card)
    both = load(tmp_path / "general", tmp_path / "loud", device="cpu")
    close(rewards_of(both, TEXTS), before)
    close(rewards_of(both.use("loud"), TEXTS), after)
    scorer = Scorer.load([tmp_path / "loud"], device="cpu")
    close(scorer.score([turns(text) for text in TEXTS]), after)
    for alpha, expected in ((0, before), (1, after)):
        close(rewards_of(load(blend(tmp_path / "general", tmp_path / "loud", tmp_path / f"blend{alpha}", alpha, device="cpu"), device="cpu"), TEXTS), expected)
    merge(tmp_path / "loud", tmp_path / "merged", device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    close(own_rewards(tmp_path / "merged", TEXTS), after)
    close(rewards_of(begin(tmp_path / "merged", name), TEXTS), after) # where the next run begins
    for model in (folder, tmp_path / "merged"):
        with pytest.raises(DataError, match="is a whole model, and no artefact; a recipe with general.start"): load(model, device="cpu")
    judge, chat = quietly(pipeline, "text-classification", model=str(tmp_path / "merged")), rm.template == "chat"
    texts = [tokenizer.apply_chat_template(turns(text), tokenize=False) for text in TEXTS] if chat else TEXTS
    close([row["score"] for row in judge(texts, add_special_tokens=not chat)], after)
    with TestClient(create_app([tmp_path / "loud"], "cpu")) as client:
        asked = [dict(prompt=turns(text)[:-1], responses=[turns(text)[-1]["content"]]) for text in TEXTS]
        close([client.post("/rank", json=question).json()["loud"]["rewards"][0] for question in asked], after)
    shutil.move(folder, tmp_path / "elsewhere")
    close(rewards_of(load(tmp_path / "loud", device="cpu", base=tmp_path / "elsewhere"), TEXTS), after)


def close(found, expected): assert np.abs(np.asarray(found) - expected).max() < 1e-4


def test_the_end_is_where_the_classifier_sees_it(tmp_path):
    "Padding and end are one token here, and the template ends with it: the classifier never reads there"
    folder = publish(tmp_path, "llama")
    rm = begin(folder, "llama")
    ids = rm.tokenizer.apply_chat_template(turns(TEXTS[0]), tokenize=True, return_dict=False)
    assert ids[-1] == rm.end == rm.tokenizer.pad_token_id == rm.trunk.config.pad_token_id
    batch = rm.batch([dict(input_ids=[ids, ids[:4]])])
    assert batch["input_ids"].numel() == len(ids) - 1
    nobody = publish(tmp_path, "qwen3")
    config = json.loads((nobody / "config.json").read_text())
    assert config.get("pad_token_id") is None and begin(nobody, "qwen3").end is None


RECIPE = """
name: begun
base: {{quantize: false, max_length: 96}}
lora: {{rank: 4, alpha: 8}}
general: {{start: {start}, test: {{sums: {home}/general.test.json}}{general}}}
custom: {{domains: [loud], train: {home}/domains.train.json, test: {home}/domains.test.json, learning_rate: 1e-2, epochs: 1{custom}}}
"""


@pytest.fixture(scope="module")
def sums(tmp_path_factory): return tiny_preferences(tmp_path_factory.mktemp("sums"), train=16, test=6)


def recipe(folder, home, start, general="", custom=", blend: 1"):
    from custom_rm.recipes import read_recipe
    (folder / "recipe.yaml").write_text(RECIPE.format(start=start, home=home, general=general, custom=custom))
    return read_recipe(folder / "recipe.yaml")


@pytest.fixture
def run(monkeypatch):
    "Run a recipe without drawing; what it measured, and what it said"
    import custom_rm.runs
    monkeypatch.setattr(custom_rm.runs, "_draw", lambda *_: [])
    def run(made, folder):
        said = []
        return custom_rm.runs.run_recipe(made, folder / "run", "cpu", said.append), "\n".join(said)
    return run


def test_a_run_begins_with_it(tmp_path, sums, run):
    from custom_rm.artefact import load, read_card
    folder = publish(tmp_path, "qwen3")
    made = recipe(tmp_path, sums, folder)
    assert made.base.name == str(folder) and made.base.template == "chat"
    metrics, said = run(made, tmp_path)
    assert list(metrics["rms"]) == ["general", "loud"]
    assert "is a published reward model; its head and its pooling (last) stay" in said and "general   is the published model as it is" in said
    close(rewards_of(load(tmp_path / "run" / "general", device="cpu"), TEXTS), own_rewards(folder, TEXTS))
    card = read_card(tmp_path / "run" / "loud")
    assert card["parent"] == dict(name="general", weights_sha256=read_card(tmp_path / "run" / "general")["weights_sha256"])
    assert metrics["rms"]["loud"]["loud"]["accuracy"] > metrics["rms"]["general"]["loud"]["accuracy"]
    assert "trained and measured already" in run(made, tmp_path)[1]


def test_its_own_export_begins_the_next_run(home, finished, tmp_path, sums, run):
    from custom_rm.export import merge
    before = merge(finished[0] / "general", tmp_path / "published", device="cpu")
    made = recipe(tmp_path, sums, tmp_path / "published")
    assert made.base.template == "dsp" # as its card says
    metrics, said = run(made, tmp_path)
    from custom_rm.artefact import load
    close(rewards_of(load(tmp_path / "run" / "general", device="cpu"), TEXTS), rewards_of(load(finished[0] / "general", device="cpu"), TEXTS))
    assert before["share"] < .01 and list(metrics["rms"]) == ["general", "loud"]


def test_it_is_trained_on_and_held_on_to(tmp_path, sums, run):
    "Continued on general data; replay, anchoring, imitation and blend against it"
    folder = publish(tmp_path, "qwen3")
    more = dict(general=f", train: {{sums: {sums}/general.train.json}}, learning_rate: 1e-2", custom=", replay: 0.5, anchoring: 0.1, imitation: 0.1, blend: 0.5")
    made = recipe(tmp_path, sums, folder, **more)
    metrics, _ = run(made, tmp_path)
    assert list(metrics["rms"]) == ["base", "general", "loud"]
    assert metrics["rms"]["general"]["sums"]["accuracy"] > metrics["rms"]["base"]["sums"]["accuracy"]
    only_replayed = recipe(tmp_path, sums, folder, more["general"] + ", epochs: 0", more["custom"])
    with pytest.raises(DataError, match=r"recipe \(general.epochs differs\)"): run(only_replayed, tmp_path)
    metrics, said = run(only_replayed, tmp_path / "other")
    assert list(metrics["rms"]) == ["general", "loud"] and "as it is" in said


def test_joint_heads_of_several_layers(tmp_path, sums, run):
    from custom_rm.artefact import load
    folder = publish(tmp_path, "roberta")
    metrics, said = run(recipe(tmp_path, sums, folder, custom=", sharing: joint"), tmp_path)
    rm = load(tmp_path / "run" / "loud", device="cpu")
    assert "the dsp template (base.template); see that" in said and [p.shape[0] for p in rm.head().parameters()] == [32, 32, 1, 1]


def test_a_fitted_head_stays_near_the_published_one(tmp_path, sums, run):
    method = ", method: head"
    metrics, _ = run(recipe(tmp_path, sums, publish(tmp_path, "qwen3"), custom=method), tmp_path)
    assert metrics["rms"]["loud"]["loud"]["accuracy"] > metrics["rms"]["general"]["loud"]["accuracy"]
    with pytest.raises(DataError, match="its published head has several layers.*set the stage's method to lora"):
        run(recipe(tmp_path, sums, publish(tmp_path, "roberta"), custom=method), tmp_path / "several")


def change(folder, **said):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | said))


def test_refusals(tmp_path, sums):
    from transformers import AutoModelForSequenceClassification
    folder = publish(tmp_path, "llama")
    def fault(**said):
        other = shutil.copytree(folder, tmp_path / "other", dirs_exist_ok=True)
        change(other, **said)
        with pytest.raises(DataError) as e: begin(other, "llama")
        assert "\n" not in str(e.value)
        return str(e.value)
    def three():
        quietly(AutoModelForSequenceClassification.from_pretrained, tmp_path / "llama-base", num_labels=3).save_pretrained(tmp_path / "three")
        shutil.copy(folder / "tokenizer.json", tmp_path / "three")
        with pytest.raises(DataError) as e: begin(tmp_path / "three")
        return str(e.value)
    assert "has 3 labels and a reward model has one; for a fresh head on its trunk, name it as base.name" in three()
    assert "take problem_type out of its config.json" in fault(problem_type="multi_label_classification")
    assert "meant to go through Sigmoid" in fault(sentence_transformers=dict(activation_fn="torch.nn.modules.activation.Sigmoid"))
    assert "it scales its rewards (reward_mean in config.json)" in fault(reward_mean=1.2)
    assert "needs code of its own, which is never run here" in fault(auto_map=dict(AutoModelForSequenceClassification="mine.Model"))
    assert "is a LlamaForRewards, which transformers would read as a LlamaForSequenceClassification" in fault(architectures=["LlamaForRewards"])
    with pytest.raises(DataError, match="has no head of its own .score.weight is not in its files.*name it as base.name instead"): begin(tmp_path / "llama-base", "llama")
    with pytest.raises(DataError, match="base.pooling is mean, but .* reads its rewards by last; leave it out"): begin(folder, "llama", pooling="mean")


def test_other_tensors(tmp_path):
    from safetensors.torch import load_file, save_file
    folder = publish(tmp_path, "bert")
    def fault(change):
        weights = load_file(folder / "model.safetensors")
        change(weights)
        other = shutil.copytree(folder, tmp_path / "other", dirs_exist_ok=True)
        save_file(weights, other / "model.safetensors", {"format": "pt"})
        with pytest.raises(DataError) as e: begin(other)
        return str(e.value)
    assert "bert.pooler.dense.bias is not in its files" in fault(lambda weights: weights.pop("bert.pooler.dense.bias"))
    assert "of the model's" in fault(lambda weights: weights.pop("bert.encoder.layer.0.output.dense.bias"))
    assert "holds v_head.weight, for which a BertForSequenceClassification has no place" in fault(lambda weights: weights.update({"v_head.weight": torch.ones(1)}))


def test_a_wrong_reading_never_passes(tmp_path, monkeypatch):
    import custom_rm.model
    folder = publish(tmp_path, "deberta")
    monkeypatch.setattr(custom_rm.model, "POOLINGS", {name: kind for name, kind in custom_rm.model.POOLINGS.items() if name != "first"})
    with pytest.raises(DataError, match="its rewards differ by .* or more from transformers' own"): begin(folder)


def test_recipes_that_name_two_models(tmp_path, sums):
    from custom_rm.recipes import BaseConfig, CustomConfig, GeneralConfig, Recipe, read_recipe
    from custom_rm.runs import run_recipe
    folder, path = publish(tmp_path, "bert"), tmp_path / "recipe.yaml"
    def fault(text):
        path.write_text(text.format(folder=folder, sums=sums))
        with pytest.raises(DataError) as e: run_recipe(read_recipe(path), tmp_path / "run", "cpu", print)
        return str(e.value)
    assert "leave base.name out" in fault("base: {{name: minilm}}\ngeneral: {{start: {folder}}}")
    assert "leave base.name out" in fault("base: {{name: smollm2-135m}}\ngeneral: {{start: {folder}}}")
    assert "set it to null" in fault("base: {{layers: 1}}\ngeneral: {{start: {folder}}}")
    assert "general.epochs: 0 leaves the published model as it is" in fault("general: {{start: {folder}}}\ncustom: {{domains: [loud], train: a.json, replay: 0.5}}")
    assert fault("base: {{name: {folder}, quantize: false}}\ngeneral: {{train: {{sums: {sums}/general.train.json}}}}").endswith(f"general.start: {folder}, and leave base.name out")
    begin(folder).save(tmp_path / "adapter")
    assert f"custom-rm export {tmp_path / 'adapter'} OUT" in fault("general: {{start: %s}}" % (tmp_path / "adapter"))
    with pytest.raises(DataError, match="general.epochs is 0; give a number above 0"): GeneralConfig(epochs=0)


def test_a_head_that_is_lost_is_told(tmp_path):
    from custom_rm.model import RewardModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    folder = publish(tmp_path, "bert")
    assert RewardModel(folder, **SMALL).notes == ["its own head of 1 label is not used, and a fresh one is put on its trunk; general.start keeps it"]
    quietly(AutoModelForSequenceClassification.from_pretrained, tmp_path / "bert-base", num_labels=3).save_pretrained(tmp_path / "three")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "three")
    assert RewardModel(tmp_path / "three", **SMALL).notes == ["its own head of 3 labels is not used, and a fresh one is put on its trunk"]
    assert not RewardModel(tmp_path / "bert-base", **SMALL).notes


def test_a_check_loads_what_a_run_would(tmp_path):
    from custom_rm.check import check_base
    folder, recipe = publish(tmp_path, "bert"), tmp_path / "recipe.yaml"
    told = dict(base=dict(quantize=False), general=dict(start=str(folder), token_budget=64), custom=dict(token_budget=64))
    recipe.write_text(json.dumps(told))
    kept = check_base(recipe, torch.device("cpu"))
    assert kept["base"]["pooling"] == "first" and kept["says"] == kept["base"]["notes"] == []
    recipe.write_text(json.dumps(dict(base=dict(quantize=False, name=str(folder)), general=dict(train=dict(a="a.json")))))
    assert "would throw away; begin with it instead" in check_base(recipe, torch.device("cpu"))["says"][0]
