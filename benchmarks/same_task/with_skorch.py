import pickle

import numpy as np
import torch
from data import walks
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import nn


class Pad(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.scaler_ = StandardScaler().fit(np.concatenate(list(X)))
        return self

    def transform(self, X):
        padded = np.zeros((len(X), max(map(len, X)), 3), np.float32)
        for k, x in enumerate(X):
            padded[k, : len(x), :2] = self.scaler_.transform(x)
            padded[k, : len(x), 2] = 1
        return padded


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 64, batch_first=True)
        self.linear = nn.Linear(128, 3)

    def forward(self, padded):
        states, mask = self.lstm(padded[..., :2])[0], padded[..., 2:] > 0
        mean = (states * mask).sum(1) / mask.sum(1)
        maximum = states.masked_fill(~mask, -torch.inf).amax(1)
        return self.linear(torch.cat([mean, maximum], 1))


if __name__ == "__main__":
    X, y = walks(300, seed=0)
    classes, codes = np.unique(y, return_inverse=True)
    sequences = np.empty(len(X), object)
    sequences[:] = X
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        Network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=30,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[
            LRScheduler("CosineAnnealingLR", T_max=300, step_every="batch"),
            GradientNormClipping(1.0),
        ],
        verbose=0,
    )
    model = make_pipeline(Pad(), net)
    print("accuracy", cross_val_score(model, sequences, codes, cv=5).mean())

    with open("model", "wb") as file:
        pickle.dump(model.fit(sequences, codes), file)
    X_new, y_new = walks(200, seed=1)
    with open("model", "rb") as file:
        loaded = pickle.load(file)
    print("probabilities", loaded.predict_proba(X_new).shape)
    print("accuracy of new sequences", np.mean(classes[loaded.predict(X_new)] == np.array(y_new)))
