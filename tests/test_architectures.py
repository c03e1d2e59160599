"""Every architecture people use, as a tiny random model: what it is fed, whether its rewards are those of the texts alone, and what can be done with it.
`python tests/test_architectures.py` prints the table; with `--write` it goes into results/use/architectures.json, which a page of the docs shows."""
import json
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
    lm = quietly(AutoModelForCausalLM.from_pretrained, rm.base.path, attn_implementation="eager", dtype=torch.float32).eval()
    ids, start = torch.tensor([record["input_ids"][0]]), record["response_start"][0]
    theirs = lm(ids, labels=ids.masked_fill(torch.arange(ids.shape[1]) < start, -100)).loss * (ids.shape[1] - start)
    with rm.trunk.disable_adapter(): ours = rm(**rm.batch([record], imitate=True))["imitation"]
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
    except DataError as e: return f"refused: {e}"
    except Exception as e: return f"crashed: {type(e).__name__}: {' '.join(str(e).split())[:200]}"


def examine(kind, folder):
    "What can be done with an architecture: for each step a share of the rewards' spread, or why there is none"
    base = base_of(kind, folder)
    try: rm = model(base)
    except Exception as e: return dict(load=f"crashed: {type(e).__name__}: {e}")
    found = dict(reads="to the right" if rm.is_decoder else "both ways", fed="trees" if rm.trees else "rectangles", why=getattr(rm, "why", ""))
    found["library"] = attempt(library, base)
    for check in (alone, dropout, imitation, recompute): found[check.__name__] = attempt(check, rm)
    for check in (reloaded, merged): found[check.__name__] = attempt(check, rm, folder)
    found["quantized"] = attempt(quantized, base, folder / "four")
    return found


if __name__ == "__main__":
    import tempfile, time
    wanted = [arg for arg in sys.argv[1:] if not arg.startswith("-")] or KINDS
    table = {}
    for kind in wanted:
        began = time.time()
        with tempfile.TemporaryDirectory() as folder: table[kind] = examine(kind, Path(folder))
        print(f"{kind} ({time.time() - began:.1f} s)")
        for name, value in table[kind].items(): print(f"    {name:10} {value if isinstance(value, str) else f'{value:.1e}'}")
