"""How many of scikit-learn's estimator checks each library passes.

    python benchmarks/estimator_checks.py

Libraries that are not installed are skipped. "failed" counts checks that raise an error, whatever
the reason: some libraries do not aim to pass them, because their input has three axes.
"""

import collections
import importlib
import warnings

from sklearn.utils.estimator_checks import check_estimator


def sklstm_classifier():
    from sklstm import LSTMClassifier

    return LSTMClassifier(hidden_layer_sizes=8, max_iter=5, random_state=0)


def skorch_classifier():
    import torch
    from skorch import NeuralNetClassifier

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(1, 8, batch_first=True)
            self.linear = torch.nn.LazyLinear(3)

        def forward(self, X):
            return self.linear(self.lstm(X.float()[..., None])[0][:, -1]).softmax(-1)

    return NeuralNetClassifier(Network, max_epochs=5, verbose=0)


def aeon_classifier():
    from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier()


def sktime_classifier():
    from sktime.classification.distance_based import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier()


def tslearn_classifier():
    from tslearn.neighbors import KNeighborsTimeSeriesClassifier

    return KNeighborsTimeSeriesClassifier()


LIBRARIES = {
    "sklstm": sklstm_classifier,
    "skorch": skorch_classifier,
    "aeon": aeon_classifier,
    "sktime": sktime_classifier,
    "tslearn": tslearn_classifier,
}


def main():
    warnings.simplefilter("ignore")
    for name, make in LIBRARIES.items():
        try:
            estimator, version = make(), importlib.import_module(name).__version__
        except ImportError:
            print(f"{name}: not installed")
            continue
        print(f"{name} {version}, {type(estimator).__name__}: {report(estimator)}", flush=True)


def report(estimator):
    try:
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    except Exception as error:  # it may fail before the first check
        return f"cannot be checked: {type(error).__name__}: {error}"[:200]
    counts = collections.Counter(result["status"] for result in results)
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))


if __name__ == "__main__":
    main()
