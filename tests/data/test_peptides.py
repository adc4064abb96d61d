import numpy as np
import pytest
import torch

from graphseq.data import PeptidesFunc


@pytest.fixture
def arrays(tmp_path):
    """Two molecules: a chain of three atoms and a single atom."""
    path = tmp_path / "two.npz"
    np.savez(
        path,
        x=np.arange(36).reshape(4, 9).astype(np.uint8),
        num_nodes=np.array([3, 1], np.int16),
        num_bonds=np.array([2, 0], np.int16),
        bond_index=np.array([[0, 1], [1, 2]], np.int16),
        bond_attr=np.array([[1, 2, 0], [3, 4, 1]], np.uint8),
        y=np.eye(2, 10, dtype=np.uint8),
    )
    return path


def test_each_bond_is_followed_by_its_reverse(arrays):
    chain, atom = PeptidesFunc(arrays)
    assert chain.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert chain.edge_attr.tolist() == [[1, 2, 0]] * 2 + [[3, 4, 1]] * 2
    assert atom.edge_index.shape == (2, 0) and atom.x.tolist() == [list(range(27, 36))]
    assert chain.y.dtype == torch.float and atom.y.tolist() == [[0, 1] + [0] * 8]


@pytest.mark.slow
def test_split_and_positives_are_as_published(real):
    bench = real("Peptides-func")
    assert (len(bench.train), len(bench.val), len(bench.test)) == (10873, 2331, 2331)
    positives = bench.train._data.y.sum(0).int().tolist()
    assert positives == [1378, 545, 995, 969, 9745, 3077, 1662, 2866, 299, 4044]
