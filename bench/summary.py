"""From the measurements to `results/speed/summary.json` and the figures: `python bench/summary.py`.

A ratio is taken within each repetition, where both sides worked on the same records one after the other, and the median of the repetitions is kept,
with the smallest and the largest beside it. What frozen states save is measured by `bench/cheap.py` and `bench/growth.py --cached`.
"""
import json
from pathlib import Path
from statistics import median

results = Path(__file__).parent.parent / "results" / "speed"
NAMES = {"trl": "TRL 1.16, as shipped", "trl-grouped": "TRL 1.16, length grouping", "pairs": "pairs, padded", "unique": "unique texts, padded", "buckets": "unique texts, length buckets", "trees-malloc": "trees, allocator as it is", "trees-imitation": "trees, imitation loss on", "trees": "custom_rm: trees", "dense": "limit: dense batch", "dense-own": "dense batch, our attention"}

CHEAP = {"train/dsp/cached": ("vs_uncached", "vs_trl", "vs_trl_grouped"), "quickstart": ("seconds", "speedup"), "study/cell": ("minutes",),
         "head/1000": ("seconds", "seconds_cold"), "memory/cached": ("ratio",)}  # rows of cheap.json, and what each must say
WAYS = {"all": "all {layers} layers learn", "frozen": "{frozen} frozen, computed each time", "filling": "{frozen} frozen, store being filled", "filled": "{frozen} frozen, store filled"}


def read(name: str): return json.loads((results / f"{name}.json").read_text(encoding="utf-8")) if (results / f"{name}.json").exists() else None


def speed(rows, of: str = "comparisons") -> list[float]: return [r[of] / r["seconds"] for r in rows]


def ratio(a: list[float], b: list[float]) -> dict:
    r = [x / y for x, y in zip(a, b)]
    return dict(median=round(median(r), 3), low=round(min(r), 3), high=round(max(r), 3))


def one(found: dict) -> dict:
    rows = found["rows"]
    mine = speed(rows["trees"])
    out = dict(device=found["device"], date=found["date"], repetitions=len(mine), spread={})
    for key, other in (("vs_trl", "trl"), ("vs_trl_grouped", "trl-grouped")):
        if other in rows: r = ratio(mine, speed(rows[other])); out[key] = r["median"]; out["spread"][key] = [r["low"], r["high"]]
    if "dense" in rows: r = ratio(speed(rows["trees"], "tokens"), speed(rows["dense"], "tokens")); out["dense_share"] = r["median"]; out["spread"]["dense_share"] = [r["low"], r["high"]]
    if "dense-own" in rows: r = ratio(speed(rows["trees"], "tokens"), speed(rows["dense-own"], "tokens")); out["dense_own_share"] = r["median"]; out["spread"]["dense_own_share"] = [r["low"], r["high"]]
    if "trees-malloc" in rows: r = ratio(speed(rows["trees"], "tokens"), speed(rows["trees-malloc"], "tokens")); out["advice"] = r["median"]; out["spread"]["advice"] = [r["low"], r["high"]]
    out["peak_gib"] = {m: round(max(r["peak_gib"] for r in rs), 2) for m, rs in rows.items()}
    out["comparisons_per_second"] = {m: round(median(speed(rs)), 3) for m, rs in rows.items()}
    out["tokens_per_second"] = {m: round(median(speed(rs, "tokens")), 1) for m, rs in rows.items()}
    out["tokens_per_comparison"] = {m: round(sum(r["tokens"] for r in rs) / sum(r["comparisons"] for r in rs), 1) for m, rs in rows.items()}
    return out


def summary() -> dict:
    out = {}
    for end, prefix in (("", ""), ("-cuda", "cuda/")):
        for key in ("dsp", "hh", "webgpt"):
            if found := read(f"train-{key}{end}"):
                row = out[f"{prefix}train/{key}"] = one(found)
                if grouped := read(f"train-{key}-grouped{end}"): add_grouped(row, one(grouped))
        if found := read(f"score-dsp5{end}"): out[f"{prefix}score/dsp5"] = one(found)
        if found := read(f"train-dsp-steps{end}"): out[f"{prefix}steps/dsp"] = one(found)
        if found := read(f"train-dsp-inside{end}"): out[f"{prefix}inside/dsp"] = one(found)
    if found := read("llama-7b"):
        rows = {m: r for m, r in found["rows"].items()}
        out["cuda/memory/llama-7b"] = dict(cap_gib=found["cap_gib"], device=found["device"], peak_gib=round(max(r["peak_gib"] for r in rows["trees"]["rows"]), 2),
            **{m: dict(tokens_per_second=round(median(speed(r["rows"], "tokens"))), comparisons_per_second=round(median(speed(r["rows"])), 2)) if r["rows"] else r["does_not_fit"] for m, r in rows.items()})
    if found := read("train-dsp-cached-cuda"): out["cuda/cached/dsp"] = cached(found)
    return out | cheap()


def cached(found: dict) -> dict:
    "Above kept states against TRL and against all layers learning, of `bench/train.py --steps 3`"
    rows = found["rows"]
    against = {f"vs_{other}": ratio(speed(rows["cached"]), speed(rows[other])) for other in ("trl", "trees", "uncached") if other in rows}
    return dict(device=found["device"], date=found["date"], repetitions=len(rows["cached"]), **{k: r["median"] for k, r in against.items()},
                spread={k: [r["low"], r["high"]] for k, r in against.items()}, peak_gib={m: round(max(r["peak_gib"] for r in rs), 2) for m, rs in rows.items()})


def cheap() -> dict:
    "What is learned without computing frozen layers again: the rows that `bench/cheap.py` has written so far"
    found, out = read("cheap") or {"rows": {}}, {}
    for key, needed in CHEAP.items():
        if not (row := found["rows"].get(key)): continue
        if lacking := [k for k in needed if k not in row]: raise SystemExit(f"cheap.json: {key} lacks {', '.join(lacking)}")
        out[key] = dict(device=found["device"], date=found["date"]) | row
    return out


def growth_lines(found: dict) -> dict:
    "Way → axis → (numbers, median seconds), of growth-cached.json"
    lines = {}
    for repetitions in found["rows"].values():
        for way in repetitions[0].get("passes", {}):
            seen = [r["passes"][way] for r in repetitions]
            for axis in seen[0]:
                numbers = sorted(seen[0][axis], key=int)
                lines.setdefault(way, {})[axis] = [int(n) for n in numbers], [median(s[axis][n] for s in seen) for n in numbers]
    return lines


def draw_growth(found: dict, path: Path) -> None:
    "Seconds of training against texts, epochs and domains, with and without a store of frozen states"
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns
    from matplotlib.ticker import MaxNLocator
    sns.set_theme(style="whitegrid", palette="colorblind")
    lines, options = growth_lines(found), found["options"]
    middle = f"{lines['all']['texts'][0][1]} texts"
    titles = dict(texts="one epoch, one domain", epochs=f"{middle}, one domain", domains=f"{middle}, an epoch for each domain")
    fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.9), sharey=True, layout="constrained")
    for ax, (axis, title) in zip(axes, titles.items()):
        for (way, label), marker in zip(WAYS.items(), "osD^"):
            if way in lines: ax.plot(*lines[way][axis], marker=marker, label=label.format(**options))
        ax.set(title=title, xlabel=f"number of {axis}"); ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axis == "texts": ax.set_xlim(left=0); ax.set_xticks(lines[next(iter(lines))][axis][0])
    axes[0].set(ylabel="seconds", ylim=(0, None))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4, frameon=False)
    fig.savefig(path, dpi=110); plt.close(fig)


def add_grouped(row: dict, grouped: dict) -> None:
    "The row of TRL with length grouping, which has records of its own: those that grouping puts side by side"
    row["vs_trl_grouped"], row["spread"]["vs_trl_grouped"] = grouped["vs_trl_grouped"], grouped["spread"]["vs_trl_grouped"]
    for key in ("peak_gib", "comparisons_per_second", "tokens_per_second", "tokens_per_comparison"):
        row[key]["trl-grouped"], row[key]["trees, same records"] = grouped[key]["trl-grouped"], grouped[key]["trees"]


def draw(found: dict) -> None:
    "Comparisons a second by method and set; the way from pairs to trees"
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns
    sns.set_theme(style="whitegrid", palette="colorblind")
    keys = [k for k in ("train/dsp", "train/hh", "train/webgpt", "score/dsp5") if k in found]
    fig, axes = plt.subplots(1, len(keys), figsize=(3.3 * len(keys), 3.4), constrained_layout=True, squeeze=False)
    for ax, key in zip(axes[0], keys):
        data = {m: found[key]["comparisons_per_second"][m] for m in ("trl", "trl-grouped", "trees", "dense") if m in found[key]["comparisons_per_second"]}
        colours = dict(zip(("trl", "trl-grouped", "trees", "dense"), sns.color_palette("colorblind")))
        bars = ax.bar([dict(trl="TRL 1.16", dense="dense limit", trees="trees").get(m, "TRL,\ngrouped") for m in data], list(data.values()), color=[colours[m] for m in data])
        ax.bar_label(bars, fmt="%.2g", padding=2); ax.set_title(key); ax.tick_params(axis="x", labelsize=8); ax.grid(axis="x", visible=False); ax.margins(y=.12)
    axes[0][0].set_ylabel("comparisons per second")
    fig.savefig(results / "speed.png", dpi=110); plt.close(fig)
    steps = read("train-dsp-steps")
    way = {m: median(speed(rs)) for m, rs in steps["rows"].items()} if steps else {}
    if "unique" in way:
        order = [m for m in ("pairs", "unique", "buckets", "trees", "dense") if m in way]
        fig, ax = plt.subplots(figsize=(6.4, 3), constrained_layout=True)
        bars = ax.barh([NAMES[m] for m in order][::-1], [way[m] for m in order][::-1], color=sns.color_palette("colorblind")[0])
        ax.bar_label(bars, fmt="%.2f", padding=3); ax.set_xlabel("comparisons per second, training on DSP lists"); ax.grid(axis="y", visible=False); ax.margins(x=.1)
        fig.savefig(results / "steps.png", dpi=110); plt.close(fig)


if __name__ == "__main__":
    found = summary()
    (results / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(found)
    if growth := read("growth-cached"): draw_growth(growth, results / "growth-cached.png")
    for key, row in found.items(): print(key, {k: v for k, v in row.items() if k.startswith("vs") or k == "dense_share" or k in CHEAP.get(key, ())})
