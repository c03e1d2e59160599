"""A 7B LLaMA shape under a hard cap of GPU memory: `python bench/llama7b.py` (CUDA), `--small` for the same code on a CPU.

The weights are random: neither memory nor speed depends on their values. They are made layer by layer in NF4 on the device, so that no 16-bit copy of the
whole ever exists. Lists of five texts at the length given are trained with activation checkpointing and paged 8-bit AdamW, first in trees, then as TRL would:
padded pairs, eight a step (as TRL's collator lays them out), under the same conditions. A method that does not fit under the cap says so in its row.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

from common import arguments, peak, results, sync, write


def shape(small: bool):
    from transformers import LlamaConfig
    if small: return LlamaConfig(vocab_size=512, hidden_size=64, intermediate_size=172, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048, pad_token_id=0, num_labels=1)
    return LlamaConfig(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32, max_position_embeddings=2048, pad_token_id=0, num_labels=1)


def four_bit(a, config):
    "A sequence classifier with NF4 linear layers and random weights, built a layer at a time"
    import bitsandbytes as bnb
    import torch
    from torch import nn
    from transformers import LlamaForSequenceClassification
    from custom_rm.trunk import default_dtype
    dtype = default_dtype(torch.device(a.device))
    with torch.device("meta"): model = LlamaForSequenceClassification(config)
    rng = torch.Generator(a.device).manual_seed(0)  # drawn where they stay: a CPU would take minutes
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear) or name == "score": continue
        new = bnb.nn.Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=dtype, compress_statistics=True, quant_type="nf4")
        new.weight = bnb.nn.Params4bit(torch.randn(module.out_features, module.in_features, generator=rng, dtype=torch.float32, device=a.device).mul_(.02).to(dtype), requires_grad=False, quant_type="nf4", compress_statistics=True)
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], new.to(a.device))
    for name, p in list(model.named_parameters()):
        if p.device.type != "meta": continue
        parent = model.get_submodule(name.rpartition(".")[0])
        value = torch.ones(p.shape, dtype=dtype) if "norm" in name else torch.randn(p.shape, generator=rng, device=a.device).mul_(.02).to(torch.float32 if "score" in name else dtype)
        setattr(parent, name.rpartition(".")[2], nn.Parameter(value.to(a.device), requires_grad=False))
    for name, b in list(model.named_buffers()):  # rotary frequencies
        if b.device.type == "meta": model.model.rotary_emb = type(model.model.rotary_emb)(config).to(a.device)
    model.is_loaded_in_4bit, model.is_quantized = True, True
    return model


def main(a, method: str) -> dict:
    "Steps of a method: trees, padded-pairs, or frozen: trees above three quarters of the layers, fed states that were kept"
    import torch
    from peft import LoraConfig, get_peft_model
    from custom_rm.attention import Heads, no_flex, register
    from custom_rm.packing import pack
    from custom_rm.losses import ranking_loss
    if a.device != "cpu": torch.cuda.set_per_process_memory_fraction(a.cap_gib * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    config = shape(bool(a.small))
    if method == "frozen": config.num_hidden_layers = max(1, config.num_hidden_layers // 4)
    model = get_peft_model(four_bit(a, config), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", modules_to_save=["score"], task_type="SEQ_CLS"))
    inner = model.base_model.model
    inner.gradient_checkpointing_enable({"use_reentrant": False}); inner.enable_input_require_grads(); model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    import bitsandbytes as bnb
    opt = bnb.optim.PagedAdamW8bit(trained, lr=1e-4) if a.device != "cpu" else torch.optim.AdamW(trained, lr=1e-4)
    # a query of a fifth of the length and five answers of the rest: DSP's own proportions at length 512
    query, answer = a.max_length // 5, a.max_length - a.max_length // 5
    draw = torch.Generator().manual_seed(0)
    def texts(): q = torch.randint(5, config.vocab_size, (query,), generator=draw).tolist(); return [q + torch.randint(5, config.vocab_size, (answer,), generator=draw).tolist() for _ in range(5)]
    sync(a)
    if a.device != "cpu": torch.cuda.reset_peak_memory_stats()
    heads = Heads(config.num_attention_heads, config.num_key_value_heads, config.hidden_size // config.num_attention_heads)
    why = no_flex({heads}, next(p.dtype for p in inner.base_model.embed_tokens.parameters()), torch.device(a.device))[0]  # why not by FlexAttention, if so
    steps = []
    for i in range(a.repetitions + 1):
        lists = [texts() for _ in range(2)]  # eight comparisons
        sync(a); start = time.perf_counter(); tokens = 0
        if method != "padded-pairs":
            model.config._attn_implementation = inner.config._attn_implementation = register(flex=not why)
            for t in lists:
                tree = {k: v.to(a.device) if torch.is_tensor(v) else v for k, v in pack([dict(input_ids=t)]).items()}
                n = tree["input_ids"].shape
                fed = dict(inputs_embeds=torch.randn(*n, config.hidden_size).to(inner.dtype).to(a.device)) if method == "frozen" else dict(input_ids=tree["input_ids"])
                hidden = inner.base_model(**fed, position_ids=tree["position_ids"], layout=tree["layout"], attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=a.device)).last_hidden_state
                rewards = inner.score(hidden[0][tree["last"]].float()).squeeze(-1)[None]
                (ranking_loss(rewards, torch.tensor([[1., 0, 0, 0, 0]], device=a.device), "sum") / 8).backward()
                tokens += tree["input_ids"].numel()
        else:
            rows = [t[0] for t in lists for _ in t[1:]] + [x for t in lists for x in t[1:]]
            ids = torch.tensor(rows, device=a.device)
            hidden = inner.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            r = inner.score(hidden[:, -1].float()).squeeze(-1)
            (-torch.nn.functional.logsigmoid(r[:8] - r[8:]).mean()).backward(); tokens = ids.numel()
        opt.step(); opt.zero_grad(); sync(a)
        if i: steps.append(dict(seconds=time.perf_counter() - start, tokens=tokens, comparisons=8, peak_gib=peak(a)))
    return dict(rows=steps, way=(f"stretch by stretch ({why})" if why else "FlexAttention") if method != "padded-pairs" else "SDPA")


if __name__ == "__main__":
    a = arguments(__doc__.splitlines()[0], cap_gib=8.0, small=0)
    if a.worker:
        try: print("\n" + json.dumps(main(a, a.worker)))
        except Exception as e:
            if "memory" not in str(e).lower(): raise
            print("\n" + json.dumps(dict(rows=[], does_not_fit=str(e).splitlines()[0][:200])))
    else:
        rows = {}
        for method in ("trees", "frozen", "padded-pairs"):
            done = subprocess.run([sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--worker", method], capture_output=True, text=True)
            if done.returncode: raise SystemExit(done.stderr[-3000:])
            rows[method] = json.loads(done.stdout.splitlines()[-1])
            print(method, rows[method], flush=True)
        write(Path(a.out or results / ("llama-7b.json" if not a.small else "llama-small.json")), a, cap_gib=a.cap_gib if a.device != "cpu" else None, rows=rows)
