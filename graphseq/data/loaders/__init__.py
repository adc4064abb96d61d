"""One loader for each collection: raw files in, a PyG data set and its split out."""

from graphseq.data.loaders.archive import benchmark_from_arrays, load_series_archive
from graphseq.data.loaders.node import load_actor, load_heterophilous, load_planetoid, load_webkb
from graphseq.data.loaders.ogb import load_ogb
from graphseq.data.loaders.peptides import PeptidesFunc, load_peptides
from graphseq.data.loaders.tu import load_tu
from graphseq.data.loaders.wikipedia import WikipediaPages, load_wikipedia
from graphseq.data.signed.named import load_signed

LOADERS = {
    "actor": load_actor,
    "archive": load_series_archive,
    "heterophilous": load_heterophilous,
    "ogb": load_ogb,
    "peptides": load_peptides,
    "planetoid": load_planetoid,
    "signed": load_signed,
    "tu": load_tu,
    "webkb": load_webkb,
    "wikipedia": load_wikipedia,
}
