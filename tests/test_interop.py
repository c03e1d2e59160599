"An export in other libraries' hands: the same numbers, by the libraries themselves."
import json

import numpy as np
import pytest


def text(i): return f"## Human:\nQuestion {i}\n\n## Assistant:\nAnswer {i}, {'with more words ' * (i % 4)}."


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def exported(request, tmp_path_factory):
    "An artefact with an opinion, its merged export, and the rewards of some texts"
    import torch
    from custom_rm.export import merge
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    from custom_rm.tiny import tiny_base
    home = tmp_path_factory.mktemp(request.param)
    texts = [text(i) for i in range(12)]
    rm = RewardModel(tiny_base(home / "tiny", texts, request.param, hidden_size=128), quantize=True, max_length=64).add_adapter("taste")
    with torch.no_grad():
        for n, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))) * .1)
    rm.save(home / "taste")
    rewards = score_texts(rm, texts)
    merge(home / "taste", home / "plain", texts=texts)
    return home, texts, rewards


def close(found, rewards): assert np.abs(np.asarray(found, float) - rewards).max() < 1e-4, np.abs(np.asarray(found, float) - rewards).max()


def test_pipeline_gives_raw_rewards(exported):
    from transformers import pipeline
    from custom_rm.core import quietly
    home, texts, rewards = exported
    judge = quietly(pipeline, "text-classification", model=str(home / "plain"))
    close([x["score"] for x in judge(texts, batch_size=5)], rewards)
    assert rewards.min() < 0 or rewards.max() > 1, "a sigmoid would not be noticed"


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(exported, side):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    home, texts, rewards = exported
    tokenizer, model = AutoTokenizer.from_pretrained(home / "plain"), AutoModelForSequenceClassification.from_pretrained(home / "plain").eval()
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    tokenizer.padding_side = side
    with torch.no_grad(): close(model(**tokenizer(texts, padding=True, return_tensors="pt")).logits[:, 0], rewards)


def test_cross_encoder(exported):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    import torch
    home, texts, rewards = exported
    judge = sentence_transformers.CrossEncoder(str(home / "plain"), num_labels=1, device="cpu")
    pairs = [(f"Question {i}", t.partition("## Assistant:\n")[2]) for i, t in enumerate(texts)]  # rendered by the export's chat template
    close(judge.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False), rewards)


def test_trl_by_path(exported, tmp_path):
    "TRL's trainers load a reward model by its path, as a user names it."
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    home, texts, rewards = exported
    args = trl.GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=12, num_generations=2, disable_tqdm=True)
    trainer = trl.GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(home / "tiny"), reward_funcs=str(home / "plain"), args=args, train_dataset=Dataset.from_list([dict(prompt="a")] * 12), processing_class=AutoTokenizer.from_pretrained(home / "tiny"))
    prompts, completions = zip(*((t[:20], t[20:]) for t in texts))
    inputs = [dict(prompt=p) for p in prompts]
    found = trainer._calculate_rewards(inputs, list(prompts), list(completions), [[0]] * len(texts))
    close(found[:, 0].tolist(), rewards)


def test_adapter_in_peft(exported):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig
    from custom_rm.export import copy_adapter
    from custom_rm.core import quietly
    home, texts, rewards = exported
    folder = home / "adapter"
    if not folder.exists(): copy_adapter(home / "taste", folder)
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=["score"])
    base = quietly(AutoModelForSequenceClassification.from_pretrained, home / "tiny", num_labels=1, dtype=torch.float32, quantization_config=four)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = base.dequantize()  # bitsandbytes' own 4-bit kernel of the CPU rounds in between; the weights are the same
    base.config.pad_token_id = tokenizer.pad_token_id
    model = quietly(PeftModel.from_pretrained, base, str(folder)).eval()
    with torch.no_grad(): close(model(**tokenizer(texts, padding=True, return_tensors="pt")).logits[:, 0], rewards)
    assert not list(folder.glob("*.bin")) and (folder / "adapter_model.safetensors").exists()


def test_what_vllm_documents(exported):
    "vLLM can't run here: the fields and names its documentation asks of a reward or classification model are checked instead."
    from safetensors import safe_open
    home, *_ = exported
    config = json.loads((home / "plain" / "config.json").read_text())
    assert config["architectures"][0].endswith("ForSequenceClassification")
    assert len(config.get("id2label", {"0": ""})) == 1 and config["problem_type"] == "regression"
    assert "quantization_config" not in config and config["pad_token_id"] != config["eos_token_id"]
    with safe_open(home / "plain" / "model.safetensors", "np") as f:
        head = f.get_tensor("score.weight")
        assert head.shape == (1, config["hidden_size"]) and np.isfinite(head).all()
        assert not [k for k in f.keys() if "lora" in k or "base_layer" in k or "modules_to_save" in k]
    assert not [p for p in (home / "plain").rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth")]


def test_chat_template_of_other_tools():
    "Pairs come as query and document, contents as lists of parts, and a prompt may be open at its end"
    from custom_rm.export import chat_template
    from custom_rm.tiny import tiny_tokenizer
    tokenizer = tiny_tokenizer()
    hello = [dict(role="user", content="Hi"), dict(role="assistant", content="Hello!")]
    pair = [dict(role="query", content="Hi"), dict(role="document", content=[dict(type="text", text="Hello!")])]
    forms = ("dsp", "## Human:\nHi", "\n\n## Assistant:\n"), ("hh", "\n\nHuman: Hi", "\n\nAssistant: ")
    for template, question, answer in forms:
        tokenizer.chat_template = chat_template(template)
        for messages in (hello, pair):
            assert tokenizer.apply_chat_template(messages, tokenize=False) == f"{question}{answer}Hello!"
        asked = tokenizer.apply_chat_template(hello[:1], tokenize=False, add_generation_prompt=True)
        assert asked == question + answer


def test_refused_merges_leave_nothing(exported):
    from custom_rm.core import DataError
    from custom_rm.export import copy_adapter, merge
    home, texts, _ = exported
    with pytest.raises(DataError, match="choose float32, bfloat16 or float16"):
        merge(home / "taste", home / "x", dtype="int3")
    with pytest.raises(DataError, match="rewards drift by .* more than 0.0%; .*--force"):
        merge(home / "taste", home / "x", "bfloat16", texts, limit=1e-6)
    for export in (merge, copy_adapter):
        with pytest.raises(DataError, match="plain: is there already"): export(home / "taste", home / "plain")
    assert not (home / "x").exists() and not list(home.glob(".*"))
    found = merge(home / "taste", home / "x", "bfloat16", texts, limit=1e-6, force=True)
    assert found["share"] > 1e-6 and found["texts"] == len(texts) and (home / "x" / "config.json").exists()


def test_merged_card(exported):
    "The drift of four bits, written out in full, is far below the limit, and stands in the card"
    home, texts, _ = exported
    card = json.loads((home / "plain" / "reward_model.json").read_text())
    assert card["export"]["share"] < 1e-3 and card["export"]["dtype"] == "float32"
    readme = (home / "plain" / "README.md").read_text()
    assert "Not to be used for" in readme and f"on {len(texts)} texts the rewards differ" in readme


def test_files_to_send(exported, tmp_path):
    import shutil
    from custom_rm.core import DataError
    from custom_rm.export import files_to_send, send
    home, *_ = exported
    shutil.copytree(home / "plain", tmp_path / "plain")
    assert ("model.safetensors", (home / "plain" / "model.safetensors").stat().st_size) in files_to_send(tmp_path / "plain")
    for name in (".env", "events.out.tfevents", "weights.bin", "sub/run.log"):
        path = tmp_path / "plain" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        for ask in (files_to_send, lambda folder: send(folder, "nobody/nothing")):
            with pytest.raises(DataError, match="is no model file"): ask(tmp_path / "plain")
        path.unlink()
