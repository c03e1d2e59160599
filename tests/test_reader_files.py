"Readers' files in a recipe: one file of records for one reader, one per reader by a pattern, one in DSP's form for all; and nothing silently for another."
import json

import pytest
import yaml

from custom_rm.convert import from_dsp
from custom_rm.core import DataError
from custom_rm.recipes import read_recipe, read_yaml
from custom_rm.records import read_json, write_json
from custom_rm.runs import check_files
from custom_rm.stages import domain_records, Run
from custom_rm.study import domain_study_sets


@pytest.fixture(scope="module")
def own(home, tmp_path_factory):
    "One reader's records, a recipe's words, and where they are"
    folder = tmp_path_factory.mktemp("own")
    for part in ("train", "test"): write_json(folder / f"loud.{part}.jsonl", from_dsp(read_json(home / f"domains.{part}.json"), "loud"))
    return folder, yaml.safe_load((home / "recipe.yaml").read_text())


def recipe(own, domains, **custom):
    folder, words = own
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(words | dict(custom=words["custom"] | dict(domains=domains) | custom)))
    return read_recipe(path)


def test_one_reader_needs_no_pattern(own):
    "The same records as by DSP's form and as by a pattern, to learn from and to measure on, in a run and in a study"
    folder, words = own
    plain = recipe(own, ["loud"], train=str(folder / "loud.train.jsonl"), test=str(folder / "loud.test.jsonl"))
    pattern = recipe(own, ["loud"], train=str(folder / "{domain}.train.jsonl"), test=str(folder / "{domain}.test.jsonl"))
    sets = []
    for n, found in enumerate((plain, pattern, recipe(own, ["loud"]))):
        check_files(found)
        run = Run(found, folder / f"run{n}", "cpu", report=lambda line: None)
        sets.append((run._domain_sets("loud")["loud"].to_list(), run.test_sets()["loud"].to_list(), [part.to_list() for part in domain_study_sets(found, "loud", folder).values() if part]))
    assert sets[0] == sets[1] == sets[2] and len(sets[0][0]) == 96 and len(sets[0][1]) == 24


def test_a_file_of_records_is_never_two_readers(own):
    "Not before a run, and not where its records are read; neither to learn from nor to measure on"
    folder, _ = own
    for setting in ("train", "test"):
        with pytest.raises(DataError, match=r"are of one reader|are records of one reader") as e: check_files(recipe(own, ["loud", "quiet"], **{setting: str(folder / "loud.train.jsonl")}))
        assert '"{domain}.jsonl"' in str(e.value) and "quotes" in str(e.value) and "loud, quiet" in str(e.value)
    with pytest.raises(DataError): domain_records(str(folder / "loud.train.jsonl"), "quiet", folder)


def test_ties_alone_teach_one_reader_nothing(own):
    folder, _ = own
    ties = write_json(folder / "ties.jsonl", (dict(text=record["text"], score=[0.] * len(record["text"])) for _, record in read_json(folder / "loud.train.jsonl")))
    with pytest.raises(DataError, match="ties only"): check_files(recipe(own, ["loud"], train=str(folder / "ties.jsonl")))


def test_braces_without_quotes(tmp_path):
    "The parser's words, and what to type"
    path = tmp_path / "mine.yaml"
    path.write_text("custom:\n  train: {domain}.train.jsonl\n")
    with pytest.raises(DataError, match=r'is not YAML.*in quotes, as in "\{domain\}\.jsonl"'): read_yaml(path)
    path.write_text('custom:\n  train: "{domain}.train.jsonl"\n')
    assert read_yaml(path)["custom"]["train"] == "{domain}.train.jsonl"


def test_an_artefact_replaces_no_other_files(finished, tmp_path):
    "A thesis stays; an earlier or damaged artefact, and an empty folder, give way"
    from custom_rm.artefact import load
    folder, *_ = finished
    rm, place = load(folder / "general"), tmp_path / "place"
    place.mkdir()
    rm.save(place)
    (place / "reward_model.json").unlink()
    rm.save(place)
    assert json.loads((place / "reward_model.json").read_text())
    (thesis := tmp_path / "thesis").mkdir()
    (thesis / "chapter.txt").write_text("It was a dark night.")
    with pytest.raises(DataError, match="holds other files, such as chapter.txt, which would be replaced; name a new folder"): rm.save(thesis)
    assert [path.name for path in thesis.iterdir()] == ["chapter.txt"] and not list(tmp_path.glob(".*"))
