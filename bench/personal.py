"""How many votes a person's own reward model takes: `python bench/personal.py` writes results/personal.json.

Linear heads on frozen states (`personal.fit_personal`). Real people: UKPConvArg1 and llmfao; nobody's pooled head has seen the person or the topics that are
asked about. A made-up person: one domain of DSP, whose priors are the three others, alone and together, fitted to other questions. Controls: the heads of
other people on this person's votes, flipped labels, ties in, longer wins, first position. Intervals resample people (DSP: questions).
States are kept in the cache (`remember`), so a second run only fits heads.
"""
import argparse
import gzip
import json
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from read import DEPTHS, DOMAINS, questions

VOTES = [0, 5, 10, 20, 40, 80]
PEOPLE_PARTS, TOPIC_PARTS = 5, 4
LEAST = 40 # votes besides those of a part of the topics, for a person to be asked about that part


@dataclass
class Votes:
    "A set of people's votes, as numbers"
    states: np.ndarray  # of each text, its differences have spread 1, shape (texts, width)
    length: np.ndarray  # of each text, characters
    a: np.ndarray       # text that stood first, of each vote
    b: np.ndarray
    better: np.ndarray  # 1 for a, -1 for b, 0 for a tie
    person: np.ndarray
    group: np.ndarray   # question that is left out whole when heads are chosen
    topic: np.ndarray   # what is left out for the test: debates with both sides, prompts


def rows(path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as f: return [json.loads(line) for line in f]


def states_of(rm, texts: list[str], at_once: int = 100) -> np.ndarray:
    "Shape (texts, depths, width)"
    from custom_rm.packing import encode
    from custom_rm.scorer import text_states
    start, found = time.time(), []
    for begin in range(0, len(texts), at_once):
        found.append(text_states(rm, encode(texts[begin:begin + at_once], rm.tokenizer, rm.max_length)["input_ids"]).numpy())
        if begin % 500 == 0: print(f"{begin} of {len(texts)} texts, {time.time() - start:.0f} s", flush=True)
    found = np.concatenate(found)
    return found.reshape(len(texts), -1, rm.width // (len(rm.reads) or 1)) if rm.reads else found[:, None]


def read_votes(name: str, rm, depths: list[int]) -> Votes:
    from custom_rm.recipes import find
    texts, votes = (rows(find(f"$CUSTOM_RM_DATA/votes/{name}.{what}.jsonl.gz")) for what in ("texts", "votes"))
    asked = ["\n".join(filter(None, (t["question"], t.get("stance")))) for t in texts]
    whole = [f"## Human:\n{q.strip()}\n\n## Assistant:\n{t['text'].strip()}" for q, t in zip(asked, texts)]
    states = states_of(rm, whole)[:, depths].reshape(len(texts), -1).astype(float)
    place = {t["id"]: n for n, t in enumerate(texts)}
    a, b = (np.array([place[v[side]] for v in votes]) for side in "ab")
    def numbers(values): return np.unique(values, return_inverse=True)[1]
    pairs = np.unique(np.stack([a, b], 1), axis=0)
    states /= np.sqrt(((states[pairs[:, 0]] - states[pairs[:, 1]]) ** 2).mean(0)) + 1e-9
    better = np.array([dict(a=1, b=-1).get(v["better"], 0) for v in votes])
    return Votes(states, np.array([len(t["text"]) for t in texts]), a, b, better, numbers([v["person"] for v in votes]),
                 numbers([v["topic"] for v in votes]), numbers([texts[n]["question"] for n in a]))


def together(states, first, second, better, strength: float, start=None) -> np.ndarray:
    "The head of many people's votes: each pair once, with how often each side won (ties half each)"
    from scipy.optimize import minimize
    pairs, at = np.unique(np.stack([np.minimum(first, second), np.maximum(first, second)], 1), axis=0, return_inverse=True)
    won = (better * np.where(first < second, 1, -1) + 1) / 2
    left, count = np.bincount(at, won), np.bincount(at)
    differences = (states[pairs[:, 0]] - states[pairs[:, 1]]).astype(np.float32)
    def pays(head):
        margins = (differences @ head.astype(np.float32)).astype(float)
        slope = count / (1 + np.exp(-margins)) - left
        return (count * np.logaddexp(0, margins) - left * margins).sum() + strength / 2 * head @ head, differences.T @ slope.astype(np.float32) + strength * head
    return minimize(pays, np.zeros(states.shape[1]) if start is None else start, jac=True, method="L-BFGS-B", options=dict(maxiter=300, ftol=1e-7)).x


@dataclass
class Case:
    "A person, what they voted on, and what they are asked about afterwards"
    person: int
    cell: tuple         # who may be compared: cases of one cell were asked about the same topics
    states: np.ndarray
    learned: np.ndarray # preferred text and the other of each vote, in the order of learning, shape (votes, 2)
    groups: np.ndarray  # their questions
    asked: np.ndarray   # the same of the test votes
    ties: np.ndarray    # pairs that the person called equal, in the test topics
    priors: dict        # heads by name; the first is the one that knows nothing of the person
    unit: np.ndarray    # what is drawn again for intervals, of each test vote: the person, or the question
    root: np.ndarray    # of `personal.root_of`: what answers differ in, whoever votes
    best: str           # the way that did best on the people and questions that choices were made by

    def differences(self, n=None): return self.states[self.learned[:n, 0]] - self.states[self.learned[:n, 1]]
    def right(self, head) -> np.ndarray: # 1, ½ or 0 for each test vote
        from custom_rm.metrics import correctness
        rewards = self.states @ head
        return correctness(rewards[self.asked[:, 0]] - rewards[self.asked[:, 1]])


def parts_of(values: np.ndarray, parts: int, seed: int) -> np.ndarray:
    "The part of each value, dealt at random, the same every time"
    return (np.random.default_rng(seed).permutation(values.max() + 1) % parts)[values]


def winners(votes: Votes, at: np.ndarray) -> np.ndarray:
    "Preferred text and the other, shape (votes, 2)"
    first = votes.better[at] > 0
    return np.stack([np.where(first, votes.a[at], votes.b[at]), np.where(first, votes.b[at], votes.a[at])], 1)


def people_cases(votes: Votes, strength: float, parts=range(PEOPLE_PARTS), least: int = LEAST, tastes: int = 0, topic_parts=range(TOPIC_PARTS)) -> list[Case]:
    "Every person with enough votes, each part of the topics left out once; priors have seen neither"
    from custom_rm.personal import root_of
    pairs = np.unique(np.stack([votes.a, votes.b], 1), axis=0)
    root = root_of(votes.states[pairs[:, 0]] - votes.states[pairs[:, 1]])
    crowd, topics, made = parts_of(votes.person, PEOPLE_PARTS, 1), parts_of(votes.topic, TOPIC_PARTS, 2), []
    for part in parts:
        for away in topic_parts:
            known = (crowd != part) & (topics != away)
            head = together(votes.states, votes.a[known], votes.b[known], votes.better[known], strength)
            priors = dict(pooled=head) | (tastes_of(votes, known, head, tastes) if tastes else {})
            for person in np.unique(votes.person[crowd == part]):
                own = votes.person == person
                learn, ask = (np.flatnonzero(own & (votes.better != 0) & where) for where in (topics != away, topics == away))
                if len(learn) < least or len(ask) < 5: continue
                order = np.random.default_rng(person).permutation(learn)
                tied = np.flatnonzero(own & (votes.better == 0) & (topics == away))
                made.append(Case(int(person), (part, away), votes.states, winners(votes, order), votes.group[order], winners(votes, ask),
                                 np.stack([votes.a[tied], votes.b[tied]], 1), priors, np.full(len(ask), person), root, "from_pooled"))
    return made


def tastes_of(votes: Votes, known: np.ndarray, pooled: np.ndarray, count: int, least: int = 30, strength: float = 300.) -> dict:
    "How people differ from everybody: the largest directions in which their own heads leave the pooled one"
    from custom_rm.heads import solve
    moved = []
    for person in np.unique(votes.person[known]):
        at = np.flatnonzero(known & (votes.person == person) & (votes.better != 0))
        if len(at) < least: continue
        both = winners(votes, at)
        moved.append(solve(votes.states[both[:, 0]] - votes.states[both[:, 1]], strength, pooled, tolerance=1e-6) - pooled)
    return {f"taste {n + 1}": row for n, row in enumerate(np.linalg.svd(np.array(moved), full_matrices=False)[2][:count])}


def learned_head(case: Case, at, way: str = "prior", sign: int = 1):
    "The head that some of a person's votes make: from nothing (own), from the first prior (from_pooled), from all and their mixture (mixture)"
    from custom_rm.personal import fit_personal
    if way == "prior": way = case.best
    priors = dict(own={}, from_pooled=dict(list(case.priors.items())[:1]), mixture=case.priors)[way]
    trust = 0. if way == "mixture" and case.best == "mixture" else 3. # a domain's pooled prior is no friend: on training questions it was wrong more often than right
    return fit_personal(sign * case.differences()[at], case.groups[at], priors, case.root, trust)


def heads_of(case: Case, n: int) -> dict:
    "The heads that n votes make, and which start was the likeliest"
    if not n: return {}
    heads = {way: learned_head(case, slice(n), way) for way in ("own", "from_pooled", "mixture")}
    return {way: head.weights for way, head in heads.items()} | dict(prior=heads[case.best].weights, flipped=learned_head(case, slice(n), sign=-1).weights, won=heads[case.best].prior)


WAYS = ("pooled", "own", "from_pooled", "mixture", "prior", "swapped", "flipped")


def curves(cases: list[Case], votes: list[int]) -> tuple[dict, dict]:
    "Correctness of each test vote by each way, where there are enough votes to learn from: votes → way → shape (test votes,); how often each start won"
    found, won = {}, {}
    for n in votes:
        some, start = [case for case in cases if len(case.learned) >= n], time.time()
        heads, row = [heads_of(case, n) for case in some], {way: [] for way in ("unit", *WAYS)}
        won[n] = {}
        for case, head in zip(some, heads):
            pooled = case.right(next(iter(case.priors.values())))
            row["unit"].append(case.unit)
            row["pooled"].append(pooled)
            row["own"].append(case.right(head["own"]) if n else np.full(len(pooled), .5))
            for way in ("from_pooled", "mixture", "prior", "flipped"): row[way].append(case.right(head[way]) if n else pooled)
            row["swapped"].append(swapped(case, some, heads) if n else pooled)
            if n: won[n][head["won"]] = won[n].get(head["won"], 0) + 1
        found[n] = {way: np.concatenate(values) for way, values in row.items()}
        print(f"{n} votes, {len(some)} cases, {time.time() - start:.0f} s:", {way: round(float(by_unit(found[n]['unit'], found[n][way]).mean()), 3) for way in WAYS}, won[n], flush=True)
    return found, won


def swapped(case: Case, others: list[Case], heads: list[dict], most: int = 5) -> np.ndarray:
    "How well heads of other people, learned from as many votes, do on this person's votes; NaN where nobody else was asked about these topics"
    beside = [head["prior"] for other, head in zip(others, heads) if other.cell == case.cell and other.person != case.person]
    some = np.random.default_rng(case.person).permutation(len(beside))[:most]
    return np.mean([case.right(beside[i]) for i in some], 0) if beside else np.full(len(case.asked), np.nan)


def by_unit(unit, values) -> np.ndarray:
    "Each person's (or question's) mean, shape (units,)"
    unit, values = np.unique(unit, return_inverse=True)[1], np.array(values, float)
    there = ~np.isnan(values)
    count = np.bincount(unit[there])
    return (np.bincount(unit[there], values[there]) / np.maximum(count, 1))[count > 0]


def with_interval(unit, values) -> tuple[float, list[float]]:
    "Mean over people, and its interval when people are drawn again (DSP: questions)"
    from custom_rm.metrics import bootstrap_interval
    means = by_unit(unit, values)
    return float(means.mean()), [float(x) for x in bootstrap_interval(means, np.arange(len(means)))]


def agreement(votes: Votes, least: int = 2) -> np.ndarray:
    "How often each person votes as most others do on the same pair, NaN where too few others did, shape (people,)"
    low, high = np.minimum(votes.a, votes.b), np.maximum(votes.a, votes.b)
    side = votes.better * np.where(votes.a < votes.b, 1, -1)
    pair = np.unique(np.stack([low, high], 1), axis=0, return_inverse=True)[1]
    others = np.bincount(pair, side)[pair] - side
    count = np.bincount(pair, side != 0)[pair] - (side != 0)
    asked = (side != 0) & (count >= least) & (others != 0)
    n, same = np.bincount(votes.person[asked], minlength=votes.person.max() + 1), np.bincount(votes.person[asked], (others * side > 0)[asked], votes.person.max() + 1)
    return np.where(n >= 20, same / np.maximum(n, 1), np.nan)


def gains(votes: Votes, cases: list[Case], found: dict, n: int = 40, parts: int = 4) -> dict:
    "What n of a person's own votes bring over the pooled head, by how much they agree with others"
    from custom_rm.metrics import bootstrap_interval
    from scipy.stats import spearmanr
    row, agree = found[n], agreement(votes)
    people = np.unique(row["unit"])
    each = dict(agreement=agree[people], pooled=by_unit(row["unit"], row["pooled"]), gain=by_unit(row["unit"], row["prior"] - row["pooled"]),
                over_swapped=by_unit(row["unit"], row["prior"] - np.where(np.isnan(row["swapped"]), row["prior"], row["swapped"])),
                votes=np.array([np.mean([len(c.learned) for c in cases if c.person == p]) for p in people]))
    known = ~np.isnan(each["agreement"])
    order, bins = np.argsort(each["agreement"][known]), []
    for at in np.array_split(order, parts):
        one = dict(people=len(at), **{name: float(each[name][known][at].mean()) for name in ("agreement", "pooled", "gain", "over_swapped")})
        bins.append(one | {f"{name}_interval": [float(x) for x in bootstrap_interval(each[name][known][at], np.arange(len(at)))] for name in ("gain", "over_swapped")})
    rank = spearmanr(each["agreement"][known], each["gain"][known])
    return dict(learned=n, better=float((each["gain"] > 0).mean()), worse=float((each["gain"] < 0).mean()), bins=bins, spearman=dict(rho=float(rank.statistic), p=float(rank.pvalue)),
                people=len(people), each=[{name: None if np.isnan(values[i]) else round(float(values[i]), 4) for name, values in each.items()} for i in range(len(people))])


def replay(cases: list[Case], votes=(5, 10, 20, 40), pool: int = 80, batch: int = 5, most: int = 60) -> dict:
    "The same votes learned in random order and in that of the smallest margins, a few at a time"
    some, found = [case for case in cases if len(case.learned) >= pool], {}
    some = [some[i] for i in np.random.default_rng(0).permutation(len(some))[:most]]
    for way in ("random", "uncertain"):
        found[way] = {n: [] for n in votes}
        for case in some:
            differences, left, taken = case.differences(pool), list(range(pool)), []
            head = next(iter(case.priors.values()))
            while len(taken) < max(votes):
                margins = np.abs(differences[left] @ head)
                new = [left[i] for i in (np.argsort(margins)[:batch] if way == "uncertain" else range(batch))]
                taken, left = taken + new, [i for i in left if i not in new]
                head = learned_head(case, taken).weights
                if len(taken) in votes: found[way][len(taken)].append(case.right(head))
    person = np.concatenate([case.unit for case in some])
    found = {way: {n: np.concatenate(right) for n, right in by.items()} for way, by in found.items()}
    out = dict(votes=list(votes), pool=pool, people=len(set(person)), random=[], uncertain=[], difference=[], difference_interval=[])
    for n in votes:
        for way in ("random", "uncertain"): out[way].append(with_interval(person, found[way][n])[0])
        mean, interval = with_interval(person, found["uncertain"][n] - found["random"][n])
        out["difference"].append(mean)
        out["difference_interval"].append(interval)
    return out


def floors(votes: Votes, cases: list[Case]) -> dict:
    "What length, position and ties alone say of the same test votes"
    from custom_rm.metrics import correctness
    person = [case.person for case in cases]
    longer = [float(correctness(votes.length[c.asked[:, 0]] - votes.length[c.asked[:, 1]]).mean()) for c in cases]
    people = np.unique(person)
    first = [float((votes.better[(votes.person == p) & (votes.better != 0)] > 0).mean()) for p in people]
    tied = [len(c.ties) / (len(c.ties) + len(c.asked)) for c in cases]
    out = {}
    for name, who, values in (("longer", person, longer), ("first", people, first), ("ties", person, tied)):
        out[name], out[f"{name}_interval"] = with_interval(who, values)
    return out


def figures_of(found: dict) -> dict:
    "The lists that results/personal.json keeps"
    out = dict(votes=list(found), people=[len(set(row["unit"])) for row in found.values()], cases=[len(row["unit"]) for row in found.values()])
    for way in WAYS:
        both = [with_interval(row["unit"], row[way]) for row in found.values()]
        out[way], out[f"{way}_interval"] = [mean for mean, _ in both], [interval for _, interval in both]
    for name, one, other in (("over_pooled", "prior", "pooled"), ("over_swapped", "prior", "swapped"), ("over_own", "prior", "own"), ("mixture_over_pooled", "mixture", "pooled")):
        both = [with_interval(row["unit"], row[one] - row[other]) for row in found.values()]
        out[name], out[f"{name}_interval"] = [mean for mean, _ in both], [interval for _, interval in both]
    return out


def alone(differences: np.ndarray) -> np.ndarray:
    "A domain's head; the strength was chosen on training questions"
    from custom_rm.heads import solve
    spread = np.sqrt((differences ** 2).mean(0)) + 1e-9
    return solve(differences / spread, 300., tolerance=1e-6) / spread


def general_head(rm, depths: list[int], n: int = 60) -> np.ndarray:
    "What people in general prefer: a head of so many pairs of each general set's training file"
    from custom_rm.recipes import find
    from custom_rm.records import load_records, to_one_template
    texts = []
    for name in ("helpful", "harmless", "webgpt", "gpt4llm"):
        records = [r for r in to_one_template(load_records(find(f"$CUSTOM_RM_DATA/{name}.train.json")), "dsp")[0] if r["score"][0] != r["score"][1]]
        for at in np.random.default_rng(0).permutation(len(records))[:n]:
            texts += sorted(records[at]["text"][:2], key=lambda t: -records[at]["score"][records[at]["text"].index(t)])
    states = states_of(rm, texts)[:, depths].reshape(len(texts), -1).astype(float)
    return alone(states[::2] - states[1::2])


def dsp_cases(rm, depths: list[int], final: bool, draws: int = 10, pool: int = 100, known: int = 200) -> list[Case]:
    "A domain as a new person, who votes on one pair for each question; the others' heads and that of general pairs stem from other questions, and so do the test's"
    from custom_rm.metrics import unequal_pairs
    from custom_rm.personal import root_of
    data, made, general = questions("train") + questions("test"), [], general_head(rm, depths)
    texts = [text for q in data for text in q["texts"]]
    states = states_of(rm, texts)[:, depths].reshape(len(texts), -1).astype(float)
    begins, train = np.cumsum([0, *(len(q["texts"]) for q in data)]), len(questions("train"))
    def pairs(which, domain, one=None):
        found, groups = [], []
        for n in which:
            index, scores = data[n]["records"][domain]
            both = np.stack(unequal_pairs(scores), 1)
            if one is not None: both = both[one.integers(len(both))][None]
            found.append(begins[n] + np.array(index)[both])
            groups += [n] * len(both)
        return np.concatenate(found), np.array(groups)
    root = root_of(np.concatenate([states[begins[n] + i] - states[begins[n] + j] for n in range(train) for i in range(begins[n + 1] - begins[n]) for j in [np.arange(i)]]))
    for draw in range(draws):
        order, rng = np.random.default_rng(draw).permutation(train), np.random.default_rng(100 + draw)
        heads = {}
        for domain in DOMAINS:
            both, _ = pairs(order[:known], domain)
            heads[domain] = states[both[:, 0]] - states[both[:, 1]]
        compared, heads = heads, {domain: alone(differences) for domain, differences in heads.items()}
        for number, domain in enumerate(DOMAINS):
            learned, groups = pairs(order[known:known + pool], domain, rng)
            asked, unit = pairs(range(train, len(data)) if final else order[known + pool:], domain)
            pooled = alone(np.concatenate([compared[name] for name in DOMAINS if name != domain]))
            priors = dict(pooled=pooled, general=general) | {name: head for name, head in heads.items() if name != domain}
            made.append(Case(number, (draw,), states, learned, groups, asked, np.zeros((0, 2), int), priors, unit, root, "mixture"))
        print(f"draw {draw + 1} of {draws}", flush=True)
    return made


def tied(cases: list[Case], found: dict, ties: float, n: int = 40) -> dict:
    "Accuracy with ties in, each half right; and whether margins are smaller where a person saw no difference (area under the curve)"
    areas, person = [], []
    for case in cases:
        if not len(case.ties): continue
        rewards = case.states @ learned_head(case, slice(n)).weights
        tie, clear = (np.abs(rewards[pair[:, 0]] - rewards[pair[:, 1]]) for pair in (case.ties, case.asked))
        areas.append(((tie[:, None] < clear).mean() + (tie[:, None] == clear).mean() / 2))
        person.append(case.person)
    area = with_interval(person, areas) if areas else (None, None)
    return dict(votes=list(found), **{way: [float(by_unit(row["unit"], row[way]).mean() * (1 - ties) + ties / 2) for row in found.values()] for way in ("pooled", "prior")},
                area=area[0], area_interval=area[1])


def in_time(states: np.ndarray, priors: dict) -> dict:
    "Seconds from votes to a head, the median of five"
    from custom_rm.personal import fit_personal
    out, rng = {}, np.random.default_rng(0)
    for n in (5, 40, 1000):
        pairs, took = rng.integers(len(states), size=(n, 2)), []
        for _ in range(5):
            start = time.perf_counter()
            fit_personal(states[pairs[:, 0]] - states[pairs[:, 1]], np.arange(n), priors)
            took.append(time.perf_counter() - start)
        out[str(n)] = round(float(np.median(took)), 3)
    return out


NAMES = dict(ukp="Which argument convinces more? (UKP)", llmfao="Which answer is better? (llmfao)", dsp="A domain as a new person (DSP)")
LINES = dict(pooled=("pooled: nothing of one's own", "#707070", "--", ""), prior=("own votes, from what is known", "#0072B2", "-", "o"), own=("own votes, from nothing", "#D55E00", "-", "s"),
             swapped=("as many votes of somebody else", "#009E73", "-", "^"), flipped=("own votes, turned round", "#CC79A7", ":", "v"))


def draw(out: dict, folder: Path) -> None:
    "results/personal.png, accuracy by votes; results/personal-gains.png, for whom it pays"
    import matplotlib
    matplotlib.use("Agg")
    from custom_rm.plots import new_axes
    sets = [name for name in NAMES if name in out]
    fig, axes = new_axes(4.4 * len(sets), 4.2, len(sets))
    for ax, name in zip(np.atleast_1d(axes), sets):
        found, x = out[name], np.arange(len(out[name]["votes"]))
        for n, (way, (label, colour, line, mark)) in enumerate(LINES.items()):
            y, ends = 100 * np.array(found[way]), 100 * np.array(found[f"{way}_interval"])
            at = x >= (way != "pooled" and way != "prior" and way != "own")
            ax.errorbar((x + .05 * (n - 2))[at], y[at], np.abs(ends - y[:, None])[at].T, color=colour, ls=line, marker=mark or None, ms=5, capsize=2, lw=1.6, elinewidth=.8, label=label)
        ax.axhline(50, color="#888888", lw=.8)
        ax.set_xticks(x, found["votes"])
        ax.set_xlabel("votes of one's own")
        people = found["people"]
        ax.set_title(f"{NAMES[name]}\n" + (f"{people[0]} people, at 80 votes {people[found['votes'].index(80)]}" if name != "dsp" else "four domains, ten draws"), fontsize=10)
    np.atleast_1d(axes)[0].set_ylabel("accuracy in %, other topics")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    fig.savefig(folder / "personal.png", dpi=110)
    sets = [name for name in sets if "gains" in out[name]]
    if not sets: return
    fig, axes = new_axes(4.8 * len(sets), 4, len(sets))
    for ax, name in zip(np.atleast_1d(axes), sets):
        found = out[name]["gains"]
        known = [one for one in found["each"] if one["agreement"] is not None]
        ax.scatter([100 * one["agreement"] for one in known], [100 * one["gain"] for one in known], s=[min(60, 6 + one["votes"] / 8) for one in known], color="#56B4E9", alpha=.6, lw=0)
        x, y = ([100 * one[key] for one in found["bins"]] for key in ("agreement", "gain"))
        ends = 100 * np.array([one["gain_interval"] for one in found["bins"]])
        ax.errorbar(x, y, np.abs(ends - np.array(y)[:, None]).T, color="#000000", marker="o", capsize=3, label="quarters of the people")
        ax.axhline(0, color="#888888", lw=.8)
        ax.set(xlabel="agreement with others on the same pairs in %", title=NAMES[name])
        ax.title.set_fontsize(10)
    np.atleast_1d(axes)[0].set_ylabel("points over the pooled head\nafter 40 votes")
    np.atleast_1d(axes)[-1].legend(frameon=False)
    fig.savefig(folder / "personal-gains.png", dpi=110)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--base", default="smollm2-135m")
    p.add_argument("--depths", type=int, nargs="*", default=[14])
    p.add_argument("--sets", nargs="*", default=["ukp", "llmfao", "dsp"])
    p.add_argument("--strength", type=float, default=1000., help="of the pooled heads' pull")
    p.add_argument("--tastes", type=int, default=4, help="directions in which people differ, as priors")
    p.add_argument("--validation", action="store_true", help="the people and questions that choices were made by, instead of the others; nothing is written")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "personal.json")
    a = p.parse_args()
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.model import RewardModel
    from custom_rm.trunk import device_name
    several = dict(layers=DEPTHS[-1], read=DEPTHS) if a.base.startswith("smollm2") else {}
    depths = [DEPTHS.index(d) for d in a.depths] if several else [0]
    rm = RewardModel(a.base, quantize=False, pooling="mean", max_length=512, **several).add_adapter("plain").remember().eval()
    out = dict(base=a.base, read=a.depths if several else None, pooling="mean", pooled_strength=a.strength, tastes=a.tastes, least_votes=LEAST)
    for name in a.sets:
        start, people = time.time(), name != "dsp"
        if people:
            votes = read_votes(name, rm, depths)
            parts = range(PEOPLE_PARTS) if name != "ukp" else range(2) if a.validation else range(2, PEOPLE_PARTS)
            cases = people_cases(votes, a.strength, parts, tastes=a.tastes, topic_parts=range(2) if name == "ukp" else range(TOPIC_PARTS))
        else: cases = dsp_cases(rm, depths, final=not a.validation)
        found, won = curves(cases, VOTES if people else [*VOTES, 100])
        out[name] = figures_of(found) | dict(won=won, replay=replay(cases))
        if people: out[name] |= dict(floors=floors(votes, cases), gains=gains(votes, cases, found))
        if people: out[name] |= dict(ties_in=tied(cases, found, out[name]["floors"]["ties"]))
        out[name]["seconds"] = round(time.time() - start)
        out.setdefault("fit_seconds", in_time(cases[0].states, cases[0].priors))
        print(json.dumps({k: v for k, v in out[name].items() if k not in ("gains",)}, default=float)[:3000], flush=True)
    out |= dict(device=device_name(rm.device), dtype=str(rm.dtype)[6:], versions=versions(), date=str(date.today()))
    if a.validation: return
    if a.out.is_file(): out = {name: found for name, found in json.loads(a.out.read_text()).items() if name in NAMES} | out # sets that were measured before
    write_report(a.out, out)
    draw(out, a.out.parent)


if __name__ == "__main__": main()
