"""Best of n: `python bench/best_of_n.py RUN` writes results/use/best_of_n.json and its figure.

For every held-out DSP question, n answers are drawn (with replacement) from its five, as from a policy that writes each kind equally often, and a domain's
reward model picks one. Reported: the mean reward of the picked answers, in standard deviations of that reward model, the score that a bag of words trained on the
domain gives them, which no reward model has seen, and how often the domain's own answer is picked.
"""
import argparse
import random
from datetime import date
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path, help="a run's folder, with an artefact a domain")
    p.add_argument("--draws", type=int, default=50, help="for every question and n")
    p.add_argument("--questions", type=int, default=None)
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "use" / "best_of_n.json")
    a = p.parse_args()
    from custom_rm.convert import from_dsp
    from custom_rm.evaluate import write_report
    from custom_rm.metrics import BagOfWords, bootstrap_interval
    from custom_rm.core import versions
    from custom_rm.trunk import default_device, device_name
    from custom_rm.records import read_json
    from custom_rm.templates import TEMPLATES
    from custom_rm.scoring import Scorer
    from custom_rm.recipes import find
    from custom_rm.plots import colour, new_axes
    train = list(read_json(find("$CUSTOM_RM_DATA/domain_specific_preference.train.json")))
    rows = [v for _, v in read_json(find("$CUSTOM_RM_DATA/domain_specific_preference.test.json"))][:a.questions]
    kinds = list(rows[0]["responses"])
    domains = [d for d in kinds if (a.run / d / "reward_model.json").is_file()]
    texts = [TEMPLATES["dsp"].format(prompt=r["query"], response=r["responses"][k]) for r in rows for k in kinds]
    table = Scorer.load([a.run / d for d in domains]).score(texts).reshape(len(rows), len(kinds), -1)
    out = {}
    for j, d in enumerate(domains):
        learn = list(from_dsp(iter(train), d))
        words = np.array(BagOfWords().fit([r["text"] for r in learn], [r["score"] for r in learn]).rewards([texts])[0]).reshape(len(rows), len(kinds))
        reward = (table[:, :, j] - table[:, :, j].mean()) / table[:, :, j].std()
        words, rng = (words - words.mean()) / words.std(), random.Random(0)
        out[d] = []
        for n in (1, 2, 4, 8):
            picked = [[max((rng.randrange(len(kinds)) for _ in range(n)), key=lambda k: reward[q, k]) for _ in range(a.draws)] for q in range(len(rows))]
            of = lambda values: [np.mean([values(q, k) for k in ks]) for q, ks in enumerate(picked)]
            line = dict(n=n)
            for name, values in (("reward", lambda q, k: reward[q, k]), ("bag_of_words", lambda q, k: words[q, k]), ("own_answer", lambda q, k: float(kinds[k] == d))):
                x = np.array(of(values)); line[name] = float(x.mean()); line[f"{name}_interval"] = list(bootstrap_interval(x, np.arange(len(x))))
            out[d].append(line); print(d, {k: round(v, 2) for k, v in line.items() if not isinstance(v, list)})
    a.out.parent.mkdir(parents=True, exist_ok=True)
    write_report(a.out, dict(domains=out, questions=len(rows), draws=a.draws, device=device_name(default_device()), versions=versions(), date=str(date.today())))
    figure, axes = new_axes(9, 3.4, 3)
    for ax, key, title in zip(axes, ("reward", "bag_of_words", "own_answer"), ("reward of the pick (sd)", "bag of words' score (sd)", "share of own domain's answers")):
        for d, lines in out.items():
            n, y, low, high = zip(*[(l["n"], l[key], *l[f"{key}_interval"]) for l in lines])
            ax.plot(n, y, color=colour(d), marker="o", label=d); ax.fill_between(n, low, high, color=colour(d), alpha=.2, lw=0)
        ax.set(xscale="log", xticks=[1, 2, 4, 8], xticklabels=[1, 2, 4, 8], xlabel="n", title=title); ax.minorticks_off()
    axes[0].legend(frameon=False); figure.savefig(a.out.with_suffix(".png"), dpi=110)
