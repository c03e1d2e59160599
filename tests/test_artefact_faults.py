"What was edited, damaged or confused in artefacts is refused in one line, or does no harm; never another reward without a word."
import json, shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from custom_rm.artefact import load, questions_file, read_card, trained_on
from custom_rm.blend import blend, check_grown
from custom_rm.core import DataError
from custom_rm.export import copy_adapter, merge
from custom_rm.model import RewardModel
from custom_rm.scorer import score_texts
from custom_rm.scoring import Scorer
from custom_rm.tiny import sum_text, tiny_base

TEXTS = [sum_text(i, answer) for i in range(3) for answer in (f"It is {i+1}.", f"It is {i+1}!!!", "No idea...")]
LEARNED = [sum_text(i, f"It is {i+1}!!! No idea...") for i in range(9)]


def unsettle(rm, seed):
    torch.manual_seed(seed)
    for p in rm.parameters():
        if p.requires_grad: p.data.add_(torch.randn_like(p) * .1)
    return rm


def family(home, base, name, seed):
    "A run's artefacts: general, loud and quiet"
    rm = RewardModel(str(base), quantize=False, max_length=64, device="cpu")
    unsettle(rm.add_adapter("general"), seed).save(home / name / "general", questions_file({b"question"}), parent=dict(name="base"))
    parent = dict(name="general", weights_sha256=read_card(home / name / "general")["weights_sha256"])
    for i, domain in enumerate(("loud", "quiet"), 1):
        rm.add_adapter(domain, like="general").use(domain)
        unsettle(rm, seed + i).save(home / name / domain, questions_file({b"question"}), parent=parent, data={"d.json": "0" * 64})
    unsettle(rm.add_adapter("fresh").use("fresh"), seed + 9).save(home / name / "fresh", parent=dict(name="base"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("faults")
    tiny_base(home / "base", LEARNED)
    for name, seed in (("r", 0), ("s", 50)): family(home, home / "base", name, seed)
    blend(home / "r/general", home / "r/loud", home / "r/bl", .5, "cpu")
    blend(home / "r/general", home / "r/bl", home / "r/bl2", .5, "cpu")
    blend(home / "r/bl", home / "r/loud", home / "r/bl3", .5, "cpu")
    blend(home / "r/general", home / "r/fresh", home / "r/blf", .5, "cpu")
    return home


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made, tmp_path / "h")
    for card in (tmp_path / "h").glob("*/*/reward_model.json"):
        card.write_text(card.read_text().replace(str(made), str(tmp_path / "h")))
    return tmp_path / "h"


def one_line(e, *words):
    line = str(e.value)
    assert "\n" not in line and len(line) < 500 and all(word in line for word in words), line


def change(folder, **new):
    file = Path(folder) / "reward_model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | new))


# The tokenizer of the base

def retokenize(base, edit):
    file = base / "tokenizer.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(edit(said) or said))


def drop_merge(said): said["model"]["merges"].remove(["!", "!"])
def swap_merges(said): said["model"]["merges"][:] = said["model"]["merges"][::-1]
def lower(said): said["normalizer"] = dict(type="Lowercase")
def strip(said): said["normalizer"] = dict(type="Replace", pattern=dict(String="~~"), content="~")
def space(said): said["pre_tokenizer"]["add_prefix_space"] = True
def digits(said): said["pre_tokenizer"] = dict(type="Sequence", pretokenizers=[dict(type="Split", pattern=dict(String="qq"), behavior="Isolated", invert=False), said["pre_tokenizer"]])
def greedy(said): said["added_tokens"][0]["lstrip"] = True
def fall_back(said): said["model"]["ignore_merges"] = True
def begin(said): said["post_processor"] = dict(type="TemplateProcessing", single=[dict(SpecialToken=dict(id="<|im_start|>", type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
    pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=0))], special_tokens={"<|im_start|>": dict(id="<|im_start|>", ids=[1], tokens=["<|im_start|>"])})


@pytest.mark.parametrize("edit", [drop_merge, swap_merges, lower, strip, space, digits, greedy, fall_back, begin], ids=lambda f: f.__name__)
@pytest.mark.parametrize("hashed", [True, False])
def test_a_tokenizer_that_cuts_otherwise(copied, edit, hashed):
    "Whether a probe shows it or not, and whether the card has a hash of it or is older"
    if not hashed: change(copied / "r/loud", tokenizer_sha256=None)
    retokenize(copied / "base", edit)
    with pytest.raises(DataError) as e: load(copied / "r/loud", device="cpu")
    one_line(e, "r/loud", "cuts texts otherwise", "--base")


def as_words(said): said["model"]["merges"] = [" ".join(merge) for merge in said["model"]["merges"]]
def reorder(said): return dict(reversed(list((said | dict(model=dict(reversed(list(said["model"].items()))))).items())))
def leave_out(said):
    for part in (said, said["model"]): [part.pop(key) for key in [key for key, value in part.items() if value is None]]
def no_post(said): said["post_processor"] = None
def row_of_one(said): said["pre_tokenizer"] = dict(type="Sequence", pretokenizers=[said["pre_tokenizer"]])
def no_steps(said): said["normalizer"] = dict(type="Sequence", normalizers=[])
def pads(said): said["truncation"] = dict(direction="Left", max_length=9, strategy="LongestFirst", stride=0)
def decodes(said): said["decoder"]["add_prefix_space"] = False
def words_by_number(said): said["model"]["vocab"] = dict(sorted(said["model"]["vocab"].items()))
def empty_affix(said): said["model"]["continuing_subword_prefix"] = ""


@pytest.mark.parametrize("edit", [as_words, reorder, leave_out, no_post, row_of_one, no_steps, pads, decodes, words_by_number, empty_affix], ids=lambda f: f.__name__)
@pytest.mark.parametrize("side", ["base", "r/loud"])
def test_a_tokenizer_that_is_written_otherwise(copied, edit, side):
    before = score_texts(load(copied / "r/loud", device="cpu"), TEXTS)
    retokenize(copied / side, edit)
    if side == "r/loud": (copied / "base/tokenizer_config.json").write_text((copied / "base/tokenizer_config.json").read_text() + " ")
    assert np.array_equal(score_texts(load(copied / "r/loud", device="cpu"), TEXTS), before)


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram"])
def test_tokenizers_of_other_kinds(tmp_path, kind):
    from custom_rm.artefact import _cut_alike
    from tokenizers import models, pre_tokenizers, Tokenizer
    from transformers import PreTrainedTokenizerFast
    def made(odd):
        letters = [chr(i) for i in range(33, 127)]
        if kind == "WordPiece": model = models.WordPiece({word: i for i, word in enumerate(["[UNK]", *letters, "ab"])}, unk_token="[UNK]", max_input_chars_per_word=5 if odd else 100)
        else: model = models.Unigram([("[UNK]", 0.), *((c, -2.) for c in letters), ("qqqq", -9. if odd else -1.)], unk_id=0)
        backend = Tokenizer(model)
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="[UNK]")
    made(False).save_pretrained(tmp_path)
    assert _cut_alike(made(False), PreTrainedTokenizerFast.from_pretrained(tmp_path)) and not _cut_alike(made(False), made(True))


def test_special_tokens(copied):
    "The one that stands for an empty text, and those that a chat template names"
    from custom_rm.tiny import TINY_CHAT
    base = tiny_base(copied / "chatty", LEARNED, chat=TINY_CHAT)
    RewardModel(str(base), quantize=False, template="chat", device="cpu").add_adapter("x").save(copied / "x")
    load(copied / "x", device="cpu")
    for folder, artefact, key in ((copied / "base", copied / "r/loud", "eos_token"), (base, copied / "x", "bos_token")):
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: "<|endoftext|>"}))
        with pytest.raises(DataError) as e: load(artefact, device="cpu")
        one_line(e, "cuts texts otherwise")


@pytest.mark.parametrize("harm, words", [(lambda file: file.write_text("{"), "can't be read"), (lambda file: file.unlink(), "")])
def test_an_artefact_whose_own_tokenizer_is_damaged(copied, harm, words):
    retokenize(copied / "base", as_words)
    harm(copied / "r/loud/tokenizer.json")
    with pytest.raises(DataError) as e: load(copied / "r/loud", device="cpu")
    one_line(e, "r/loud", words, "copy the artefact again")
    for file in (copied / "r/loud").glob("tokenizer*"): file.unlink()
    with pytest.raises(DataError) as e: load(copied / "r/loud", device="cpu")
    one_line(e, "keeps no tokenizer", "copy the artefact again")


# What a blend lies between

@pytest.mark.parametrize("general, custom, right", [
    ("s/general", "r/loud", ("r/general", "r/loud")), ("r/loud", "r/general", ("r/general", "r/loud")),
    ("r/quiet", "r/loud", ("r/general", "r/loud")), ("s/loud", "r/loud", ("r/general", "r/loud")),
    ("s/loud", "r/general", ("s/general", "s/loud")), ("s/general", "r/bl", ("r/general", "r/bl")),
    ("r/bl", "r/general", ("r/general", "r/bl")), ("r/loud", "r/bl", ("r/bl", "r/loud")),
    ("r/bl2", "r/general", ("r/general", "r/bl2")), ("s/general", "r/bl3", ("r/bl", "r/bl3")), ("s/bl", "r/loud", ("r/general", "r/loud")),
])
def test_a_pair_that_is_none(copied, general, custom, right):
    "It is refused, the right pair is named, and that one is taken"
    if general == "s/bl": blend(copied / "s/general", copied / "s/quiet", copied / "s/bl", .5, "cpu")
    with pytest.raises(DataError) as e: blend(copied / general, copied / custom, copied / "out", .5, "cpu")
    one_line(e, str(copied / custom), str(copied / right[0]), *([str(copied / right[1])] if "second" in str(e.value) or "CUSTOM" in str(e.value) else []))
    assert not (copied / "out").exists()
    blend(*(copied / name for name in right), copied / "out", .5, "cpu")


@pytest.mark.parametrize("general, custom", [
    ("r/general", "r/loud"), ("r/general", "r/bl"), ("r/general", "r/bl2"), ("r/general", "r/bl3"), ("r/bl", "r/loud"), ("r/bl", "r/bl3"),
    ("r/bl2", "r/bl"), ("r/general", "r/fresh"), ("s/general", "r/fresh"), ("r/blf", "r/fresh"), ("r/general", "r/blf"), ("r/bl", "r/quiet"),
])
def test_pairs_on_a_line(made, general, custom): assert check_grown(made / general, made / custom) is None


@pytest.mark.parametrize("parent", [None, {}])
def test_older_cards_without_a_parent(copied, parent):
    for name in ("r/loud", "s/general"): change(copied / name, parent=parent)
    blend(copied / "s/general", copied / "r/loud", copied / "r/mixed", .5, "cpu")
    shutil.copytree(copied / "r/loud", copied / "r/twin")
    blend(copied / "r/loud", copied / "r/twin", copied / "r/same", .5, "cpu")


def test_an_older_blend_tells_its_ends_alone(copied):
    card = json.loads((copied / "r/bl3/reward_model.json").read_text())
    change(copied / "r/bl3", parent=card["parent"] | dict(of=[{k: each[k] for k in ("name", "weights_sha256")} for each in card["parent"]["of"]]))
    blend(copied / "r/general", copied / "r/bl3", copied / "r/mixed", .5, "cpu")
    with pytest.raises(DataError, match="backwards"): blend(copied / "r/bl3", copied / "r/bl", copied / "r/more", .5, "cpu")


def test_where_the_right_one_is_not_at_hand(copied):
    shutil.move(copied / "r/general", copied / "elsewhere")
    with pytest.raises(DataError) as e: blend(copied / "s/general", copied / "r/loud", copied / "out", .5, "cpu")
    one_line(e, "'general'", read_card(copied / "elsewhere")["weights_sha256"][:12], "as GENERAL")


def test_blend_by_its_command(copied):
    from custom_rm.cli import app
    from typer.testing import CliRunner
    done = CliRunner().invoke(app, ["blend", *(str(copied / name) for name in ("s/general", "r/loud", "out")), "--alpha", ".5", "--device", "cpu"])
    assert isinstance(done.exception, DataError) and str(copied / "r/general") in str(done.exception) and not (copied / "out").exists()


# Numbers and keys of a card

NAN, INF = float("nan"), float("inf")
@pytest.mark.parametrize("new, words", [
    *((dict(max_length=value), "max_length") for value in (-1, 0, 2.5, "64", True, [], NAN)),
    *((dict(calibration=dict(temperature=value, offset=0.)), "temperature") for value in (NAN, 0, -1, INF, "1", True, None)),
    *((dict(calibration=dict(temperature=1., offset=value)), "offset") for value in (NAN, -INF, "1", None, 10**400)),
    *((dict(calibration=value), "calibration") for value in ({}, [], "x", 1)),
    *((dict(lora=dict(rank=2, alpha=4, dropout=0.) | part), "lora") for part in (dict(rank=0), dict(rank="2"), dict(rank=2.), dict(alpha=NAN), dict(alpha=0), dict(alpha=[4]), dict(dropout=1), dict(dropout=None), dict(dropout=NAN), dict(more=1))),
    *((dict(experts=value), "experts") for value in (-1, 1, "x", 2)), (dict(format=3), "format"), (dict(format=None, experts=2), "format"),
    *((dict(parent=value), "parent") for value in (dict(of=3), dict(name=3), dict(weights_sha256="5bc5"), dict(of=[{}]))),
])
def test_numbers_of_a_card(copied, new, words):
    change(copied / "r/loud", **new)
    for call in (lambda: Scorer.load(copied / "r/loud", device="cpu"), lambda: merge(copied / "r/loud", copied / "out", device="cpu"), lambda: blend(copied / "r/general", copied / "r/loud", copied / "out", .5, "cpu")):
        with pytest.raises(DataError) as e: call()
        one_line(e, "reward_model.json", words)
    assert not (copied / "out").exists()


def uses(home, tmp_path):
    "Everything that a card is read for, and what comes of it"
    def scored(folder): return Scorer.load(folder, device="cpu").score(TEXTS)
    loud = home / "r/loud"
    yield "score", lambda: scored(loud)
    yield "blend", lambda: (blend(home / "r/general", loud, tmp_path / "blended", .5, "cpu") / "adapter_model.safetensors").read_bytes()
    yield "export", lambda: merge(loud, tmp_path / "merged", texts=TEXTS, device="cpu")["share"] < 1e-3
    yield "adapter", lambda: (copy_adapter(loud, tmp_path / "copied") / "adapter_model.safetensors").read_bytes()


def told(card):
    "Paths of all keys, of the card and of its parts that matter"
    for key in card: yield (key,)
    for part in ("base", "lora", "parent", "calibration"): yield from ((part, key) for key in card[part])


WRONG = dict(gone=None, null=None, minus=-1, word="x", none=[], empty={})
@pytest.mark.parametrize("how", WRONG)
def test_every_key_of_a_card(copied, tmp_path, how):
    "Without it, or with something else in its place: the same as before, or one line"
    file = copied / "r/loud/reward_model.json"
    change(copied / "r/loud", calibration=dict(temperature=2., offset=.1), metrics=dict(sums=dict(accuracy=.5, low=.4, high=.6, ece=.1, n=6)), seed=0, seconds=1.,
           recipe=dict(name="x"), history=[], counts=dict(tokens=3), overlap={}, cut={}, chat_template=None)
    card, before = json.loads(file.read_text()), {name: call() for name, call in uses(copied, tmp_path)}
    for name in ("blended", "merged", "copied"): shutil.rmtree(tmp_path / name)
    for path in [*told(card), ("read",), ("experts",), ("words",), ("chat_template",), ("base", "layers"), ("base", "frozen"), ("base", "start")]:
        new = json.loads(json.dumps(card))
        part = new[path[0]] if len(path) > 1 else new
        if how == "gone": part.pop(path[-1], None)
        else: part[path[-1]] = WRONG[how]
        file.write_text(json.dumps(new))
        for name, call in uses(copied, tmp_path):
            try: found = call()
            except DataError as e: assert "\n" not in str(e), (path, name)
            except Exception as e: raise AssertionError(f"{path} {how}, {name}: {type(e).__name__} {e}") from e
            else: assert np.array_equal(found, before[name]), (path, how, name)
            for made in ("blended", "merged", "copied"): shutil.rmtree(tmp_path / made, ignore_errors=True)


@pytest.mark.parametrize("key", ["base", "lora", "template", "pooling", "max_length", "name", "weights_sha256"])
def test_keys_that_are_needed(copied, key):
    for value in (dict(), {key: None}):
        card = json.loads((copied / "r/loud/reward_model.json").read_text())
        card.pop(key)
        (copied / "r/loud/reward_model.json").write_text(json.dumps(card | value))
        with pytest.raises(DataError) as e: load(copied / "r/loud", device="cpu")
        one_line(e, "reward_model.json", "lacks", key)
        (copied / "r/loud/reward_model.json").write_text(json.dumps(card | {key: "later"}))


def test_the_device_is_not_needed_where_the_precision_is_plain(copied):
    before = score_texts(load(copied / "r/loud", device="cpu"), TEXTS)
    change(copied / "r/loud", device=None)
    assert np.array_equal(score_texts(load(copied / "r/loud", device="cpu"), TEXTS), before)
    change(copied / "r/loud", base=read_card(copied / "r/loud")["base"] | dict(dtype="bfloat16"))
    with pytest.raises(DataError) as e: load(copied / "r/loud", device="cpu")
    one_line(e, "lacks device", "bfloat16")


# The questions

@pytest.mark.parametrize("line", ["zz", "7175657374696f6", "7175657374696f6e00", "71 75 65 73 74 69 6f 6e", "Ünglück", "\x00"])
def test_questions_that_are_no_hashes(copied, line):
    file = copied / "r/loud/questions.txt"
    assert trained_on(copied / "r/loud") == {b"question"}
    file.write_text(f"{file.read_text()}{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as e: trained_on(copied / "r/loud")
    one_line(e, "questions.txt", "line 2", "16 hexadecimal digits")
    with pytest.raises(DataError): blend(copied / "r/general", copied / "r/loud", copied / "out", .5, "cpu")
    assert not (copied / "out").exists()


@pytest.mark.parametrize("text", ["", "\n", "7175657374696f6e", "7175657374696f6e\r\n\r\n", "7175657374696F6E\n"])
def test_questions_however_lines_end(copied, text):
    (copied / "r/loud/questions.txt").write_bytes(text.encode())
    assert trained_on(copied / "r/loud") == ({b"question"} if text.strip() else set())


def test_questions_that_are_no_text(copied):
    (copied / "r/loud/questions.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError) as e: trained_on(copied / "r/loud")
    one_line(e, "questions.txt", "line 1")


@pytest.mark.parametrize("fault", ["another's", "cut short", "gone"])
@pytest.mark.parametrize("way", ["adapter", "merged"])
def test_damaged_weights_are_not_exported(copied, tmp_path, fault, way):
    file = copied / "r/loud/adapter_model.safetensors"
    if fault == "another's": shutil.copy(copied / "s/loud/adapter_model.safetensors", file)
    elif fault == "cut short": file.write_bytes(file.read_bytes()[:-100])
    else: file.unlink()
    with pytest.raises(DataError, match="adapter_model"): copy_adapter(copied / "r/loud", tmp_path / "out") if way == "adapter" else merge(copied / "r/loud", tmp_path / "out")
    assert not (tmp_path / "out").exists()
