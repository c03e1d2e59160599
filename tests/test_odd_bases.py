"Bases, tokenizers and folders that this package was not built with: each is read rightly, or refused with what to do."
import json
import re
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from custom_rm.artefact import load
from custom_rm.core import DataError, quietly
from custom_rm.export import copy_adapter, merge
from custom_rm.model import LoRA, RewardModel
from custom_rm.scorer import score_texts
from custom_rm.tiny import sum_text, tiny_base, tiny_tokenizer

TEXTS = [sum_text(i, answer) for i in range(3) for answer in ("It is.", "No idea, no idea, no idea!")]
SIZE = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=256)


def opened(folder, **options):
    "A reward model whose adapter says something"
    rm = RewardModel(folder, **dict(quantize=False, lora=LoRA(4, 8), max_length=64, device="cpu") | options).add_adapter("x").eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in rm.parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=generator) * .2)
    return rm


def base(folder, kind, tokenizer=None, auto=AutoModelForCausalLM, **settings):
    "A random model of any kind, and a tokenizer"
    tokenizer = tokenizer or tiny_tokenizer()
    ids = dict(vocab_size=len(tokenizer), **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = quietly(auto.from_config, AutoConfig.for_model(kind, **SIZE | ids | settings))
        with torch.no_grad(): [p.normal_(0, .2) for p in model.parameters() if p.ndim > 1]
    quietly(model.save_pretrained, folder)
    tokenizer.save_pretrained(folder)
    return folder


def configure(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def refused(call, *words):
    "Refused in one line that says these words"
    with pytest.raises(DataError) as e: call()
    assert "\n" not in str(e.value) and all(word in str(e.value) for word in words), str(e.value)


# What a text is scored beside

@pytest.mark.parametrize("kind, settings", [("fnet", {}), ("convbert", dict(embedding_size=32))])
def test_encoders_whose_texts_see_padding_are_refused(tmp_path, kind, settings):
    refused(lambda: opened(base(tmp_path, kind, auto=AutoModel, **settings)), "padding", "choose another")


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "deberta-v2", "albert", "electra", "mpnet", "distilbert"])
def test_usual_encoders_are_read(tmp_path, kind):
    rm = opened(tiny_base(tmp_path, TEXTS, kind))
    assert np.abs(score_texts(rm, TEXTS) - np.concatenate([score_texts(rm, [text]) for text in TEXTS])).max() < 1e-4


ROPES = dict(dynamic=("llama", dict(rope_type="dynamic", factor=4.), {}),
             longrope=("phi3", dict(rope_type="longrope", short_factor=[1.] * 4, long_factor=[5.] * 4, original_max_position_embeddings=32), dict(original_max_position_embeddings=32)))

@pytest.mark.parametrize("name", ROPES)
def test_positions_that_turn_by_the_longest_text(tmp_path, name):
    "Up to the length where that begins a text has one reward in any company; above, a run is refused"
    kind, rope, more = ROPES[name]
    base(tmp_path, kind, **more, max_position_embeddings=32 if name == "dynamic" else 128, rope_parameters=rope | dict(rope_theta=1e4))
    refused(lambda: opened(tmp_path, max_length=64), "max_length is 64", "base.max_length to 32")
    rm = opened(tmp_path, max_length=32)
    assert np.abs(score_texts(rm, TEXTS) - np.concatenate([score_texts(rm, [text]) for text in TEXTS])).max() < 1e-4


@pytest.mark.parametrize("rope", [dict(rope_type="yarn", factor=4., original_max_position_embeddings=32), dict(rope_type="linear", factor=4.),
                                  dict(rope_type="llama3", factor=8., low_freq_factor=1., high_freq_factor=4., original_max_position_embeddings=32)], ids=lambda r: r["rope_type"])
def test_other_stretched_positions_have_no_end(tmp_path, rope):
    rm = opened(base(tmp_path, "llama", max_position_embeddings=32, rope_parameters=rope | dict(rope_theta=1e4)), max_length=64)
    assert np.abs(score_texts(rm, TEXTS) - np.concatenate([score_texts(rm, [text]) for text in TEXTS])).max() < 1e-4


def test_states_of_padded_windows_are_not_kept(tmp_path):
    "Longformer pads its texts to whole windows; a run would end in a message about lengths"
    folder = base(tmp_path, "longformer", auto=AutoModel, attention_window=16)
    refused(lambda: opened(folder, frozen=1).remember(tmp_path / "states"), "16 states for 12 tokens", "base.frozen to 0")


# What a base holds besides plain weights

@pytest.fixture
def llama(tmp_path): return tiny_base(tmp_path / "base", TEXTS, hidden_size=64)


@pytest.mark.parametrize("said, quantize, words", [
    (dict(quant_method="bitsandbytes", load_in_4bit=True), False, ("in four bits already", "base.quantize to true")),
    (dict(quant_method="bitsandbytes", load_in_8bit=True), True, ("in eight bits", "made from")),
    (dict(quant_method="bitsandbytes", load_in_8bit=True), False, ("in eight bits", "made from")),
    (dict(quant_method="fp8", weight_block_size=[128, 128]), True, ("quantized already (fp8)", "base.quantize to false")),
    (dict(quant_method="gptq", bits=4), True, ("quantized already (gptq)", "base.quantize to false")),
    (dict(quant_method="gptq", bits=4), False, ("gptq" , "choose another")),
    (dict(quant_method="awq", bits=4), False, ("AWQ", "choose another")),
])
def test_bases_that_are_quantized_otherwise(llama, said, quantize, words):
    configure(llama, quantization_config=said)
    with pytest.raises(DataError) as e: opened(llama, quantize=quantize)
    assert all(word.lower() in str(e.value).lower() for word in words), str(e.value)


def test_a_base_in_four_bits_is_read_in_four_bits(llama, tmp_path):
    from transformers import BitsAndBytesConfig
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    quietly(AutoModelForCausalLM.from_pretrained(llama, quantization_config=bits, device_map={"": "cpu"}).save_pretrained, tmp_path / "four")
    AutoTokenizer.from_pretrained(llama).save_pretrained(tmp_path / "four")
    rm = opened(tmp_path / "four", quantize=True)
    rm.save(tmp_path / "x")
    assert np.abs(score_texts(load(tmp_path / "x", device="cpu"), TEXTS) - score_texts(rm, TEXTS)).max() < 1e-5
    assert merge(tmp_path / "x", tmp_path / "merged", texts=TEXTS, device="cpu")["share"] < 1e-3


def test_an_adapter_beside_a_bases_weights_is_not_lost(llama, tmp_path):
    opened(llama).save(tmp_path / "x")
    for name in ("adapter_config.json", "adapter_model.safetensors"): shutil.copy(tmp_path / "x" / name, llama / name)
    refused(lambda: opened(llama), "adapter beside its weights", "merge")


def test_a_trained_classifier_is_a_base(tmp_path):
    "`Trainer` writes the problem's type into the configuration of every classifier it trains"
    folder = configure(tiny_base(tmp_path, TEXTS, "bert"), problem_type="single_label_classification", id2label={"0": "no", "1": "yes"}, label2id=dict(no=0, yes=1))
    assert opened(folder).heads() == 1


@pytest.mark.parametrize("kind, settings, name", [("phi", dict(num_key_value_heads=4), "lm_head.bias"), ("gptj", dict(n_embd=32, n_layer=1, n_head=4, rotary_dim=4), "lm_head.bias"),
                                                  ("modernbert-decoder", {}, "lm_head.dense.weight")])
def test_what_foresees_words_besides_an_output_layer(tmp_path, kind, settings, name):
    "Imitation would learn another loss without it"
    rm = RewardModel(base(tmp_path, kind, **settings), quantize=False, max_length=64, device="cpu")
    refused(rm.lm_head, name, "set imitation to 0")


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "gpt_neox", "opt", "qwen3_moe", "falcon", "bloom"])
def test_usual_language_models_are_imitated(tmp_path, kind):
    assert RewardModel(tiny_base(tmp_path, kind=kind), quantize=False, max_length=64, device="cpu").lm_head().shape[0] == len(tiny_tokenizer())


# Tokenizers

def special(*tokens, post=None, **names):
    "A tokenizer with these special tokens, some of them around every text"
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast
    bpe = tiny_tokenizer(TEXTS).backend_tokenizer
    vocabulary = json.loads(bpe.to_str())
    vocabulary["added_tokens"], kept = [], vocabulary["model"]["vocab"]
    for name, old in zip(tokens, ("<|endoftext|>", "<|im_start|>", "<|im_end|>")): kept[name] = kept.pop(old)
    bpe = type(bpe).from_str(json.dumps(vocabulary))
    bpe.add_special_tokens(list(tokens))
    if post: bpe.post_processor = processors.TemplateProcessing(single=post, special_tokens=[(t, bpe.token_to_id(t)) for t in tokens])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **names)


def test_a_tokenizer_without_any_special_token(tmp_path):
    rm = opened(base(tmp_path / "base", "llama", special()))
    assert rm.trees and np.abs(score_texts(rm, TEXTS) - np.concatenate([score_texts(rm, [text]) for text in TEXTS])).max() < 1e-4
    rm.save(tmp_path / "x")
    assert merge(tmp_path / "x", tmp_path / "merged", texts=TEXTS, device="cpu")["share"] < 1e-3


@pytest.mark.parametrize("tokens, fine", [(("</s>",), False), (("<unk>", "</s>"), True)])
def test_texts_that_end_with_padding_are_not_exported_as_an_adapter(tmp_path, tokens, fine):
    "A plain classifier reads at the last token that is no padding"
    opened(base(tmp_path / "base", "llama", special(*tokens, post="$A </s>", eos_token="</s>"))).save(tmp_path / "x")
    if fine: assert copy_adapter(tmp_path / "x", tmp_path / "out").is_dir()
    else: refused(lambda: copy_adapter(tmp_path / "x", tmp_path / "out"), "end with </s>", "custom-rm serve")
    assert (tmp_path / "out").exists() == fine


# Artefacts

@pytest.mark.parametrize("kind, settings", [("bert", {}), ("roberta", {}), ("modernbert-decoder", {})])
def test_heads_that_plain_peft_would_read_otherwise(tmp_path, kind, settings):
    rm = opened(base(tmp_path / "base", kind, auto=AutoModel if kind != "modernbert-decoder" else AutoModelForCausalLM, **settings), pooling="last")
    rm.save(tmp_path / "x")
    refused(lambda: copy_adapter(tmp_path / "x", tmp_path / "out"), "other layers", "custom-rm serve")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file, change", [("reward_model.json", lambda card: card["lora"].update(alpha=64)), ("reward_model.json", lambda card: card["lora"].update(alpha=4)),
                                          ("adapter_config.json", lambda config: config.update(lora_alpha=16)), ("adapter_config.json", lambda config: config.update(r=2))])
def test_a_scale_that_card_and_adapter_tell_differently(llama, tmp_path, file, change):
    opened(llama).save(tmp_path / "x")
    load(tmp_path / "x", device="cpu")
    said = json.loads((tmp_path / "x" / file).read_text())
    change(said)
    (tmp_path / "x" / file).write_text(json.dumps(said))
    for call in (lambda: load(tmp_path / "x", device="cpu"), lambda: copy_adapter(tmp_path / "x", tmp_path / "out")):
        refused(call, "lora.", "adapter_config.json", "copy the artefact again")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "gpt_neox"])
@pytest.mark.parametrize("other", [True, False])
def test_an_output_layer_in_the_files_is_the_one_whatever_the_settings_say(tmp_path, kind, other):
    from safetensors.torch import load_file, save_file
    from test_architectures import base_of, imitation, model
    base = base_of(kind, tmp_path)
    weights = load_file(base / "model.safetensors")
    name, words = next((name, w) for name, w in weights.items() if re.search(r"(embed_tokens|wte|embed_in)\.weight", name))
    own = torch.randn(words.shape, generator=torch.Generator().manual_seed(1)) if other else words.clone()
    save_file(weights | {"lm_head.weight": own}, base / "model.safetensors", metadata=dict(format="pt"))
    rm = model(base)
    assert rm.trunk.config.tie_word_embeddings and torch.equal(rm.lm_head(), own) and imitation(rm) < 1e-4


def test_a_router_that_is_a_linear_layer_is_left_alone(tmp_path, monkeypatch):
    from custom_rm import tiny
    from test_architectures import alone, base_of, model, reloaded
    monkeypatch.setitem(tiny.KINDS, "phimoe", dict(num_local_experts=4, num_experts_per_tok=2))
    rm = model(base_of("phimoe", tmp_path))
    assert not [name for name in rm.weights("x") if "router" in name] and [name for name in rm.weights("x") if "q_proj" in name]
    assert alone(rm) < 1e-4 and reloaded(rm, tmp_path) < 1e-4


def test_a_base_that_takes_no_adapter_is_refused_in_one_line(tmp_path, monkeypatch):
    from custom_rm import tiny
    from test_architectures import base_of, model
    monkeypatch.setitem(tiny.KINDS, "ibert", {})
    with pytest.raises(DataError, match="ibert: PEFT can put no adapter on it .* choose another base model"): model(base_of("ibert", tmp_path))
