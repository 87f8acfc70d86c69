"""Solvers minimize a function of a flat vector, given its value and gradient."""

from sklstm._solvers.lbfgs import minimize_lbfgs
from sklstm._solvers.observers import (
    BatchDone,
    Best,
    Callback,
    EarlyStopping,
    Epoch,
    History,
    NonFiniteLossError,
    Observer,
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
    "Best",
    "Callback",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "Epoch",
    "History",
    "NonFiniteLossError",
    "Observer",
    "Outcome",
    "Progress",
    "Schedule",
    "Tolerance",
    "Verbosity",
    "clip_by_global_norm",
    "minimize_lbfgs",
    "minimize_stochastic",
]
