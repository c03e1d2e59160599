"What every measurement needs: the data, one method in a process of its own, and an honest note of where it ran."
import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

here = Path(__file__).parent
results = here.parent / "results" / "speed"
DOMAINS = ["academy", "business", "entertainment", "literature", "normal"]


def arguments(about: str, **more) -> argparse.Namespace:
    "Options that the scripts share; `more` are a script's own, by name and default"
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--base", default="smollm2-135m", help="base model, or a folder")
    p.add_argument("--device", default=None, help="cpu or cuda; the best there is if not given")
    p.add_argument("--quantize", action=argparse.BooleanOptionalAction, default=None, help="4-bit NF4 for both sides; on CUDA unless told")
    p.add_argument("--checkpointing", action=argparse.BooleanOptionalAction, default=False, help="recompute activations, both sides")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--repetitions", type=int, default=5)
    p.add_argument("--out", default=None, help="the JSON; in results/speed if not given")
    p.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    for name, default in more.items(): p.add_argument(f"--{name.replace('_', '-')}", default=default, **kind_of(default))
    a = p.parse_args()
    if a.device is None:
        import torch
        a.device = "cuda" if torch.cuda.is_available() else "cpu"
    if a.quantize is None: a.quantize = a.device.startswith("cuda")
    return a


def kind_of(default) -> dict:
    "What argparse is told of an option, by its default"
    if isinstance(default, bool): return dict(action=argparse.BooleanOptionalAction)
    if isinstance(default, list): return dict(type=str, nargs="+")
    return dict(type=str if default is None else type(default))


def data_file(name: str) -> Path:
    "A published file, from $CUSTOM_RM_DATA or the cache that `custom-rm fetch dsp` fills"
    from custom_rm.recipes import find
    return find(f"$CUSTOM_RM_DATA/{name}.json")


def records(name: str, part: str = "train") -> list[dict]:
    "Records of a set: dsp (lists, a domain drawn for each query), hh, webgpt; mini is like dsp, of the data that come with the package; dsp:academy or mini:academy is one domain"
    from custom_rm.convert import from_dsp
    from custom_rm.records import read_json, read_records
    from custom_rm.templates import to_template
    if name.startswith(("dsp", "mini")):
        from custom_rm.core import mini_dir
        rows = list(read_json(mini_dir() / f"domains.{part}.json" if name.startswith("mini") else data_file(f"domain_specific_preference.{part}")))
        if ":" in name: return list(from_dsp(iter(rows), name.split(":")[1]))
        by = [list(from_dsp(iter(rows), d)) for d in DOMAINS]
        return [by[i % 5][i] for i in range(len(rows))]
    files = dict(hh=("helpful", "harmless"), webgpt=("webgpt",))[name]
    found = [r for f in files for r in read_records(data_file(f"{f}.{part}"))]
    return [dict(r, text=[to_template(t, "dsp") for t in r["text"]]) for r in found if len(set(r["score"])) > 1]


def sample(name: str, tokenizer, repetitions: int, lists: int, max_length: int, draw: str = "random", seed: int = 0) -> list[list[dict]]:
    """The same records for every method, others in each repetition. `random` draws from the whole set, as random batches do. `grouped` draws what length grouping
    over the whole set puts side by side: neighbours in length (8 pairs, or 2 lists), one group from each part of the range of lengths, so that grouping is
    measured at its best; within so few records a sampler could not find them itself. The first part is small and for warming up."""
    rng = random.Random(seed)
    data = records(name)
    lengths = [max(map(len, tokenizer(r["text"])["input_ids"])) for r in data]
    kept = [(n, i) for i, n in enumerate(lengths) if n < max_length]  # TRL drops longer ones, so nobody gets them
    size = lists_a_group(name)
    if draw == "random":
        order = [i for _, i in kept]; rng.shuffle(order)
        if len(order) < lists * repetitions: raise SystemExit(f"{name} has {len(order)} records; lower --lists or --repetitions")
        return warmed([[data[i] for i in order[r * lists:(r + 1) * lists]] for r in range(repetitions)], size)
    kept.sort()
    groups = [[i for _, i in kept[j:j + size]] for j in range(0, len(kept) - size + 1, size)]
    parts = lists // size
    width = len(groups) // parts
    drawn = [rng.sample(range(p * width, (p + 1) * width), repetitions) for p in range(parts)]
    return warmed([[data[i] for p in range(parts) for i in groups[drawn[p][r]]] for r in range(repetitions)], size)


def lists_a_group(name: str) -> int: return 2 if name.startswith(("dsp", "mini")) else 8  # eight comparisons either way


def warmed(parts: list, n: int) -> list: return [parts[0][:n], *parts]


def pairs(data: list[dict]) -> list[dict]:
    "Every pair of unequal scores, as TRL takes them: texts whole"
    return [dict(chosen=r["text"][i], rejected=r["text"][j]) for r in data for i, a in enumerate(r["score"]) for j, b in enumerate(r["score"]) if a > b]


def reward_model(a, **options):
    "Our side's model with one LoRA adapter"
    from custom_rm.model import RewardModel
    rm = RewardModel(a.base, a.quantize, max_length=a.max_length, device=a.device, **options).add_adapter("bench")
    if a.checkpointing: rm.checkpoint_activations()
    return rm


def trl_parts(a):
    "TRL's side: the same weights, quantization and LoRA, by transformers and peft alone"
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig
    from custom_rm.fetch import fetch_model
    from custom_rm.model import LoRA
    from custom_rm.trunk import default_dtype
    path = a.base if Path(a.base).is_dir() else fetch_model(a.base).path
    dtype = default_dtype(torch.device(a.device))
    q = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype) if a.quantize else None
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=dtype, quantization_config=q, device_map={"": a.device})
    size = LoRA()
    return model, tokenizer, LoraConfig(r=size.rank, lora_alpha=size.alpha, lora_dropout=size.dropout, target_modules="all-linear", task_type="SEQ_CLS", modules_to_save=["score"])


def trl_trainer(a, data, grouped: bool, **more):
    "TRL's RewardTrainer as its documentation shows it, at our settings"
    import tempfile
    import torch
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer
    model, tokenizer, lora = trl_parts(a)
    bf16 = a.device.startswith("cuda") and next(p.dtype for p in model.parameters() if p.is_floating_point()) == torch.bfloat16
    config = RewardConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8, per_device_eval_batch_size=8, max_length=a.max_length, num_train_epochs=1,
        learning_rate=1e-4, gradient_checkpointing=a.checkpointing, bf16=bf16, fp16=False, use_cpu=a.device == "cpu", optim="adamw_torch", max_grad_norm=1.0,
        train_sampling_strategy="sequential" if grouped else "random", save_strategy="no", report_to="none", logging_steps=1, disable_tqdm=True, **more)  # grouped data come sorted by length
    return RewardTrainer(model=model, args=config, train_dataset=Dataset.from_list(data), processing_class=tokenizer, peft_config=lora)


def sync(a) -> None:
    if a.device.startswith("cuda"):
        import torch
        torch.cuda.synchronize()


def peak(a) -> float:
    "Peak memory so far in GiB: of the device on CUDA, of the process on the CPU"
    if a.device.startswith("cuda"):
        import torch
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def serve(step) -> None:
    "A worker: for each repetition number read, one line of JSON on the real standard output; chatter goes to stderr"
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        row = step(int(line))
        rest()
        print(json.dumps(row), file=out, flush=True)


def rest() -> None:
    "Give memory back before another method's turn: several workers that keep theirs would not fit on a small machine"
    import ctypes
    import gc
    gc.collect()
    try: ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError): pass
    if "torch" in sys.modules:
        import torch
        if torch.cuda.is_available(): torch.cuda.empty_cache()


class Worker:
    "One method in its own process: its memory is its own, and no allocator setting of one side helps the other"
    def __init__(self, script: str, method: str, log):
        self.method = method
        argv = [x for x in sys.argv[1:]]
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", script, *argv, "--worker", method], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line: raise SystemExit(f"{self.method} ended with exit code {self.process.wait()}; its words are in the log beside the results")
        return json.loads(line)

    def __call__(self, i: int) -> dict:
        self.process.stdin.write(f"{i}\n"); self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close(); self.process.wait()


def compete(a, script: str, methods: list[str], path: Path, at_once: bool = True, **notes) -> dict:
    "Every repetition of every method, in turn, after one unmeasured warm-up each; written after each round"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {m: [] for m in methods}
    with open(path.with_suffix(".log"), "w") as log:
        workers = {m: Worker(script, m, log) for m in methods}
        for i in [-1, *range(a.repetitions)]:
            for m, w in workers.items():
                start = time.time(); row = w(i + 1)
                print(f"{m:14} repetition {i + 1}/{a.repetitions}: {row['seconds']:7.2f} s of work, {time.time() - start:7.2f} s in all" + ("  (warm-up)" if i < 0 else ""), flush=True)
                if i >= 0: rows[m].append(row)
            if i >= 0: write(path, a, rows=rows, **notes)
        for w in workers.values(): w.close()
    path.with_suffix(".log").unlink()
    return write(path, a, rows=rows, **notes)


def write(path: Path, a, **content) -> dict:
    "The figures with everything one needs to judge them"
    import torch
    from custom_rm.evaluate import write_report
    from custom_rm.core import versions
    from custom_rm.trunk import device_name
    more = {}
    for package in ("trl", "datasets"):
        from importlib.metadata import PackageNotFoundError, version
        try: more[package] = version(package)
        except PackageNotFoundError: pass
    said = dict(device=device_name(torch.device(a.device)), date=str(date.today()), versions=versions() | more, base=Path(a.base).name,
                settings=dict(quantize=a.quantize, checkpointing=a.checkpointing, max_length=a.max_length, repetitions=a.repetitions), **content)
    write_report(path, said)
    return said
