"""Every architecture people use, as a tiny random model: what it is fed, whether its rewards are those of the texts alone, and what can be done with it.
`python tests/test_architectures.py` prints the table; with `--write` it goes into results/use/architectures.json, which a page of the docs shows."""
import json
import re
import sys
from datetime import date
from pathlib import Path

import pytest
import torch

from custom_rm.core import DataError
from custom_rm.tiny import KINDS

TABLE = Path(__file__).parent.parent / "results" / "use" / "architectures.json"
PROMPT = "## Human:\nWhich of these is best, and why do you say so?\n\n## Assistant:\n"
TEXTS = [PROMPT + answer for answer in ("This one.", "That one, I should think, but who knows?", "None of them!")]
LENGTH = 96 # in tokens


def base_of(kind, folder):
    "A tiny base whose configuration asks for dropout wherever it can"
    from custom_rm.core import quietly
    from custom_rm.tiny import tiny_base
    path = quietly(tiny_base, folder / kind, TEXTS * 9, kind)
    config = json.loads((path / "config.json").read_text())
    for name, value in config.items():
        if "drop" in name and isinstance(value, (int, float)) and not isinstance(value, bool): config[name] = .1
    (path / "config.json").write_text(json.dumps(config))
    return path


def model(base, quantize=False, **options):
    "A reward model whose adapter says something"
    from custom_rm.model import LoRA, RewardModel
    rm = RewardModel(base, quantize=quantize, lora=LoRA(4, 8), max_length=LENGTH, device="cpu", dtype="float32", **options).add_adapter("x")
    with torch.no_grad():
        for name, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))) * .2)
    return rm.eval()


def record_of(rm):
    from custom_rm.packing import encode
    return dict(encode(TEXTS, rm.tokenizer, LENGTH), score=[1., 0., 0.])


def apart(rm, record):
    "Rewards of each text fed alone"
    rows = [torch.tensor([ids]) for ids in record["input_ids"]]
    return torch.cat([rm(row, torch.ones_like(row))["rewards"] for row in rows])


def library_rewards(rm, record):
    "Rewards of each text, the states by `transformers` alone with its plain attention, before any adapter"
    from transformers import AutoModel
    from custom_rm.core import quietly
    from custom_rm.pooling import pool
    trunk = quietly(AutoModel.from_pretrained, rm.base.path, attn_implementation="eager", dtype=torch.float32).eval()
    rows = [torch.tensor([ids]) for ids in record["input_ids"]]
    states = [pool(trunk(row).last_hidden_state, torch.ones_like(row), rm.pooling) for row in rows]
    return torch.cat([rm.read(state.float()) for state in states])


def share(found, expected):
    "The largest difference as a share of the spread"
    return float((found - expected).detach().abs().max() / expected.detach().std())


@torch.no_grad()
def library(base):
    from custom_rm.model import RewardModel
    rm = RewardModel(base, quantize=False, max_length=LENGTH, device="cpu", dtype="float32").eval()
    record = record_of(rm)
    return share(rm(**rm.batch([record]))["rewards"], library_rewards(rm, record))


@torch.no_grad()
def alone(rm):
    record = record_of(rm)
    return share(rm(**rm.batch([record]))["rewards"], apart(rm, record))


@torch.no_grad()
def dropout(rm):
    record = record_of(rm)
    still = rm.eval()(**rm.batch([record]))["rewards"]
    found = max(share(rm.train()(**rm.batch([record]))["rewards"], still) for _ in range(2))
    rm.eval()
    return found


def gradients(rm):
    first, *others = rm.train()(**rm.batch([record_of(rm)]))["rewards"]
    found = torch.autograd.grad(sum(first - other for other in others), [p for p in rm.parameters() if p.requires_grad], allow_unused=True)
    rm.eval()
    return torch.cat([g.flatten() for g in found if g is not None])


def kept(rm):
    "How many numbers a step keeps for the backward pass, and its gradients"
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t): found = gradients(rm)
    return sum(sizes), found


def recompute(rm):
    everything, before = kept(rm)
    rm.checkpoint_activations()
    less, after = kept(rm)
    return float((after - before).norm() / before.norm()) if less < everything / 2 else f"keeps {less / everything:.0%}"


@torch.no_grad()
def imitation(rm):
    "The language model's loss by `transformers`, and ours, before any adapter"
    from transformers import AutoModelForCausalLM
    from custom_rm.core import quietly
    record = record_of(rm)
    with rm.trunk.disable_adapter(): ours = rm(**rm.batch([record], imitate=True))["imitation"]
    lm = quietly(AutoModelForCausalLM.from_pretrained, rm.base.path, attn_implementation="eager", dtype=torch.float32).eval()
    ids, start = torch.tensor([record["input_ids"][0]]), record["response_start"][0]
    theirs = lm(ids, labels=ids.masked_fill(torch.arange(ids.shape[1]) < start, -100)).loss * (ids.shape[1] - start)
    return abs(float(ours / theirs) - 1)


def reloaded(rm, folder):
    from custom_rm.artefact import load
    from custom_rm.scorer import score_texts
    again = load(rm.save(folder / "x"), device="cpu")
    return share(torch.tensor(score_texts(again, TEXTS)), torch.tensor(score_texts(rm, TEXTS)))


def merged(rm, folder):
    from custom_rm.export import merge
    return merge(folder / "x", folder / "merged", texts=TEXTS, device="cpu")["share"]


def quantized(base, folder):
    rm = model(base, quantize=True)
    gradients(rm)
    found = [alone(rm), reloaded(rm, folder)]
    return max(found + [merged(rm, folder)] if rm.pooling == "last" else found)


def attempt(check, *args):
    "A share of the spread, or why there is none"
    try: return check(*args)
    except DataError as e: return f"refused: {str(e).partition(': ')[2]}"
    except Exception as e: return f"crashed: {type(e).__name__}: {' '.join(str(e).split())[:200]}"


def examine(kind, folder):
    "What can be done with an architecture: for each step a share of the rewards' spread, or why there is none"
    base = base_of(kind, folder)
    try: rm = model(base)
    except Exception as e: return dict(load=f"crashed: {type(e).__name__}: {e}")
    found = dict(name=type(rm.bare_trunk().base_model).__name__.removesuffix("Model"), decoder=rm.is_decoder, fed="trees" if rm.trees else "rectangles", why=rm.why)
    found["library"] = attempt(library, base)
    for check in (alone, dropout, imitation, recompute): found[check.__name__] = attempt(check, rm)
    for check in (reloaded, merged): found[check.__name__] = attempt(check, rm, folder)
    found["quantized"] = attempt(quantized, base, folder / "four")
    return found


CHECKS = ("library", "alone", "dropout", "imitation", "recompute", "reloaded", "merged", "quantized")


def verdict(found):
    "The same as it stands in the docs: a mark for what is equal, else the words"
    why = re.sub(r"[\d.]+%", lambda share: f"{float(share[0][:-1]):.0f}%", found["why"])
    return found | dict(why=why) | {check: "✓" if isinstance(found[check], float) and found[check] < 1e-4 else found[check] for check in CHECKS}


@pytest.mark.parametrize("kind", KINDS)
def test_architecture(kind, tmp_path):
    found = examine(kind, tmp_path)
    assert "load" not in found, found["load"]
    shown = verdict(found)
    allowed = {} if found["decoder"] else dict(imitation="is an encoder", merged="mean pooling")
    for check in CHECKS: assert shown[check] == "✓" or allowed.get(check) and shown[check].startswith("refused") and allowed[check] in shown[check], f"{check}: {found[check]}"
    assert (found["why"] == "") == (found["fed"] == "trees")
    assert shown == json.loads(TABLE.read_text())["kinds"][kind], "the docs' table is old: python tests/test_architectures.py --write"


@pytest.mark.parametrize("kind", ["gemma2", "gpt_oss", "mistral-window", "llama"])
def test_sixteen_bits_hide_nothing(kind, tmp_path):
    "In bfloat16 the choice between trees and rectangles is made as in float32: a layer that forgets cap, sinks or window is found out"
    import custom_rm.attention as attention
    from custom_rm.model import RewardModel
    base = base_of(kind, tmp_path)
    rm = RewardModel(base, quantize=False, max_length=LENGTH, device="cpu", dtype="bfloat16")
    assert rm.trees and rm.dtype == torch.bfloat16
    if kind == "llama": return
    forgetful = lambda *args, softcap=None, s_aux=None, sliding_window=None, **kwargs: attention.tree_attention(*args, **kwargs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("custom_rm.model.register", lambda flex=False: (attention.register(), __import__("transformers").AttentionInterface.register(attention.NAME, forgetful), attention.NAME)[2])
        rm = RewardModel(base, quantize=False, max_length=LENGTH, device="cpu", dtype="bfloat16")
    attention.register()
    assert not rm.trees and "would change" in rm.why


def test_what_tokens_alone_do_not_feed_is_refused(tmp_path):
    from transformers import T5Config, T5Model
    from custom_rm.model import RewardModel
    from custom_rm.tiny import tiny_tokenizer
    config = T5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0, eos_token_id=2, pad_token_id=2)
    T5Model(config).save_pretrained(tmp_path); tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="tokens alone|no head named"): RewardModel(tmp_path, quantize=False, device="cpu")


@pytest.mark.parametrize("dice", [True, False])
def test_what_differs_in_training_is_said(dice, tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.trunk import remarks
    rm = RewardModel(base_of("distilbert", tmp_path), quantize=False, max_length=LENGTH, device="cpu")
    class Dice(torch.nn.Module):
        def forward(self, x): return x + self.training * torch.rand_like(x)
    layer = rm.trunk.base_model.transformer.layer[1]
    if dice: layer.output_layer_norm = torch.nn.Sequential(layer.output_layer_norm, Dice())
    before = torch.get_rng_state()
    assert any("in training" in line for line in remarks(rm.trunk)) == dice
    assert torch.equal(before, torch.get_rng_state()) and not rm.trunk.training


def test_gpt_neox_keeps_its_output_layer_by_another_name(tmp_path):
    "Its files say `embed_out`, its class of today says `lm_head`"
    from transformers import AutoConfig, AutoModelForCausalLM

    from custom_rm.core import quietly
    base = base_of("gpt_neox", tmp_path)
    config = AutoConfig.from_pretrained(base)
    config.tie_word_embeddings = False
    theirs = AutoModelForCausalLM.from_config(config)
    quietly(theirs.save_pretrained, base)
    assert torch.equal(model(base).lm_head(), theirs.get_output_embeddings().weight)


if __name__ == "__main__":
    import tempfile
    import time
    from custom_rm.core import versions
    wanted, table = [arg for arg in sys.argv[1:] if not arg.startswith("-")] or KINDS, {}
    for kind in wanted:
        began = time.time()
        with tempfile.TemporaryDirectory() as folder: found = examine(kind, Path(folder))
        print(f"{kind} ({time.time() - began:.1f} s)")
        for name, value in found.items(): print(f"    {name:10} {f'{value:.1e}' if isinstance(value, float) else value}")
        table[kind] = verdict(found)
    if "--write" in sys.argv: TABLE.write_text(json.dumps(dict(date=str(date.today()), versions=versions(), texts=len(TEXTS), max_length=LENGTH, kinds=table), indent=1, ensure_ascii=False) + "\n")
