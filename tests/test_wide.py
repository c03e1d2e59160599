"A reward that weighs the answer's words beside the states: what a few lines of Python say, in every way that texts are scored."
import json

import numpy as np
import pytest
import torch

from custom_rm.artefact import load, read_card
from custom_rm.blend import blend, set_blend
from custom_rm.core import DataError
from custom_rm.evaluate import evaluate
from custom_rm.export import copy_adapter, merge
from custom_rm.heads import fit_head, fit_wide, table
from custom_rm.instant import learn
from custom_rm.model import LoRA, RewardModel, WIDE
from custom_rm.packing import encode
from custom_rm.pooling import BINS, words_of
from custom_rm.recipes import Recipe, fill_settings, read_recipe, recipe_key, to_yaml
from custom_rm.records import write_json
from custom_rm.scorer import score_records, score_texts, score_tokens
from custom_rm.scoring import reward_function, score_file, Scorer
from custom_rm.stages import Run
from custom_rm.tiny import sum_text, TINY_CHAT, tiny_base

ANSWERS = ("Yes.", "No, it is more!!!", "Hm", "", "more more more")
TEXTS = [sum_text(i, answer) for i in range(3) for answer in ANSWERS]

pytestmark = pytest.mark.usefixtures("own_cache")


def random_words(seed, heads=1): return torch.randn(heads, BINS, generator=torch.Generator().manual_seed(seed)) * .3


def model(place, names=("a",), wide=None, bent=True, **more):
    "Adapters whose every weight is random; those of `wide` weigh words"
    rm = RewardModel(place / "tiny", quantize=False, device="cpu", max_length=64, lora=LoRA(4, 8), **more)
    for n, name in enumerate(names):
        rm.add_adapter(name)
        def drawn(key, w): return torch.randn(w.shape, generator=torch.Generator().manual_seed(n + len(key))) * .2
        rm.set_weights(name, {key: drawn(key, w) if bent or "lora" not in key else w for key, w in rm.weights(name).items()})
        if name in (names if wide is None else wide): rm.set_words(name, random_words(n))
    return rm.use(names[0]).eval()


def tokens_of(rm, texts=TEXTS): return encode(texts, rm.tokenizer, rm.max_length, rm.chat)


def words_by_hand(rm, weights, texts=TEXTS):
    "Counted in plain Python, found by CPython's own hash"
    made, out = tokens_of(rm, texts), []
    for ids, start in zip(made["input_ids"], made["response_start"]):
        ids, found = ids[start:], {}
        for gram in [(i,) for i in ids] + list(zip(ids, ids[1:])): found[hash(gram) % BINS] = found.get(hash(gram) % BINS, 0) + 1
        out.append(sum(np.log1p(n) * float(weights[place]) for place, n in found.items()))
    return np.array(out)


def by_hand(rm, name="a", texts=TEXTS):
    "One text at a time through the trunk, and the words beside"
    deep = []
    for ids in tokens_of(rm.use(name), texts)["input_ids"]:
        ids = torch.tensor([ids])
        with torch.no_grad(): states = rm.bare_trunk().base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        deep.append(float((states[-1] if rm.pooling == "last" else states.mean(0)) @ rm.head(name).weight[0].detach()))
    return np.array(deep) + (words_by_hand(rm, rm.wide[name][0], texts) if name in rm.wide else 0)


def close(found, wanted, room=1e-5): assert np.abs(np.asarray(found) - wanted).max() < room, np.abs(np.asarray(found) - wanted).max()


@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_rewards_by_hand(place, tmp_path, pooling, trees):
    "Computed and out of the store, in trees and rectangles, alone and in company, beside adapters that weigh no words"
    rm = model(place, ("a", "b", "plain"), ("a", "b"), bent=False, pooling=pooling, trees=trees)
    want = np.array([by_hand(rm, name) for name in ("a", "b", "plain")])
    assert rm.trees == trees and np.abs(want[0] - want[2]).max() > .1
    close(score_texts(rm.use("a"), TEXTS), want[0])
    close(score_texts(rm, TEXTS, budget=1), want[0])
    close(score_texts(rm, TEXTS[::-1], ["plain", "a"])[:, ::-1], want[[2, 0]])
    records = [dict(text=TEXTS[i:i + 5]) for i in (0, 5, 10)]
    close(np.concatenate(score_records(rm, records)), want[0])
    made = tokens_of(rm)
    batch = [dict(input_ids=made["input_ids"][i:i + 5], response_start=made["response_start"][i:i + 5]) for i in (0, 5, 10)]
    with torch.no_grad(): close(rm(**rm.batch(batch))["rewards"].numpy(), want[0])
    rm.remember(tmp_path)
    for _ in range(2): close(score_texts(rm, TEXTS, ["a", "b", "plain"]), want)
    assert len(rm.pooled.places) == len(TEXTS)


def test_bent_trunks_and_frozen_layers(place, tmp_path):
    rm = model(place, ("a", "b"), ("b",), frozen=1, pooling="mean").remember(tmp_path)
    for name in ("a", "b"):
        for _ in range(2): close(score_texts(rm.use(name), TEXTS), by_hand(rm, name))
    assert rm.below.read


def test_chat_answers(place, tmp_path):
    "The words of the last turn, in the base's own template"
    tiny_base(tmp_path / "tiny", TEXTS, chat=TINY_CHAT)
    rm = model(tmp_path, template="chat")
    chats = [json.dumps([dict(role="user", content="Which?"), dict(role="assistant", content=answer)]) for answer in ("Red", "Red and blue")]
    close(score_texts(rm, chats), by_hand(rm, texts=chats))


def test_states_alone_are_refused(place):
    rm = model(place, ("a", "plain"), ("a",))
    tokens = tokens_of(rm)["input_ids"]
    for call in (lambda: rm.read(torch.zeros(2, rm.width)), lambda: rm(**rm.batch([dict(input_ids=tokens[:2])])), lambda: score_tokens(rm, tokens),
                 lambda: score_tokens(rm, tokens, ["plain", "a"])):
        with pytest.raises(DataError, match="weighs the words of answers too"): call()
    score_tokens(rm.use("plain"), tokens) # which weighs none


def test_saved_and_loaded(place, tmp_path):
    rm = model(place, ("a", "plain"), ("a",))
    want = score_texts(rm, TEXTS, ["a", "plain"])
    for name in ("a", "plain"): rm.use(name).save(tmp_path / name)
    cards = [read_card(tmp_path / name) for name in ("a", "plain")]
    assert cards[0]["words"] == dict(version=1, grams=2, bins=BINS) and cards[0]["format"] == 2
    assert "words" not in cards[1] and cards[1]["format"] == 1 # as every version reads it
    for folders in (("a",), ("plain",), ("a", "plain"), ("plain", "a")):
        again = load(*(tmp_path / f for f in folders), device="cpu")
        for name in folders: close(score_texts(again, TEXTS, [name])[0], want[["a", "plain"].index(name)], 1e-6)
        assert set(again.wide) == {"a"} & set(folders)


def test_an_earlier_version_refuses(place, tmp_path):
    "It knows no such weight, and an adapter took only what it knew"
    from safetensors.torch import load_file
    rm = model(place, ("a", "plain"), ())
    known = set(rm.weights("a"))
    rm.set_words("a", random_words(0))
    rm.save(tmp_path / "a")
    assert set(load_file(tmp_path / "a" / "adapter_model.safetensors")) - known == {WIDE}


@pytest.mark.parametrize("change, says", [
    (dict(format=4), "is of format 4, which this version of custom_rm doesn't know; update"),
    (dict(words=dict(version=2, grams=3, bins=BINS)), "counts words by .* update custom_rm"),
    (dict(words=None), "says that words are not weighed, and adapter_model.safetensors has weights of words"),
])
def test_cards_that_say_otherwise(place, tmp_path, change, says):
    model(place).save(tmp_path / "a")
    card = json.loads((tmp_path / "a" / "reward_model.json").read_text())
    (tmp_path / "a" / "reward_model.json").write_text(json.dumps({k: v for k, v in (card | change).items() if v is not None}))
    with pytest.raises(DataError, match=says): load(tmp_path / "a", device="cpu")


def test_weights_that_are_none_of_words(place):
    rm = model(place)
    weights = rm.weights("a")
    with pytest.raises(DataError, match=r"words.weight has the shape \(1, 7\) and should have \(1, 262144\)"): rm.set_weights("a", weights | {WIDE: torch.ones(1, 7)})
    rm.set_weights("a", {key: w for key, w in weights.items() if key != WIDE})
    assert not rm.wide
    rm.set_words("a", torch.zeros(1, BINS)) # says nothing
    assert not rm.wide


def test_names_that_come_back(place):
    "An adapter that gets the name of one that is gone weighs no words"
    rm = model(place, ("a", "b"))
    rm.use("b").trunk.delete_adapter("a")
    rm.adapters.remove("a")
    assert "a" not in rm.add_adapter("a").wide and "c" in rm.add_adapter("c", like="b").wide
    rm.set_words("c", None)
    assert "b" in rm.wide


def test_several_heads(place):
    "Copies of a head copy its words, and each head that is split off keeps its own"
    rm = model(place)
    want = score_texts(rm, TEXTS)
    rm.add_adapter("both", like="a").widen(2)
    rm.set_words("both", torch.cat([random_words(0), -random_words(0)]))
    made = tokens_of(rm)
    with torch.no_grad(): wide = rm(**rm.batch([dict(input_ids=made["input_ids"], response_start=made["response_start"])]))["rewards"]
    assert wide.shape == (len(TEXTS), 2)
    rm.split_heads(["likes", "dislikes"])
    found = score_texts(rm, TEXTS, ["likes", "dislikes"])
    close(found[0], want)
    close(found, wide.T.numpy())


def test_blends(place, tmp_path):
    "On a trunk that nothing bends, the blend's rewards are the blended rewards, whichever of the two weighs words"
    rm = model(place, ("a", "b", "plain"), ("a", "b"), bent=False)
    ends = dict(zip(rm.adapters, score_texts(rm, TEXTS, rm.adapters)))
    for one, other in (("a", "b"), ("a", "plain"), ("plain", "a")):
        for alpha in (0, .3, 1): close(score_texts(set_blend(rm, one, other, alpha), TEXTS), (1 - alpha) * ends[one] + alpha * ends[other])
    for name in ("a", "plain"): rm.use(name).save(tmp_path / name)
    blend(tmp_path / "plain", tmp_path / "a", tmp_path / "half", .5, "cpu")
    close(score_texts(load(tmp_path / "half", device="cpu"), TEXTS), (ends["a"] + ends["plain"]) / 2)
    blend(tmp_path / "plain", tmp_path / "a", tmp_path / "none", 0, "cpu")
    assert "words" not in read_card(tmp_path / "none")


def test_exports_say_what_to_do(place, tmp_path):
    rm = model(place, pooling="last")
    rm.save(tmp_path / "a")
    for export in (merge, copy_adapter):
        with pytest.raises(DataError, match="serve it with `custom-rm serve`, or train it with words: false"): export(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    rm.set_words("a", None)
    rm.save(tmp_path / "b")
    assert merge(tmp_path / "b", tmp_path / "out", texts=TEXTS, device="cpu")["share"] < 1e-3


def test_every_way_out_says_the_same(place, tmp_path):
    from custom_rm.serve import create_app
    from starlette.testclient import TestClient
    rm = model(place, ("a", "plain"), ("a",))
    want = {name: by_hand(rm, name) for name in rm.adapters}
    for name in rm.adapters: rm.use(name).save(tmp_path / "rms" / name)
    asked = [dict(prompt=f"What is {i} plus one?", responses=list(ANSWERS)) for i in range(3)]
    folders = [tmp_path / "rms" / name for name in ("plain", "a")]
    scorer = Scorer.load(folders, device="cpu")
    close(scorer.score(TEXTS, names=["a"]), want["a"])
    close(np.concatenate([scorer.score(**question, names=["a"]) for question in asked]), want["a"])
    with TestClient(create_app(folders, "cpu")) as client:
        said = [client.post("/rank", json=question).json() for question in asked]
        for name in ("plain", "a"): close(np.concatenate([row[name]["rewards"] for row in said]), want[name])
    judge = reward_function(tmp_path / "rms" / "a", device="cpu")
    close(judge([asked[1]["prompt"]] * 2, list(ANSWERS[:2])), want["a"][5:7])
    write_json(tmp_path / "asked.jsonl", asked)
    score_file(Scorer.load(tmp_path / "rms" / "a", device="cpu"), tmp_path / "asked.jsonl", tmp_path / "out.jsonl") # what the verb calls
    close(np.concatenate([json.loads(line)["rewards"] for line in open(tmp_path / "out.jsonl")]), want["a"])
    records = [dict(text=TEXTS[i:i + 5], score=want["a"][i:i + 5].tolist()) for i in (0, 5, 10)]
    assert evaluate(load(tmp_path / "rms" / "a", device="cpu"), dict(own=records))["a"]["own"]["accuracy"] == 1


def made_recipe(folder, name="sums", base=None, general=None, custom=None, **more):
    "A recipe over the tiny preferences; both stages fit heads"
    base = dict(name=str(folder / "tiny"), max_length=64, quantize=False, template="dsp", pooling="mean") | (base or {})
    general = dict(train=dict(sums=str(folder / "general.train.json")), test=dict(sums=str(folder / "general.test.json")), method="head") | (general or {})
    custom = dict(domains=["loud"], train=str(folder / "domains.train.json"), test=str(folder / "domains.test.json"), method="head") | (custom or {})
    return fill_settings(Recipe, dict(name=name, base=base, lora=dict(rank=4, alpha=8), general=general, custom=custom) | more, "")


def written(folder, pairs):
    "Files of comparisons, the first text of each pair the better one"
    for part, some in (("train", pairs[:60]), ("test", pairs[60:])): write_json(folder / f"own.{part}.json", [dict(text=list(pair), score=[1, 0]) for pair in some])
    return dict(train=dict(own=str(folder / "own.train.json")), test=dict(own=str(folder / "own.test.json")))


def accuracy(place, tmp_path, pairs, words, **base):
    run = Run(made_recipe(place, base=base, general=written(tmp_path, pairs) | dict(words=words), custom=dict(domains=[])), tmp_path / f"run{words}", "cpu", lambda line: None)
    rm, sets = run.train(), run.test_sets()
    again = load(tmp_path / f"run{words}" / "general", device="cpu")
    texts = [text for record in sets["own"] for text in record["text"]]
    close(score_texts(again, texts), score_texts(rm.use("general"), texts))
    return evaluate(rm, sets, ["general"])["general"]["own"]["accuracy"], read_card(tmp_path / f"run{words}" / "general")


NAMES = ["Ann", "Bob", "Cy", "Dee", "Eve", "Fay", "Gus", "Hal", "Ike"]


def test_what_only_words_tell(place, tmp_path):
    "A decoder's first token has seen nothing of the answer, so all states are one"
    pairs = [(sum_text(i, f"{NAMES[i % 9]} says so, therefore it is {i + 1}."), sum_text(i, f"{NAMES[i % 7]} says so, perhaps it is {i + 1}.")) for i in range(90)]
    pairs = [pair[::-1] if i % 2 else pair for i, pair in enumerate(pairs)] # which is better stands in no order …
    pairs = [pair if "therefore" in pair[0] else pair[::-1] for pair in pairs]
    blind, _ = accuracy(place, tmp_path, pairs, False, pooling="first")
    seeing, card = accuracy(place, tmp_path, pairs, True, pooling="first")
    assert blind == .5 and seeing > .95
    assert card["words"]["bins"] == BINS and card["head"]["accuracy"] > .9


def test_what_only_states_tell(place, tmp_path):
    "Two answers with the same tokens and the same pairs of neighbours, in another order"
    pairs = [(sum_text(i, "abaca"), sum_text(i, "acaba")) for i in range(90)]
    rm = model(place)
    made = tokens_of(rm, list(pairs[0]))
    one, other = words_of(made["input_ids"], made["response_start"]).counts
    assert made["input_ids"][0] != made["input_ids"][1] and torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    seeing, card = accuracy(place, tmp_path, pairs, True, pooling="last")
    assert seeing > .95 and "words" not in card # they said nothing, so they weigh nothing


def test_fitted_by_hand():
    "Two parts that each tell half of the votes: together they are better than either, and nearly as good as the taste itself"
    rng = np.random.default_rng(0)
    taste, likes, n, seen = np.array([2., -1, 1, 0]), 3 * rng.normal(size=20), 500, 200
    states, marks = rng.normal(size=(n, 4)), rng.integers(0, 20, (2 * n, 4))
    texts = words_of(marks.tolist(), [0] * (2 * n))
    counts = table(texts)
    assert counts.shape == (2 * n, BINS) and np.allclose(counts[:3].toarray().sum(1), [float(values.sum()) for _, values in texts.counts[:3]])
    own = np.log1p([[(row == token).sum() for token in range(20)] for row in marks]) @ likes
    margin = states @ taste + own[0::2] - own[1::2]
    sign = np.where(rng.random(n) < 1 / (1 + np.exp(-margin)), 1, -1)
    states, said, margin = states * sign[:, None], (counts[0::2] - counts[1::2]).multiply(sign[:, None]).tocsr(), margin * sign
    found, alone = fit_wide(states[:seen], said[:seen], np.arange(seen) // 2), fit_head(states[:seen], np.arange(seen) // 2)
    words, both = said[seen:] @ found.words, states[seen:] @ found.weights + said[seen:] @ found.words
    deep, words, both, best = (float((margins > 0).mean()) for margins in (states[seen:] @ alone.weights, words, both, margin[seen:]))
    assert both > max(deep, words) + .02 and both > best - .1 and abs(found.accuracy - both) < .1, (deep, words, both, best, found.accuracy)


def test_nothing_that_words_could_say(place):
    "Answers of the same tokens: no words, and the head is the one that would be fitted alone"
    rng = np.random.default_rng(0)
    from scipy.sparse import csr_matrix
    states, groups = rng.normal(size=(60, 4)) + [1, 0, 0, 0], np.arange(60) // 2
    found = fit_wide(states, csr_matrix((60, BINS)), groups)
    alone = fit_head(states, groups).weights
    assert not found.words.any() and float(found.weights @ alone / np.linalg.norm(found.weights) / np.linalg.norm(alone)) > .999


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_votes(n):
    rng = np.random.default_rng(0)
    counts = table(words_of(rng.integers(0, 20, (2 * n, 6)).tolist(), [0] * (2 * n)))
    found = fit_wide(rng.normal(size=(n, 4)), counts[0::2] - counts[1::2], np.arange(n))
    assert np.isfinite(found.weights).all() and np.isfinite(found.words).all() and found.comparisons == n
    with pytest.raises(DataError, match="no comparison of unequal scores"): fit_wide(np.zeros((0, 4)), counts[:0], np.arange(0))


def test_from_a_prior_that_weighs_words(place):
    "Who weighs no words himself keeps those he starts from, and his head is fitted to what they leave open"
    rm = model(place, ("everybody",), pooling="mean", bent=False)
    votes = [dict(text=[sum_text(i, "It is so!!!"), sum_text(i, "It is so...")], score=[1, 0]) for i in range(9)]
    for words in (False, True):
        learn(rm, votes, f"mine {words}", "everybody", words)
        loud, quiet = score_texts(rm, [sum_text(9, "It is so!!!"), sum_text(9, "It is so...")])
        assert loud > quiet and f"mine {words}" in rm.wide
    assert torch.equal(rm.wide["mine False"], rm.wide["everybody"]) and not torch.equal(rm.wide["mine True"], rm.wide["everybody"])
    learn(rm, votes, "mine True") # again, from nothing and without words
    assert "mine True" not in rm.wide
    close(score_texts(rm, TEXTS), by_hand(rm, "mine True"))


def test_votes(place, tmp_path):
    rm = model(place, ("base",), (), bent=False, pooling="mean").remember(tmp_path)
    votes = [dict(text=[sum_text(i, f"{NAMES[i]} so, yes"), sum_text(i, f"{NAMES[i]} so, no")], score=[1, 0]) for i in range(9)]
    found = learn(rm, votes, words=True)
    close(score_texts(rm, TEXTS), by_hand(rm, "mine"))
    assert found.questions == 9 and found.words.shape == (BINS,) and set(found.figures()) >= {"strength", "accuracy", "surprise", "comparisons", "questions", "words_strength"}
    rm.save(tmp_path / "mine", head=found.figures())
    close(score_texts(load(tmp_path / "mine", device="cpu"), TEXTS), by_hand(rm, "mine"))


def test_lora_on_top_of_words(place, tmp_path):
    "A stage that trains layers keeps the words of the model that it grows from; joint heads each have them, and so do those held to it"
    custom = dict(method="lora", learning_rate=5e-3, replay=.5, domains=["loud", "quiet"], rows=6)
    for sharing, more in (("apart", dict(anchoring=.1)), ("joint", {})):
        run = Run(made_recipe(place, general=dict(words=True, rows=6, test={}), custom=custom | dict(sharing=sharing) | more), tmp_path / sharing, "cpu", lambda line: None)
        rm = run.train()
        for name in ("loud", "quiet"):
            assert torch.equal(rm.wide[name], rm.wide["general"]) and not rm.is_plain(name)
            close(score_texts(load(tmp_path / sharing / name, device="cpu"), TEXTS), by_hand(rm, name))


def test_recipes(place, tmp_path):
    recipe = made_recipe(place, custom=dict(words=True))
    (tmp_path / "r.yaml").write_text(to_yaml(recipe))
    assert read_recipe(tmp_path / "r.yaml").custom.words and not read_recipe(tmp_path / "r.yaml").general.words
    assert "words: true # weigh the answer's words too" in to_yaml(recipe)
    with pytest.raises(DataError, match="custom.words is true, .* set custom.method to head, or words to false"): made_recipe(place, custom=dict(words=True, method="lora"))
    with pytest.raises(DataError, match="custom.words: is 1; give a value of kind bool"): made_recipe(place, custom=dict(words=1))
    plain = made_recipe(place)
    assert recipe_key(plain, 0) != recipe_key(recipe, 0)
    from custom_rm import recipes
    assert "custom.words" not in recipes.flat(recipes._counting_settings(plain)) # so its key is what it was before there were words


def test_words_on_and_off_again(place, tmp_path):
    "The stage that the setting belongs to is made anew, and what grows from it"
    def go(general, custom):
        recipe = made_recipe(place, general=dict(words=general, rows=8), custom=dict(words=custom, rows=8))
        run = Run(recipe, tmp_path / "run", "cpu", said.append, again=True)
        stale = {name for name in ("general", "loud") if (tmp_path / "run" / name).exists() and run.changes(name, read_card(tmp_path / "run" / name))}
        rm = run.train()
        for name in ("general", "loud"): close(score_texts(load(tmp_path / "run" / name, device="cpu"), TEXTS), by_hand(rm, name))
        return stale, {name for name in ("general", "loud") if name in rm.wide}
    said = []
    assert go(False, True) == (set(), {"loud"}) and any("words and pairs" in line for line in said)
    assert go(False, True) == (set(), {"loud"})
    assert go(False, False) == ({"loud"}, set())
    stale, wide = go(True, False)
    assert "general" in stale and wide == {"general", "loud"} # loud keeps what it grows from
    with pytest.raises(DataError, match="general.words differs"): Run(made_recipe(place, general=dict(rows=8), custom=dict(rows=8)), tmp_path / "run", "cpu", said.append)
