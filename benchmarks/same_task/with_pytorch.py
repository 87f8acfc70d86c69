import numpy as np
import torch
from data import walks
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence


class Network(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.lstm = nn.LSTM(n_features, 64, batch_first=True)
        self.linear = nn.Linear(128, n_classes)

    def forward(self, packed):
        states, lengths = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = (torch.arange(states.shape[1]) < lengths[:, None])[..., None]
        mean = (states * mask).sum(1) / lengths[:, None]
        maximum = states.masked_fill(~mask, -torch.inf).amax(1)
        return self.linear(torch.cat([mean, maximum], 1))


def tensors(scaler, X):
    return [torch.from_numpy(scaler.transform(x)).float() for x in X]


def fit(X, y):
    torch.manual_seed(0)
    scaler, encoder = StandardScaler().fit(np.concatenate(X)), LabelEncoder().fit(y)
    codes = torch.from_numpy(encoder.transform(y))
    inputs = tensors(scaler, X)
    network, epochs = Network(X[0].shape[1], len(encoder.classes_)), 30
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    n_updates = epochs * -(-len(X) // 32)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_updates)
    for _ in range(epochs):
        for batch in torch.randperm(len(X)).split(32):
            optimizer.zero_grad()
            packed = pack_sequence([inputs[k] for k in batch], enforce_sorted=False)
            logits = network(packed)
            nn.functional.cross_entropy(logits, codes[batch]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return {"network": network, "scaler": scaler, "encoder": encoder}


def predict_proba(model, X):
    packed = pack_sequence(tensors(model["scaler"], X), enforce_sorted=False)
    with torch.inference_mode():
        return model["network"](packed).softmax(1).numpy()


def score(model, X, y):
    best = predict_proba(model, X).argmax(1)
    return np.mean(model["encoder"].inverse_transform(best) == np.array(y))


X, y = walks(300, seed=0)
scores = []
for train, test in StratifiedKFold(5).split(X, y):
    model = fit([X[k] for k in train], [y[k] for k in train])
    scores.append(score(model, [X[k] for k in test], [y[k] for k in test]))
print("accuracy", np.mean(scores))

torch.save(fit(X, y), "model")
X_new, y_new = walks(200, seed=1)
loaded = torch.load("model", weights_only=False)
print("probabilities", predict_proba(loaded, X_new).shape)
print("accuracy of new sequences", score(loaded, X_new, y_new))
