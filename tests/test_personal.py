"A person's head: it finds a made-up taste, distrusts priors that lie, and says of itself what is true."
import json
import time

import numpy as np
import pytest

from custom_rm import fetch
from custom_rm.convert import convert, from_votes, vote_rows
from custom_rm.core import DataError
from custom_rm.model import RewardModel
from custom_rm.personal import before_learned, fit_personal, learn_personal, likes
from custom_rm.records import read_json, write_json
from custom_rm.scorer import score_texts
from custom_rm.tiny import sum_text, tiny_base

WIDTH = 64


def votes(n, taste, seed=0, noise=0.):
    "Comparisons of one person: the preferred state minus the other's"
    rng = np.random.default_rng(seed)
    differences = rng.standard_normal((n, WIDTH))
    return differences * np.sign(differences @ taste + noise * rng.standard_normal(n))[:, None]


def right(head, taste):
    "How often a head and a taste agree on what neither has seen"
    new = np.random.default_rng(99).standard_normal((2000, WIDTH))
    return float((np.sign(new @ head) == np.sign(new @ taste)).mean())


@pytest.fixture(scope="module")
def taste(): return np.random.default_rng(7).standard_normal(WIDTH) / 8


def near(taste, much=.5, seed=3): return taste + much * np.random.default_rng(seed).standard_normal(WIDTH) / 8


def test_finds_a_taste(taste):
    found = fit_personal(votes(300, taste), np.arange(300), {})
    assert right(found.weights, taste) > .85 and abs(found.accuracy - right(found.weights, taste)) < .08
    assert (found.prior, found.comparisons, found.questions) == ("nothing", 300, 300)


@pytest.mark.parametrize("n", [5, 20])
def test_few_votes_take_the_near_prior(taste, n):
    "A prior that is right is worth hundreds of votes; one that lies costs nothing"
    alone = right(fit_personal(votes(n, taste), np.arange(n), {}).weights, taste)
    helped = fit_personal(votes(n, taste), np.arange(n), dict(near=near(taste), lie=-taste))
    assert right(helped.weights, taste) > max(alone + .1, .75)


def test_a_lie_is_not_trusted(taste):
    "A prior that says the opposite is believed for five votes, and after twenty does no harm"
    for n in (20, 40):
        both = [right(fit_personal(votes(n, taste, seed), np.arange(n), priors).weights, taste) for priors in ({}, dict(lie=-taste)) for seed in range(5)]
        assert np.mean(both[5:]) > np.mean(both[:5]) - .02


def test_a_mixture_of_either_sign(taste):
    "Two heads of which only the difference is the taste"
    one = np.random.default_rng(5).standard_normal(WIDTH)
    found = fit_personal(votes(30, taste), np.arange(30), dict(one=one + taste * 4, other=one - taste * 4))
    assert found.shares["mixture"] > .3 and right(found.weights, taste) > .8


def test_flipped_labels_are_no_better_than_a_coin(taste):
    for n in (20, 40): assert right(fit_personal(-votes(n, taste), np.arange(n), dict(near=near(taste))).weights, taste) < .5
    assert right(fit_personal(-votes(300, taste), np.arange(300), {}).weights, taste) < .15


def test_nothing_to_find():
    "Votes at random: accuracy about a half, and it says so"
    rng = np.random.default_rng(1)
    found = fit_personal(rng.standard_normal((100, WIDTH)), np.arange(100), dict(any=rng.standard_normal(WIDTH)))
    assert abs(found.accuracy - .5) < .16 and found.surprise > .65


def test_one_question_only(taste):
    "What cannot be left out is asked of the start alone"
    found = fit_personal(votes(6, taste), np.zeros(6, int), {})
    assert found.accuracy == .5 and abs(found.surprise - np.log(2)) < 1e-9 and found.questions == 1 and np.isfinite(found.weights).all()
    assert fit_personal(votes(6, taste), np.zeros(6, int), dict(near=near(taste))).prior == "near"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_hardly_any_votes(taste, n):
    found = fit_personal(votes(n, taste), np.arange(n), dict(near=near(taste)))
    assert np.isfinite(found.weights).all() and np.isfinite([found.accuracy, found.surprise]).all()


def test_what_answers_differ_in_helps():
    "A taste that lies where answers differ much is found with fewer votes when all pairs are known, judged or not"
    from custom_rm.personal import root_of
    size = np.r_[np.full(4, 4.), np.full(WIDTH - 4, .5)]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0] # so that no single number tells
    def states(n, seed): return (np.random.default_rng(seed).standard_normal((n, WIDTH)) * size) @ turn
    taste, new, root = turn[0] - turn[1], states(1000, 9), root_of(states(500, 8))
    def agrees(root):
        differences = states(20, 1) * np.sign(states(20, 1) @ taste)[:, None]
        return (np.sign(new @ fit_personal(differences, np.arange(20), {}, root).weights) == np.sign(new @ taste)).mean()
    assert agrees(root) > agrees(None) + .01


def test_the_same_every_time(taste):
    data = votes(250, taste), np.arange(250) // 2, dict(near=near(taste), lie=-taste)
    one, two = fit_personal(*data), fit_personal(*data)
    assert np.array_equal(one.weights, two.weights) and one.prior == two.prior
    assert np.array_equal(before_learned(data[0][:40], data[1][:40], data[2]), before_learned(data[0][:40], data[1][:40], data[2]))


def test_scale_of_states_is_no_matter(taste):
    "Numbers of a state that are a thousand times larger than others don't drown them"
    size = np.where(np.arange(WIDTH) < 3, 1000., 1.)
    plain = fit_personal(votes(80, taste), np.arange(80), dict(near=near(taste)))
    large = fit_personal(votes(80, taste) * size, np.arange(80), dict(near=near(taste) / size))
    assert abs(right(plain.weights, taste) - right(large.weights * size, taste)) < .02


def test_many_votes_and_few_agree(taste):
    "Where comparisons are many the head is found another way, and is the same"
    from custom_rm.personal import _heads, _large_head, _reach, _settings, _settle, _starts, root_of
    differences = votes(120, taste, noise=1)
    for root in (np.ones(WIDTH), root_of(votes(400, taste, 5))):
        starts = _starts(differences, dict(near=near(taste), other=near(taste, 1, 4)))
        reach = _reach(differences, root)
        kernels, means, names = _settings(differences, reach, starts)
        for n, added in enumerate(_settle(kernels, means)):
            if names[n][1] not in (10000., 100.): continue
            few, many = _heads(differences, reach, root, [(*names[n], added)])[0], _large_head(differences, root, *names[n])
            assert np.abs(few - many).max() < 2e-2 * np.abs(few).max(), names[n]
    many = fit_personal(votes(220, taste, noise=1), np.arange(220), dict(near=near(taste)))
    assert right(many.weights, taste) > .75


def test_left_out_is_left_out(taste):
    "Margins of questions left out, one step away, are near those of heads that were fitted without them"
    from custom_rm.personal import _left_out, _settings, _settle, _spread, _starts
    differences, groups = votes(24, taste, noise=1), np.arange(24) // 3
    kernels, means, _ = _settings(differences, differences / _spread(differences), _starts(differences, dict(near=near(taste))))
    quick = _left_out(kernels, means, _settle(kernels, means), groups)
    for group in range(8):
        seen, away = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        added = _settle(kernels[:, seen[:, None], seen], means[:, seen])
        slow = means[:, away] + np.einsum("sij,sj->si", kernels[:, away[:, None], seen], added)
        assert np.abs(quick[:, away] - slow).max() < .15 * max(1, np.abs(slow).max())


def test_before_learned_has_not_learned(taste):
    "The margin of a vote is that of a head fitted to the votes before it, on other questions"
    differences, groups = votes(30, taste), np.arange(30) // 2
    margins = before_learned(differences, groups, dict(near=near(taste)))
    assert len(margins) == 30 and margins[0] == margins[1] == 0 and np.isfinite(margins).all() # a question of their own
    changed = differences.copy()
    changed[28:] *= -1
    assert np.allclose(before_learned(changed, groups, dict(near=near(taste)))[:28], margins[:28], atol=1e-6)
    assert np.allclose(before_learned(changed, groups, dict(near=near(taste)))[28:], -margins[28:], atol=1e-6)
    assert (margins > 0).mean() > .7 and len(before_learned(np.zeros((0, WIDTH)), np.zeros(0), {})) == 0


def test_refusals(taste):
    for differences, priors, said in ((np.zeros((0, WIDTH)), {}, "no comparison"), (np.full((3, WIDTH), np.nan), {}, "finite"),
                                      (votes(3, taste), dict(old=np.zeros(9)), "'old' is not 64 finite numbers"), (votes(3, taste), dict(old=taste * np.inf), "'old'")):
        with pytest.raises(DataError, match=said): fit_personal(differences, np.arange(len(differences)), priors)


def test_in_time():
    "A usable head well under a second after the fortieth vote; generous here, where others compute too"
    rng = np.random.default_rng(0)
    for n, most in ((40, 2.), (1000, 8.)):
        differences, start = rng.standard_normal((n, 576)), time.perf_counter()
        fit_personal(differences, np.arange(n), dict(a=rng.standard_normal(576), b=rng.standard_normal(576)))
        assert time.perf_counter() - start < most


# Likes

def test_likes_says_what_stands_out():
    rng = np.random.default_rng(0)
    words = "alpha beta gamma delta epsilon zeta".split()
    def answer(loud): return " ".join(rng.choice(words, rng.integers(5, 20))) + ("!" if loud else ".")
    chosen, rejected = [answer(rng.random() < .8) for _ in range(60)], [answer(rng.random() < .2) for _ in range(60)]
    found = likes(chosen, rejected)
    assert found.pulls[0].name == "exclamation marks" and found.pulls[0].sure() and "exclamation marks" in found.said
    assert likes(chosen[:5], rejected[:5]).said.startswith("Too early") and likes([], []).pulls == []
    assert likes(chosen, chosen).said.startswith("Too early")


def test_likes_is_not_fooled():
    "Of people who vote at random hardly one is told a taste; one question asked often counts once"
    rng, said = np.random.default_rng(1), 0
    words = [f"word{chr(97 + i)}" for i in range(20)]
    for _ in range(20):
        both = [[" ".join(rng.choice(words, rng.integers(5, 40))) for _ in range(40)] for _ in range(2)]
        said += not likes(*both).said.startswith("Too early")
    assert said <= 3
    assert likes(["a!"] * 50, ["a."] * 50, np.zeros(50)).said.startswith("Too early")


def test_longer_answers_do_not_make_words_likes():
    "Somebody who only likes length is told length, not the words that long answers have"
    rng = np.random.default_rng(2)
    words = [f"word{chr(97 + i)}" for i in range(20)]
    both = [[" ".join(rng.choice(words, rng.integers(5, 40))) for _ in range(60)] for _ in range(2)]
    pairs = [sorted(pair, key=len) for pair in zip(*both)]
    found = likes([b for _, b in pairs], [a for a, _ in pairs])
    assert [pull.name for pull in found.pulls if pull.sure()] == ["length"]


# With a reward model

@pytest.fixture(scope="module")
def small(tmp_path_factory):
    place = tmp_path_factory.mktemp("personal")
    loud = [dict(text=[sum_text(i, f"It is {i + 1}!"), sum_text(i, f"It is {i + 1}.")], score=[1, 0]) for i in range(16)]
    rm = RewardModel(tiny_base(place / "tiny", [loud[0]["text"][0]] * 9), quantize=False, device="cpu").add_adapter("base")
    return rm.remember(place / "states"), loud


def test_learn_personal(small):
    rm, loud = small
    learn_personal(rm, loud, "everybody")
    against = [dict(vote, score=[0, 1]) for vote in loud[:4]]
    found = learn_personal(rm, [*against, dict(loud[5], score=[1, 1])], "mine", ["everybody"])
    assert found.comparisons == 4 and rm.active == "mine"
    liked, other = score_texts(rm, [sum_text(41, "It is 42!"), sum_text(41, "It is 42.")])
    assert other > liked
    with pytest.raises(DataError, match="can't start from itself"): learn_personal(rm, loud, "mine", ["mine"])
    with pytest.raises(DataError, match="no comparison"): learn_personal(rm, [dict(loud[0], score=[1, 1])], "third")
    assert "third" not in rm.adapters
    with pytest.raises(DataError): learn_personal(rm, loud, "third", ["nobody"])
    assert "third" not in rm.adapters


def test_priors_of_different_trunks(small):
    rm, loud = small
    if "bent" not in rm.adapters:
        bent = {key: value + .1 if "lora_B" in key else value for key, value in rm.weights("base").items()}
        rm.add_adapter("bent").set_weights("bent", bent)
    with pytest.raises(DataError, match="read different states"): learn_personal(rm, loud, "new", ["base", "bent"])
    assert "new" not in rm.adapters


# Votes as published

UKP = """<list><annotatedArgumentPair><id>a_b</id><arg1><text>Yes &amp; no</text><stance>yes</stance><id>a</id></arg1><arg2><text>No</text><stance>yes</stance>
<id>b</id></arg2><debateMetaData><title>Tea?</title></debateMetaData><mTurkAssignments><mTurkAssignment><turkID>Ann</turkID><value>a2</value></mTurkAssignment>
<mTurkAssignment><turkID>Bob</turkID><value>equal</value></mTurkAssignment></mTurkAssignments></annotatedArgumentPair></list>"""


@pytest.fixture
def crowd(tmp_path):
    (tmp_path / "ukp").mkdir()
    (tmp_path / "llmfao").mkdir()
    (tmp_path / "ukp" / "tea_yes.xml").write_text(UKP)
    (tmp_path / "llmfao" / "pairs-crowd.jsonl").write_text(json.dumps(dict(id=7, slug="sky", text="Why?", result_x="So.", result_y="")) + "\n")
    (tmp_path / "llmfao" / "crowd-comparisons.csv").write_text("id,winner,worker\n7,right,Ann\n7,tie,Bob\n7,left,Ann\n")
    return tmp_path


def test_votes_as_published(crowd):
    convert(crowd / "ukp", crowd / "ukp.jsonl")
    first, second = (record for _, record in read_json(crowd / "ukp.jsonl"))
    assert first["score"] == [0, 1] and second["score"] == [.5, .5] and (first["person"], first["topic"]) == ("Ann", "tea_yes")
    assert first["text"] == ["## Human:\nTea?\nyes\n\n## Assistant:\nYes & no", "## Human:\nTea?\nyes\n\n## Assistant:\nNo"]
    told = convert(crowd / "llmfao", crowd / "llmfao.jsonl")
    assert (told.records, told.ties, told.comparisons, told.people) == (3, 1, 2, dict(Ann=2, Bob=1))


def test_votes_beside_texts(crowd):
    write_json(crowd / "x.texts.jsonl", [dict(id="1", text="A", question="Q?", stance="s"), dict(id="2", text="B", question="Q?", stance="s")])
    write_json(crowd / "x.votes.jsonl", [dict(topic="t", a="1", b="2", better=better, person="p") for better in ("a", "b", None)])
    assert [record["score"] for _, record in from_votes(crowd / "x.votes.jsonl")] == [[1, 0], [0, 1], [.5, .5]]
    assert next(from_votes(crowd / "x.votes.jsonl"))[1]["text"][0] == "## Human:\nQ?\ns\n\n## Assistant:\nA"
    write_json(crowd / "x.votes.jsonl", [dict(topic="t", a="1", b="3", better="a", person="p")])
    with pytest.raises(DataError, match="names a text"): list(from_votes(crowd / "x.votes.jsonl"))
    write_json(crowd / "x.votes.jsonl", [dict(topic="t", a="1", b="2", better="c", person="p")])
    with pytest.raises(DataError, match='verdict "c"'): list(from_votes(crowd / "x.votes.jsonl"))
    assert vote_rows(crowd / "x.csv") is None and vote_rows(crowd) is None


@pytest.mark.parametrize("file, text, said", [
    ("ukp/tea_yes.xml", UKP.replace("<title>Tea?</title>", ""), "has no debateMetaData/title"), ("ukp/tea_yes.xml", UKP[:-9], "broken XML"),
    ("ukp/tea_yes.xml", UKP.replace("equal", "both"), 'verdict "both"'), ("llmfao/crowd-comparisons.csv", "id,winner,worker\n8,left,Ann\n", "pair 8 is not in"),
    ("llmfao/crowd-comparisons.csv", "id,winner\n7,left\n", "no column says who voted")])
def test_faulty_votes(crowd, file, text, said):
    (crowd / file).write_text(text)
    with pytest.raises(DataError, match=said): list(vote_rows((crowd / file).parent))


def test_fetch_counts(crowd, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "VOTE_SETS", dict(llmfao=fetch.VoteSet("none", ("pairs-crowd.jsonl", "crowd-comparisons.csv"), 3, 2)))
    for mirror in (crowd, crowd / "llmfao"): assert fetch.fetch_votes("llmfao", tmp_path / "out", mirror) == tmp_path / "out" / "votes" / "llmfao"
    monkeypatch.setitem(fetch.VOTE_SETS, "llmfao", fetch.VoteSet("none", fetch.VOTE_SETS["llmfao"].files, 4, 2))
    with pytest.raises(DataError, match="holds 3 votes of 2 people, but llmfao was published with 4"): fetch.fetch_votes("llmfao", tmp_path / "out", crowd)
