"""How many votes a person's own reward model takes: `python bench/personal.py` writes results/personal.json.

Linear heads on frozen states (`personal.fit_personal`). Real people: UKPConvArg1 and llmfao; nobody's pooled head has seen the person or the topics that are
asked about. A made-up person: one domain of DSP, whose priors are the three others and a general head, fitted to other questions. Controls: the heads of
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
    folder = Path(find("$CUSTOM_RM_DATA/votes"))
    texts, votes = rows(folder / f"{name}.texts.jsonl.gz"), rows(folder / f"{name}.votes.jsonl.gz")
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

    def differences(self, n=None): return self.states[self.learned[:n, 0]] - self.states[self.learned[:n, 1]]
    def right(self, head) -> float:
        from custom_rm.metrics import correctness
        rewards = self.states @ head
        return float(correctness(rewards[self.asked[:, 0]] - rewards[self.asked[:, 1]]).mean())


def parts_of(values: np.ndarray, parts: int, seed: int) -> np.ndarray:
    "The part of each value, dealt at random, the same every time"
    return (np.random.default_rng(seed).permutation(values.max() + 1) % parts)[values]


def winners(votes: Votes, at: np.ndarray) -> np.ndarray:
    "Preferred text and the other, shape (votes, 2)"
    first = votes.better[at] > 0
    return np.stack([np.where(first, votes.a[at], votes.b[at]), np.where(first, votes.b[at], votes.a[at])], 1)


def people_cases(votes: Votes, strength: float, parts=range(PEOPLE_PARTS), least: int = LEAST, tastes: int = 0) -> list[Case]:
    "Every person with enough votes, each part of the topics left out once; priors have seen neither"
    crowd, topics, made = parts_of(votes.person, PEOPLE_PARTS, 1), parts_of(votes.topic, TOPIC_PARTS, 2), []
    for part in parts:
        for away in range(TOPIC_PARTS):
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
                                 np.stack([votes.a[tied], votes.b[tied]], 1), priors))
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
