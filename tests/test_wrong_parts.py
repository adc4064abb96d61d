"""Wrong input of layers, heads, image models and transforms is refused by a sentence that names the argument."""

import warnings

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GINEConv, SAGEConv

from graphseq.data import AddLaplacianPE, AddLineGraph, OrientEdges
from graphseq.graph_mamba import (
    AddNeighbourhoodTokens,
    AddTokenWalks,
    BiMambaEncoder,
    CoreNumberKey,
    DegreeKey,
    DepthFirstKey,
    EigenvectorKey,
    FiedlerKey,
    GraphMamba,
    GraphMambaLayer,
    PageRankKey,
)
from graphseq.nn import (
    EdgeHead,
    GatedGCN,
    GraphHead,
    ImageModel,
    LaplacianEncoder,
    NodeHead,
    RandomWalkEncoder,
    ResidualConv,
)
from graphseq.plstm import (
    AddMultitree,
    GraphDiffusion,
    GraphPropagation,
    ImagePropagation,
    PLSTM2d,
    PLSTMConv,
    PLSTMImage,
)
from graphseq.scan import Ragged, line_graph
from graphseq.spen import SPEN, AddEgoNetworks

X, EDGES, VECTORS = torch.randn(4, 8), torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.randn(3, 8)
SEGMENTS = Ragged(torch.tensor([0, 4]))
PAIRS = torch.tensor([[0, 1], [2, 3]])
LINES = line_graph(EDGES, 4)


def gine(channels, out_channels):
    return GINEConv(torch.nn.Linear(channels, out_channels))


NODES = {
    "GatedGCN": lambda x: GatedGCN(8)(x, EDGES, VECTORS),
    "ResidualConv": lambda x: ResidualConv(8, SAGEConv)(x, EDGES),
    "GraphMambaLayer": lambda x: GraphMambaLayer(8, BiMambaEncoder(8), GatedGCN(8))(x, EDGES, SEGMENTS, VECTORS),
    "BiMambaEncoder": lambda x: BiMambaEncoder(8)(x, SEGMENTS),
    "NodeHead": lambda x: NodeHead(8, 2)(x, SEGMENTS),
    "GraphHead": lambda x: GraphHead(8, 2)(x, SEGMENTS),
    "EdgeHead": lambda x: EdgeHead(8, 2)(x, SEGMENTS, PAIRS),
    "PLSTMConv": lambda x: PLSTMConv(8, 2, GraphPropagation(8, 2))(x, VECTORS, LINES),
    "GraphDiffusion": lambda x: GraphDiffusion(8, 2)(x, VECTORS, LINES, torch.ones(2, dtype=torch.bool)),
}
WRONG_NODES = {
    "width": (torch.randn(4, 9), r"x must have shape \[rows, 8\], got \[4, 9\]"),
    "rank": (X[:, 0], r"x must have shape \[rows, 8\], got \[4\]"),
    "integers": (X.long(), r"x must have the dtype of the model's weights \(torch.float32\), got torch.int64"),
    "precision": (X.double(), r"x must have the dtype of the model's weights \(torch.float32\), got torch.float64"),
    "device": (X.to("meta"), "must be on the device of .*, got "),
    "list": (X.tolist(), "x must be a dense tensor, got list"),
}


@pytest.mark.parametrize("what", WRONG_NODES)
@pytest.mark.parametrize("module", NODES)
def test_wrong_nodes_are_named(unchecked, module, what):
    x, message = WRONG_NODES[what]
    with pytest.raises((ValueError, TypeError), match=message):
        NODES[module](x)


@pytest.mark.parametrize("head", ["NodeHead", "GraphHead", "EdgeHead", "GraphMambaLayer"])
def test_nodes_of_another_number_are_named(unchecked, head):
    with pytest.raises(
        ValueError, match=r"x must have one row for each of the 4 nodes of segments, got shape \[5, 8\]"
    ):
        NODES[head](torch.randn(5, 8))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (EDGES + 1, r"edge_index must hold nodes in 0\.\.3 \(x has 4 rows\), got values from 1 to 4"),
        # It would be taken to count from the end, without a word.
        (EDGES - 1, r"edge_index must hold nodes in 0\.\.3 \(x has 4 rows\), got values from -1 to 2"),
        (EDGES.int(), "edge_index must have dtype torch.int64, got torch.int32"),
        (EDGES[0], r"edge_index must have shape \[2, pairs\], got \[3\]"),
        (torch.eye(4).to_sparse(), "edge_index must be a dense tensor, got a tensor in the layout torch.sparse_coo"),
    ],
)
def test_wrong_edges_of_a_convolution_are_named(unchecked, edges, message):
    with pytest.raises((ValueError, TypeError), match=message):
        GatedGCN(8)(X, edges, VECTORS)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.randn(3, 9), r"edge_attr must have shape \[rows, 8\], got \[3, 9\]"),
        (torch.randn(3), r"edge_attr must have shape \[rows, 8\], got \[3\]"),
        (None, "edge_attr must be a dense tensor, got NoneType"),
        (torch.ones(3, 8, dtype=torch.long), "edge_attr must have the dtype of the model's weights"),
    ],
)
@pytest.mark.parametrize(
    "conv",
    [
        lambda vectors: GatedGCN(8)(X, EDGES, vectors),
        lambda vectors: ResidualConv(8, gine, edges=True)(X, EDGES, vectors),
        lambda vectors: GraphPropagation(8, 2)(X, vectors, LINES),
    ],
    ids=["GatedGCN", "ResidualConv", "GraphPropagation"],
)
def test_wrong_edge_vectors_are_named(unchecked, conv, vectors, message):
    with pytest.raises((ValueError, TypeError), match=message):
        conv(vectors)


def test_edge_vectors_of_another_number_are_named(unchecked):
    with pytest.raises(ValueError, match=r"edge_attr must have one row for each of the 3 edges .*, got shape \[2, 8\]"):
        GatedGCN(8)(X, EDGES, VECTORS[:2])


def test_a_convolution_of_any_kind_takes_a_transposed_adjacency_as_in_pyg(unchecked):
    layer = ResidualConv(8, SAGEConv).eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        matrix = torch.sparse_csr_tensor(
            torch.tensor([0, 0, 1, 2, 3]), torch.arange(3), torch.ones(3), (4, 4), check_invariants=True
        )
    torch.testing.assert_close(layer(X, matrix)[0], layer(X, EDGES)[0])


WRONG_PAIRS = {
    "beyond": (PAIRS + 1, r"edge_label_index must hold nodes in 0\.\.3 \(x has 4 rows\), got values from 1 to 4"),
    # Counted from the end, a pair of other nodes would be scored.
    "negative": (PAIRS - 1, r"edge_label_index must hold nodes in 0\.\.3 \(x has 4 rows\), got values from -1 to 2"),
    "a pair alone": (PAIRS[:, 0], r"edge_label_index must have shape \[2, pairs\], got \[2\]"),
    "three rows": (torch.ones(3, 2).long(), r"edge_label_index must have shape \[2, pairs\], got \[3, 2\]"),
    "real": (PAIRS.float(), "edge_label_index must have dtype torch.int64 or torch.int32, got torch.float32"),
    "bytes": (PAIRS.byte(), "edge_label_index must have dtype torch.int64 or torch.int32, got torch.uint8"),
    "list": (PAIRS.tolist(), "edge_label_index must be a dense tensor, got list"),
    "elsewhere": (PAIRS.to("meta"), r"edge_label_index must be on the device of x \(cpu\), got meta"),
    "none": (None, "edge_label_index must be given"),
}


@pytest.mark.parametrize("what", WRONG_PAIRS)
def test_wrong_pairs_are_named(unchecked, what):
    pairs, message = WRONG_PAIRS[what]
    with pytest.raises((ValueError, TypeError), match=message):
        GraphMamba(8, 2, channels=8, layers=1, level="edge")(X, EDGES, edge_label_index=pairs)


def test_pairs_in_32_bits_are_the_same_pairs():
    head = EdgeHead(8, 2)
    torch.testing.assert_close(head(X, SEGMENTS, PAIRS.int()), head(X, SEGMENTS, PAIRS), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"order_key": torch.rand(3)}, r"order_key must have shape \[4\], got \[3\]"),
        ({"order_key": torch.rand(4, 1)}, r"order_key must have shape \[4\], got \[4, 1\]"),
        ({"tie_colour": torch.zeros(3).long()}, r"tie_colour must have shape \[4\], got \[3\]"),
    ],
)
def test_wrong_orders_are_named(unchecked, keys, message):
    with pytest.raises(ValueError, match=message):
        GraphMambaLayer(8, BiMambaEncoder(8), GatedGCN(8)).eval()(X, EDGES, SEGMENTS, VECTORS, **keys)


def test_an_order_is_a_tensor(unchecked):
    with pytest.raises(TypeError, match="order_key must be a tensor, got list"):
        GraphMamba(8, 2, channels=8, layers=1)(X, EDGES, order_key=[0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("encoder", "encoding"),
    [(RandomWalkEncoder(8, steps=3), torch.rand(4, 3)), (LaplacianEncoder(8, frequencies=3), torch.rand(4, 3, 2))],
    ids=["random walks", "Laplacian"],
)
def test_wrong_encodings_are_named(unchecked, encoder, encoding):
    with pytest.raises(ValueError, match=f"{encoder.key} must have one row for each of the 4 nodes of segments"):
        encoder(encoding[:3], SEGMENTS)
    with pytest.raises(TypeError, match=f"{encoder.key} must have the dtype of the model's weights"):
        encoder(encoding.double(), SEGMENTS)


CELLS = torch.randn(2, 4, 4, 8)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (CELLS[..., :7], r"x must have shape \[batch, height, width, 8\], got \[2, 4, 4, 7\]"),
        (CELLS[0], r"x must have shape \[batch, height, width, 8\], got \[4, 4, 8\]"),
        (CELLS.long(), r"x must have the dtype of the model's weights \(torch\.float32\), got torch\.int64"),
        (CELLS.to("meta"), r"x must be on the device of the weights \(cpu\), got meta"),
        (CELLS.tolist(), "x must be a tensor, got list"),
    ],
)
def test_wrong_cells_are_named(unchecked, cells, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PLSTM2d(8, 2, ImagePropagation(8, 2))(cells)


IMAGES = torch.randn(2, 1, 8, 8)
MODELS = {
    "ImageModel": lambda: ImageModel(1, 3, [torch.nn.Linear(8, 8)], channels=8, patch=2, image=8),
    "PLSTMImage": lambda: PLSTMImage(1, 3, channels=8, layers=1, patch=2, image=8),
}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.expand(2, 3, 8, 8), r"x must have shape \[batch, 1, height, width\] or .*, got \[2, 3, 8, 8\]"),
        (IMAGES[0], r"x must have shape .* or \[pixels, 1\], got \[1, 8, 8\]"),
        (IMAGES.flatten()[:, None].expand(-1, 2), r"x must have shape .* or \[pixels, 1\], got \[128, 2\]"),
        (IMAGES.byte(), r"x must have the dtype of the model's weights \(torch\.float32\), got torch\.uint8"),
        (IMAGES.double(), r"x must have the dtype of the model's weights \(torch\.float32\), got torch\.float64"),
        (IMAGES.to("meta"), r"x must be on the device of the weights \(cpu\), got meta"),
        (IMAGES.tolist(), "x must be a tensor, got list"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_wrong_images_are_named(unchecked, model, images, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MODELS[model]()(images, image_size=torch.tensor([[8, 8], [8, 8]]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"ego_size": torch.ones(4).long()}, "ego_index must be given together with ego_size, got None"),
        ({"ego_index": torch.arange(4)}, "ego_size must be given together with ego_index, got None"),
        (
            {"ego_index": torch.arange(4.0), "ego_size": torch.ones(4).long()},
            "ego_index must have dtype torch.int64, got torch.float32",
        ),
        ({"batch": torch.tensor([0, 0, 1, 1]), "batch_size": 1}, r"batch must hold numbers in \[0, 1\), got 1"),
    ],
)
def test_wrong_networks_are_named(unchecked, keywords, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SPEN(8, 2, channels=8, layers=1)(X, EDGES, **keywords)


TRANSFORMS = [
    AddLaplacianPE(2),
    OrientEdges(),
    AddNeighbourhoodTokens(2, 2, 2, seed=0),
    AddTokenWalks(2, 2, 2, seed=0),
    AddEgoNetworks(),
    CoreNumberKey(),
    DegreeKey(),
    DepthFirstKey(),
    EigenvectorKey(),
    FiedlerKey(),
    PageRankKey(),
]
WRONG_EDGES = {
    "beyond": (EDGES + 1, r"edge_index must hold nodes in 0\.\.3 .*got values from 1 to 4"),
    "negative": (EDGES - 1, r"edge_index must hold nodes in 0\.\.3 .*got values from -1 to 2"),
    "32 bits": (EDGES.int(), "edge_index must have dtype torch.int64, got torch.int32"),
    "real": (EDGES.float(), "edge_index must have dtype torch.int64, got torch.float32"),
    "one axis": (EDGES[0], r"edge_index must have shape \[2, edges\], got \[3\]"),
    "turned": (EDGES.t().contiguous(), r"edge_index must have shape \[2, edges\], got \[3, 2\]"),
    "sparse": (torch.eye(4).to_sparse(), "edge_index must be a dense tensor, .*to_edge_index"),
    "list": (EDGES.tolist(), "edge_index must be a dense tensor, got list"),
    "none": (None, "data must have an edge_index"),
}


@pytest.mark.parametrize("what", WRONG_EDGES)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
def test_wrong_edges_of_data_are_named(unchecked, transform, what):
    edges, message = WRONG_EDGES[what]
    data = Data(x=X, num_nodes=4)
    if edges is not None:
        data.edge_index = edges
    with pytest.raises((ValueError, TypeError), match=message):
        transform(data)


@pytest.mark.parametrize(
    "transform", [*TRANSFORMS, AddLineGraph(), AddMultitree()], ids=lambda transform: type(transform).__name__
)
def test_what_is_no_data_is_named(unchecked, transform):
    with pytest.raises(TypeError, match=r"data must be a Data, got (a )?dict"):
        transform({"edge_index": EDGES})


def test_wrong_options_of_transforms_are_named(unchecked):
    with pytest.raises(ValueError, match=r"damping must be in \[0, 1\], got 2"):
        PageRankKey(2.0)
    with pytest.raises(TypeError, match="order must be a NodeOrder, got str"):
        OrientEdges("degree")
