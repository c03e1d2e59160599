"""LLMBar and RM-Bench on a small model: `python bench/benchmarks.py` writes results/study/benchmarks.json.

The reward model is the plainest there is: SmolLM2-135M frozen, and one linear head on the mean of its states at a depth, fitted (Bradley-Terry, `heads.fit_head`)
to general preference pairs: the first of each set's training questions, in the order of a hash. A bag of words is fitted to the same pairs. Nothing is chosen by
looking at a benchmark: depth 14 of 30 is where DSP's validation questions found as much as at 20 (results/study/read.json), for two thirds of the work. Every
text is computed once and its states are kept in the cache, so the script goes on where it was stopped; --rows takes a part of each of RM-Bench's files, again by
a hash, where time is short. With --pairs 0 --rows 0 --depth 20 it is about an hour and a half of one core.
"""
import argparse
import time
from datetime import date
from hashlib import sha1
from pathlib import Path

import numpy as np

SETS = ["helpful", "harmless", "webgpt", "gpt4llm"]
FILES = [f"llmbar-{name}" for name in ("natural", "neighbor", "gptinst", "gptout", "manual")] + [f"rm-bench-{name}" for name in ("chat", "safety-response", "safety-refuse")]


def few(items: list, n: int | None, words) -> list:
    "The first n in the order of a hash of their words; all if None"
    return sorted(items, key=lambda item: sha1(words(item).encode()).hexdigest())[:n]


def general_pairs(n: int | None) -> list[dict]:
    "Training records of each general set, in the model's template"
    from custom_rm.recipes import find
    from custom_rm.records import load_records, prompt_of, to_one_template
    out = []
    for name in SETS:
        records = list(to_one_template(load_records(find(f"$CUSTOM_RM_DATA/{name}.train.json")), "dsp")[0])
        out += few([r for r in records if len(set(r["score"])) > 1], n, prompt_of)
    return out


def benchmarks(rows: int | None) -> dict[str, list[dict]]:
    "Items by benchmark; of RM-Bench, whose texts are long, a part of each file if asked for"
    from custom_rm.benchmarks import read_benchmarks
    from custom_rm.recipes import find
    read, kept = read_benchmarks([find(f"$CUSTOM_RM_DATA/bench/{name}.json.gz") for name in FILES], "dsp"), {}
    for kind, items in read.items():
        for subset in dict.fromkeys(item["subset"] for item in items):
            kept.setdefault(kind, []).extend(few([item for item in items if item["subset"] == subset], rows if kind == "rm-bench" else None, lambda item: item["question"] + item["text"][0]))
    return kept


def compute(rm, lists: list[tuple[str, list[list[str]]]], at_once: int = 32) -> dict[str, float]:
    "Bring the states of all texts into the cache, and say how far it is; the share of texts of each list that were cut"
    from custom_rm.packing import encode
    from custom_rm.scorer import text_states
    start, tokens, cut = time.time(), 0, {}
    for name, texts in lists:
        found = encode([t for own in texts for t in own], rm.tokenizer, rm.max_length)
        cut[name] = float(np.mean(np.array(found["cut"]) > 0))
        for at in range(0, len(found["input_ids"]), at_once):
            some = found["input_ids"][at:at + at_once]
            text_states(rm, some)
            tokens += sum(map(len, some))
            if at // at_once % 10 == 0: print(f"{name}: {at + len(some)} of {len(found['input_ids'])} texts, {tokens:,} tokens, {time.time() - start:.0f} s", flush=True)
    return cut


def bag(records: list[dict], read: dict[str, list[dict]]) -> dict:
    "A bag of words' scores on the benchmarks"
    from custom_rm.benchmarks import score_benchmark
    from custom_rm.metrics import BagOfWords
    words = BagOfWords().fit([r["text"] for r in records], [r["score"] for r in records])
    return {kind: score_benchmark(kind, items, words.rewards([item["text"] for item in items])) for kind, items in read.items()}


def by_length_of(rm, read: dict[str, list[dict]]) -> dict:
    "Accuracy where the longer answer wins and where it loses, and after matching length"
    from custom_rm.metrics import by_length, longer_wins, matched_accuracy, to_pairs
    from custom_rm.scorer import score_records
    found = {}
    for kind, items in read.items():
        scores, questions = [item["score"] for item in items], [item["question"] for item in items]
        pairs, longer = to_pairs(score_records(rm, items), scores, questions), to_pairs(longer_wins([item["text"] for item in items]), scores).margin
        found[kind] = by_length(pairs, longer) | dict(matched=matched_accuracy(pairs, longer))
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--base", default="smollm2-135m")
    p.add_argument("--depth", type=int, default=14, help="of the trunk's 30 layers")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--pairs", type=int, default=120, help="of each general set; 0 takes all")
    p.add_argument("--rows", type=int, default=50, help="of each file of RM-Bench; 0 takes all")
    p.add_argument("--dtype", default="float32")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "study" / "benchmarks.json")
    a = p.parse_args()
    from custom_rm.benchmarks import benchmark_table, run_benchmarks
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.heads import Head
    from custom_rm.instant import learn
    from custom_rm.model import RewardModel
    from custom_rm.split import questions_of
    from custom_rm.trunk import device_name
    from rich import print as show
    start, records, read = time.time(), general_pairs(a.pairs or None), benchmarks(a.rows or None)
    rm = RewardModel(a.base, quantize=False, pooling="mean", max_length=a.max_length, layers=a.depth, dtype=a.dtype).add_adapter("general").remember()
    lists = [("training pairs", [r["text"] for r in records])]
    for kind, items in read.items():
        for subset in dict.fromkeys(item["subset"] for item in items): lists.append((f"{kind} {subset}", [item["text"] for item in items if item["subset"] == subset]))
    cut = compute(rm, lists)
    head: Head = learn(rm, records, "general")
    found = run_benchmarks(rm, read, questions_of(records))
    about = dict(base=a.base, depth=a.depth, pooling="mean", max_length=a.max_length, head=dict(accuracy=head.accuracy, comparisons=head.comparisons, questions=head.questions, strength=head.strength),
                 pairs=a.pairs or "all", rows=a.rows or "all", cut={name: round(share, 3) for name, share in cut.items()})
    write_report(a.out, about | dict(benchmarks=found, bag_of_words=bag(records, read), length=by_length_of(rm, read), minutes_of_last_run=round((time.time() - start) / 60, 1),
                                     device=device_name(rm.device), dtype=str(rm.dtype)[6:], versions=versions(), date=str(date.today())))
    for kind in found: show(benchmark_table(found[kind], "general"))


if __name__ == "__main__": main()
