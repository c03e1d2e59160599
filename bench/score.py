"""Scoring speed: one reward model on all five DSP domain sets, as pairs: `python bench/score.py`.

`trl` evaluates its model on each of the five sets of pairs, in the order of the file, 8 pairs a batch; `trl-grouped` has each set sorted by length;
`trees` is `custom_rm.evaluate` on the same five sets. Each repetition takes other queries.
"""
import random
import time
from pathlib import Path

from common import DOMAINS, arguments, compete, pairs, peak, records, results, reward_model, serve, sync, trl_parts, trl_trainer

METHODS = ["trl", "trl-grouped", "trees"]


def sets(a) -> list[dict[str, list[dict]]]:
    "For the warm-up and each repetition five sets of records over the same queries"
    by = {d: records(f"dsp:{d}", "test") for d in DOMAINS}
    order = list(range(len(by[DOMAINS[0]]))); random.Random(0).shuffle(order)
    if len(order) < a.queries * a.repetitions: raise SystemExit(f"the file has {len(order)} queries; lower --queries")
    found = [{d: [by[d][j] for j in order[i * a.queries:(i + 1) * a.queries]] for d in DOMAINS} for i in range(a.repetitions)]
    return [{d: rows[:1] for d, rows in found[0].items()}, *found]  # the first is for warming up


def trl(a, grouped: bool):
    from datasets import Dataset, concatenate_datasets
    from transformers import PrinterCallback
    parts = sets(a)
    trainer = trl_trainer(a, pairs(parts[0]["academy"]), False, eval_strategy="no")
    trainer.remove_callback(PrinterCallback)
    def prepared(data):  # TRL's own preprocessing; too long texts cut on the left instead of dropped, so that both sides score the same
        tokenizer, eos = trainer.processing_class, trainer.processing_class.eos_token_id
        cut = lambda t: (tokenizer(t)["input_ids"] + [eos])[-a.max_length:]
        rows = [dict(chosen_ids=cut(p["chosen"]), rejected_ids=cut(p["rejected"])) for p in data]
        return Dataset.from_list(sorted(rows, key=lambda r: -max(len(r["chosen_ids"]), len(r["rejected_ids"]))) if grouped else rows)
    ready = [{d: prepared(pairs(s)) for d, s in part.items()} for part in parts]
    def step(i):
        fed, collate = [], trainer.data_collator
        def count(rows):
            batch = collate(rows); fed.append(batch["input_ids"].numel()); return batch
        trainer.data_collator = count
        sync(a); start = time.perf_counter()
        for d in DOMAINS: trainer.evaluate(ready[i][d])
        sync(a); seconds = time.perf_counter() - start
        trainer.data_collator = collate
        return dict(seconds=seconds, comparisons=sum(map(len, ready[i].values())), tokens=sum(fed), peak_gib=peak(a))
    serve(step)


def trees(a):
    from custom_rm.evaluate import evaluate
    rm, parts = reward_model(a), sets(a)
    def step(i):
        fed = []
        sync(a); start = time.perf_counter()
        evaluate(rm, parts[i], ["bench"], lambda adapter, n: fed.append(n))
        sync(a)
        return dict(seconds=time.perf_counter() - start, comparisons=sum(len(pairs(s)) for s in parts[i].values()), tokens=sum(fed), peak_gib=peak(a))
    serve(step)


if __name__ == "__main__":
    a = arguments(__doc__.splitlines()[0], queries=6)
    if a.worker: {"trl": lambda: trl(a, False), "trl-grouped": lambda: trl(a, True), "trees": lambda: trees(a)}[a.worker]()
    else: compete(a, __file__, METHODS, Path(a.out or results / f"score-dsp5{'-cuda' if a.device.startswith('cuda') else ''}.json"), queries=a.queries)
