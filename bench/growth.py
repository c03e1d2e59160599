"""How time and memory grow with the data: 1, 4 and 16 times as many records: `python bench/growth.py`.

Conversion and tokenization run on DSP's real records, repeated (each marked, so that no copy equals another); the largest size is that of the 13 thousand
queries upstream. Training and scoring run through the whole trainer on a tiny random model: their growth is a matter of our code, not of the model's size.
Each size has a process of its own, for its memory; the process's memory with nothing loaded but the libraries is in `before_gib`.
"""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, data_file, peak, results, write

SIZES = [1, 4, 16]


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


if __name__ == "__main__":
    a = arguments(__doc__.splitlines()[0], prepare=812, learn=128)
    if a.worker:
        what, n = a.worker.split(":")
        print("\n" + json.dumps(dict(prepare=prepare, learn=learn)[what](a, int(n))))
    else:
        rows = {}
        for what in ("prepare", "learn"):
            for times in SIZES:
                n = getattr(a, what) * times
                key = f"{what} {times}x"
                rows[key] = []
                for i in range(a.repetitions):
                    done = subprocess.run([sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--worker", f"{what}:{n}"], capture_output=True, text=True)
                    if done.returncode: raise SystemExit(done.stderr[-2000:])
                    rows[key].append(dict(records=n) | json.loads(done.stdout.splitlines()[-1]))
                    print(key, n, {k: round(v, 2) for k, v in rows[key][-1].items()}, flush=True)
                write(Path(a.out or results / f"growth{'-cuda' if a.device.startswith('cuda') else ''}.json"), a, rows=rows)
