"""Training speed against TRL's RewardTrainer: `python bench/train.py --set dsp`.

Every method trains on the same comparisons with the same base, quantization, LoRA, precision, checkpointing, optimizer and length, 8 comparisons an
optimizer step (two DSP lists, or eight pairs), each in its own process, in turns. `trl` and `trees` are the two trainers as their users run them; `dense` is the
limit: our trainer's model on rectangles of as many tokens with no mask, no padding and no trainer around it. `--draw grouped` measures `trl-grouped` instead,
TRL with perfect length grouping, on records that such grouping puts side by side.
`--steps 1` measures what lies between pairs and trees instead, one idea at a time: pairs, unique texts, unique texts in length buckets, trees. `--steps 2`
measures trees without the advice to the C library's allocator that `custom_rm` gives on a CPU; with the imitation loss, for its memory; and the dense limit
with the attention that trees use. `--steps 3` measures learning above frozen layers whose states are kept (an epoch with the store filled) against the
same twenty layers all learning, all thirty, and TRL; with `--draw grouped` against TRL's length grouping.
"""
import random
import time

from common import arguments, compete, lists_a_group, pairs, peak, reward_model, results, sample, serve, sync, trl_trainer

METHODS = dict(random=["trl", "trees", "dense"], grouped=["trl-grouped", "trees"])
CACHED = dict(random=["trl", "trees", "uncached", "cached"], grouped=["trl-grouped", "uncached", "cached"])
STEPS = {1: ["pairs", "unique", "buckets", "trees", "dense"], 2: ["trees-malloc", "trees-imitation", "trees", "dense", "dense-own"]}  # apart: waiting workers keep memory


def lists_a_step(a) -> int: return lists_a_group(a.set)


def timed(trainer, a) -> float:
    "Seconds between the trainer's own begin and end, setup left out"
    from transformers import TrainerCallback
    clock = {}
    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kw): sync(a); clock["begin"] = time.perf_counter()
        def on_train_end(self, *args, **kw): sync(a); clock["end"] = time.perf_counter()
    trainer.add_callback(Clock()); trainer.train(); trainer.remove_callback(Clock)
    return clock["end"] - clock["begin"]


def trl(a, grouped: bool):
    from transformers import AutoTokenizer, PrinterCallback
    from custom_rm.fetch import fetch_model
    tokenizer = AutoTokenizer.from_pretrained(a.base if "/" in a.base else fetch_model(a.base).path)
    parts = [pairs(s) for s in sample(a.set, tokenizer, a.repetitions, a.lists, a.max_length, a.draw)]
    length = lambda p: max(map(len, tokenizer([p["chosen"], p["rejected"]])["input_ids"]))
    if grouped: parts = [sorted(p, key=length, reverse=True) for p in parts]
    trainer = trl_trainer(a, [p for part in parts for p in part], grouped)
    trainer.remove_callback(PrinterCallback)
    data, starts = trainer.train_dataset, [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    if len(data) != starts[-1]: raise SystemExit("TRL dropped records; lower --max-length's share")
    def step(i):
        trainer.train_dataset = data.select(range(starts[i], starts[i + 1]))
        fed = []
        collate = trainer.data_collator
        def count(rows):
            batch = collate(rows); fed.append(batch["input_ids"].numel()); return batch
        trainer.data_collator = count
        seconds = timed(trainer, a)
        trainer.data_collator = collate
        return dict(seconds=seconds, comparisons=starts[i + 1] - starts[i], tokens=sum(fed), peak_gib=peak(a))
    serve(step)


def trees(a, advise: bool = True, imitation: float = 0.0, layers: int | None = None, frozen: int = 0):
    import tempfile
    import torch
    import custom_rm.model
    if not advise: custom_rm.trunk.keep_freed_memory = lambda: False
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback
    from custom_rm.packing import tokenize_records
    from custom_rm.trainer import RewardTrainer, training_arguments
    disable_progress_bars()
    rm = reward_model(a, layers=layers, frozen=frozen)
    if frozen: rm.remember(tempfile.mkdtemp())
    if not rm.trees: raise SystemExit("this base can't take trees")
    parts = sample(a.set, rm.tokenizer, a.repetitions, a.lists, a.max_length, a.draw)
    def fill(tokens):
        "The first pass, outside the clock: each text once through the frozen layers"
        with torch.no_grad():
            for record in tokens: rm(**rm.batch([record]))
    def step(i):
        tokens, counts = tokenize_records(Dataset.from_list([dict(text=r["text"], score=[float(s) for s in r["score"]]) for r in parts[i]]), rm.tokenizer, rm.max_length)
        args = training_arguments(tempfile.mkdtemp(), rm, -(-len(tokens) // lists_a_step(a)), learning_rate=1e-4, batch_size=lists_a_step(a), save_strategy="no", optim="adamw_torch")
        trainer = RewardTrainer(rm, args, tokens, budget=a.budget, imitation=imitation)
        trainer.remove_callback(PrinterCallback)
        if frozen: fill(tokens)
        return dict(seconds=timed(trainer, a), comparisons=len(pairs(parts[i])), tokens=counts["tokens"], peak_gib=peak(a))
    serve(step)


def optimizer(rm):
    import torch
    return torch.optim.AdamW([p for p in rm.parameters() if p.requires_grad], lr=1e-4)


def plain(a, method: str):
    "Our model in a bare loop, fed as each step of the way would"
    import torch
    from torch.nn.functional import logsigmoid
    rm = reward_model(a); rm.train()
    opt, parts = optimizer(rm), sample(a.set, rm.tokenizer, a.repetitions, a.lists, a.max_length, a.draw)
    size = lists_a_step(a)
    encode = lambda t: rm.tokenizer(t)["input_ids"]
    trained = [p for p in rm.parameters() if p.requires_grad]
    def rectangle(rows):
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), rm.tokenizer.pad_token_id); mask = torch.zeros_like(ids)
        for i, r in enumerate(rows): ids[i, :len(r)] = torch.tensor(r); mask[i, :len(r)] = 1
        return ids.to(rm.device), mask.to(rm.device)
    attention = rm.trunk.config._attn_implementation
    def use(name):  # rectangles need no tree attention
        for m in rm.trunk.modules():
            if hasattr(m, "config") and hasattr(m.config, "_attn_implementation"): m.config._attn_implementation = name
    use("sdpa")
    def score(rows):
        ids, mask = rectangle(rows)
        return rm(ids, mask)["rewards"], ids.numel()
    def finish(loss):
        loss.backward(); torch.nn.utils.clip_grad_norm_(trained, 1.0); opt.step(); opt.zero_grad()
    def one(records, fed):
        texts = [[encode(t) for t in r["text"]] for r in records]
        lists = [[(i, j) for i, x in enumerate(r["score"]) for j, y in enumerate(r["score"]) if x > y] for r in records]
        flat = [t for ts in texts for t in ts]
        if method == "buckets":
            order = sorted(range(len(flat)), key=lambda i: len(flat[i])); groups = [order[i:i + 4] for i in range(0, len(order), 4)]
        else: groups = [list(range(len(flat)))]
        rewards = [None] * len(flat)
        for g in groups:
            r, n = score([flat[i] for i in g]); fed.append(n)
            for i, x in zip(g, r): rewards[i] = x
        at, terms = 0, []
        for ts, ps in zip(texts, lists): terms += [-logsigmoid(rewards[at + i] - rewards[at + j]) for i, j in ps]; at += len(ts)
        finish(torch.stack(terms).mean())
    def step(i):
        fed, rng = [], random.Random(i)
        sync(a); start = time.perf_counter()
        if method == "pairs":
            todo = pairs(parts[i]); rng.shuffle(todo)
            for j in range(0, len(todo), 8):
                batch = [encode(p[k]) for k in ("chosen", "rejected") for p in todo[j:j + 8]]
                r, n = score(batch); fed.append(n); half = len(batch) // 2
                finish(-logsigmoid(r[:half] - r[half:]).mean())
        else:
            todo = list(parts[i]); rng.shuffle(todo)
            for j in range(0, len(todo), size): one(todo[j:j + size], fed)
        sync(a)
        return dict(seconds=time.perf_counter() - start, comparisons=len(pairs(parts[i])), tokens=sum(fed), peak_gib=peak(a))
    serve(step)


def dense(a, own: bool = False):
    "As many tokens as the trees have, in rectangles as long as the mean text; `own` computes their attention as trees do, a text at a time"
    import torch
    from custom_rm.packing import grow
    rm = reward_model(a); rm.train()
    for m in rm.trunk.modules():
        if not own and hasattr(m, "config") and hasattr(m.config, "_attn_implementation"): m.config._attn_implementation = "sdpa"
    opt, trained = optimizer(rm), [p for p in rm.parameters() if p.requires_grad]
    parts, size = sample(a.set, rm.tokenizer, a.repetitions, a.lists, a.max_length, a.draw), lists_a_step(a)
    def step(i):
        batches = []
        for j in range(0, len(parts[i]), size):
            ids = [rm.tokenizer(r["text"])["input_ids"] for r in parts[i][j:j + size]]
            total, mean = sum(len(grow(t).ids) for t in ids), sum(len(t) for ts in ids for t in ts) / sum(map(len, ids))
            batches.append(torch.randint(len(rm.tokenizer), (max(1, round(total / mean)), round(mean))).to(rm.device))
        model, made = rm.trunk.base_model.model, [rm.batch([dict(input_ids=[row]) for row in b.tolist()]) for b in batches]
        sync(a); start = time.perf_counter()
        for b, m in zip(batches, made):
            if own: rm(**m)["rewards"].mean().backward()
            else:
                hidden = model.base_model(input_ids=b).last_hidden_state  # without a mask, so that attention takes its causal fast path
                model.score(hidden[:, -1].float()).mean().backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0); opt.step(); opt.zero_grad()
        sync(a)
        return dict(seconds=time.perf_counter() - start, comparisons=len(pairs(parts[i])), tokens=sum(b.numel() for b in batches), peak_gib=peak(a))
    serve(step)


if __name__ == "__main__":
    from pathlib import Path
    a = arguments(__doc__.splitlines()[0], set="dsp", lists=12, budget=2048, steps=0, draw="random", only=["all"])
    if a.worker: dict.get({"trl": lambda: trl(a, False), "trl-grouped": lambda: trl(a, True), "trees": lambda: trees(a), "uncached": lambda: trees(a, layers=20), "cached": lambda: trees(a, layers=20, frozen=14), "trees-malloc": lambda: trees(a, False), "trees-imitation": lambda: trees(a, imitation=.1), "dense": lambda: dense(a), "dense-own": lambda: dense(a, True)}, a.worker, lambda: plain(a, a.worker))()
    else:
        methods = CACHED[a.draw] if a.steps == 3 else STEPS[a.steps] if a.steps else METHODS[a.draw]
        if a.only != ["all"]: methods = [m for m in methods if m in a.only]
        name = f"train-{a.set.replace(':', '-')}{'-grouped' if a.draw == 'grouped' else ''}{('', '-steps', '-inside', '-cached')[a.steps]}{'-cuda' if a.device.startswith('cuda') else ''}.json"
        compete(a, __file__, methods, Path(a.out or results / name), set=a.set, draw=a.draw, lists=a.lists, budget=a.budget)
