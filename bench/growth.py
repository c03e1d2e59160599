"""How time and memory grow with the data: 1, 4 and 16 times as many records: `python bench/growth.py`; and what a cache of frozen states saves:
`python bench/growth.py --cached`.

Conversion and tokenization run on DSP's real records, repeated (each marked, so that no copy equals another); the largest size is that of the 13 thousand
queries upstream. Training and scoring run through the whole trainer on a tiny random model: their growth is a matter of our code, not of the model's size.
Each size has a process of its own, for its memory; the process's memory with nothing loaded but the libraries is in `before_gib`.

With `--cached` a real base learns real texts (`--set mini` comes with the package, `--set dsp` is fetched) by LoRA: `--layers` of its layers, of which `--frozen`
get no adapter. Seconds against the number of texts, of epochs and of domains, each four ways: `all`, where every layer learns; `frozen`, where the lower ones do
not, but are computed in every pass; `filling`, where they are computed in the first pass and kept on disk; `filled`, where they were kept before. Beside them
`matrices`: what the cores reach where nothing but matrices is multiplied, which no training can exceed. Each way has a process of its own. What is measured is
kept in a file that ends in `.part`; a killed measurement goes on from there, and one that has ended begins anew.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, data_file, peak, records, results, sync, write

SIZES = [1, 4, 16]
WAYS = ["all", "frozen", "cache", "matrices"]  # of --cached, a process each; cache measures filling, then filled

LONG = 3.0  # seconds


def repeated(n: int, path: Path) -> None:
    "DSP's raw training queries over and over to n rows, each query marked with its number"
    from custom_rm.records import read_json, write_json
    rows = [v for _, v in read_json(data_file("domain_specific_preference.train"))]
    write_json(path, (dict(rows[i % len(rows)], query=f"{i}: {rows[i % len(rows)]['query']}") for i in range(n)))


def prepare(a, n: int) -> dict:
    "Convert to records, then tokenize into trees"
    import resource
    from datasets import disable_progress_bars
    from custom_rm.convert import convert
    from custom_rm.fetch import fetch_model
    from custom_rm.packing import tokenize_records
    from custom_rm.records import load_records
    from transformers import AutoTokenizer
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(a.base if "/" in a.base else fetch_model(a.base).path)
    with tempfile.TemporaryDirectory() as folder:
        raw, made = Path(folder) / "raw.json", Path(folder) / "lists.jsonl"
        repeated(n, raw)
        before = peak(a)
        start = time.perf_counter(); convert(raw, made, domain="academy"); converted = time.perf_counter()
        data = load_records(made); loaded = time.perf_counter()
        tokens, counts = tokenize_records(data, tokenizer, a.max_length); end = time.perf_counter()
    return dict(convert_seconds=converted - start, load_seconds=loaded - converted, tokenize_seconds=end - loaded, tokens=counts["tokens"], unshared=counts["unshared"],
                before_gib=before, peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def learn(a, n: int) -> dict:
    "Train an epoch and score, on a tiny model"
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback
    from custom_rm.model import RewardModel
    from custom_rm.packing import tokenize_records
    from custom_rm.scorer import score_records
    from custom_rm.tiny import tiny_base
    from custom_rm.trainer import RewardTrainer, training_arguments
    disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        text = lambda i, w: f"## Human:\nWhat is {i} plus one?\n\n## Assistant:\n{w} {i + 1}"
        data = [dict(text=[text(i, w) for w in ("It is", "Is it", "No, it is", "Perhaps", "")], score=[1., 0., 0., 0., 0.]) for i in range(n)]
        rm = RewardModel(tiny_base(f"{folder}/tiny", [t for r in data[:50] for t in r["text"]]), a.quantize, device=a.device).add_adapter("bench")
        tokens, counts = tokenize_records(Dataset.from_list(data), rm.tokenizer, rm.max_length)
        before = peak(a)
        trainer = RewardTrainer(rm, training_arguments(f"{folder}/run", rm, n // 8, save_strategy="no"), tokens)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter(); trainer.train(); trained = time.perf_counter()
        score_records(rm, data); end = time.perf_counter()
    return dict(train_seconds=trained - start, score_seconds=end - trained, tokens=counts["tokens"], before_gib=before, peak_gib=peak(a))


def clock(a, rm, times: list):
    "A callback that notes the seconds since the training's beginning at the end of each epoch, what waits for the disk written"
    from transformers import TrainerCallback
    class Clock(TrainerCallback):
        def on_train_begin(self, *args, **kw): sync(a); self.begin = time.perf_counter()
        def on_epoch_end(self, *args, **kw):
            if rm.below: rm.below.store.flush()
            sync(a); times.append(time.perf_counter() - self.begin)
    return Clock()


def trained(a, rm, data: list[dict], epochs: int = 1) -> list[float]:
    "Train a fresh adapter; seconds until the end of each epoch"
    from datasets import Dataset
    from transformers import PrinterCallback
    from custom_rm.packing import tokenize_records
    from custom_rm.trainer import RewardTrainer, training_arguments
    rm.add_adapter(f"a{len(rm.adapters)}")
    rows = [dict(text=r["text"], score=[float(s) for s in r["score"]]) for r in data]
    tokens, _ = tokenize_records(Dataset.from_list(rows), rm.tokenizer, rm.max_length)
    times, steps = [], -(-len(tokens) // a.batch)
    with tempfile.TemporaryDirectory() as folder:
        args = training_arguments(folder, rm, steps, epochs, batch_size=a.batch, save_strategy="no")
        trainer = RewardTrainer(rm, args, tokens, budget=a.budget, callbacks=[clock(a, rm, times)])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return times


def passes(a, rm, fresh) -> dict:
    "Seconds against texts, epochs and domains; `fresh` gives each of these a store of its own"
    n, first, by = a.records, f"{a.set}:{a.domains[0]}", {}
    data = records(first)
    count = lambda k: str(sum(len(r["text"]) for r in data[:k]))
    fresh("epochs")
    epochs = trained(a, rm, data[:n], a.epochs)
    by["epochs"] = {str(i): s for i, s in enumerate(epochs, 1)}
    by["texts"] = {count(n): epochs[0]}
    for k in (n // 2, 2 * n):
        fresh(f"texts-{k}")
        by["texts"][count(k)] = trained(a, rm, data[:k])[-1]
    fresh("domains")
    sums, by["domains"] = 0., {}
    for i, domain in enumerate(a.domains, 1):
        sums += trained(a, rm, records(f"{a.set}:{domain}")[:n])[-1]
        by["domains"][str(i)] = sums
    return by


def matrix_work(rm) -> dict:
    "Multiplications for a token in one pass forward through the layers' matrices: of layers that learn, of frozen ones, of the adapters"
    from torch import nn
    from custom_rm.trunk import layer_names
    trunk, work = rm.bare_trunk().base_model, dict(learning=0, frozen=0, adapters=0)
    for i, name in enumerate(layer_names(rm.bare_trunk())):
        for inner, module in trunk.get_submodule(name).named_modules():
            if not isinstance(module, nn.Linear): continue
            kind = "adapters" if "lora_" in inner else "frozen" if i < rm.frozen else "learning"
            work[kind] += module.in_features * module.out_features
    return work


def tokens_of(a, rm) -> int:
    "Tokens of the records that epochs and domains are measured with, as trees"
    from custom_rm.packing import grow
    return sum(len(grow(rm.tokenizer(r["text"])["input_ids"]).ids) for r in records(f"{a.set}:{a.domains[0]}")[:a.records])


def learn_ways(a, how: str) -> dict:
    "LoRA on a real base: every layer learns, or the lower ones are frozen and computed each time, or kept (first filling the store, then filled)"
    from datasets import disable_progress_bars
    from custom_rm.model import RewardModel
    from custom_rm.states import Store, states_of
    disable_progress_bars()
    rm = RewardModel(a.base, a.quantize, pooling="mean", max_length=a.max_length, device=a.device, dtype=a.dtype, layers=a.layers,
                     frozen=0 if how == "all" else a.frozen).add_adapter("bench")
    about = dict(dtype=str(rm.dtype).removeprefix("torch."), tokens=tokens_of(a, rm), work=matrix_work(rm))
    with tempfile.TemporaryDirectory() as folder:
        if how == "cache": rm.remember(f"{folder}/warm")
        def fresh(part: str):
            if rm.below: rm.below.store = Store(states_of(rm), f"{folder}/{part}")
        trained(a, rm, records(f"{a.set}:{a.domains[0]}")[:2])  # not counted
        found = {way: passes(a, rm, fresh) for way in (["filling", "filled"] if how == "cache" else [how])}
        kept = sum(p.stat().st_size for p in (Path(folder) / "epochs").glob("*/*.safetensors")) if how == "cache" else 0
    return about | dict(passes=found, kept_bytes=kept, peak_gib=peak(a))


def matrices(a) -> dict:
    "Billions of operations (multiplications and additions) a second in products of matrices: the best of several, large ones and some as in the model"
    import torch
    device, out = torch.device(a.device), {}
    for dtype in (torch.float32, torch.bfloat16):
        found = out[str(dtype).removeprefix("torch.")] = {}
        for name, (n, m, k) in dict(small=(1024, 576, 1536), large=(2048, 2048, 2048)).items():
            slow = found.get("small", 9e9) * LONG < 2e-9 * n * m * k  # arithmetic that the cores don't have is not waited for
            if slow: n, m, k = 512, 512, 512
            x, y = torch.randn(n, m, device=device).to(dtype), torch.randn(m, k, device=device).to(dtype)
            found[name] = 2e-9 * n * m * k / fastest(a, lambda: x @ y)
    return out


def fastest(a, run) -> float:
    "Seconds of the fastest of up to eight runs, none begun after some seconds"
    times = []
    while len(times) < 8 and sum(times) < LONG:
        sync(a); start = time.perf_counter(); run(); sync(a)
        times.append(time.perf_counter() - start)
    return min(times)


def asked(word: str) -> dict:
    "What a process of its own measured"
    done = subprocess.run([sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--worker", word], capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def answer(a) -> dict:
    "What a worker was asked for"
    what, _, of = a.worker.partition(":")
    if what == "cached": return matrices(a) if of == "matrices" else learn_ways(a, of)
    return dict(prepare=prepare, learn=learn)[what](a, int(of))


def ending(a) -> str: return f"{'-cuda' if a.device.startswith('cuda') else ''}.json"


def grow_all(a) -> None:
    "Conversion, tokenization, training and scoring at each size"
    rows = {}
    for what in ("prepare", "learn"):
        for times in SIZES:
            n = getattr(a, what) * times
            key = f"{what} {times}x"
            rows[key] = []
            for i in range(a.repetitions):
                rows[key].append(dict(records=n) | asked(f"{what}:{n}"))
                print(key, n, {k: round(v, 2) for k, v in rows[key][-1].items()}, flush=True)
            write(Path(a.out or results / f"growth{ending(a)}"), a, rows=rows)


def kept_rows(part: Path, options: dict) -> dict:
    "What a killed measurement with the same options has left"
    if not part.exists(): return {}
    left = json.loads(part.read_text(encoding="utf-8"))
    return left["rows"] if left["options"] == options else {}


def grow_cached(a) -> None:
    "Every way in turn; goes on where it was killed"
    from custom_rm.evaluate import write_report
    path = Path(a.out or results / f"growth-cached{ending(a)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {k: v for k, v in vars(a).items() if k not in ("out", "worker", "repetitions", "prepare", "learn")}
    part = path.with_suffix(".part")
    rows = kept_rows(part, options)
    for i in range(a.repetitions):
        for way in WAYS:
            if len(rows.setdefault(way, [])) > i: continue
            start = time.time()
            rows[way].append(asked(f"cached:{way}"))
            write_report(part, dict(options=options, rows=rows))
            print(f"{way:9} repetition {i + 1}/{a.repetitions}: {time.time() - start:.0f} s in all", flush=True)
    write(path, a, options=options, rows=rows)
    part.unlink(missing_ok=True)


if __name__ == "__main__":
    a = arguments(__doc__.splitlines()[0], prepare=812, learn=128, cached=False, set="mini", records=4, epochs=3, batch=4, budget=2048, layers=20, frozen=14,
                  dtype=None, domains=["academy", "business", "entertainment", "literature"])
    if a.worker: print("\n" + json.dumps(answer(a)))
    else: (grow_cached if a.cached else grow_all)(a)
