"""The whole model: by name, packed, streamed, on PyG's batches."""

import io

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphseq.data import ResettableMemory
from graphseq.scan import Ragged
from graphseq.sequence import LAYERS, PathModel, SequenceModel, StreamingLayer, episodes

SMALL = {"mamba2": {"head_size": 16}, "dss_softmax": {"length": 32}, "long_conv": {"length": 32}}
STREAMING = [name for name, kind in LAYERS.items() if issubclass(kind, StreamingLayer)]


def _model(name):
    return SequenceModel((5,), 3, name, channels=16, options=SMALL.get(name)).double().eval()


@pytest.mark.parametrize("name", LAYERS)
def test_packed_and_dense_agree(name):
    model, tokens = _model(name), torch.randint(5, (2, 9))
    y = model(tokens)
    assert y.shape == (2, 9, 3)
    torch.testing.assert_close(model(tokens.flatten(), Ragged.equal(2, 9)), y.flatten(0, 1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", STREAMING)
def test_steps_equal_the_parallel_form(name):
    model, tokens = _model(name), torch.randint(5, (2, 9))
    state, outputs = model.initial_state(2), []
    for token in tokens.unbind(1):
        y, state = model.step(token, state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), model(tokens), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", STREAMING)
def test_a_saved_state_goes_on_where_it_was(name):
    model, tokens = _model(name), torch.randint(5, (2, 9))
    _, state = model.advance(tokens[:, :4], model.initial_state(2))
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    y, _ = model.advance(tokens[:, 4:], torch.load(file, weights_only=True))
    torch.testing.assert_close(y, model(tokens)[:, 4:], rtol=1e-9, atol=1e-10)


def test_restarted_streams_are_episodes():
    model, tokens = _model("delta_net"), torch.randint(5, (2, 6))
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[1, 3] = True
    state, outputs = model.initial_state(2), []
    for token, start in zip(tokens.unbind(1), starts.unbind(1), strict=True):
        y, state = model.step(token, model.restart(state, start))
        outputs.append(y)
    scanned = model(tokens.flatten(), episodes(starts.flatten(), Ragged.equal(2, 6)))
    torch.testing.assert_close(torch.stack(outputs, 1).flatten(0, 1), scanned, rtol=1e-9, atol=1e-10)


def test_real_features_and_several_columns():
    assert SequenceModel(4, 3, channels=16)(torch.randn(2, 5, 4)).shape == (2, 5, 3)
    assert SequenceModel((4, 2), 3, channels=16)(torch.randint(2, (2, 5, 2))).shape == (2, 5, 3)


def test_a_layer_of_ones_own():
    model = SequenceModel(4, 3, lambda channels: LAYERS["s5"](channels, state_size=4), channels=8, layers=3)
    assert len(model.layers) == 3
    assert model.layers[0].state_size == 4


def test_a_path_model_is_known_by_its_layer():
    model = PathModel(2, 3, "delta_product", channels=8, options={"steps": 2, "heads": 1})
    assert model.title == "delta_product, steps=2, heads=1"


def test_graphs_of_a_batch_are_segments():
    model = PathModel(2, 3, "delta_net", channels=16).double()
    graphs = [Data(x=torch.randn(n, 2, dtype=torch.float64), edge_index=torch.zeros(2, 0).long()) for n in (4, 7)]
    batch = Batch.from_data_list(graphs)
    together = model(batch.x, batch.edge_index, batch.batch, batch_size=2)
    alone = torch.cat([model(data.x, data.edge_index) for data in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)


def test_a_path_model_with_resets_reads_each_episode_alone():
    model = PathModel((4, 3, 3), 4, "mamba", channels=8, resets=True).double()
    graphs = list(ResettableMemory(3, episode_length=(2, 6), num_nodes=(10, 20), num_graphs=2))
    batch = Batch.from_data_list(graphs)
    y = model(batch.x, batch.edge_index, batch.batch, batch_size=2, starts=batch.starts)
    episode = graphs[0].starts.nonzero()[1].item()
    alone = model(batch.x[:episode], starts=batch.starts[:episode])
    torch.testing.assert_close(y[:episode], alone, rtol=1e-10, atol=1e-10)
    rest = graphs[0].num_nodes
    again = model(batch.x[episode:rest], starts=batch.starts[episode:rest])
    torch.testing.assert_close(y[episode:rest], again, rtol=1e-10, atol=1e-10)
    assert model.title == "mamba, resets"
    with pytest.raises(ValueError, match="starts must be given to a model with resets"):
        model(batch.x)


def test_resetting_leaves_nothing_of_what_was():
    model = _model("gla")
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.reset_parameters()
    drawn = [name for name, p in model.named_parameters() if p.dim() > 1]
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters() if name in drawn)


def test_what_does_not_fit_is_named(unchecked):
    with pytest.raises(ValueError, match=r"layer must be one of s4d, .*, got 'rnn'"):
        SequenceModel(4, 3, "rnn")
    with pytest.raises(TypeError, match="layer must be a StreamingLayer to go on from a state, got BiMamba"):
        SequenceModel(4, 3, "bi_mamba", channels=8).initial_state(1)
    with pytest.raises(ValueError, match="x must have shape"):
        SequenceModel(4, 3, channels=8)(torch.zeros(5, 4))
    with pytest.raises(ValueError, match="level must be 'node'"):
        PathModel(4, 3, level="graph")


def test_wrong_tokens_are_named(unchecked):
    model, topology = SequenceModel(3, 2, channels=8), Ragged(torch.tensor([0, 3, 5]))
    for wrong, error, message in (
        (
            (torch.randn(4, 3), topology),
            ValueError,
            r"one row for each of the 5 tokens of topology, got shape \[4, 3\]",
        ),
        ((torch.randn(5, 3), topology.ptr), TypeError, "topology must be a Ragged, got Tensor"),
        (([[0.0] * 3] * 5, topology), TypeError, "x must be a dense tensor, got list"),
    ):
        with pytest.raises(error, match=message):
            model(*wrong)
    with pytest.raises(ValueError, match="state must have one row for each of 3 streams, got 2"):
        model.step(torch.randn(3, 3), model.initial_state(2))
