import hashlib

import pytest

from graphseq.data import File, fetch
from graphseq.data.mirror import mirror_folder

CONTENT = b"nodes and edges"
FILE = File("raw/a.txt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "sub/a.txt")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.delenv("GRAPHSEQ_MIRROR", raising=False)
    folder = tmp_path / "mirror"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "a.txt").write_bytes(CONTENT)
    return folder


@pytest.fixture
def into(tmp_path):
    return tmp_path / "root"


def contents(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_comes_from_the_mirror(mirror, into):
    fetch([FILE], into, mirror)
    assert (into / "sub/a.txt").read_bytes() == CONTENT
    assert len(contents(into)) == 1


def test_the_environment_names_the_mirror(mirror, into, monkeypatch):
    monkeypatch.setenv("GRAPHSEQ_MIRROR", str(mirror))
    fetch([FILE], into)
    assert (into / "sub/a.txt").exists()


def test_a_mirror_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        mirror_folder(tmp_path / "nowhere")


def test_a_file_with_another_checksum_is_refused_and_leaves_nothing(mirror, into):
    (mirror / "raw" / "a.txt").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ValueError, match=r"raw/a\.txt.*must have SHA-256 .* delete it and fetch it again"):
        fetch([FILE], into, mirror)
    assert contents(into) == []


def test_a_file_spoilt_after_the_fetch_is_noticed(mirror, into):
    fetch([FILE], into, mirror)
    (into / "sub/a.txt").write_bytes(b"spoilt")
    with pytest.raises(ValueError, match=r"sub/a\.txt must have SHA-256"):
        fetch([FILE], into, mirror)


def test_a_missing_file_without_address_says_what_to_set(mirror, into):
    absent = File("raw/b.txt", "0" * 64, 1, "b.txt")
    with pytest.raises(FileNotFoundError, match=r"raw/b\.txt is needed, and no mirror is set: set GRAPHSEQ_MIRROR"):
        fetch([absent], into)
    with pytest.raises(FileNotFoundError, match=r"raw/b\.txt is needed, and the mirror .* does not have it"):
        fetch([absent], into, mirror)


def test_a_missing_file_without_network_names_file_and_address(mirror, into):
    online = File("raw/b.txt", "0" * 64, 1, "b.txt", url="https://example.org/b.txt")
    with pytest.raises(
        FileNotFoundError, match=r"raw/b\.txt could not be fetched from https://example\.org/b\.txt.*online"
    ):
        fetch([online], into, mirror)
    assert contents(into) == []


def test_a_download_is_held_to_the_checksum_too(mirror, into, tmp_path):
    served = tmp_path / "served.txt"
    served.write_bytes(CONTENT)
    fetch([File("none", FILE.sha256, FILE.size, "good.txt", url=served.as_uri())], into)
    assert (into / "good.txt").read_bytes() == CONTENT
    with pytest.raises(ValueError, match=r"served\.txt.*must have SHA-256"):
        fetch([File("none", "0" * 64, 1, "bad.txt", url=served.as_uri())], into)
    assert not (into / "bad.txt").exists()


def test_a_download_that_dies_leaves_nothing(into, monkeypatch):
    def die_halfway(url, folder, filename):
        with open(f"{folder}/{filename}", "wb") as stream:
            stream.write(CONTENT[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr("graphseq.data.mirror.download_url", die_halfway)
    with pytest.raises(KeyboardInterrupt):
        fetch([File("none", FILE.sha256, FILE.size, "a.txt", url="https://example.org/a.txt")], into)
    assert contents(into) == []
