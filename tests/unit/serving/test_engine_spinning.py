"""How llama.cpp's threads wait for each other."""

import os

import pytest

from builders.replicas import model_args
from smallmodel_serving.runtime.application import new_engine
from smallmodel_serving.runtime.threads import SPIN_VARIABLE, SPINS


def test_threads_of_llama_cpp_spin_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPIN_VARIABLE, "")
    monkeypatch.delenv(SPIN_VARIABLE)
    new_engine(model_args())
    assert os.environ[SPIN_VARIABLE] == SPINS


def test_how_long_they_spin_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPIN_VARIABLE, "5")
    new_engine(model_args())
    assert os.environ[SPIN_VARIABLE] == "5"
