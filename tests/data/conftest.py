"""What the tests of the data sets share: a root for the session, and no network."""

import socket

import pytest

from graphseq.data import load


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError("the network is blocked in tests")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_lookup)


def refuse_lookup(*_, **__):
    raise OSError("the network is blocked in tests")


@pytest.fixture(autouse=True)
def _no_questions(monkeypatch):
    def refuse(*_):
        raise AssertionError("something asked a question on stdin")

    monkeypatch.setattr("builtins.input", refuse)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="session")
def real(root, mirror):
    """Load a data set from the mirror, processing it once a session."""

    def load_real(name, **options):
        return load(name, root=root, mirror=mirror, **options)

    return load_real
