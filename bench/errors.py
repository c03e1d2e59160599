"""What the recommended models still get wrong: `python bench/errors.py FOLDER --study STUDY` writes results/study/errors.json.

FOLDER is a study's folder (the strategy that `custom-rm study` recommends is taken, with all seeds that have it), or several folders of runs, one for each
seed: each holds general/ and one reward model for each domain. Every domain's model is looked at on its own test pairs, the general model on the general test
sets, and the domains' models on the general sets as well. Calibration before and after a temperature that validation questions set, length and style, classes
of errors by rules that are written beside the figures, and agreement of seeds. The classes were found by reading errors on validation questions
(`--validation` shows the same figures there and writes nothing). Intervals resample whole questions. Rewards are kept in --work, so a second run only counts.
"""
import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from hashlib import sha1
from pathlib import Path

import numpy as np

LIKE_LENGTH = .1   # lengths that differ by less, as a share of the longer answer, are alike
NEAR_COPY = .6     # share of words that two answers have in common, from which they are near copies
SURE = .6          # calibrated confidence below which a model can hardly tell two answers apart
SHORT, BRIEF = 10, 40 # words
LONGER = .1        # share of the longer answer from which the other one is longer
FEWEST = 10        # pairs, for a class to be listed
NOT_ASKED = re.compile(r"(?i)\b(?:sorry|afraid|as an ai|i(?:'|’)?m an ai|unable to|i can ?not|i (?:can|won|couldn|wouldn|shouldn)(?:'|’)t|"
                       r"i (?:do not|don(?:'|’)t) (?:know|think|understand|have|want|recommend|believe)|i(?:'|’)?(?: a)?m not (?:sure|able|comfortable|going|really|an expert))\b")
OPENING = re.compile(r"(?i)^\W*(?:sure|certainly|of course|absolutely|great|ah|oh|well|hm+|wow|hey|hello|alright|okay|ok|thank|as an?|dear|my friend)\b")
VERSE = re.compile(r"(?i)\b(?:story|poem|haiku|song|lyrics|limerick|sonnet|tale|fable|verse)\b")
MARKS = re.compile(r"^\s*(?:[-*•]\s|\d+[.)]\s|#{1,6}\s)|\*\*[^*\n]+\*\*", re.M)


@dataclass
class Pairs:
    "The comparisons of one set, as places in the list of all different texts"
    name: str
    better: np.ndarray
    worse: np.ndarray
    group: np.ndarray   # question of each pair
    gap: np.ndarray     # how much higher the preferred text is scored
    domain: bool        # is it a domain's own set, not a general one?
    author: list = field(default_factory=list) # the domain that the other answer was written for, of each pair; none for general sets


@dataclass
class Seed:
    "One seed's rewards"
    seed: int
    rewards: dict       # model → reward of each different text
    weights: dict       # model → 16 digits of its weights' SHA-256
    device: str

    def margin(self, pairs: Pairs, model: str) -> np.ndarray: return self.rewards[model][pairs.better] - self.rewards[model][pairs.worse]


# What was asked: sets, pairs, and what a rule can see of them

def pairs_of(name: str, records, place: dict, numbers: dict, domain: bool) -> Pairs:
    from custom_rm.metrics import unequal_pairs
    from custom_rm.records import prompt_of
    rows = [(place[r["text"][i]], place[r["text"][j]], numbers.setdefault(prompt_of(r), len(numbers)), r["score"][i] - r["score"][j])
            for r in records for i, j in zip(*unequal_pairs(r["score"]))]
    better, worse, group, gap = (np.array(column) for column in zip(*rows))
    return Pairs(name, better, worse, group, gap, domain)


@cache
def answer_of(text: str) -> str:
    from custom_rm.templates import split_text
    return split_text(text)[1].strip()


def prompt_before(text: str) -> str:
    from custom_rm.templates import split_text
    return split_text(text)[0]


@cache
def words_of(text: str) -> Counter: return Counter(re.findall(r"\w+", answer_of(text).lower()))


def overlap(a: str, b: str) -> float:
    "Share of words that two answers have in common, each as often as it occurs in both (Dice)"
    here, there = words_of(a), words_of(b)
    return 2 * (here & there).total() / max(1, here.total() + there.total())


def refuses(text: str) -> bool: return bool(NOT_ASKED.search(answer_of(text)[:200]))
def asks(text: str) -> bool: return answer_of(text).rstrip('"”\')').endswith("?")
def evades(text: str) -> bool: return refuses(text) or asks(text)
def opens(text: str) -> bool: return bool(OPENING.match(answer_of(text)))
def marks(text: str) -> int: return len(MARKS.findall(answer_of(text)))
def length(text: str) -> int: return words_of(text).total()
def turns(text: str) -> int: return len(re.findall(r"^(?:## )?Human:", prompt_before(text), re.M))
def repeats(text: str) -> bool:
    asked, said = set(re.findall(r"\w+", prompt_before(text).lower())), words_of(text)
    return sum(n for word, n in said.items() if word in asked) >= .8 * max(1, said.total())


def sources(text: str) -> int: return len(re.findall(r"\[\d+", answer_of(text)))


RULES = { # class → (its name for people, the rule that a reader can check)
    "unsure": ("hardly told apart", f"the model's own confidence, with its temperature, is below {SURE:.0%}, mean over seeds"),
    "near_copies": ("near copies", f"the two answers share at least {NEAR_COPY:.0%} of their words, each as often as it occurs in both"),
    "cut": ("cut", "one of the two texts has more tokens than the model reads, so its beginning is lost"),
    "short": ("a short answer", f"one of the two answers has fewer than {SHORT} words"),
    "brief": ("both answers brief", f"both answers have fewer than {BRIEF} words"),
    "longer": ("the other answer is longer", f"the other answer is longer by at least {LONGER:.0%} of its length"),
    "half": ("the preferred answer is half as long", "the preferred answer has at most half of the other's characters"),
    "twice": ("the other answer is half as long", "the other answer has at most half of the preferred one's characters"),
    "refusal_loses": ("a refusal loses", "only the other answer refuses or doesn't know, in its first 200 characters (sorry, afraid, I can't, I don't know, as an AI …)"),
    "refusal_wins": ("a refusal is preferred", "only the preferred answer refuses or doesn't know, in its first 200 characters"),
    "asks_back_wins": ("a question back is preferred", "only the preferred answer ends with a question mark"),
    "asks_back_loses": ("a question back loses", "only the other answer ends with a question mark"),
    "lists_lose": ("more lists and bold words lose", "the other answer has more list items, headings or bold words"),
    "opening_loses": ("an opening formula loses", "only the other answer begins with a formula (Sure, Certainly, Of course, Great, Ah, Well, As a …)"),
    "turns": ("a longer conversation", "a person has spoken at least three times before the answers"),
    "evasive_wins": ("evasive preferred to forthcoming", "only the preferred answer evades: it refuses or doesn't know, or ends with a question mark"),
    "evasive_loses": ("forthcoming preferred to evasive", "only the other answer evades"),
    "neither_evades": ("neither evades", "no answer refuses, doesn't know, or ends with a question mark"),
    "close_scores": ("people hardly saw a difference", "the two human scores differ by one step, the smallest that there is"),
    "more_sources_lose": ("more sources lose", "both answers give numbers of sources, and the other one more of them"),
    "repeats": ("repeats the question", "at least 80% of the other answer's words are in the question, and not of the preferred one's"),
    "verse": ("a story or a poem is asked for", "the question has one of the words story, poem, haiku, song, lyrics, limerick, sonnet, tale, fable, verse"),
    "words_mislead": ("words mislead", "the bag of words, fitted to the same set, prefers the other answer as well"),
    "exact": ("a few words are asked for", "the preferred answer has at most five words"),
    "one_answer": ("a question with one answer", "the five answers share at least 40 % of their words, mean over their pairs"),
}

BY_MODELS = ("unsure", "words_mislead") # what models say of a pair, not what stands in it


def of_each(pairs: Pairs, texts: list, rule) -> tuple[np.ndarray, np.ndarray]:
    "What a rule says of the preferred texts and of the others"
    return np.array([rule(texts[i]) for i in pairs.better]), np.array([rule(texts[i]) for i in pairs.worse])


def leads(pairs: Pairs, texts: list) -> np.ndarray:
    "By how much the preferred answer is longer, as a share of the longer one"
    from custom_rm.metrics import length_leads
    return length_leads([(answer_of(texts[i]), answer_of(texts[j])) for i, j in zip(pairs.better, pairs.worse)], [(1, 0)] * len(pairs.better))


def classes_of(pairs: Pairs, texts: list, cut: np.ndarray, confidence: np.ndarray, floors: dict) -> dict:
    "class → which pairs are in it"
    both = partial(of_each, pairs, texts)
    lead, ((refuses_b, refuses_w), (asks_b, asks_w), (marks_b, marks_w), (opens_b, opens_w), (length_b, length_w)) = leads(pairs, texts), map(both, (refuses, asks, marks, opens, length))
    shared = np.array([overlap(texts[i], texts[j]) for i, j in zip(pairs.better, pairs.worse)])
    (repeats_b, repeats_w), (verse, _) = both(repeats), both(lambda text: bool(VERSE.search(prompt_before(text))))
    found = dict(words_mislead=floors["bag_of_words"] == 0) if "bag_of_words" in floors else {}
    found |= dict(unsure=confidence < SURE, near_copies=shared >= NEAR_COPY, cut=cut[pairs.better] | cut[pairs.worse], short=np.minimum(length_b, length_w) < SHORT, brief=np.maximum(length_b, length_w) < BRIEF,
                  longer=lead <= -LONGER, repeats=repeats_w & ~repeats_b, verse=verse, half=lead <= -.5, twice=lead >= .5, refusal_loses=refuses_w & ~refuses_b, refusal_wins=refuses_b & ~refuses_w,
                  asks_back_wins=asks_b & ~asks_w, asks_back_loses=asks_w & ~asks_b, lists_lose=marks_w > marks_b, opening_loses=opens_w & ~opens_b)
    if pairs.domain: return found | dict(one_answer=one_answer(pairs, texts)) | {f"written for {name}": np.array(pairs.author) == name for name in dict.fromkeys(pairs.author)}
    (evades_b, evades_w), (turns_b, _), (sources_b, sources_w) = map(both, (evades, turns, sources))
    found |= dict(turns=turns_b >= 3, exact=length_b <= 5)
    if pairs.name == "harmless": found |= dict(evasive_wins=evades_b & ~evades_w, evasive_loses=evades_w & ~evades_b, neither_evades=~evades_b & ~evades_w)
    if len(np.unique(pairs.gap)) > 1: found |= dict(close_scores=pairs.gap == pairs.gap.min())
    if sources_b.any(): found |= dict(more_sources_lose=(sources_w > sources_b) & (sources_b > 0))
    return found


def one_answer(pairs: Pairs, texts: list) -> np.ndarray:
    "Do all answers to a question say nearly the same?"
    at = {g: sorted({*pairs.better[pairs.group == g], *pairs.worse[pairs.group == g]}) for g in np.unique(pairs.group)}
    alike = {g: np.mean([overlap(texts[i], texts[j]) for n, i in enumerate(some) for j in some[:n]]) for g, some in at.items()}
    return np.array([alike[g] >= .4 for g in pairs.group])


def authors(pairs: Pairs, texts: list, recipe, part: str) -> list:
    "The domain that each other answer was written for; none where the data don't say"
    from custom_rm.recipes import find
    from custom_rm.records import read_json
    path = recipe.custom.test if part == "test" else recipe.custom.train
    if "{domain}" in path: return []
    written = {}
    for _, row in read_json(find(path)):
        for domain, answer in row["responses"].items(): written.setdefault((row["query"].strip(), answer.strip()), []).append(domain)
    def author(text):
        prompt = prompt_before(text)
        query = prompt.partition("## Human:")[2].rpartition("## Assistant:")[0].strip()
        return next((name for name in written.get((query, answer_of(text)), []) if name != pairs.name), "somebody else")
    return [author(texts[i]) for i in pairs.worse]


# What models said: rewards of every different text, by every seed

def study_sources(study, strategy: str, folder: Path) -> list:
    "(seed, {model: folder}) of every seed that has the strategy on all domains; nothing is trained"
    from custom_rm.recipes import recipe_key
    from custom_rm.study import trained_recipe
    from custom_rm.summary import finished, read_cells
    domains = study.recipe_of(strategy).custom.domains
    there, found = {(cell["domain"], cell["seed"]) for cell in finished(read_cells(study, folder), strategy)}, []
    for seed in study.seeds:
        if not all((domain, seed) in there for domain in domains): continue
        run = folder / "runs" / recipe_key(trained_recipe(study, (strategy, domains[0], seed)), seed)
        found.append((seed, {name: run / name for name in ["general", *domains]}))
    if not found: raise SystemExit(f"{folder}: no seed has {strategy!r} finished on every domain")
    return found


def run_sources(folders: list[Path], domains: list[str]) -> list:
    from custom_rm.artefact import read_card
    found = sorted(((read_card(folder / domains[0])["seed"], {name: folder / name for name in ["general", *domains]}) for folder in folders), key=lambda source: source[0])
    if len({seed for seed, _ in found}) < len(found): raise SystemExit("two of the runs have the same seed; give one run for each seed")
    return found


def seed_of(seed: int, runs: dict, alpha: float, sets: dict, texts: list, device: str, work: Path, study: Path | None) -> Seed:
    "A seed's rewards, as they were kept, or computed now"
    from custom_rm.artefact import read_card
    weights = {name: read_card(folder)["weights_sha256"][:16] for name, folder in runs.items()}
    key = sha1("\n".join([str(alpha), *sorted(weights.values()), *texts]).encode()).hexdigest()[:16]
    file = work / f"rewards-{seed}-{key}.npz"
    if not file.exists():
        rewards, where = scored(runs, alpha, sets, texts, device, study)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, device=where, **rewards)
    with np.load(file, allow_pickle=False) as kept: return Seed(seed, {name: kept[name] for name in runs}, weights, str(kept["device"]))


def scored(runs: dict, alpha: float, sets: dict, texts: list, device: str, study: Path | None) -> tuple[dict, str]:
    "model → reward of each different text, and the device; a study's own rewards where it has kept them"
    from custom_rm.artefact import load
    from custom_rm.blend import set_blend
    from custom_rm.scorer import score_texts
    from custom_rm.trunk import device_name
    rm = load(*runs.values(), device=device).remember()
    blended = {name: name if name == "general" or alpha == 1 else f"{name} at {alpha:g}".replace(".", ",") for name in runs} # as `study.part_way` calls them
    for name, adapter in blended.items():
        if adapter != name: set_blend(rm, "general", name, alpha, adapter)
    rewards = {name: kept for name, folder in runs.items() if (kept := kept_by(study, folder, blended[name], rm, sets, texts)) is not None}
    left = {blended[name]: name for name in runs if name not in rewards}
    for group in rm.same_trunk(list(left)):
        print(f"scoring {len(texts)} texts by {', '.join(group)}", flush=True)
        for adapter, found in zip(group, score_texts(rm, texts, group)): rewards[left[adapter]] = found
    return rewards, device_name(rm.device)


def kept_by(study: Path | None, folder: Path, adapter: str, rm, sets: dict, texts: list):
    "A model's rewards of each different text, as the study's cells were measured; None where they aren't there"
    from custom_rm.study import model_hash, rewards_file
    if not study: return None
    asked, model = [text for records in sets.values() for record in records for text in record["text"]], model_hash(rm, adapter)
    runs = [folder.parent.name, *sorted(path.name for path in (study / "runs").iterdir())] # the general model is that of another run
    file = next((file for run in runs if (file := rewards_file(study, run, adapter, asked, model)).exists()), None)
    if not file: return None
    by_text = dict(zip(asked, np.load(file, allow_pickle=False)))
    return np.array([by_text[text] for text in texts])


def floors_of(pairs: Pairs, texts: list, train: dict) -> dict:
    "Right or wrong of each pair, by length and by a bag of words fitted to the set's own training questions"
    from custom_rm.metrics import BagOfWords, correctness
    said = dict(longer=[float(len(text)) for text in texts])
    if pairs.name in train:
        records = train[pairs.name]
        bag = BagOfWords().fit(records["text"], records["score"])
        said["bag_of_words"] = [reward for (reward,) in bag.rewards([[text] for text in texts])]
    rewards = {name: np.array(row) for name, row in said.items()}
    return {name: correctness(row[pairs.better] - row[pairs.worse]) for name, row in rewards.items()}


# What follows from it

def temperatures(seeds: list[Seed], model: str, pairs: list[Pairs]) -> list[float]:
    "The temperature of each seed's model that fits its validation pairs best"
    from custom_rm.scorer import fit_temperature
    found = []
    for seed in seeds:
        margins = np.concatenate([seed.margin(some, model) for some in pairs])
        found.append(fit_temperature([[margin, 0.] for margin in margins], [[1, 0]] * len(margins))[0])
    return found


def calibration(margins: np.ndarray, group: np.ndarray) -> dict:
    "Of margins of several seeds, shape (seeds, n): error with its interval, and the curve of all seeds' pairs"
    from custom_rm.metrics import calibration_error, reliability_curve
    return calibration_error(margins, group) | dict(curve=reliability_curve(np.concatenate(margins), np.tile(group, len(margins)), bins=5))


def by_part(right: dict, group: np.ndarray, parts: dict) -> dict:
    "part → each judge's accuracy on it"
    from custom_rm.metrics import accuracy_figures
    return {part: {name: accuracy_figures(row[inside], group[inside]) for name, row in right.items()} for part, inside in parts.items()}


def length_and_style(right: dict, pairs: list[Pairs], texts: list) -> dict:
    "Accuracy of a model, and of the floors, by length and by style"
    from custom_rm.metrics import length_weights, weighted_accuracy
    group, lead = np.concatenate([some.group for some in pairs]), np.concatenate([leads(some, texts) for some in pairs])
    characters = np.concatenate([[len(texts[i]) - len(texts[j]) for i, j in zip(some.better, some.worse)] for some in pairs])
    (marks_b, marks_w), (opens_b, opens_w) = ([np.concatenate(side) for side in zip(*(of_each(some, texts, rule) for some in pairs))] for rule in (marks, opens))
    parts = dict(longer_wins=lead > 0, longer_loses=lead < 0, like_length=np.abs(lead) < LIKE_LENGTH, lists_lose=marks_w > marks_b, lists_win=marks_b > marks_w,
                 opening_loses=opens_w & ~opens_b, opening_wins=opens_b & ~opens_w)
    weights = length_weights(characters)
    return by_part(right, group, parts) | dict(matched={name: weighted_accuracy(row, group, weights) for name, row in right.items()})


def look(name: str, model: str, asked: list[tuple], seeds: list[Seed], texts: list, cut: np.ndarray, floors: dict, temperature: dict) -> dict:
    "All figures of one set, or of several together: asked are (pairs, model) of each"
    from custom_rm.metrics import accuracy_figures, bootstrap_interval, by_agreement, correctness, ensemble_figures, error_class, seed_agreement
    pairs, group = [some for some, _ in asked], np.concatenate([some.group for some, _ in asked])
    margins = np.array([np.concatenate([seed.margin(some, which) for some, which in asked]) for seed in seeds])
    scaled = np.array([np.concatenate([seed.margin(some, which) / temperature[which][n] for some, which in asked]) for n, seed in enumerate(seeds)])
    right = dict(model=correctness(margins).mean(0)) | {floor: np.concatenate([floors[some.name][floor] for some in pairs]) for floor in ("longer", "bag_of_words")
                                                       if all(floor in floors[some.name] for some in pairs)}
    confidence = (1 / (1 + np.exp(-np.abs(scaled)))).mean(0)
    out = dict(set=name, model=model) | accuracy_figures(right["model"], group) | dict(floors={floor: accuracy_figures(row, group) for floor, row in right.items() if floor != "model"})
    if "bag_of_words" in right:
        over = right["model"] - right["bag_of_words"]
        out["over_bag_of_words"] = dict(zip(("difference", "low", "high"), (float(over.mean()), *bootstrap_interval(over, group))))
    out |= dict(temperature={which: temperature[which] for _, which in asked}, before=calibration(margins, group), after=calibration(scaled, group), length=length_and_style(right, pairs, texts))
    made = [classes_of(some, texts, cut, part, floors[some.name]) for some, part in zip(pairs, np.split(confidence, np.cumsum([len(some.group) for some in pairs])[:-1]))]
    names = [key for key in dict.fromkeys(key for one in made for key in one) if all(key in one for one in made) or len({which for _, which in asked}) > 1]
    inside = {key: np.concatenate([one.get(key, np.zeros(len(some.group), bool)) for one, some in zip(made, pairs)]) for key in names}
    out["classes"] = {key: error_class(right["model"], group, which) | {f"inside_{floor}": float(1 - right[floor][which].mean()) for floor in right if floor != "model"}
                      for key, which in inside.items() if which.sum() >= FEWEST}
    unnamed = ~np.any([which for key, which in inside.items() if not key.startswith("written for") and key not in BY_MODELS], axis=0)
    out["unnamed"] = error_class(right["model"], group, unnamed)
    if len(seeds) > 1: out["seeds"] = dict(agreement=seed_agreement(list(margins), group), by_agreement=by_agreement(list(margins), group), ensemble=ensemble_figures(list(margins), group),
                                           accuracy=[float(correctness(row).mean()) for row in margins])
    return out


def evasion(pairs: Pairs, texts: list, seeds: list[Seed], general: str, domains: list[str]) -> dict:
    "Where one answer evades and the other doesn't: how often people, the general model, and the domains' models on average, take the evasive one; by kind of evasion"
    from custom_rm.metrics import accuracy_figures, correctness
    def taken(models, here): return np.mean([np.where(here, right, 1 - right) for seed in seeds for model in models for right in [correctness(seed.margin(pairs, model))]], 0)
    out = {}
    for name, rule in (("evades", evades), ("refuses", refuses), ("asks", asks)):
        here, there = of_each(pairs, texts, rule)
        one = here != there
        if not one.any(): continue
        who = dict(people=here.astype(float), model=taken([general], here), customized=taken(domains, here))
        out[name] = {judge: accuracy_figures(took[one], pairs.group[one]) for judge, took in who.items()}
    return out


def taught(train: dict) -> dict:
    "set → kind of evasion → in how many of the training pairs with one evasive answer it was preferred"
    from custom_rm.metrics import unequal_pairs
    out = {}
    for name, records in train.items():
        answers = [(r["text"][i], r["text"][j]) for r in records for i, j in zip(*unequal_pairs(r["score"]))]
        out[name] = {}
        for kind in (evades, refuses, asks):
            preferred = [kind(better) for better, worse in answers if kind(better) != kind(worse)]
            out[name][kind.__name__] = dict(preferred=float(np.mean(preferred)) if preferred else None, n=len(preferred))
    return out


def cut_texts(texts: list, base: str, max_length: int) -> np.ndarray:
    "Which texts have more tokens than the model reads"
    from transformers import AutoTokenizer
    from custom_rm.core import quietly
    from custom_rm.fetch import fetch_model
    tokenizer = quietly(AutoTokenizer.from_pretrained, fetch_model(base).path)
    return np.array([len(ids) > max_length for ids in tokenizer(texts, verbose=False)["input_ids"]])


def training_records(recipe, sets: dict, whole: bool, work: Path) -> dict:
    "set → what its bag of words is fitted to: all training questions, or those that aren't validation's"
    from custom_rm.records import load_records, to_one_template
    from custom_rm.recipes import find
    from custom_rm.split import split_validation
    from custom_rm.stages import domain_records
    general, custom, template = recipe.general, recipe.custom, recipe.base.template
    found = {name: load_records(find(path), general.rows, template) for name, path in general.train.items()}
    found |= {domain: domain_records(custom.train, domain, work, custom.rows, template) for domain in custom.domains}
    found = {name: to_one_template(records, template)[0] for name, records in found.items() if name in {name for _, name in sets}}
    return found if whole else {name: split_validation(records, recipe.validation)[0] for name, records in found.items()}


def figures(study, strategy: str, sources: list, alpha: float, a) -> dict:
    "What results/study/errors.json holds"
    from custom_rm.stages import Run
    from custom_rm.study import study_sets
    recipe, kept_in = study.recipe_of(strategy), a.folders[0] if (a.folders[0] / "cells").is_dir() else None
    run = Run(recipe, a.work / "sets", again=True)
    run.work.mkdir(parents=True, exist_ok=True)
    domains, part = recipe.custom.domains, "validation" if a.validation else "test"
    asked = study_sets(run)
    sets = {key: records for key, records in asked.items() if key[0] in ("validation", part)}
    texts = list(dict.fromkeys(text for records in sets.values() for record in records for text in record["text"]))
    place, numbers = {text: n for n, text in enumerate(texts)}, {}
    pairs = {key: pairs_of(key[1], records, place, numbers, key[1] in domains) for key, records in sets.items()}
    for (which, name), some in pairs.items(): some.author = authors(some, texts, recipe, which) if some.domain else []
    seeds = [seed_of(seed, runs, alpha, asked, texts, a.device, a.work, kept_in) for seed, runs in sources]
    general = [name for part, name in pairs if part == "validation" and name not in domains]
    temperature = {domain: temperatures(seeds, domain, [pairs["validation", domain]]) for domain in domains}
    temperature["general"] = temperatures(seeds, "general", [pairs["validation", name] for name in general])
    names = [name for which, name in pairs if which == part]
    train = training_records(recipe, sets, part == "test", run.work)
    floors, cut = {name: floors_of(pairs[part, name], texts, train) for name in names}, cut_texts(texts, recipe.base.name, recipe.base.max_length)
    of_general = [name for name in names if name not in domains]
    see = partial(look, seeds=seeds, texts=texts, cut=cut, floors=floors, temperature=temperature)
    found = {name: see(name, name if name in domains else "general", [(pairs[part, name], name if name in domains else "general")]) for name in [*domains, *of_general]}
    found["domains"] = see("domains", "each its own", [(pairs[part, name], name) for name in domains])
    found["general"] = see("general", "general", [(pairs[part, name], "general") for name in of_general])
    found["general, customized"] = see("general", "each domain's", [(pairs[part, name], domain) for domain in domains for name in of_general])
    lessons = taught(training_records(recipe, sets, False, run.work))
    if "harmless" in of_general: found["harmless"]["evasion"] = evasion(pairs[part, "harmless"], texts, seeds, "general", domains)
    about = dict(base=recipe.base.name, strategy=strategy, blend=alpha, seeds=[seed.seed for seed in seeds], part=part, max_length=recipe.base.max_length)
    limits = dict(like_length=LIKE_LENGTH, near_copy=NEAR_COPY, sure=SURE, fewest=FEWEST)
    return about | dict(limits=limits, rules={key: dict(zip(("name", "rule"), rule)) for key, rule in RULES.items()}, sets=found, taught=lessons,
                        weights={str(seed.seed): seed.weights for seed in seeds}, device=seeds[0].device)


def chosen(a):
    "(study, strategy, sources, blend)"
    from custom_rm.study import read_study
    from custom_rm.summary import read_cells, recommend, study_questions
    study, first = read_study(a.study), a.folders[0]
    custom = [name for name in study.strategies if study.measured(name) == "custom"]
    if (first / "cells").is_dir():
        strategy = a.strategy or recommend(read_cells(study, first), study_questions(study, first))
        return study, strategy, study_sources(study, strategy, first), study.recipe_of(strategy).custom.blend
    strategy = a.strategy or custom[0]
    recipe = study.recipe_of(strategy)
    return study, strategy, run_sources(a.folders, recipe.custom.domains), recipe.custom.blend


def rounded(value, digits: int = 5):
    "Figures as they are kept"
    if isinstance(value, dict): return {key: rounded(inner, digits) for key, inner in value.items()}
    if isinstance(value, (list, tuple)): return [rounded(inner, digits) for inner in value]
    return round(value, digits) if isinstance(value, float) else value


def report(out: dict) -> None:
    for name, found in out["sets"].items():
        floors = ", ".join(f"{floor} {row['accuracy']:.3f}" for floor, row in found["floors"].items())
        print(f"\n{name} by {found['model']}: {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}] of {found['n']}; {floors}; "
              + "; ".join(f"ECE {when} {found[when]['ece']:.3f} [{found[when]['low']:.3f}, {found[when]['high']:.3f}] (luck {found[when]['by_chance']:.3f})" for when in ("before", "after")))
        for part, row in found["length"].items(): print(f"  {part:14} n {row['model']['n']:5}  " + ", ".join(f"{judge} {m['accuracy']:.3f}" for judge, m in row.items() if m["n"]))
        for key, row in (found["classes"] | dict(unnamed=found["unnamed"])).items():
            print(f"  {key:26} n {row['n']:4} ({row['questions']} questions)  {row['share']:6.1%} of errors, wrong {row['inside']:.3f} / {row['outside']:.3f}, {100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]")
        for key, row in found.get("seeds", {}).items(): print(f"  {key}: {row}")
        for key, row in found.get("evasion", {}).items(): print(f"  {key}: people {row['people']['accuracy']:.2f}, model {row['model']['accuracy']:.2f}, domains' models {row['customized']['accuracy']:.2f} of {row['people']['n']}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("folders", type=Path, nargs="+", help="a study's folder, or runs' folders, one for each seed")
    p.add_argument("--study", required=True, help="the study's YAML, which names the sets")
    p.add_argument("--strategy", help="the one to look at; the recommended one if not given, or the first that customizes where runs are given")
    p.add_argument("--work", type=Path, default=Path("runs/errors"), help="where rewards are kept")
    p.add_argument("--device", default=None, help="cpu or cuda; the best there is if not given")
    p.add_argument("--validation", action="store_true", help="the questions that classes were found on; nothing is written")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "study" / "errors.json")
    a = p.parse_args()
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    study, strategy, sources, alpha = chosen(a)
    out = rounded(figures(study, strategy, sources, alpha, a)) | dict(versions=versions(), date=str(date.today()))
    report(out)
    if not a.validation: write_report(a.out, out)


if __name__ == "__main__": sys.exit(main())
