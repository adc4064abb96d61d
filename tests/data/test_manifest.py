from pathlib import Path, PurePosixPath

import pytest

from graphseq.data import describe, names
from graphseq.data.generated.recipes import RECIPES
from graphseq.data.loaders import LOADERS
from graphseq.data.manifest import FOLDER
from graphseq.data.refresh import refreshed


@pytest.mark.parametrize("name", names())
def test_each_manifest_states_what_a_reader_needs(name):
    manifest = describe(name)
    assert manifest.name == name
    assert manifest.loader in (RECIPES if manifest.folder is None else LOADERS)
    assert all([manifest.title, manifest.licence, manifest.citation, manifest.source, manifest.splits])
    assert bool(manifest.files) == bool(manifest.folder) == bool(manifest.statistics)


@pytest.mark.parametrize("name", names())
def test_files_stay_below_the_root_and_have_checksums(name):
    for file in describe(name).files:
        for path in (file.path, file.to, file.unpack or "x"):
            assert not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
        assert len(file.sha256) == 64 and file.size > 0
        assert file.url is None or file.url.startswith("https://")


def test_no_two_data_sets_put_different_files_in_one_place():
    places = {}
    for name in names():
        for file in describe(name).files:
            assert places.setdefault(file.to, file.sha256) == file.sha256


def test_refreshing_from_the_same_mirror_changes_nothing(mirror):
    for path in Path(str(FOLDER)).glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert refreshed(text, Path(mirror)) == text


@pytest.mark.parametrize(
    ("wrong", "meant"), [("protein", "PROTEINS"), ("ogbg-molhvi", "ogbg-molhiv"), ("cora", "Cora")]
)
def test_an_unknown_name_proposes_the_nearest(wrong, meant):
    with pytest.raises(ValueError, match=f"name must be a known data set .*did you mean '{meant}'.*got '{wrong}'"):
        describe(wrong)


def test_peptides_are_marked_non_commercial():
    assert "NC" in describe("Peptides-func").licence
