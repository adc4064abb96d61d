import stat
import zipfile

import pytest

from graphseq.data.archive import unpack


@pytest.fixture
def archive(tmp_path):
    """Write a zip with the given members, each a name or a ZipInfo."""

    def write(*members, compression=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "set.zip", "w", compression) as opened:
            for member in members:
                opened.writestr(member, "0, 1\n" * 1000)
        return tmp_path / "set.zip"

    return write


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_the_top_folder_is_dropped(archive, tmp_path, compression):
    unpack(archive("SET/SET_A.txt", "SET/more/x.txt", compression=compression), tmp_path / "raw")
    assert (tmp_path / "raw/SET_A.txt").read_text().startswith("0, 1")
    assert (tmp_path / "raw/more/x.txt").exists()


def test_members_without_a_top_folder_are_kept(archive, tmp_path):
    unpack(archive("a.txt", "b.txt"), tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("member", ["../evil.txt", "SET/../../evil.txt", "/evil.txt", "C:/evil.txt", "..\\evil.txt"])
def test_a_member_that_would_land_outside_is_refused(archive, tmp_path, member):
    with pytest.raises(ValueError, match=r"set\.zip holds the unsafe member .*evil"):
        unpack(archive("SET/fine.txt", member), tmp_path / "a" / "raw")
    assert not list(tmp_path.rglob("*.txt"))


def test_a_symbolic_link_is_refused(archive, tmp_path):
    link = zipfile.ZipInfo("SET/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ValueError, match="unsafe member 'SET/link'"):
        unpack(archive(link), tmp_path / "raw")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_archive_is_one_clear_error_and_leaves_nothing(archive, tmp_path, compression, damage):
    path = archive("SET/SET_A.txt", compression=compression)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[45:60] = bytes(15)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"set\.zip is a damaged archive .* delete it and fetch it again"):
        unpack(path, tmp_path / "raw")
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.zip"]
