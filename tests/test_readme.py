"README says what was measured, and its commands are the ones that are tested. `python tests/test_readme.py` brings its table up to date."
import json
import re
from pathlib import Path

root = Path(__file__).parent.parent
mark = re.compile(r"(<!-- (\S+\.json) -->\n).*?(<!-- end -->)", re.S)


def matrix(metrics: dict) -> str:
    "A run's figures as a Markdown table"
    sets = list(next(iter(metrics["rms"].values())))
    cell = lambda m: f"{100 * m['accuracy']:.0f} ({100 * m['low']:.0f}–{100 * m['high']:.0f})"
    rows = [("reward model", *sets), *[("---",) * (len(sets) + 1)]]
    for name, cells in metrics["rms"].items(): rows.append((f"{name}", *(f"**{cell(cells[s])}**" if s == name else cell(cells[s]) for s in sets)))
    for name, label in (("longer", "*longer wins*"), ("bag_of_words", "*bag of words*")): rows.append((label, *(cell(metrics["floors"][name][s]) for s in sets)))
    n = next(iter(metrics["rms"].values()))
    rows.append(("test pairs (questions)", *(f"{n[s]['n']} ({n[s]['questions']})" for s in sets)))
    said = f"Accuracy in %, with 95 % intervals over questions. Measured on {metrics['device']}, torch {metrics['versions']['torch']}, transformers {metrics['versions']['transformers']}, {metrics['date']}."
    return "\n".join("| " + " | ".join(r) + " |" for r in rows) + f"\n\n{said}\n"


def speed(found: dict) -> str:
    "The comparison with TRL as a Markdown table"
    names = {"train/dsp": "training on DSP lists", "train/hh": "training on HH pairs", "train/webgpt": "training on WebGPT pairs", "score/dsp5": "scoring five DSP sets"}
    cell = lambda row, key: f"{row[key]:.1f} × ({row['spread'][key][0]:.1f}–{row['spread'][key][1]:.1f})"
    rows = [("comparisons per second", "against TRL as shipped", "against TRL, length grouping"), ("---",) * 3]
    rows += [(name, cell(found[key], "vs_trl"), cell(found[key], "vs_trl_grouped")) for key, name in names.items() if key in found]
    first = next(iter(found.values()))
    return "\n".join("| " + " | ".join(r) + " |" for r in rows) + f"\n\nMedians of {first['repetitions']} repetitions (smallest–largest), {first['device']}, {first['date']}.\n"


def renewed(text: str) -> str:
    draw = lambda m: (speed if "summary" in m[2] else matrix)(json.loads((root / m[2]).read_text(encoding="utf-8")))
    return mark.sub(lambda m: m[1] + draw(m) + m[3], text)


def test_table_is_what_was_measured():
    text = (root / "README.md").read_text(encoding="utf-8")
    assert mark.search(text), "README has no measured table"
    assert renewed(text) == text, "README's table isn't that of the measurement; run python tests/test_readme.py"


def test_quickstart_beats_floors_and_general():
    m = json.loads((root / "results/quickstart/quickstart.json").read_text(encoding="utf-8"))
    domains = [rm for rm in m["rms"] if rm in m["rms"][rm] and rm != "general"]
    assert len(domains) >= 2
    for d in domains:
        others = [m["rms"]["general"][d], m["floors"]["longer"][d], m["floors"]["bag_of_words"][d]]
        assert m["rms"][d][d]["accuracy"] > max(o["accuracy"] for o in others), d


def test_says_the_same_as_the_first_page():
    "README and the index notebook hold the same commands and the same Python."
    blocks = lambda text: {b.strip() for b in re.findall(r"```(?:sh|python)\n(.*?)```", text, re.S)}
    index = "\n".join("".join(c["source"]) for c in json.loads((root / "nbs/index.ipynb").read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown")
    assert blocks(index) and blocks(index) <= blocks((root / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    path = root / "README.md"
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
