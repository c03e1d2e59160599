"What several test files share: a tiny base model and tiny data in a folder."
import json
import subprocess
import sys
from pathlib import Path

import pytest
import warm

root = Path(__file__).parent.parent


def text(i, answer): return f"## Human:\nWhat is {i} plus one?\n\n## Assistant:\n{answer}"


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    "A folder with a tiny base model, general pairs, domain preferences and a recipe"
    from custom_rm.records import write_json
    from custom_rm.tiny import tiny_base
    home = tmp_path_factory.mktemp("home")
    for part, numbers in (("train", range(96)), ("test", range(96, 120))):
        write_json(home / f"general.{part}.json", ({"text": [text(i, f"It is {i+1}."), text(i, "No idea.")], "score": [1, 0]} for i in numbers))
        write_json(home / f"domains.{part}.json", ({"query": f"What is {i} plus one?", "responses": {"loud": f"It is {i+1}!!!", "quiet": f"It is {i+1}...", "normal": f"It is {i+1}."}} for i in numbers))
    tiny_base(home / "tiny", [text(i, f"It is {i+1}!!! No idea...") for i in range(9)])
    (home / "recipe.yaml").write_text(f"""
name: small
base: {{name: {home}/tiny, max_length: 64}}
lora: {{rank: 4, alpha: 8}}
general: {{train: {{sums: {home}/general.train.json}}, test: {{sums: {home}/general.test.json}}, learning_rate: 5e-3, batch_size: 4, token_budget: 90}}
custom: {{domains: [loud, quiet], train: {home}/domains.train.json, test: {home}/domains.test.json, learning_rate: 5e-3, batch_size: 4, token_budget: 90, epochs: 1, sharing: apart, blend: 1, replay: 0.25, imitation: 0.1}}
""")
    return home


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder with preferences about small sums and a tiny base model that knows their words"
    from custom_rm.tiny import sum_text, tiny_base, tiny_preferences
    home = tmp_path_factory.mktemp("place")
    tiny_preferences(home)
    tiny_base(home / "tiny", [sum_text(i, "Yes!!! No...") for i in range(9)])
    return home


@pytest.fixture
def own_cache(monkeypatch, tmp_path_factory):
    "A cache that no other test has filled"
    monkeypatch.setenv("CUSTOM_RM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def custom_rm():
    "Run the command line as a user does"
    def run(*args, cwd=None, **options):
        words = [str(a) for a in args]
        if not any(options.values()) and warm.same_environment(): return warm.run(words, cwd=cwd)
        return subprocess.run([sys.executable, "-m", "custom_rm.cli", *words], capture_output=True, text=True, timeout=600, cwd=cwd, **options)
    return run


@pytest.fixture(scope="session")
def stopped_at():
    "Run the command line until a named event, which sends the process a signal; see stopping.py"
    def run(*words):
        return subprocess.run([sys.executable, str(root / "tests" / "stopping.py"), *map(str, words)], capture_output=True, text=True, timeout=600)
    return run


@pytest.fixture(scope="session")
def finished(home, custom_rm):
    "An unbroken run of the recipe"
    done = custom_rm("train", home / "recipe.yaml", "--out", home / "unbroken", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return home / "unbroken", json.loads((home / "unbroken" / "metrics.json").read_text()), done.stdout
