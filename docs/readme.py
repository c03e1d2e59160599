"""README.md is the first page of the site: `python docs/readme.py` writes it from `nbs/index.ipynb`.

Tables between `<!-- results/….json -->` and `<!-- end -->` are drawn from that file, in the notebook and so in both. Links to notebooks become links
within the repository.
"""
import json
import re
from pathlib import Path

root = Path(__file__).parent.parent
index, readme = root / "nbs" / "index.ipynb", root / "README.md"
mark = re.compile(r"(<!-- (results/\S+\.json) -->\n).*?(<!-- end -->)", re.S)


def table(rows: list[tuple]) -> str:
    "A Markdown table; its first row is the header"
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(rows[0])) + " |", *lines[1:]]) + "\n"


def percent(x: float) -> str: return f"{100 * x:.0f}"


def measured(m: dict) -> str: return f"{percent(m['accuracy'])} ({percent(m['low'])}–{percent(m['high'])})"


def points(m: dict) -> str:
    "A difference in percentage points, with its interval"
    sign = lambda x: f"{100 * x:+.1f}".replace("-", "−")
    return f"{sign(m['difference'])} points ({sign(m['low'])} to {sign(m['high'])})"


def study(found: dict) -> str:
    "What customizing gained and cost on published data, with and without guards"
    ways = {row["strategy"]: row for row in found["rows"]}
    names = {"joint, no guard": "no guard", "imitation in custom": "imitation", "joint quarter 1 1.0": "a quarter replayed", "joint quarter 1 0.75": "and three quarters of the way"}
    shown, default = [ways[name] for name in names], ways["joint quarter 1 0.75"]
    general, floors = default["general_model"], found["floors"]
    rows = [("accuracy in % on", "general model", *names.values(), "*longer wins*", "*bag of words*")]
    for d in general["domains"]:
        rows.append((d, percent(general["domains"][d]["accuracy"]), *(measured(way["domains"][d]) for way in shown), percent(floors["longer"][d]), percent(floors["bag_of_words"][d])))
    rows.append(("what people in general prefer", *(measured(way["general"]) for way in (general, *shown)), percent(found["general_floors"]["longer"]), percent(found["general_floors"]["bag_of_words"])))
    cost = "; ".join(f"{name} {points(ways[key]['change'])}" for key, name in (names | {"joint quarter 1 0.75": "that and three quarters of the way"}).items())
    mean = {name: sum(floors[name][d] for d in general["domains"]) / len(general["domains"]) for name in floors}
    gained = ", ".join(f"{100 * way['domain']['accuracy']:.1f}" for way in shown)
    said = [f"General accuracy against the general model of the same seeds: {cost}. The four readers' mean is {100 * general['domain']['accuracy']:.1f} before and {gained} after; counting words has {100 * mean['bag_of_words']:.1f}.",
            f"In parentheses: 95 % intervals, whole questions resampled; {general['domain']['n'] // len(general['domains'])} test pairs of each reader, {general['general']['n'] // len(general['domains']):,} general ones. {found['base']} in 4-bit, {seeds_in(shown)}, {default['devices'][0]}, {default['date']}."]
    return table(rows) + "\n" + " ".join(said) + "\n"


def seeds_in(ways: list[dict]) -> str:
    "How many seeds columns have; one number where all have the same"
    counts = [len(way["seeds"]) for way in ways]
    return f"{counts[0]} seeds" if len(set(counts)) == 1 else f"{', '.join(map(str, counts))} seeds (in the columns' order)"


def quickstart(found: dict) -> str:
    "A run's matrix: reward models, then floors, on every set"
    sets = list(next(iter(found["rms"].values())))
    rows = [("reward model", *sets)]
    for name, cells in found["rms"].items(): rows.append((name, *(f"**{measured(cells[s])}**" if s == name else measured(cells[s]) for s in sets)))
    for name, label in (("longer", "*longer wins*"), ("bag_of_words", "*bag of words*")): rows.append((label, *(measured(found["floors"][name][s]) for s in sets)))
    first = next(iter(found["rms"].values()))
    rows.append(("test pairs (questions)", *(f"{first[s]['n']} ({first[s]['questions']})" for s in sets)))
    versions = found["versions"]
    said = f"Accuracy in %, with 95 % intervals over questions. Measured on {found['device']}, torch {versions['torch']}, transformers {versions['transformers']}, {found['date']}."
    return table(rows) + f"\n{said} {gains(found)}\n"


def gains(found: dict) -> str:
    "Each customized model beside the floors and the general model on its own readers' pairs, and all of them on the general pairs"
    rms, floors = found["rms"], found["floors"]
    own, kept = [rm for rm in rms if rm in rms[rm] and rm != "general"], [rm for rm in rms if rm != "base"]
    right = lambda of, name: f"{round(of[name]['general']['accuracy'] * of[name]['general']['n'])}"
    above = lambda rm, other: f"{100 * (rms[rm][rm]['accuracy'] - other[rm]['accuracy']):.0f}"
    said = [f"{rm} is {above(rm, max((f for f in floors.values()), key=lambda f: f[rm]['accuracy']))} points above the better floor and {above(rm, rms['general'])} above the general model" for rm in own]
    counts = [*(f"{rm} {right(rms, rm)}" for rm in kept), f"the bag of words {right(floors, 'bag_of_words')}"]
    return f"On its own readers' pairs {'; '.join(said)}. Right of {rms['general']['general']['n']} general pairs: {', '.join(counts)}."


def took(found: dict) -> str:
    "How long the quickstart takes"
    now = found["rows"]["quickstart/now"]
    return (f"The run took {now['seconds'] / 60:.1f} minutes with the base model there already, {now['seconds_again'] / 60:.1f} a second time, when the states of all texts are kept; the first row of the table "
            f"came after {now['first_row']:.0f} seconds. {found['device'].capitalize()}, {found['date']}.\n")


def speed(found: dict) -> str:
    "The comparison with TRL"
    names = {"train/dsp": "training on DSP lists", "train/hh": "training on pairs of HH (Anthropic's helpful and harmless)", "train/webgpt": "training on WebGPT pairs", "score/dsp5": "scoring five DSP sets"}
    times = lambda row, key: f"{row[key]:.1f} × ({row['spread'][key][0]:.1f}–{row['spread'][key][1]:.1f})"
    rows = [("comparisons per second", "against TRL as shipped", "against TRL, length grouping")]
    rows += [(name, times(found[key], "vs_trl"), times(found[key], "vs_trl_grouped")) for key, name in names.items() if key in found]
    first = next(iter(found.values()))
    return table(rows) + f"\nMedians of {first['repetitions']} repetitions (smallest–largest), {first['device']}, {first['date']}.\n"


def seeds_of(figure: dict) -> str: return f"{len(figure['seeds'])} seed{'s' if len(figure['seeds']) > 1 else ''}"


def imitation(found: dict) -> str:
    "What the paper's own remedy does, beside replay"
    changed, size = found["changes"]["test"], found["size"]
    def worth(name): return f"{points(changed[name]['general'])} in general and {points(changed[name]['own'])} on the readers' pairs"
    return (f"**Imitation**, the paper's own remedy: the reward model also learns to foresee the preferred answer. Against the same training without it, imitation in both stages is worth {worth('imitation in both stages')}; a quarter replayed instead, {worth('joint replay 1.0')}. "
            f"At a size for two CPU cores (at most {size['general_rows']} records of each general set, {size['questions']} questions, one pass, {seeds_of(changed['imitation in both stages']['own'])}) little is lost with no guard, {points(changed['joint 1.0']['lost'])}, so what a guard keeps can't be shown. "
            f"{found['device'].capitalize()}, {found['date']}; [all of it](tutorials/30_forgetting.ipynb#the-papers-own-remedy).\n")


def head_rate(found: dict) -> str:
    "What guards are worth where something is lost"
    changed = found["changes"]["test"]
    def worth(name): return f"{points(changed[name]['guard']['general'])} in general and {points(changed[name]['guard']['own'])} on the readers' pairs"
    return (f"**A faster head.** Where the head learns ten times as fast (`head_rate: 10`), readers gain {points(changed['joint 10']['own'])} over the plain rate, and more is lost in general: {points(changed['joint 10']['lost'])} against the general model. "
            f"There guards can be told apart: a quarter replayed is worth {worth('joint replay 10 1.0')}, imitation in both stages {worth('joint, imitation')}. The same size, {seeds_of(changed['joint 10']['own'])}, for the guards {seeds_of(changed['joint replay 10 1.0']['guard']['own'])}, {found['date']}; [how that was found](explanations/ledger.ipynb#a-riddle-and-two-controls).\n")


def experts(found: dict) -> str:
    "What a mixture of experts knows of sets that contradict each other"
    row, crossed = found["sets"]["all"], found["crossed"]["all"]
    return (f"**Experts.** A general model has to know its sets apart: what makes an answer helpful makes another harmful. On frozen states, one head for all four sets is right on {measured(row['one head'])} % of the {row['n']:,} general test pairs, "
            f"a mixture of experts (`general.method: head`, `experts: true`; fitted in seconds, too) on {measured(row['experts'])} %: {points(row['minus']['experts − one head'])}. A bag of words that is told the set has {percent(row['bag_of_words']['accuracy'])} %. "
            f"On {crossed['n']:,} training pairs, each held back in its turn, experts are {points(crossed['minus']['experts − bag_of_words'])} against it. {found['device'].capitalize()}, {found['date']}; [more](explanations/ledger.ipynb#the-general-model).\n")


DRAWN = {"results/study/guards.json": study, "results/study/imitation.json": imitation, "results/study/head-rate.json": head_rate, "results/study/experts.json": experts, "results/quickstart/quickstart.json": quickstart, "results/speed/cheap.json": took, "results/speed/summary.json": speed}


def renewed(text: str) -> str:
    "A page with its tables drawn anew"
    draw = lambda m: DRAWN[m[2]](json.loads((root / m[2]).read_text(encoding="utf-8")))
    return mark.sub(lambda m: f"{m[1]}\n{draw(m)}\n{m[3]}", text)


def at_the_top(text: str) -> str:
    "Links as they are seen from the top of the repository instead of from nbs"
    def seen(m): return m[1] + (m[2][3:] if m[2].startswith("../") else f"nbs/{m[2]}")
    return re.sub(r"(\]\()(?![a-z]+:|#)([^)\s]+)", seen, text)


def cells() -> tuple[dict, list[dict]]:
    "The notebook, and its cells of prose"
    nb = json.loads(index.read_text(encoding="utf-8"))
    return nb, [c for c in nb["cells"] if c["cell_type"] == "markdown"]


def notebook() -> str:
    "The notebook's file with its tables drawn anew"
    nb, prose = cells()
    for c in prose: c["source"] = renewed("".join(c["source"])).splitlines(keepends=True)
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def page() -> str:
    "README.md"
    return "\n\n".join(at_the_top(renewed("".join(c["source"])).strip("\n")) for c in cells()[1]) + "\n"


if __name__ == "__main__":
    index.write_text(notebook(), encoding="utf-8")
    readme.write_text(page(), encoding="utf-8")
