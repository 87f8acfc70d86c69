"""Solvers: they know a protocol, value and gradient of a flat vector, and never the network."""

from sklstm._solvers.lbfgs import minimize_lbfgs
from sklstm._solvers.observers import (
    BatchDone,
    EarlyStopping,
    History,
    NonFiniteLossError,
    Outcome,
    Progress,
    Tolerance,
    Verbosity,
)
from sklstm._solvers.schedules import Adaptive, Constant, Cosine, Schedule
from sklstm._solvers.stochastic import minimize_stochastic
from sklstm._solvers.updates import SGD, Adam, clip_by_global_norm

__all__ = [
    "SGD",
    "Adam",
    "Adaptive",
    "BatchDone",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "History",
    "NonFiniteLossError",
    "Outcome",
    "Progress",
    "Schedule",
    "Tolerance",
    "Verbosity",
    "clip_by_global_norm",
    "minimize_lbfgs",
    "minimize_stochastic",
]
