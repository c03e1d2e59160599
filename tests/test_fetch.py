"`custom-rm fetch` from a mirror folder: verified, resumed, repeated without work, refused when the bytes are not the published ones."
import hashlib

import pytest

from custom_rm import fetch
from custom_rm.core import DataError


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    folder.mkdir()
    files = {"one.train": b'[{"text": ["a", "b"], "score": [1, 0]}]' * 5000, "two.test": b"[]"}
    for name, data in files.items(): (folder / f"{name}.json").write_bytes(data)
    monkeypatch.setattr(fetch, "DATA_FILES", {n: hashlib.sha1(b"blob %d\0" % len(d) + d).hexdigest() for n, d in files.items()})
    return folder


def test_verified_and_kept(mirror, tmp_path):
    out = tmp_path / "out"
    paths = fetch.fetch_data(None, out, mirror)
    assert [p.read_bytes() for p in paths] == [(mirror / p.name).read_bytes() for p in paths]
    for p in mirror.iterdir(): p.unlink()  # nothing is read again
    assert fetch.fetch_data(None, out, mirror) == paths


def test_other_bytes_are_refused(mirror, tmp_path):
    (mirror / "two.test.json").write_bytes(b"[1]")
    with pytest.raises(DataError, match="two.test"): fetch.fetch_data(None, tmp_path / "out", mirror)
    assert not (tmp_path / "out" / "two.test.json").exists() and not [p for p in (tmp_path / "out").rglob("*") if "two" in p.name]


def test_absent_from_the_mirror(mirror, tmp_path):
    (mirror / "one.train.json").unlink()
    with pytest.raises(DataError, match="one.train"): fetch.fetch_data(None, tmp_path / "out", mirror)


def test_command_line(custom_rm, tmp_path):
    (tmp_path / "empty").mkdir()
    done = custom_rm("fetch", "dsp", "--mirror", tmp_path / "empty", "--dest", tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.json"))
    done = custom_rm("fetch", "no-such-model")
    assert done.returncode == 2 and "smollm2-135m" in done.stderr
