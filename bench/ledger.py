"""What was tried to make reward heads better, and what it came to: `python bench/ledger.py domains`, `general`, then `final`.

One line per idea in results/study/ledger.json: what, why, the effect on questions held back, its interval, kept or not. Everything is measured by
cross-validation within the training questions (whole questions are held back, five folds), so no choice sees a test question; `final` reads what was chosen
and measures it once on the test file, against the package's bag of words. States are frozen and come out of the cache, so an idea takes seconds.
What a part has measured is kept (`--kept`; empty it after changing an idea), and the same command goes on where it stopped.
"""
import argparse
import json
import pickle
import re
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from read import DEPTHS, DOMAINS, compared, questions

FOLDS = 5
SETS = ["helpful", "harmless", "webgpt", "gpt4llm"]
STRENGTHS = (1000., 300., 100., 30.) # of joint heads, to choose among
WORD_STRENGTHS = (30., 10., 3., 1.)  # of words; wider choices were never taken
RULE = ("an idea passes if the interval of the accuracy's difference lies above 0, or if accuracy does not fall and the interval of the surprise's difference "
        "(mean negative log-likelihood) lies below 0")
root = Path(__file__).resolve().parent.parent


# What is learned from

class Data:
    "Questions with all that heads may read of their texts, and who prefers what"
    def __init__(self, features: dict, words, begins: np.ndarray, pairs: dict, groups: np.ndarray | None = None):
        self.features, self.words, self.begins, self.pairs = features, words, begins, pairs # pairs: reader → better, worse, question
        self.question = np.repeat(np.arange(len(begins) - 1), np.diff(begins)) # of each text
        self.fold = np.random.default_rng(0).permutation(len(begins) - 1) % FOLDS if groups is None else groups

    def read(self, names: str) -> np.ndarray: return np.concatenate([self.features[name] for name in names.split(" + ")], 1)

    def of(self, reader: str, seen: np.ndarray) -> tuple:
        "Comparisons of some questions: the preferred text, the other, the question"
        better, worse, group = self.pairs[reader]
        here = np.isin(group, seen)
        return better[here], worse[here], group[here]


def text_features(rm, texts_of: list[dict]) -> None:
    "Beside each question's states (of `read.add_states`): the means over its answers' tokens alone, by way of the question's own states"
    from custom_rm.packing import encode
    from custom_rm.scorer import text_states
    for begin in range(0, len(texts_of), 100):
        some = texts_of[begin:begin + 100]
        made = encode([t for q in some for t in q["texts"]], rm.tokenizer, rm.max_length)
        ids, starts = made["input_ids"], made["response_start"]
        before = text_states(rm, [i[:s] or i for i, s in zip(ids, starts)]).numpy() # causal: a prefix says what it says within the text
        at = 0
        for q in some:
            end = at + len(q["texts"])
            n, s = (np.array(x[at:end], float)[:, None, None] for x in ([len(i) for i in ids], starts))
            own = (q["states"] * n - before[at:end].reshape(q["states"].shape) * s) / np.maximum(n - s, 1)
            q["answer"] = np.where((s == 0) | (s == n), q["states"], own)
            q["lengths"], q["ids"], q["starts"] = (n - s)[:, 0, 0], ids[at:end], starts[at:end]
            at = end


def fill(rm, texts: list) -> None:
    "Compute what the frozen layers say of texts, in trees, and keep it"
    from custom_rm.model import _no_mask
    from custom_rm.scorer import _feedings
    for _, _, batch in _feedings(rm, texts, 4096):
        told = dict(attention_mask=_no_mask(rm.device), position_ids=batch["position_ids"], layout=batch["layout"])
        rm.below.states(lambda: rm.bare_trunk().base_model(input_ids=batch["input_ids"], **told).last_hidden_state, batch["input_ids"], None, batch["layout"])
    rm.below.store.flush()


def token_states(base: str, texts: list, starts: list, max_length: int, compute: bool) -> list:
    "For each text its mean, answer's mean, last state and question's mean after 14 layers in four bits, where the store has them (or all, computed)"
    import torch
    from custom_rm.model import RewardModel
    from custom_rm.states import text_key
    rm = RewardModel(base, quantize=True, pooling="mean", max_length=max_length, layers=20, frozen=14, dtype="auto").add_adapter("plain").eval().remember()
    trunk, found = rm.bare_trunk().base_model, []
    if compute: fill(rm, [ids for ids in texts if rm.below.store.find(text_key(ids)) is None])
    for ids, start in zip(texts, starts):
        states = rm.below.store.find(text_key(ids))
        if states is None: found.append(None); continue
        with torch.no_grad(): normed = trunk.norm(states).float()
        answer = normed[start:] if start < len(normed) else normed
        asked = normed[:start] if 0 < start else normed
        found.append(torch.stack([normed.mean(0), answer.mean(0), normed[-1], asked.mean(0)]).numpy())
    rm.below.store.flush()
    return found


def domain_data(base: str, max_length: int, parts: list[str], compute: bool = False, beside: bool = True) -> tuple[Data, list[int]]:
    "(texts of all questions with what can be read of them, how many questions each part has)"
    from custom_rm.heads import table
    from custom_rm.model import RewardModel
    from custom_rm.packing import encode
    from custom_rm.pooling import Words
    from custom_rm.scorer import text_states
    from read import add_states
    each = [questions(part) for part in parts]
    data = [q for part in each for q in part]
    rm = RewardModel(base, quantize=False, pooling="mean", max_length=max_length, layers=DEPTHS[-1], read=DEPTHS).add_adapter("plain").remember().eval()
    add_states(rm, data, 200)
    text_features(rm, data)
    def every(key): return np.concatenate([q[key] for q in data])
    features = {f"[{d}]": every("states")[:, i].astype(float) for i, d in enumerate(DEPTHS)} | {f"answer [{d}]": every("answer")[:, i] for i, d in enumerate(DEPTHS)}
    features |= dict(length=np.log1p(every("lengths"))[:, None])
    ids, starts = ([x for q in data for x in q[key]] for key in ("ids", "starts"))
    if beside:
        small = RewardModel("minilm", quantize=False, pooling="mean", max_length=max_length).add_adapter("plain").remember().eval()
        tokens = encode([t for q in data for t in q["texts"]], small.tokenizer, max_length)["input_ids"]
        features["minilm"] = text_states(small, tokens).numpy().astype(float)
        known = token_states(base, ids, starts, max_length, compute)
        if sum(k is None for k in known) <= 2: # a text or two are computed
            known = token_states(base, ids, starts, max_length, True)
            features |= {name: np.stack([k[i] for k in known]).astype(float) for i, name in enumerate(("4-bit [14]", "4-bit answer [14]", "4-bit last [14]"))}
    words = table(Words([w for q in data for w in q["words"]]))
    begins = np.cumsum([0, *(len(q["texts"]) for q in data)])
    made = Data(features, words, begins, {d: compared(data, d) for d in DOMAINS})
    made.texts, made.records = [t for q in data for t in q["texts"]], [q["records"] for q in data]
    return made, [len(part) for part in each]


# Ways to fit: each takes (data, questions seen) and gives (rewards of all texts, one column per reader; margins of the seen comparisons by fits that
# did not see them, per reader, or None; what was chosen)

@dataclass
class Idea:
    name: str     # Of the line
    what: str     # In words
    why: str      # What was hoped for
    fit: object   # As above
    against: str  # The idea that it is compared with
    available: bool = True # Can a recipe of the package say it?


def unseen_of(differences, groups, strength: float) -> np.ndarray:
    "Margins of comparisons by heads of this strength that have not seen their questions"
    from custom_rm.heads import solve
    part, out = deal(groups), np.zeros(len(groups))
    for i in range(FOLDS): out[part == i] = differences[part == i] @ solve(differences[part != i], strength, tolerance=1e-5)
    return out


def deal(groups: np.ndarray) -> np.ndarray: # Part of each comparison
    "Inner folds, whole questions"
    known = np.unique(groups)
    return (np.random.default_rng(1).permutation(len(known)) % FOLDS)[np.searchsorted(known, groups)]


def spread(differences: np.ndarray) -> np.ndarray:
    size = np.sqrt((differences ** 2).mean(0))
    return np.maximum(size, 1e-3 * size.max() + 1e-12)


def heads(read: str, change=None, **options):
    "One head for each reader, as `heads.fit_head`; `change` makes other features of the ones that are read, from the differences seen"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        from custom_rm.heads import fit_head
        features, rewards, unseen, chosen = data.read(read), [], {}, []
        if change is not None: features = change(data, features, seen)
        for reader in data.pairs:
            better, worse, group = data.of(reader, seen)
            differences = features[better] - features[worse]
            head, size = fit_head(differences, group, **options), spread(differences)
            rewards.append(features @ head.weights)
            unseen[reader] = unseen_of(differences / size, group, head.strength)
            chosen.append(head.strength)
        return np.stack(rewards, 1), unseen, chosen
    return fit


def words_alone(data: Data, seen: np.ndarray) -> tuple:
    "Weights of the answer's hashed tokens and pairs, as `heads.fit_words`"
    from custom_rm.heads import fit_words
    rewards, unseen, chosen = [], {}, []
    for reader in data.pairs:
        better, worse, group = data.of(reader, seen)
        weights, strength, unseen[reader] = fit_words(data.words[better] - data.words[worse], group, strengths=WORD_STRENGTHS)
        rewards.append(data.words @ weights)
        chosen.append(strength)
    return np.stack(rewards, 1), unseen, chosen


def together(*names: str, weigh=None):
    "Margins of several, weighed by comparisons that none of them has seen (shares from 0 to 3, drawn to equal ones where little is known)"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        parts, rewards, unseen, chosen = [result(data, name, seen) for name in names], [], {}, []
        for i, reader in enumerate(data.pairs):
            margins = np.stack([part[1][reader] for part in parts], 1)
            weights = (weigh or shares_of)(margins)
            rewards.append(sum(w * part[0][:, i] for w, part in zip(weights, parts)))
            unseen[reader] = margins @ weights
            chosen.append([round(float(w), 2) for w in weights])
        return np.stack(rewards, 1), unseen, chosen
    return fit


def shares_of(margins: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize
    equal = np.full(margins.shape[1], 1 / margins.shape[1])
    def pays(shares):
        m, away = margins @ shares, shares - equal
        return np.logaddexp(0, -m).mean() + .005 * away @ away, margins.T @ pull(m) / len(m) + .01 * away
    return minimize(pays, equal, jac=True, method="L-BFGS-B", bounds=[(0, 3)] * len(equal)).x


def as_a_recipe(margins: np.ndarray) -> np.ndarray:
    "As `heads.fit_wide` weighs states and words"
    from custom_rm.heads import shares
    return shares(margins, np.array([.5, .5]))


def pull(margins: np.ndarray) -> np.ndarray: return -1 / (1 + np.exp(np.clip(margins, -500, 500)))


def rare_words(data: Data, seen: np.ndarray) -> tuple:
    "The same counts, rare ones weighed up and every answer of length 1 (tf-idf), as the package's floor has them, the strength chosen"
    from scipy.sparse import diags
    from custom_rm.heads import fit_words
    rows = np.isin(data.question, seen)
    seldom = np.log((1 + rows.sum()) / (1 + np.asarray((data.words[rows] > 0).sum(0)).ravel())) + 1
    made = data.words @ diags(seldom.astype(np.float32))
    size = np.sqrt(np.asarray(made.multiply(made).sum(1)).ravel())
    made = (diags((1 / np.maximum(size, 1e-9)).astype(np.float32)) @ made).tocsr()
    rewards, unseen, chosen = [], {}, []
    for reader in data.pairs:
        better, worse, group = data.of(reader, seen)
        weights, strength, unseen[reader] = fit_words(made[better] - made[worse], group, strengths=(1., .3, .1, .03))
        rewards.append(made @ weights)
        chosen.append(strength)
    return np.stack(rewards, 1), unseen, chosen


# Heads of all readers at once: losses are functions of the rewards R of all texts, shape (texts, readers), and give (value, slope)

def on_pairs(better, worse, reader, weight=1., smooth=0., margin=0.):
    "Bradley-Terry; `smooth` is the share of labels that are taken as wrong, `margin` what a pair has to be apart"
    def loss(R):
        m, slope = R[better, reader] - R[worse, reader] - margin, np.zeros_like(R)
        value = weight * ((1 - smooth) * np.logaddexp(0, -m) + smooth * np.logaddexp(0, m))
        p = weight * ((1 - smooth) * pull(m) - smooth * pull(-m))
        np.add.at(slope, (better, reader), p)
        np.add.at(slope, (worse, reader), -p)
        return value.sum(), slope
    return loss


def own_pairs(data: Data, seen, **options):
    each = [data.of(reader, seen) for reader in data.pairs]
    better, worse = (np.concatenate([e[i] for e in each]) for i in (0, 1))
    return on_pairs(better, worse, np.repeat(np.arange(len(each)), [len(e[0]) for e in each]), **options)


def owners(data: Data) -> np.ndarray: # Shape (questions, readers + 1); the last is the answer for nobody in particular; −1 where there is none
    "Which text each reader prefers to all others of its question"
    own = np.full((len(data.begins) - 1, len(data.pairs) + 1), -1)
    for i, reader in enumerate(data.pairs): own[data.pairs[reader][2], i] = data.pairs[reader][0]
    for q in range(len(own)):
        left = [t for t in range(data.begins[q], data.begins[q + 1]) if t not in own[q]]
        if len(left) == 1: own[q, -1] = left[0]
    return own


def softmax_loss(rows: np.ndarray, columns: np.ndarray, right_row, right_column, weight: float):
    "−log softmax over the entries (rows, columns) of R, each line's right one given"
    def loss(R):
        M = R[rows, columns]
        top = M.max(1, keepdims=True)
        e = np.exp(M - top)
        slope, total = np.zeros_like(R), e.sum(1, keepdims=True)
        np.add.at(slope, (rows, columns), weight * e / total)
        np.add.at(slope, (right_row, right_column), -weight)
        return weight * (np.log(total[:, 0]) + top[:, 0] - R[right_row, right_column]).sum(), slope
    return loss


def lists(data: Data, seen, weight=2.):
    "The own answer among all five at once"
    own = owners(data)
    whole = [(own[q, k], k, np.arange(data.begins[q], data.begins[q + 1])) for q in seen for k in range(len(data.pairs)) if own[q, k] >= 0 and data.begins[q + 1] - data.begins[q] == 5]
    right, reader, rows = (np.array(x) for x in zip(*whole))
    return softmax_loss(rows, np.repeat(reader[:, None], 5, 1), right, reader, weight)


def whose(data: Data, seen, weight=1.):
    "Of one answer: whose it is, among the readers and nobody"
    own = owners(data)
    rows, right = (np.array(x) for x in zip(*[(own[q, k], k) for q in seen for k in range(own.shape[1]) if own[q, k] >= 0]))
    n = own.shape[1]
    return softmax_loss(np.repeat(rows[:, None], n, 1), np.repeat(np.arange(n)[None], len(rows), 0), rows, right, weight)


def strangers(data: Data, seen, each=4, weight=1.):
    "The own answer above other readers' answers to other questions"
    own, rng, made = owners(data), np.random.default_rng(0), []
    for q in seen:
        for k in range(len(data.pairs)):
            for _ in range(each):
                other, who = rng.choice(seen), rng.choice([j for j in range(own.shape[1]) if j != k])
                if min(own[q, k], own[other, who]) >= 0: made.append((own[q, k], own[other, who], k))
    return on_pairs(*map(np.array, zip(*made)), weight=weight)


def order(data: Data, seen, weight=.3):
    "Soft labels for pairs of answers that are both somebody else's: how often, by heads of the depth chosen, the reader prefers the one's kind to the other's"
    own, (rewards, *_), made = owners(data), result(data, "[20]", seen), []
    n = own.shape[1]
    for k in range(len(data.pairs)):
        for a in range(n):
            for b in range(a + 1, n):
                if k in (a, b): continue
                there = [q for q in seen if min(own[q, a], own[q, b]) >= 0]
                share = np.mean(rewards[own[there, a], k] > rewards[own[there, b], k])
                made += [(own[q, a], own[q, b], k, share) for q in there]
    better, worse, reader, share = (np.array(x) for x in zip(*made))
    def loss(R):
        m, slope = R[better, reader] - R[worse, reader], np.zeros_like(R)
        p = weight * (share * pull(m) - (1 - share) * pull(-m))
        np.add.at(slope, (better, reader), p)
        np.add.at(slope, (worse, reader), -p)
        return weight * (share * np.logaddexp(0, -m) + (1 - share) * np.logaddexp(0, m)).sum(), slope
    return loss


def solve_joint(features, losses, strength: float, readers: int, shared: float, start=None, tolerance=1e-7) -> np.ndarray: # Shape (readers + 1, width), the last one common
    "All heads at once; `shared` above 0 adds a common part whose pull is so many times weaker"
    from scipy.optimize import minimize
    width = features.shape[1]
    pulls = strength * np.r_[np.ones(readers), 1 / shared if shared else 1e9][:, None]
    def pays(flat):
        V = flat.reshape(readers + 1, width)
        R, value = features @ (V[:-1] + V[-1]).T, (pulls * V * V).sum() / 2
        slope = np.zeros_like(R)
        for loss in losses:
            v, s = loss(R)
            value, slope = value + v, slope + s
        G = slope.T @ features
        return value, (np.concatenate([G, G.sum(0, keepdims=True) * bool(shared)]) + pulls * V).ravel()
    return minimize(pays, np.zeros((readers + 1) * width) if start is None else start, jac=True, method="L-BFGS-B", options=dict(maxiter=300, ftol=tolerance)).x


def joint(read: str, *losses, shared=0., classes=0, strengths=STRENGTHS):
    "All readers' heads at once; the strength is chosen by inner folds on the plain comparisons"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        features, n = data.read(read), len(data.pairs)
        each = [data.of(reader, seen) for reader in data.pairs]
        scaled = features / spread(np.concatenate([features[b] - features[w] for b, w, _ in each]))
        inner, best, starts = deal(np.asarray(seen)), None, [None] * FOLDS
        def head(part, strength, start=None, tolerance=1e-7):
            flat = solve_joint(scaled, [loss(data, part) for loss in losses], strength, n + classes, shared, start, tolerance)
            V = flat.reshape(n + classes + 1, -1)
            return flat, (V[:-1] + V[-1])[:n].T
        for strength in strengths:
            R = np.zeros((len(features), n))
            for i in range(FOLDS):
                starts[i], W = head(seen[inner != i], strength, starts[i], 1e-5)
                rows = np.isin(data.question, seen[inner == i])
                R[rows] = scaled[rows] @ W
            unseen = {reader: R[b, k] - R[w, k] for k, (reader, (b, w, _)) in enumerate(zip(data.pairs, each))}
            surprise = np.logaddexp(0, -np.concatenate(list(unseen.values()))).mean()
            if best is None or surprise < best[0]: best = surprise, strength, unseen
        return scaled @ head(seen, best[1])[1], best[2], [best[1]]
    return fit


# Changes of features, from the differences of questions seen alone

def differences_seen(data: Data, features, seen):
    return np.concatenate([features[b] - features[w] for b, w, _ in (data.of(reader, seen) for reader in data.pairs)])


def without_length(data: Data, features, seen):
    "The direction that tells length best is taken out"
    rows = np.isin(data.question, seen)
    length = data.features["length"][:, 0]
    centre = features[rows].mean(0)
    way = np.linalg.solve(np.cov(features[rows].T) + 1e-3 * np.eye(features.shape[1]) * np.var(features[rows], 0).mean(), (features[rows] - centre).T @ (length[rows] - length[rows].mean()) / rows.sum())
    way /= np.linalg.norm(way)
    return features - np.outer(features @ way, way)


def with_length(data: Data, features, seen): return np.concatenate([features, data.features["length"]], 1)


def whitened(shrink: float):
    def change(data: Data, features, seen):
        "Differences become alike in all directions, to a part"
        D = differences_seen(data, features, seen)
        C = D.T @ D / len(D)
        values, ways = np.linalg.eigh((1 - shrink) * C + shrink * np.trace(C) / len(C) * np.eye(len(C)))
        return features @ (ways / np.sqrt(values))
    return change


def principal(n: int):
    def change(data: Data, features, seen):
        "The directions in which answers to one question differ most"
        D = differences_seen(data, features, seen)
        return features @ np.linalg.eigh(D.T @ D)[1][:, -n:]
    return change


def waves(n: int, width: float):
    def change(data: Data, features, seen):
        "Random features of a Gaussian kernel, beside the states: what a line can't say"
        rows = np.isin(data.question, seen)
        scaled = (features - features[rows].mean(0)) / features[rows].std(0) / np.sqrt(features.shape[1])
        rng = np.random.default_rng(0)
        return np.concatenate([features / spread(differences_seen(data, features, seen)), np.sqrt(2) * np.cos(scaled @ rng.normal(size=(features.shape[1], n)) / width + rng.uniform(0, 2 * np.pi, n))], 1)
    return change


def centred(data: Data, features, seen):
    "Each question's mean taken from its answers"
    sums = np.add.reduceat(features, data.begins[:-1], 0)
    return features - (sums / np.diff(data.begins)[:, None])[data.question]


def bags(read: str, times=10):
    "The mean of heads fitted to questions drawn with replacement, at the strengths that all of them chose"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        from custom_rm.heads import solve
        features, rng = data.read(read), np.random.default_rng(0)
        strengths, rewards = result(data, read, seen)[2], []
        draws = [np.bincount(rng.choice(len(seen), len(seen)), minlength=len(seen)) for _ in range(times)]
        for reader, strength in zip(data.pairs, strengths):
            better, worse, group = data.of(reader, seen)
            D = features[better] - features[worse]
            size = spread(D)
            at = np.searchsorted(seen, group)
            rewards.append(np.mean([features @ (solve(np.repeat(D / size, drawn[at], 0), strength, tolerance=1e-6) / size) for drawn in draws], 0))
        return np.stack(rewards, 1), None, strengths
    return fit


def bag_of_words(data: Data, seen: np.ndarray) -> tuple:
    "The package's own floor, fitted to whole lists as it is in a study"
    from custom_rm.metrics import BagOfWords
    rewards = []
    for reader in data.pairs:
        taught = [([data.texts[data.begins[q] + i] for i in data.records[q][reader][0]], data.records[q][reader][1]) for q in seen]
        rewards.append(BagOfWords().fit(*map(list, zip(*taught))).rewards([data.texts])[0])
    return np.stack(rewards, 1), None, []


IDEAS: dict[str, Idea] = {}
def add(name, fit, against, what, why, available=True): IDEAS[name] = Idea(name, what, why, fit, against, available)


add("[14]", heads("[14]"), "", "the mean of all tokens' states after 14 layers", "what the head tier reads where nothing is said", True)
add("[20]", heads("[20]"), "[14]", "six layers more", "two thirds of the way up are where small decoders know most", True)
add("[0]", heads("[0]"), "[20]", "the embeddings alone: a bag of tokens in 576 numbers", "a floor of the same kind", True)
add("[14, 20]", heads("[14] + [20]"), "[20]", "both depths side by side", "lower layers know style, upper ones content", True)
add("[0, 14, 20]", heads("[0] + [14] + [20]"), "[20]", "the embeddings too", "words beside what was made of them", True)
add("answer [20]", heads("answer [20]"), "[20]", "the mean over the answer's tokens alone", "the question's tokens are the same for all five answers, so they only dilute", False)
add("[20] + answer [20]", heads("[20] + answer [20]"), "[20]", "both means side by side", "the ratio of question to answer tells length as well", False)
add("4-bit [14]", heads("4-bit [14]"), "[14]", "the same in four bits, as the trainer reads it", "what 4-bit costs a head", True)
add("4-bit last [14]", heads("4-bit last [14]"), "4-bit [14]", "the last token alone", "it has seen the whole text", True)
add("4-bit answer [14]", heads("4-bit answer [14]"), "4-bit [14]", "the mean over the answer's tokens", "as above, after 14 layers", False)
add("4-bit [14] + last", heads("4-bit [14] + 4-bit last [14]"), "4-bit [14]", "mean and last token", "the end of an answer may tell what its mean hides", False)
add("words", words_alone, "[20]", "the answer's tokens and pairs alone, no network", "what the bag of words knows", True)
add("words beside", together("[20]", "words", weigh=as_a_recipe), "[20]", "margins of states and of words, weighed on comparisons neither has seen", "words are right where states are not", True)
add("rare words", rare_words, "words", "rare tokens weigh more, every answer has length 1", "what is good in the floor, with its strength chosen", False)
add("rare words beside", together("[20]", "rare words"), "words beside", "margins of states and of rare words", "the same, beside states", False)
add("bag of words", bag_of_words, "[20]", "the package's floor", "what has to be beaten", True)
add("both means, words", together("[20] + answer [20]", "words"), "words beside", "both means, and words beside them", "the two gains may add up", False)
add("both means, rare words", together("[20] + answer [20]", "rare words"), "words beside", "both means, and rare words beside them", "all of it", False)
add("all depths, words", together("[0, 14, 20]", "words"), "words beside", "three depths, and words beside them", "the same", True)
add("MiniLM", heads("minilm"), "[20]", "a second base alone, an encoder of 22 million weights", "it was taught what sentences mean", True)
add("MiniLM beside", together("[20]", "MiniLM"), "[20]", "margins of both bases", "two bases err in different places", False)
add("MiniLM in one head", heads("[20] + minilm"), "[20]", "states of both side by side in one head", "the same, in one fit", False)
add("MiniLM and words beside", together("[20]", "MiniLM", "words"), "words beside", "margins of all three", "the same, where words already help", False)
add("everything", together("[20] + answer [20]", "[0, 14, 20]", "MiniLM", "words"), "words beside", "margins of all that was good for something", "an ensemble is seldom worse", False)
add("together", joint("[20]", own_pairs), "[20]", "one strength for all readers, nothing shared", "the control of what follows", False)
add("shared 1", joint("[20]", own_pairs, shared=1.), "together", "each head is a common part and an own one, both pulled alike", "readers may share what is good in general", False)
add("shared 4", joint("[20]", own_pairs, shared=4.), "together", "the common part pulled four times less", "the same", False)
add("five at once", joint("[20]", lists), "together", "softmax over the five answers in place of pairs", "pairs of one question are not independent", False)
add("full order", joint("[20]", own_pairs, order), "together", "pairs of two others' answers too, with soft labels: how often such a reader likes the one kind better", "six more pairs for each question and reader", False)
add("whose answer", joint("[20]", own_pairs, whose, classes=1), "together", "besides: of one answer, whose it is among the readers", "other readers' answers as negatives", False)
add("other questions", joint("[20]", own_pairs, strangers), "together", "besides: above four answers to other questions", "sixteen times the negatives for nothing", False)
add("smoothing .1", joint("[20]", lambda d, s: own_pairs(d, s, smooth=.1)), "together", "a tenth of the labels taken as wrong", "labels come from a model's answers and are noisy", False)
add("margin 1", joint("[20]", lambda d, s: own_pairs(d, s, margin=1.)), "together", "pairs have to be apart by 1", "room for what is not seen", False)
for strength in (1000., 100., 30.):
    add(f"strength {strength:g}", heads("[20]", strengths=[strength]), "[20]", f"every head pulled by {strength:g}, nothing chosen", "is choosing by inner folds worth it?", True)
add("without length", heads("[20]", without_length), "[20]", "the direction that tells length best taken out", "length should not count", False)
add("with length", heads("[20]", with_length), "[20]", "the answer's length as one more number", "or it should, openly", False)
add("centred", heads("[20]", centred), "[20]", "each question's mean taken out first", "a check: pairs never see it, so nothing may change", False)
add("whitened", heads("[20]", whitened(.1)), "[20]", "differences made alike in all directions, nine tenths of the way", "large directions need not be telling ones", False)
add("64 directions", heads("[20]", principal(64)), "[20]", "the 64 directions in which answers differ most", "fewer numbers, less to learn by heart", False)
add("waves", heads("[20]", waves(1000, 1.)), "[20]", "a thousand random waves of a Gaussian kernel beside the states", "what a line can't say", False)
add("bags", bags("[20]"), "[20]", "the mean of ten heads, each of questions drawn anew", "averaging steadies", False)


UNTRIED = [ # What the ledger has no figure for, and why
    ("a larger encoder (MPNet) beside", "five times as many weights as MiniLM for the same texts, and MiniLM beside brought nothing for sure"),
    ("other questions' answers below this question", "sixteen hundred new texts through the trunk; the pairs that are asked all answer their question, so it could only help by chance"),
    ("the general sets read by MiniLM", "8,286 texts through another trunk"),
    ("harmless in its own template", "2,866 texts through the trunk again"),
    ("imitation in both stages with all general data, and anchoring, on the decoder", "cells of a study that trains for hours: custom-rm study dsp"),
]


# Measuring

MADE: dict = {} # (name, which questions are seen) → what a fit gave; parts of an ensemble are fitted once
KEPT: Path | None = None

def result(data: Data, name: str, seen: np.ndarray) -> tuple:
    "What an idea says after seeing some questions; kept on disk"
    key = name, tuple(int(q) for q in seen)
    if key in MADE: return MADE[key]
    file = KEPT / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{abs(hash(key[1])) % 10**9}-{len(data.begins)}.pkl" if KEPT else None
    if file and file.exists(): MADE[key] = pickle.loads(file.read_bytes())
    else:
        MADE[key] = IDEAS[name].fit(data, seen)
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(MADE[key]))
    return MADE[key]


def held_back(data: Data, name: str) -> np.ndarray: # Shape (texts, readers)
    "Each text's rewards by the fit that has not seen its question"
    out = np.zeros((len(data.question), len(data.pairs)))
    for fold in range(FOLDS):
        rows = data.fold[data.question] == fold
        out[rows] = result(data, name, np.flatnonzero(data.fold != fold))[0][rows]
    return out


def margins_of(data: Data, rewards: np.ndarray, among=None) -> tuple[dict, dict]:
    "(margin of each comparison, its question), by reader"
    asked = np.arange(len(data.begins)) if among is None else among
    each = {reader: data.of(reader, asked) for reader in data.pairs}
    return {r: rewards[b, k] - rewards[w, k] for k, (r, (b, w, _)) in enumerate(each.items())}, {r: g for r, (_, _, g) in each.items()}


def rights(margins: dict) -> np.ndarray:
    from custom_rm.metrics import correctness
    return np.concatenate([correctness(m) for m in margins.values()])


def surprises(margins: dict) -> np.ndarray: return np.logaddexp(0, -np.concatenate(list(margins.values())))


def difference(one: np.ndarray, other: np.ndarray, groups: np.ndarray) -> list[float]: # [mean, low, high]
    from custom_rm.metrics import bootstrap_interval
    gap = one - other
    return [float(gap.mean()), *(float(x) for x in bootstrap_interval(gap, groups))]


def passes(accuracy: list[float], surprise: list[float]) -> bool: # Each [mean, low, high] of a difference
    "The rule, written down before this script measured the ideas"
    return accuracy[1] > 0 or (accuracy[0] >= 0 and surprise[2] < 0)


def line_of(data: Data, idea: Idea) -> dict:
    "One line of the ledger"
    start = time.time()
    margins, groups = margins_of(data, held_back(data, idea.name))
    group = np.concatenate(list(groups.values()))
    line = dict(part="heads", name=idea.name, what=idea.what, why=idea.why, accuracy=float(rights(margins).mean()), surprise=float(surprises(margins).mean()),
                readers={r: float(rights({r: m}).mean()) for r, m in margins.items()}, n=len(group), questions=len(np.unique(group)), available=idea.available)
    if idea.against:
        other, _ = margins_of(data, held_back(data, idea.against))
        effect, calmer = difference(rights(margins), rights(other), group), difference(surprises(margins), surprises(other), group)
        line |= dict(against=idea.against, effect=effect[0], low=effect[1], high=effect[2], surprise_effect=calmer, passed=passes(effect, calmer))
    return line | dict(measured="cross-validation on training questions", seconds=round(time.time() - start, 1))


def choose(lines: list[dict], only_available: bool = False) -> list[str]: # Names, the choice last
    "From the first idea on: of those that passed against the choice so far, the one that is least surprised; until none is left"
    path = [lines[0]["name"]]
    while better := [line for line in lines if line.get("against") == path[-1] and line.get("passed") and (line["available"] or not only_available)]:
        path.append(min(better, key=lambda line: line["surprise"])["name"])
    return path


def luck(data: Data, names: list[str]) -> dict:
    "How much of the best idea's lead is luck: chosen by four folds' accuracy, looked at in the fifth"
    by_name = {name: margins_of(data, held_back(data, name)) for name in names}
    right = {name: rights(m) for name, (m, _) in by_name.items()}
    fold = data.fold[np.concatenate(list(next(iter(by_name.values()))[1].values()))]
    best, seen, met = max(names, key=lambda n: right[n].mean()), [], []
    for f in range(FOLDS):
        chosen = max(names, key=lambda n: right[n][fold != f].mean())
        seen.append(right[chosen][fold != f].mean())
        met.append(right[chosen][fold == f])
    return dict(best=best, ideas=len(names), accuracy=float(right[best].mean()), as_chosen=float(np.mean(seen)), as_met=float(np.concatenate(met).mean()))


def write(path: Path, **news) -> None:
    "Some parts of the ledger anew, the others as they were"
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_report(path, held | news | dict(rule=RULE, versions=versions(), date=str(date.today())))


def measure_domains(a) -> None:
    data, _ = domain_data(a.base, a.max_length, ["train"])
    lines = []
    for idea in IDEAS.values():
        if a.only and idea.name not in a.only: continue
        try: lines.append(line_of(data, idea))
        except KeyError as e: print(f"{idea.name}: {e} can't be read here, left out", flush=True); continue
        line = lines[-1]
        shown = f"{100 * line['effect']:+.2f} ({100 * line['low']:+.2f} to {100 * line['high']:+.2f}), surprise {line['surprise_effect'][0]:+.4f} {'passed' if line['passed'] else '–'}" if "effect" in line else ""
        print(f"{idea.name:26} {100 * line['accuracy']:.2f} {line['surprise']:.4f} {shown}   {line['seconds']} s", flush=True)
    if a.only: return
    about = dict(base=a.base, folds=FOLDS, max_length=a.max_length, questions=len(data.begins) - 1)
    names, path = [line["name"] for line in lines if line["name"] != "bag of words"], choose(lines)
    for line in lines: line["kept"] = line["name"] in path
    write(a.out, about=about, heads=lines, choice=path[-1], recipe=choose(lines, True)[-1], luck=luck(data, names), untried=[dict(what=what, why=why) for what, why in UNTRIED])
    print("chosen:", path, "| by what a recipe can say:", choose(lines, True))


def measure_final(a) -> None:
    "What was chosen, fitted to all training questions, on the test file: once"
    ledger = json.loads(a.out.read_text(encoding="utf-8"))
    data, (train, test) = domain_data(a.base, a.max_length, ["train", "test"], beside=any("MiniLM" in c or "4-bit" in c for c in (ledger["choice"],)))
    asked, out = np.arange(train, train + test), {}
    floor = rewards = None
    floor = bag_of_words(data, np.arange(train))[0]
    for key in ("recipe", "choice"):
        rewards = result(data, ledger[key], np.arange(train))[0]
        (margins, groups), (words, _) = margins_of(data, rewards, asked), margins_of(data, floor, asked)
        group = np.concatenate(list(groups.values()))
        readers = {r: figures(rights({r: margins[r]}), rights({r: words[r]}), groups[r]) for r in data.pairs}
        out[key] = dict(name=ledger[key], readers=readers, mean=figures(rights(margins), rights(words), group))
        for r, f in (readers | dict(mean=out[key]["mean"])).items(): print(f"{key} {ledger[key]}: {r:14} {100 * f['accuracy']:.1f} − {100 * f['bag_of_words']:.1f} = {100 * f['difference']:+.1f} ({100 * f['low']:+.1f} to {100 * f['high']:+.1f})")
        if ledger["choice"] == ledger["recipe"]: out["choice"] = out["recipe"]; break
    write(a.out, final=out)



# The general model: four sets of pairs, one head for all

REFUSES = re.compile(r"\b(i('| a)m sorry|sorry, (but )?i|i (can('|no)t|can not|won't|will not|do not|don't) (\w+ )?(do|help|answer|know|think|understand|want|feel|provide|recommend|discuss)"
                     r"|i('| a)m not (sure|able|comfortable|going)|i('d| would) (rather|prefer) not|as an ai|not something i|what do you mean|(can|could) you (explain|clarify|elaborate|tell me (more|what|why)))", re.I)


def answer_of(text: str) -> str:
    from custom_rm.templates import split_text
    return split_text(text)[1]


def general_data(base: str, max_length: int, compute: bool, rows: int | None = None) -> tuple[Data, Data | None]:
    "(all training pairs with their words; those whose states are there)"
    from custom_rm.fetch import fetch_model
    from custom_rm.heads import table
    from custom_rm.packing import encode
    from custom_rm.pooling import words_of
    from custom_rm.records import load_records, prompt_of, to_one_template
    from custom_rm.recipes import find
    from transformers import AutoTokenizer
    number, records = {}, []
    for name in SETS:
        for record in to_one_template(load_records(find(f"$CUSTOM_RM_DATA/{name}.train.json"), rows, "dsp"), "dsp")[0]:
            if record["score"][0] != record["score"][1]: records.append((number.setdefault(prompt_of(record), len(number)), name, record))
    records.sort(key=lambda r: r[0])
    texts = [t for _, _, r in records for t in r["text"]]
    made = encode(texts, AutoTokenizer.from_pretrained(fetch_model(base).path), max_length)
    words = table(words_of(made["input_ids"], made["response_start"]))
    known = token_states(base, made["input_ids"], made["response_start"], max_length, compute)
    here = np.array([known[i] is not None and known[i + 1] is not None for i in range(0, len(known), 2)])
    def data_of(which: np.ndarray, states: bool) -> Data:
        question = np.array([records[i][0] for i in which])
        kept, place = np.unique(question, return_inverse=True)
        rows = np.repeat(2 * which, 2) + np.tile([0, 1], len(which))
        pairs = {}
        for name in SETS:
            mine = [(2 * j + int(np.argmax(r["score"])), 2 * j + int(np.argmin(r["score"])), place[j]) for j, i in enumerate(which) for _, set_, r in [records[i]] if set_ == name]
            pairs[name] = tuple(np.array(x) for x in zip(*mine))
        lengths = np.array([len(answer_of(texts[i])) for i in rows], float)
        features = dict(length=np.log1p(lengths)[:, None]) | ({name: np.stack([known[i][k] for i in rows]).astype(float) for k, name in enumerate(("[14]", "answer [14]", "last [14]", "asked [14]"))} if states else {})
        begins = 2 * np.r_[np.searchsorted(place, np.arange(len(kept))), len(which)]
        made = Data(features, words[rows], begins, pairs)
        made.texts = [texts[i] for i in rows]
        made.fold = np.random.default_rng(0).permutation(len(kept)) % FOLDS
        return made
    some = np.flatnonzero(here)
    return data_of(np.arange(len(records)), False), data_of(some, True) if len(some) > 100 else None


def solve_weighted(differences, weight: np.ndarray, strength: float, smooth: float = 0., start=None) -> np.ndarray: # Shape (width,)
    from scipy.optimize import minimize
    def pays(head):
        m = differences @ head
        value = weight @ ((1 - smooth) * np.logaddexp(0, -m) + smooth * np.logaddexp(0, m)) + strength / 2 * head @ head
        return value, differences.T @ (weight * ((1 - smooth) * pull(m) - smooth * pull(-m))) + strength * head
    return minimize(pays, np.zeros(differences.shape[1]) if start is None else start, jac=True, method="L-BFGS-B", options=dict(maxiter=300, ftol=1e-6)).x


def pooled(read: str, sets=tuple(SETS), balanced=False, smooth=0., strengths=(300., 100., 30.)):
    "One head for all sets, or one fitted to some of them alone; `balanced` lets every set weigh the same"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        each = {name: data.of(name, seen) for name in data.pairs}
        taught = [each[name] for name in sets]
        better, worse, group = (np.concatenate([e[i] for e in taught]) for i in range(3))
        weight = np.concatenate([np.full(len(e[0]), (len(better) / len(taught) / len(e[0])) if balanced else 1.) for e in taught])
        if read == "words": features = data.words[:, np.unique((data.words[better] - data.words[worse]).nonzero()[1])]
        else: features = data.read(read) / spread(data.read(read)[better] - data.read(read)[worse])
        differences, part, best = features[better] - features[worse], deal(group), None
        for strength in strengths:
            unseen, surprise = {name: np.zeros(len(e[0])) for name, e in each.items()}, []
            for i in range(FOLDS):
                head = solve_weighted(differences[part != i], weight[part != i], strength, smooth)
                surprise.append(np.logaddexp(0, -differences[part == i] @ head) * weight[part == i])
                held = np.unique(group[part == i])
                for name, (b, w, g) in each.items():
                    mine = np.isin(g, held)
                    unseen[name][mine] = (features[b[mine]] - features[w[mine]]) @ head
            surprise = np.concatenate(surprise).mean()
            if best is None or surprise < best[0]: best = surprise, strength, unseen
        rewards = features @ solve_weighted(differences, weight, best[1], smooth)
        return np.repeat(rewards[:, None], len(data.pairs), 1), best[2], [best[1]]
    return fit


def each_alone(read: str, **options):
    "One head for each set, from that set alone"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        found = [pooled(read, (name,), **options)(data, seen) for name in data.pairs]
        return np.stack([f[0][:, i] for i, f in enumerate(found)], 1), {n: f[1][n] for n, f in zip(data.pairs, found)}, [f[2][0] for f in found]
    return fit


def asked_of(data: Data, texts) -> list[str]:
    from custom_rm.templates import split_text
    return [split_text(data.texts[i])[0] for i in texts]


def gate(data: Data, seen: np.ndarray) -> np.ndarray: # Shape (texts, sets)
    "How likely a question is one of each set, by its words"
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    taught = [(b, k) for k, name in enumerate(data.pairs) for b in data.of(name, seen)[0]]
    rows, kinds = (np.array(x) for x in zip(*taught))
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=10., max_iter=300).fit(words.fit_transform(asked_of(data, rows)), kinds)
    return model.predict_proba(words.transform(asked_of(data, range(len(data.texts)))))


def gate_by_states(data: Data, seen: np.ndarray) -> np.ndarray: # Shape (texts, sets)
    "The same by the mean of the question's states"
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    taught = [(b, k) for k, name in enumerate(data.pairs) for b in data.of(name, seen)[0]]
    rows, kinds = (np.array(x) for x in zip(*taught))
    states = data.read("asked [14]")
    scaler = StandardScaler().fit(states[rows])
    return LogisticRegression(C=.01, max_iter=300).fit(scaler.transform(states[rows]), kinds).predict_proba(scaler.transform(states))


def gated(each: str, gate=gate):
    "One model that is told nothing: a head for each set, weighed by what the question says of the set"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        rewards = (result(data, each, seen)[0] * gate(data, seen)).sum(1)
        return np.repeat(rewards[:, None], len(data.pairs), 1), None, []
    return fit


def experts(read: str):
    "The package's mixture: the gate reads the text's own mean state"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        from custom_rm.heads import fit_mixture
        each = {name: data.of(name, seen) for name in data.pairs}
        better, worse, group = (np.concatenate([e[i] for e in each.values()]) for i in range(3))
        found = fit_mixture(data.read(read), better, worse, group, np.repeat(np.arange(len(each)), [len(e[0]) for e in each.values()]), list(each))
        return np.repeat(found.rewards(data.read(read))[:, None], len(each), 1), None, found.strengths
    return fit


def mixture(read: str, gate=gate_by_states, strengths=(300., 100., 30.), own=1.):
    """One head and one for each set beside it, learned at once under the gate: r = Σₖ gₖ(question) · (w + wₖ) · state. The gate of a seen comparison has not
    seen its question either, or heads would trust it more than they may; `own` is how freely a set's head may differ."""
    def fit(data: Data, seen: np.ndarray) -> tuple:
        each = {name: data.of(name, seen) for name in data.pairs}
        better, worse, group = (np.concatenate([e[i] for e in each.values()]) for i in range(3))
        features = data.read(read) / spread(data.read(read)[better] - data.read(read)[worse])
        part, unseen_gate = deal(group), np.zeros((len(better), len(data.pairs)))
        for i in range(FOLDS):
            held = np.unique(group[part == i])
            unseen_gate[part == i] = gate(data, np.setdiff1d(seen, held))[better[part == i]]
        plain = features[better] - features[worse]
        wide, best = np.concatenate([plain, *(own * unseen_gate[:, [k]] * plain for k in range(unseen_gate.shape[1]))], 1), None
        for strength in strengths:
            margins = np.zeros(len(better))
            for i in range(FOLDS): margins[part == i] = wide[part == i] @ solve_weighted(wide[part != i], np.ones((part != i).sum()), strength)
            if best is None or np.logaddexp(0, -margins).mean() < best[0]: best = np.logaddexp(0, -margins).mean(), strength, margins
        shared, *heads = solve_weighted(wide, np.ones(len(wide)), best[1]).reshape(-1, features.shape[1])
        rewards = features @ shared + own * sum(g * (features @ head) for g, head in zip(gate(data, seen).T, heads))
        ends = np.cumsum([len(e[0]) for e in each.values()])[:-1]
        return np.repeat(rewards[:, None], len(data.pairs), 1), dict(zip(data.pairs, np.split(best[2], ends))), [best[1]]
    return fit


def beside_words(first: str, other: str):
    "Margins of two, one weight for each over all sets"
    def fit(data: Data, seen: np.ndarray) -> tuple:
        parts = [result(data, name, seen) for name in (first, other)]
        margins = np.stack([np.concatenate(list(part[1].values())) for part in parts], 1)
        weights = shares_of(margins)
        return sum(w * part[0] for w, part in zip(weights, parts)), None, [round(float(w), 2) for w in weights]
    return fit


def longer(data: Data, seen: np.ndarray) -> tuple: return np.repeat(data.features["length"], len(data.pairs), 1), None, []


def floor_of_each(data: Data, seen: np.ndarray) -> tuple:
    "The package's bag of words, one for each set"
    from custom_rm.metrics import BagOfWords
    rewards = []
    for name in data.pairs:
        better, worse, _ = data.of(name, seen)
        rewards.append(BagOfWords().fit([[data.texts[b], data.texts[w]] for b, w in zip(better, worse)], [[1., 0.]] * len(better)).rewards([data.texts])[0])
    return np.stack(rewards, 1), None, []


GENERAL: dict[str, tuple] = {} # name → (idea, which pairs it is measured on)
def add_general(name, fit, against, what, why, pairs): GENERAL[name] = Idea(name, what, why, fit, against), pairs
ONE = dict(strengths=(10.,))
add_general("all sets, words", pooled("words", **ONE), "", "one head of words for all four sets, every pair alike", "the control", "all")
add_general("longer wins", longer, "all sets, words", "the longer answer", "a floor", "all")
add_general("each set, bag of words", floor_of_each, "all sets, words", "the package's bag of words, one for each set", "a floor; such a model is told which set it is asked about", "all")
add_general("each set, words", each_alone("words", **ONE), "all sets, words", "words of each set alone", "sets may contradict each other", "all")
add_general("gated, words", gated("each set, words"), "all sets, words", "a head of words for each set, weighed by what the question's words say of the set; the model is told nothing", "what a question is about decides what a good answer is", "all")
add_general("balanced, words", pooled("words", balanced=True, **ONE), "all sets, words", "every set weighs the same", "the small sets are drowned", "all")
add_general("smoothing .1, words", pooled("words", smooth=.1, **ONE), "all sets, words", "a tenth of the labels taken as wrong", "people disagree on every fourth of such pairs", "all")
add_general("all sets, states", pooled("[14]"), "", "one head on the mean state after 14 layers in four bits", "the control", "states")
add_general("each set, states", each_alone("[14]"), "all sets, states", "one head for each set", "sets may contradict each other", "states")
add_general("gated, states", gated("each set, states"), "all sets, states", "heads on states for each set, weighed by the question's words", "the same", "states")
add_general("gated by states", gated("each set, states", gate_by_states), "all sets, states", "heads on states for each set, weighed by what the question's states say of the set", "states know a question better than its words do", "states")
add_general("learned at once, states", mixture("[14]"), "all sets, states", "a common head and one for each set, learned at once under that gate", "what the sets share is learned from all of them", "states")
add_general("experts, states", experts("[14]"), "all sets, states", "a head for each set, weighed by what the text's own states say of the set: what `general.experts` fits", "a gate that needs not know where the question ends", "states")
add_general("balanced, states", pooled("[14]", balanced=True), "all sets, states", "every set weighs the same", "the small sets are drowned", "states")
add_general("smoothing .1, states", pooled("[14]", smooth=.1), "all sets, states", "a tenth of the labels taken as wrong", "noisy labels", "states")
add_general("answer, states", pooled("answer [14]"), "all sets, states", "the mean over the answer's tokens", "long conversations hide a short answer", "states")
add_general("last, states", pooled("last [14]"), "all sets, states", "the last token", "it has seen the whole text", "states")
add_general("words, same pairs", pooled("words", **ONE), "all sets, states", "words alone on the same pairs", "what states know beyond words", "states")
add_general("states and words", beside_words("all sets, states", "words, same pairs"), "all sets, states", "margins of both", "they may err in different places", "states")
for name in SETS: add_general(f"only {name}, words", pooled("words", (name,), **ONE), "all sets, words", f"taught by {name} alone, asked about all", "which sets teach which", "all")


def refusals(data: Data, name: str) -> dict:
    "Accuracy on harmless pairs by which answer evades, how often the model takes the longer one, and how often people did"
    rewards, (better, worse, group) = held_back(data, name), data.pairs["harmless"]
    column, length = list(data.pairs).index("harmless"), data.features["length"][:, 0]
    margin = rewards[better, column] - rewards[worse, column]
    evades = np.array([bool(REFUSES.search(answer_of(t))) for t in data.texts])
    kinds = dict(preferred=evades[better] & ~evades[worse], other=~evades[better] & evades[worse], both=evades[better] & evades[worse], neither=~evades[better] & ~evades[worse])
    from custom_rm.metrics import bootstrap_interval, correctness
    right = correctness(margin)
    apart = length[better] != length[worse]
    def row(which): return dict(n=int(which.sum()), accuracy=float(right[which].mean()), interval=[float(x) for x in bootstrap_interval(right[which], group[which])],
                                longer_preferred=float((length[better] > length[worse])[which & apart].mean()), model_takes_longer=float(((margin > 0) == (length[better] > length[worse]))[which & apart].mean()))
    evasive = kinds["preferred"] | kinds["other"]
    return {kind: row(which) for kind, which in kinds.items() if which.sum() > 1} | dict(all=row(np.ones(len(right), bool)), people_take_evasive=float(kinds["preferred"].sum() / evasive.sum()),
            model_takes_evasive=float((np.where(kinds["preferred"], margin > 0, margin < 0))[evasive].mean()), one_evades=int(evasive.sum()))


def measure_general(a) -> None:
    whole, some = general_data(a.base, a.max_length, a.compute)
    lines = []
    for idea, pairs in GENERAL.values():
        data = whole if pairs == "all" else some
        if data is None or a.only and idea.name not in a.only: continue
        IDEAS[idea.name] = idea
        lines.append(line_of(data, idea) | dict(part="general", pairs=pairs))
        line = lines[-1]
        shown = f"{100 * line['effect']:+.2f} ({100 * line['low']:+.2f} to {100 * line['high']:+.2f}), surprise {line['surprise_effect'][0]:+.4f} {'passed' if line['passed'] else '–'}" if "effect" in line else ""
        print(f"{idea.name:26} {100 * line['accuracy']:.1f} {' '.join(f'{100 * v:.1f}' for v in line['readers'].values())} {shown}   {line['seconds']} s", flush=True)
    if a.only: return
    evasive = {name: refusals(data, name) for name, data in (("all sets, words", whole), ("only harmless, words", whole), ("gated, words", whole)) if data is not None}
    write(a.out, general=lines, evasive=evasive)
    print(json.dumps(evasive, indent=1))


# What LoRA ideas came to, read from the files that other studies wrote

FOUND = [ # (file, strategy, what it is compared with, name, why)
    ("grid", "joint 1.0", "plain", "one adapter for all readers, the same two passes", "four reward models for one training"),
    ("grid", "joint longer 1.0", "plain", "one adapter for all readers, four passes", "it takes a quarter of the steps, so it may need more of them"),
    ("grid", "joint replay 1.0", "joint 1.0", "a quarter of the general pairs again", "what is seen again is not forgotten"),
    ("grid", "plain blend 0.75", "plain", "three quarters of the way, readers apart", "a blend costs no training"),
    ("grid", "joint longer 0.75", "joint longer 1.0", "three quarters of the way, together", "the same"),
    ("grid", "joint longer 0.5", "joint longer 0.75", "half of the way", "more of the same"),
    ("grid-seeds", "joint longer 0.75", "joint longer 1.0", "three quarters of the way, three seeds", "was it luck?"),
    ("part", "joint replay 1.0", "plain", "together, three passes, with replay", "what was good on the encoder, on a decoder"),
    ("part", "joint replay 0.75", "joint replay 1.0", "three quarters of the way", "the same"),
    ("decoder", "joint 1.0", "general", "together, no guard, after all general data", "what is lost where nothing guards it"),
    ("all-general", "joint replay 1.0", "joint 1.0", "a tenth of all general pairs again", "replay, where there is more to forget"),
    ("all-general", "joint replay 0.75", "joint replay 1.0", "three quarters of the way, with replay", "both guards at once"),
    ("summary", "joint quarter 1 1.0", "joint, no guard", "a quarter of all general pairs again", "more of what is not to be forgotten"),
    ("summary", "joint quarter 1 0.75", "joint quarter 1 1.0", "three quarters of the way, with a quarter replayed", "both guards at once"),
    ("summary", "imitation in custom", "joint, no guard", "the paper's second loss, after all general data", "where there is something to keep"),
    ("imitation", "joint replay 1.0", "joint 1.0", "a quarter of a part of the general pairs again, one pass", "replay, with three seeds"),
    ("imitation", "joint 0.75", "joint 1.0", "three quarters of the way, one pass, no replay", "the same, with three seeds"),
    ("imitation", "imitation in both stages", "joint 1.0", "the paper's second loss: foresee the preferred answer", "a model that still speaks as people like it may still know what they like"),
    ("imitation", "imitation in custom 0.1", "joint 1.0", "the same in the customized stage alone", "it is there that something is forgotten"),
    ("imitation", "imitation in general", "joint 1.0", "the same in the general stage alone", "what is better learned is better kept"),
    ("head-rate", "joint 10", "joint 1", "the head learns ten times as fast as the matrices", "it has to turn round, in a few dozen steps"),
    ("head-rate", "one head, joint 10", "one head, joint 1", "the same, from a fitted general head", "a fitted head is larger, and so slower to turn"),
]


def found_lines(folder: Path) -> list[dict]:
    "Lines of ideas that train a network: accuracies on validation questions and their difference; where a file holds a paired difference, that with its interval"
    lines = []
    for file, one, other, what, why in FOUND:
        study = json.loads((folder / f"{file}.json").read_text(encoding="utf-8"))
        for axis, pair in (("domain", "own"), ("general", "general")):
            a, b = (study["validation"][s][axis] for s in (one, other))
            line = dict(part="lora", file=f"{file}.json", name=one, against=other, what=what, why=why, axis=axis, base=study["base"], device=study["device"], date=study["date"],
                        seeds=min(study["validation"][s]["seeds"] for s in (one, other)), measured="validation", n=a["n"], effect=a["accuracy"] - b["accuracy"],
                        accuracy={k: a[k] for k in ("accuracy", "low", "high")}, other={k: b[k] for k in ("accuracy", "low", "high")})
            paired = study["details"].get(other if study["recommended"] == one else one, {}).get(pair) if study["recommended"] in (one, other) else None
            if paired and paired["low"] != paired["high"]: # the recommended one minus the other
                sign = 1 if study["recommended"] == one else -1
                line["test"] = dict(effect=sign * paired["difference"], low=min(sign * paired["low"], sign * paired["high"]), high=max(sign * paired["low"], sign * paired["high"]), n=paired["n"])
            for part in ("validation", "test"): # some studies compare a strategy with its control pair by pair, whichever is recommended
                change = study["changes"].get(part, {}).get(one, {})
                if change.get("control") != other: continue
                paired = dict(effect=change[pair]["difference"], low=change[pair]["low"], high=change[pair]["high"])
                if part == "validation": line |= paired
                else: line["test"] = paired | dict(n=change[pair]["n"])
            lines.append(line)
    tiers = json.loads((folder / "tiers-cuda.json").read_text(encoding="utf-8"))
    for key, what, why in (("LoRA above − LoRA all", "fourteen lower layers frozen, their states kept", "a third of the time, if it costs nothing"),
                           ("LoRA above − head", "adapters above the frozen layers, up to layer 20, in place of a head after layer 14", "what can a network learn that a line among states can't?")):
        one, other = key.split(" − ")
        cells, paired = tiers["tiers"][one], {part: tiers["difference"][part][key] for part in ("validation", "test")}
        lines.append(dict(part="lora", file="tiers-cuda.json", name=one, against=other, what=what, why=why, axis="domain", base=tiers["settings"]["base"], device=", ".join(sorted({c["device"] for c in cells.values()})),
                          date=max(c["date"] for c in cells.values()), seeds=len(cells), measured="validation", n=paired["validation"]["n"], effect=paired["validation"]["difference"],
                          low=paired["validation"]["low"], high=paired["validation"]["high"], test=dict(effect=paired["test"]["difference"], accuracy=tiers["accuracy"]["test"][one]["accuracy"], **{k: paired["test"][k] for k in ("low", "high", "n")})))
    return lines


def measure_found(a) -> None:
    lines = found_lines(root / "results" / "study")
    write(a.out, lora=lines)
    for line in lines: print(line["file"], line["name"], "−", line["against"], line["axis"], f"{100 * line['effect']:+.1f}", {k: round(100 * v, 1) for k, v in line.get("test", {}).items() if k != "n"})


def figures(right, floor, group) -> dict:
    gap = difference(right, floor, group)
    return dict(accuracy=float(right.mean()), bag_of_words=float(floor.mean()), difference=gap[0], low=gap[1], high=gap[2], n=len(right), questions=len(np.unique(group)))


def main():
    global KEPT
    from custom_rm.fetch import cache_dir
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("part", choices=["domains", "general", "found", "final"])
    p.add_argument("--base", default="smollm2-135m")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--only", nargs="+", default=[], help="only these ideas, nothing is written")
    p.add_argument("--compute", action="store_true", help="general: also the states that no store has yet (an hour)")
    p.add_argument("--kept", type=Path, default=cache_dir() / "ledger", help="where what was measured is kept")
    p.add_argument("--out", type=Path, default=root / "results" / "study" / "ledger.json")
    a = p.parse_args()
    KEPT = a.kept / a.part
    dict(domains=measure_domains, general=measure_general, found=measure_found, final=measure_final)[a.part](a)


if __name__ == "__main__": main()
