"""How right each tier is on DSP: `python bench/tiers.py --seeds 0 1 2`.

Tiers: a head on the frozen states (no network is trained), LoRA above layers whose states are kept, LoRA over all layers.
None has a general stage, so that the tiers differ in nothing else; the four domains are trained together, with one head
each. A tenth of the training questions is kept apart for validation. Each cell (tier and seed) is written as soon as it
is measured, and one that is there already is passed over; what is drawn from all cells, such as differences on the same
pairs with whole questions resampled, is computed anew each time.
"""
import argparse
import json
import tempfile
import time
from datetime import date
from pathlib import Path

DOMAINS = ["academy", "business", "entertainment", "literature"]
TIERS = {  # changes to the recipe, by group
    "head": dict(base=dict(layers=14), custom=dict(method="head", sharing="apart")),
    "LoRA above": dict(base=dict(layers=20, frozen=14)),
    "LoRA all": dict(base=dict(layers=20, frozen=0)),
}
root = Path(__file__).resolve().parent.parent


def recipe_of(a, tier: str, seed: int):
    "A tier's recipe: joint training of four domains, three passes, unless the tier says otherwise"
    from custom_rm.recipes import fill_settings, Recipe
    base = dict(name=a.base, pooling="mean", max_length=a.max_length)
    custom = dict(domains=DOMAINS, train=a.train, test=a.test, learning_rate=1e-3, epochs=a.epochs, batch_size=8,
                  token_budget=a.budget, sharing="joint", rows=a.rows, test_rows=a.rows)
    change = TIERS[tier]
    given = dict(name="tiers", base=base | change.get("base", {}), custom=custom | change.get("custom", {}), validation=.1)
    if a.small: given["base"] |= dict(layers=2, frozen=int(bool(change["base"].get("frozen"))))
    return fill_settings(Recipe, given | dict(seeds=[seed]), "")


def sets_of(run) -> dict:
    "(part, domain) → records: the questions that training leaves out, and the test file's"
    from custom_rm.split import split_validation
    kept = {("validation", d): split_validation(run._domain_sets(d)[d], run.recipe.validation)[1] for d in DOMAINS}
    return kept | {("test", d): data for d, data in run.test_sets().items()}


def signs(rewards, records) -> tuple[str, list]:
    "What each pair came to, and its question"
    from custom_rm.metrics import correctness, to_pairs
    from custom_rm.records import prompt_of
    from custom_rm.study import to_signs
    pairs = to_pairs(rewards, [r["score"] for r in records], [prompt_of(r) for r in records])
    return to_signs(correctness(pairs.margin)), list(map(int, pairs.group))


def cell(a, tier: str, seed: int) -> dict:
    "Train a tier and measure it"
    from custom_rm.evaluate import all_rewards
    from custom_rm.stages import Run
    from custom_rm.trunk import device_name
    start = time.time()
    with tempfile.TemporaryDirectory() as home:
        run = Run(recipe_of(a, tier, seed), home + "/run", a.device, lambda line: print(line, flush=True), seed)
        rm, loaded = run.train(), time.time()
        sets = {key: list(data) for key, data in sets_of(run).items()}
        texts = [text for records in sets.values() for record in records for text in record["text"]]
        cards = [json.loads((run.folder / d / "reward_model.json").read_text()) for d in DOMAINS]
        rewards = dict(all_rewards(rm, texts, DOMAINS))
        found, at = {"validation": {}, "test": {}}, 0
        for (part, domain), records in sets.items():
            left = iter(rewards[domain][at:])
            at += sum(len(r["text"]) for r in records)
            right, group = signs([[float(next(left)) for _ in r["text"]] for r in records], records)
            found[part][domain] = dict(right=right, question=group)
        train = {c["seconds"] for c in cards}
        return dict(found, train_seconds=sum(train) if TIERS[tier].get("custom") else max(train),
                    seconds=round(time.time() - start, 1), measure_seconds=round(time.time() - loaded, 1),
                    dtype=str(rm.dtype).removeprefix("torch."), quantize=rm.quantize, device=device_name(rm.device),
                    date=str(date.today()))


def rights(cells: dict, part: str):
    "Each pair's share of seeds in which it came out right, and its question, all domains after one another"
    import numpy as np
    from custom_rm.study import right_of
    first = next(iter(cells.values()))[part]
    shares = [np.concatenate([right_of(c[part][d]["right"]) for d in DOMAINS]) for c in cells.values()]
    return np.mean(shares, 0), np.concatenate([first[d]["question"] for d in DOMAINS])


def figures(tiers: dict) -> dict:
    "Accuracy of each tier, each domain of it, and the differences on the same pairs"
    from custom_rm.metrics import bootstrap_interval
    import numpy as np
    from custom_rm.study import right_of
    made = dict(accuracy={}, difference={})
    for part in ("validation", "test"):
        by = {tier: rights(cells, part) for tier, cells in tiers.items() if cells}
        for tier, (share, group) in by.items():
            low, high = bootstrap_interval(share, group)
            domains = {d: float(np.mean([right_of(c[part][d]["right"]).mean() for c in tiers[tier].values()])) for d in DOMAINS}
            made["accuracy"].setdefault(part, {})[tier] = dict(accuracy=float(share.mean()), low=low, high=high, n=len(share),
                questions=len(set(group.tolist())), seeds=len(tiers[tier]), domains=domains)
        for one, other in (("LoRA above", "LoRA all"), ("LoRA above", "head"), ("LoRA all", "head")):
            if one not in by or other not in by: continue
            gap, group = by[one][0] - by[other][0], by[one][1]
            low, high = bootstrap_interval(gap, group)
            made["difference"].setdefault(part, {})[f"{one} − {other}"] = dict(difference=float(gap.mean()), low=low, high=high, n=len(gap))
    return made


def main(a) -> None:
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    path = Path(a.out)
    tiers = json.loads(path.read_text(encoding="utf-8"))["tiers"] if path.exists() else {}
    end = time.time() + 60 * a.minutes
    for seed in a.seeds:
        for tier in a.tiers:
            if str(seed) in tiers.setdefault(tier, {}) or (tier == "head" and tiers[tier]): continue  # no chance in a convex fit
            if time.time() > end: print(f"{tier}, seed {seed}: the minutes are over", flush=True); continue
            tiers[tier][str(seed)] = cell(a, tier, seed)
            settings = dict(base=a.base, layers=20, frozen=14, pooling="mean", max_length=a.max_length, epochs=a.epochs, validation=.1)
            write_report(path, dict(settings=settings, versions=versions(), **figures(tiers), tiers=tiers))
            shown = {t: round(100 * f["accuracy"], 1) for t, f in figures(tiers)["accuracy"]["test"].items()}
            print(f"{tier}, seed {seed}: {tiers[tier][str(seed)]['seconds']} s; test {shown}", flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--device", default=None, help="cpu or cuda; the best there is if not given")
    p.add_argument("--base", default="smollm2-135m", help="base model, or a folder")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--tiers", nargs="+", default=list(TIERS), choices=list(TIERS))
    p.add_argument("--epochs", type=float, default=3)
    p.add_argument("--budget", type=int, default=4096, help="tokens in memory at once")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--rows", type=int, default=None, help="only so many questions, for trying this script")
    p.add_argument("--small", action="store_true", help="two layers, one frozen: for a tiny base")
    p.add_argument("--minutes", type=float, default=1e6, help="begin no cell after so many")
    p.add_argument("--train", default="$CUSTOM_RM_DATA/domain_specific_preference.train.json")
    p.add_argument("--test", default="$CUSTOM_RM_DATA/domain_specific_preference.test.json")
    p.add_argument("--out", default=str(root / "results" / "study" / "tiers.json"))
    main(p.parse_args())
