"""What a head may read: `python bench/read.py` writes results/study/read.json.

Linear heads on frozen states, one per domain of DSP (Bradley-Terry, `heads.fit_head`), that read one depth of the trunk or several side by side, and weights
of the answer's hashed tokens and pairs alone (`heads.fit_words`) and beside them (`heads.fit_wide`). A quarter of the training questions is held back to choose by (validation); the test
questions are looked at once, with heads fitted to all training questions. Intervals resample whole questions; `over` is the paired difference to one depth.
States are kept in the cache (`remember`), so a second run only fits heads.
"""
import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np

DOMAINS = ["academy", "business", "entertainment", "literature"]
DEPTHS = [0, 14, 20]
READ = {"[20]": [20], "[14]": [14], "[0, 14]": [0, 14], "[14, 20]": [14, 20], "[0, 14, 20]": [0, 14, 20]}
ONE = "[14]" # what the others are compared with


def questions(part: str) -> list[dict]:
    "Each question's texts, and their scores for each domain"
    from custom_rm.convert import from_dsp
    from custom_rm.records import read_json
    from custom_rm.recipes import find
    rows = list(read_json(find(f"$CUSTOM_RM_DATA/domain_specific_preference.{part}.json")))
    by = {domain: list(from_dsp(iter(rows), domain)) for domain in DOMAINS}
    made = []
    for records in zip(*by.values()):
        texts = list(dict.fromkeys(t for r in records for t in r["text"]))
        made.append(dict(texts=texts, records={d: ([texts.index(t) for t in r["text"]], r["score"]) for d, r in zip(by, records)}))
    return made


def add_states(rm, data: list[dict], at_once: int = 20) -> None:
    "Each question's tokens, words and states; what was computed stays in the cache"
    from custom_rm.packing import encode
    from custom_rm.pooling import words_of
    from custom_rm.scorer import text_states
    start = time.time()
    for begin in range(0, len(data), at_once):
        some = data[begin:begin + at_once]
        made = encode([t for q in some for t in q["texts"]], rm.tokenizer, rm.max_length)
        states, at = text_states(rm, made["input_ids"]).numpy(), 0
        for q in some:
            end = at + len(q["texts"])
            q["states"] = states[at:end].reshape(end - at, len(DEPTHS), -1)
            q["words"] = words_of(made["input_ids"][at:end], made["response_start"][at:end]).counts
            at = end
        print(f"{begin + len(some)} of {len(data)} questions, {time.time() - start:.0f} s", flush=True)


def compared(data: list[dict], domain: str) -> tuple:
    "Of all comparisons: the preferred text's row and the other's, among all questions' texts, and the question"
    from custom_rm.metrics import unequal_pairs
    better, worse, groups, at = [], [], [], 0
    for number, q in enumerate(data):
        which, scores = q["records"][domain]
        for i, j in zip(*unequal_pairs(scores)):
            better.append(at + which[i])
            worse.append(at + which[j])
            groups.append(number)
        at += len(q["texts"])
    return np.array(better), np.array(worse), np.array(groups)


def timed(fit, *given) -> tuple:
    "(what was fitted, seconds)"
    start = time.time()
    return fit(*given), time.time() - start


def rewards_of(name: str, found, deep: dict, words) -> np.ndarray:
    "Of all texts"
    if name == "words": return words @ found[0]
    read, _, beside = name.partition(" and words")
    one = deep[read] @ found.weights
    return one + words @ found.words if found.words is not None else one


def look(learned: list[dict], asked: list[dict]) -> dict:
    "Fit to some questions, measure on others"
    from custom_rm.heads import fit_head, fit_wide, fit_words, table
    from custom_rm.metrics import bootstrap_interval, correctness, key_figures, measure, to_pairs
    from custom_rm.pooling import Words
    def states(data): return {name: np.concatenate([q["states"][:, [DEPTHS.index(d) for d in read]].reshape(len(q["texts"]), -1) for q in data]).astype(float) for name, read in READ.items()}
    def words(data): return table(Words([w for q in data for w in q["words"]]))
    seen, met, seen_words, met_words = states(learned), states(asked), words(learned), words(asked)
    names = [*READ, "words", *(f"{name} and words" for name in READ)]
    rewards, seconds = {name: {} for name in names}, {}
    for domain in DOMAINS:
        better, worse, groups = compared(learned, domain)
        said = seen_words[better] - seen_words[worse]
        taught = {name: seen[name][better] - seen[name][worse] for name in READ}
        fitted = {name: timed(fit_head, taught[name], groups) for name in READ} | {"words": timed(fit_words, said, groups)}
        fitted |= {f"{name} and words": timed(fit_wide, taught[name], said, groups) for name in READ}
        for name in fitted: seconds[name] = seconds.get(name, 0) + fitted[name][1] / len(DOMAINS)
        for name in names: rewards[name][domain] = rewards_of(name, fitted[name][0], met, met_words)
        print(domain, {name: round(s[1], 1) for name, s in fitted.items()}, flush=True)
    begins, out, right = np.cumsum([0, *(len(q["texts"]) for q in asked)]), {}, {}
    def lists(name, domain): return [rewards[name][domain][begins[i] + np.array(q["records"][domain][0])].tolist() for i, q in enumerate(asked)]
    for name in names:
        scores = {d: [q["records"][d][1] for q in asked] for d in DOMAINS}
        prompts = [f"question {i}" for i in range(len(asked))]
        every = ([r for d in DOMAINS for r in lists(name, d)], [s for d in DOMAINS for s in scores[d]], prompts * len(DOMAINS))
        pairs = to_pairs(*every)
        right[name], groups = correctness(pairs.margin), pairs.group
        out[name] = key_figures(measure(*every)) | dict(domains={d: key_figures(measure(lists(name, d), scores[d], prompts)) for d in DOMAINS})
        out[name]["seconds_a_head"] = round(seconds[name], 2)
    for name in names:
        difference = right[name] - right[ONE]
        if name != ONE: out[name]["over"] = dict(of=ONE, mean=float(difference.mean()), interval=[float(x) for x in bootstrap_interval(difference, groups)])
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--base", default="smollm2-135m")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--questions", type=int, default=None, help="only so many of each part, to try it out")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "study" / "read.json")
    a = p.parse_args()
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.model import RewardModel
    from custom_rm.pooling import BINS
    from custom_rm.trunk import device_name
    rm = RewardModel(a.base, quantize=False, pooling="mean", max_length=a.max_length, layers=DEPTHS[-1], read=DEPTHS).add_adapter("plain").remember().eval()
    train, test = (questions(part)[:a.questions] for part in ("train", "test"))
    for data in (train, test): add_states(rm, data)
    order = np.random.default_rng(0).permutation(len(train))
    kept, back = ([train[i] for i in sorted(some)] for some in (order[len(order) // 4:], order[:len(order) // 4]))
    found = dict(validation=look(kept, back), test=look(train, test))
    about = dict(base=a.base, layers=DEPTHS[-1], pooling="mean", max_length=a.max_length, bins=BINS, questions=dict(train=len(train), validation=len(back), test=len(test)))
    write_report(a.out, about | found | dict(device=device_name(rm.device), dtype=str(rm.dtype)[6:], versions=versions(), date=str(date.today())))
    for part, figures in found.items():
        for name, m in figures.items(): print(f"{part:10} {name:24} {m['accuracy']:.3f} ({m['low']:.3f}–{m['high']:.3f})")


if __name__ == "__main__": main()
