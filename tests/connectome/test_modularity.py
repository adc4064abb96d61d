"""Louvain and Leiden on graphs whose communities are plain."""

import builtins

import pytest
import torch

from graphseq.connectome import Leiden, Louvain
from tests.connectome.graphs import planted, same_partition

METHODS = [Louvain, Leiden]


@pytest.fixture(params=METHODS)
def method(request):
    if request.param is Leiden:
        pytest.importorskip("leidenalg")
    return request.param


def test_plain_communities_are_found_and_numbered_by_size(method):
    weights, labels = planted((10, 20, 15), inside=0.95, between=0.02)
    found = method()(weights)
    assert same_partition(found, labels)
    assert found.bincount().tolist() == [20, 15, 10]


def test_a_higher_resolution_finds_more_communities(method):
    weights, _ = planted((12, 12, 12))
    assert method(3.0)(weights).max() > method(0.5)(weights).max()


def test_the_same_seed_gives_the_same_communities(method):
    weights, _ = planted((30,), inside=0.3)
    assert torch.equal(method(seed=4)(weights), method(seed=4)(weights))


@pytest.mark.parametrize("nodes", [1, 4])
def test_nodes_without_links_are_communities_of_their_own(method, nodes):
    assert method()(torch.zeros(nodes, nodes)).tolist() == list(range(nodes))


def test_the_missing_extra_is_named(monkeypatch):
    plain = builtins.__import__

    def without(name, *arguments, **options):
        if name in ("igraph", "leidenalg"):
            raise ImportError(name)
        return plain(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"graphseq\[leiden\]"):
        Leiden()
