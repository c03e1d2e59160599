"""A general model whose sets contradict each other: one head against a mixture of experts, `python bench/experts.py` writes results/study/experts.json.

Both are fitted to all general training pairs (a tenth of each set is kept for validation), by `custom-rm train` with `general.method: head`, and measured on the
four test sets beside the two floors. What is compared is compared on the same pairs, whole questions drawn anew. The choice between them was made by
cross-validation on training questions (`bench/ledger.py general`); the test files are read here once. `--runs` keeps the two runs; what is there is taken.
`crossed` is the same comparison by cross-validation within the training questions, where there are three times as many pairs; folds are drawn five times, since
one draw moves a small set by two points, and a pair counts by its mean.
"""
import argparse
import tempfile
from datetime import date
from pathlib import Path

SETS = ["helpful", "harmless", "webgpt", "gpt4llm"]
FOLDS, DRAWS = 5, 5
root = Path(__file__).resolve().parent.parent


def recipe_of(a, experts: bool):
    "The general stage alone"
    from custom_rm.recipes import fill_settings, Recipe
    train, test = ({s: f"$CUSTOM_RM_DATA/{s}.{part}.json" for s in SETS} for part in ("train", "test"))
    base = dict(name=a.base, layers=a.layers, frozen=a.frozen, pooling="mean", dtype=a.dtype, max_length=a.max_length, template="dsp")
    general = dict(method="head", experts=experts, train=train, test=test, rows=a.rows, test_rows=a.rows)
    return fill_settings(Recipe, dict(name="experts" if experts else "onehead", base=base, general=general, custom=dict(domains=[]), validation=.1), "")


def trained(a, experts: bool, home: Path):
    "(the reward model, what its card says of the fit)"
    from custom_rm.artefact import read_card
    from custom_rm.stages import Run
    run = Run(recipe_of(a, experts), home / ("experts" if experts else "onehead"), a.device, lambda line: print(line, flush=True))
    rm = run.train()
    return run, rm, read_card(run.folder / "general")


def crossed(run, rm) -> tuple[dict, list]:
    "Pairs of all training sets, each by models that have not seen its question: (how right one head, experts and the floors are, by set; the pairs' questions)"
    import numpy as np
    from custom_rm.heads import fit_head, fit_mixture
    from custom_rm.metrics import BagOfWords, correctness, unequal_pairs
    from custom_rm.packing import encode
    from custom_rm.records import prompt_of, to_one_template
    from custom_rm.scorer import text_states
    from custom_rm.split import split_validation
    records, kinds = [], []
    for k, s in enumerate(SETS):
        data = to_one_template(split_validation(run._general_sets()[s], run.recipe.validation)[0], run.recipe.base.template)[0]
        some = [r for r in data if len(unequal_pairs(r["score"])[0])]
        records, kinds = records + some, kinds + [k] * len(some)
    if not all(len(r["text"]) == 2 for r in records): raise SystemExit("a list of more than two answers in a general set; this script compares pairs")
    texts, kinds, number = [t for r in records for t in r["text"]], np.array(kinds), {}
    asked = np.array([number.setdefault(prompt_of(r), len(number)) for r in records])
    best = np.array([int(np.argmax(r["score"])) for r in records])
    better, worse = 2 * np.arange(len(best)) + best, 2 * np.arange(len(best)) + 1 - best
    states = text_states(rm.use("general"), encode(texts, rm.tokenizer, rm.max_length)["input_ids"]).cpu().double().numpy()
    lengths = np.array([len(t) for t in texts], float)
    total = {name: np.zeros(len(best)) for name in ("one head", "experts", "longer", "bag_of_words")}
    for draw in range(DRAWS):
        fold = (np.random.default_rng(draw).permutation(len(number)) % FOLDS)[asked]
        margins = {name: np.zeros(len(best)) for name in total} | {"longer": lengths[better] - lengths[worse]}
        for f in range(FOLDS):
            seen, held = fold != f, fold == f
            rewards = {"one head": states @ fit_head(states[better[seen]] - states[worse[seen]], asked[seen]).weights,
                       "experts": fit_mixture(states, better[seen], worse[seen], asked[seen], kinds[seen], SETS).rewards(states)}
            for name, r in rewards.items(): margins[name][held] = (r[better] - r[worse])[held]
            for k in range(len(SETS)): # a bag of words for each set, which is told the set
                mine, own = np.flatnonzero(held & (kinds == k)), np.flatnonzero(seen & (kinds == k))
                bag = BagOfWords().fit([records[i]["text"] for i in own], [records[i]["score"] for i in own])
                r = np.array(bag.rewards([records[i]["text"] for i in mine]))
                margins["bag_of_words"][mine] = r[np.arange(len(mine)), best[mine]] - r[np.arange(len(mine)), 1 - best[mine]]
        for name, m in margins.items(): total[name] += correctness(m) / DRAWS
    return {name: [x[kinds == k] for k in range(len(SETS))] for name, x in total.items()}, [asked[kinds == k] for k in range(len(SETS))]


def rows_of(right: dict, group: list) -> dict:
    "For each set and for all of them: accuracies, and the experts' against the others', on the same pairs"
    import numpy as np
    from custom_rm.metrics import accuracy_interval, bootstrap_interval
    parts = {s: ([x[i] for x in right.values()], group[i]) for i, s in enumerate(SETS)} | {"all": ([np.concatenate(x) for x in right.values()], np.concatenate(group))}

    def row(found, groups) -> dict:
        by = dict(zip(right, found))
        def minus(one, other): return dict(zip(("difference", "low", "high"), (float((by[one] - by[other]).mean()), *bootstrap_interval(by[one] - by[other], groups))))
        shown = {name: dict(accuracy=float(x.mean()), low=accuracy_interval(x, groups)[0], high=accuracy_interval(x, groups)[1]) for name, x in by.items()}
        return dict(n=len(groups), **shown, minus={f"experts − {other}": minus("experts", other) for other in ("one head", "bag_of_words", "longer")})
    made = {s: row(*part) for s, part in parts.items()}
    for s, r in made.items(): print(f"{s:9}", *(f"{name} {100 * r[name]['accuracy']:.1f}" for name in right), *(f"{k} {100 * d['difference']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f})" for k, d in r["minus"].items()))
    return made


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--base", default="smollm2-135m")
    p.add_argument("--layers", type=int, default=20)
    p.add_argument("--frozen", type=int, default=14)
    p.add_argument("--dtype", default="bfloat16")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--rows", type=int, default=None)
    p.add_argument("--device", default=None)
    p.add_argument("--runs", type=Path, default=None)
    p.add_argument("--out", type=Path, default=root / "results" / "study" / "experts.json")
    a = p.parse_args()
    import numpy as np
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.metrics import BagOfWords, correctness, longer_wins
    from custom_rm.scorer import score_records
    from custom_rm.split import split_validation
    from custom_rm.trunk import device_name
    right, group, cards, at = {}, [], {}, 0
    with tempfile.TemporaryDirectory() as made:
        for name, experts in (("one head", False), ("experts", True)):
            run, rm, cards[name] = trained(a, experts, a.runs or Path(made))
            tests = run.test_sets()
            right[name] = [correctness(of(score_records(rm.use("general"), tests[s]), tests[s]).margin) for s in SETS]
            device = device_name(rm.device)
        held = crossed(run, rm)
        for name in ("longer", "bag_of_words"): right[name] = []
        for s in SETS:
            data, learned = tests[s], split_validation(run._general_sets()[s], run.recipe.validation)[0]
            texts = [r["text"] for r in data]
            bag = BagOfWords().fit([r["text"] for r in learned], [r["score"] for r in learned])
            floors = dict(longer=of(longer_wins(texts), data), bag_of_words=of(bag.rewards(texts), data))
            for name, pairs in floors.items(): right[name].append(correctness(pairs.margin))
            group.append(at + np.asarray(floors["longer"].group))
            at = group[-1].max() + 1
    sets, within = rows_of(right, group), rows_of(*held)
    kept = {name: dict(card["head"], seconds=card["seconds"]) for name, card in cards.items()}
    write_report(a.out, dict(base=a.base, layers=a.layers, dtype=a.dtype, max_length=a.max_length, sets=sets, crossed=within, fitted=kept, device=device, versions=versions(), date=str(date.today())))


def of(rewards, data):
    "What rewards make of the pairs of some records"
    from custom_rm.metrics import to_pairs
    from custom_rm.records import prompt_of
    return to_pairs(rewards, [r["score"] for r in data], [prompt_of(r) for r in data])


if __name__ == "__main__": main()
