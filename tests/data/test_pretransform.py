import torch
from torch_geometric.data import Data
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import BaseTransform

from graphseq.data.pretransform import Pretransformed


class Pairs(Data):
    """Data with an attribute that batching must shift."""

    def __inc__(self, key, value, *args, **kwargs):
        return self.num_nodes if key == "pairs" else super().__inc__(key, value, *args, **kwargs)


class AddPairs(BaseTransform):
    calls = 0

    def __init__(self, value=1):
        self.value = value

    def forward(self, data):
        type(self).calls += 1
        return Pairs(x=data.x, edge_index=data.edge_index, pairs=torch.full((2,), self.value))


def files(folder):
    return sorted(folder.rglob("*.pt"))


def graphs():
    torch.manual_seed(0)
    return FakeDataset(num_graphs=6, task="graph")


def test_the_second_time_reads_what_the_first_wrote(tmp_path):
    first = Pretransformed(graphs(), AddPairs(), tmp_path)
    AddPairs.calls = 0
    again = Pretransformed(graphs(), AddPairs(), tmp_path)
    assert AddPairs.calls == 1
    assert type(again[3]) is Pairs
    assert torch.equal(again[3].x, first[3].x) and torch.equal(again[3].edge_index, first[3].edge_index)


def test_another_parameter_or_variant_is_another_file(tmp_path):
    Pretransformed(graphs(), AddPairs(1), tmp_path)
    assert Pretransformed(graphs(), AddPairs(2), tmp_path)[0].pairs.tolist() == [2, 2]
    Pretransformed(graphs(), AddPairs(2), tmp_path, variant="split 1")
    assert len(files(tmp_path)) == 3


def test_a_lambda_is_applied_and_not_kept(tmp_path):
    made = Pretransformed(graphs(), lambda data: AddPairs()(data), tmp_path)
    assert made[0].pairs.tolist() == [1, 1] and files(tmp_path) == []


def test_what_only_a_pickle_could_hold_is_not_kept(tmp_path):
    made = Pretransformed(graphs(), AddSet(), tmp_path)
    assert len(made) == 6 and files(tmp_path) == []


class AddSet(BaseTransform):
    def forward(self, data):
        data.odd = {1, 2}
        return data
