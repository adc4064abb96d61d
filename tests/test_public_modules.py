"""What holds for every public module."""

import pytest
import torch
from torch_geometric.nn.inits import reset

from tests.public_modules import ABSTRACT, classes, make

MODULES = sorted(classes().keys() - ABSTRACT)


def test_every_public_module_is_looked_at():
    """A new one needs a row in public_modules.py; an abstract one cannot be used by itself."""
    for name in MODULES:
        assert isinstance(make(name), torch.nn.Module)
    assert classes().keys() >= ABSTRACT


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("how", [reset, lambda module: module.reset_parameters()], ids=["of PyG", "its own"])
def test_resetting_draws_every_parameter_anew(name, how):
    module = make(name)
    if not list(module.parameters()):
        pytest.skip("it has no parameters")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(123.0)
        for buffer_name, buffer in module.named_buffers():
            if "running" in buffer_name:
                buffer.fill_(123.0)
    how(module)
    left = [key for key, parameter in module.named_parameters() if parameter.numel() and (parameter == 123).any()]
    left += [key for key, buffer in module.named_buffers() if "running" in key and (buffer == 123).any()]
    assert not left
