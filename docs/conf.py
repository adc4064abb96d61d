"""Configuration of the site; build it with ``make docs``."""

import logging
import os
import sys
import sysconfig
import typing
from pathlib import Path

HERE = Path(__file__).parent

# Array types then print as Float[Tensor, "T d"] instead of with their module.
typing.GENERATING_DOCUMENTATION = True  # type: ignore[attr-defined]
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

import graphseq  # noqa: E402

project = "graphseq"
author = "The graphseq developers"
copyright = "the graphseq developers"
version = release = graphseq.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "complete_api",
]
exclude_patterns = ["_build", "results/*"]
# The page of results exists once results have been recorded.
suppress_warnings = [] if (HERE / "results.md").exists() else ["toc.not_readable"]
# A reference to something of ours that is not documented is an error; other projects' names are not looked up,
# since that would need a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!graphseq).*"),
    # What backends and encoders are given; nobody makes one.
    (r"py:class", r"graphseq\.(scan\.schedule\.Schedule|graph_mamba\.edge_set\.EdgeSet)"),
    (r"py:class", r"graphseq\.spen\.(nets\.Part|blocks\.AroundRoot|group\.(Levels|Numbers|Basis)|layer\.Widths)"),
]

html_theme = "furo"
html_title = f"graphseq {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# Pages run in a folder that is thrown away, and a cell that fails fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_render_markdown_format = "gfm"

# What the pages' kernels inherit: the command ``graphseq``, this working tree, one look for all pictures, a kernel that
# keeps to itself what it has to say about sockets and widgets, and one thread: on a busy machine, threads that wait for
# each other after every small operation take minutes for a cell of seconds.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
os.environ["MATPLOTLIBRC"] = str(HERE / "_static" / "matplotlibrc")
os.environ["JUPYTER_PATH"] = str(HERE / "_kernels")
os.environ["COLUMNS"] = "84"
os.environ["GRAPHSEQ_RESULTS"] = str(HERE / "results")
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
os.environ.setdefault("OMP_NUM_THREADS", "1")
logging.getLogger("traitlets").setLevel(logging.WARNING)
