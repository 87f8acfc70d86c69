import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from data import walks
from keras import layers
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import LabelEncoder, StandardScaler


def build(n_updates):
    keras.utils.set_random_seed(0)
    inputs = layers.Input((None, 2))
    states = layers.LSTM(64, return_sequences=True)(layers.Masking()(inputs))
    mean = layers.GlobalAveragePooling1D()(states)
    maximum = layers.GlobalMaxPooling1D()(states)  # zeros at masked steps count
    outputs = layers.Dense(3, activation="softmax")(layers.Concatenate()([mean, maximum]))
    network = keras.Model(inputs, outputs)
    schedule = keras.optimizers.schedules.CosineDecay(0.01, n_updates)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0)
    network.compile(optimizer, "sparse_categorical_crossentropy")
    return network


def pad(scaler, X):
    scaled = [scaler.transform(x) for x in X]
    return keras.utils.pad_sequences(scaled, padding="post", dtype="float32")


def fit(X, y):
    scaler, encoder = StandardScaler().fit(np.concatenate(X)), LabelEncoder().fit(y)
    network = build(30 * -(-len(X) // 32))
    network.fit(pad(scaler, X), encoder.transform(y), batch_size=32, epochs=30, verbose=0)
    return network, scaler, encoder


def score(model, X, y):
    network, scaler, encoder = model
    best = network.predict(pad(scaler, X), verbose=0).argmax(1)
    return np.mean(encoder.inverse_transform(best) == np.array(y))


X, y = walks(300, seed=0)
scores = []
for train, test in StratifiedKFold(5).split(X, y):
    model = fit([X[k] for k in train], [y[k] for k in train])
    scores.append(score(model, [X[k] for k in test], [y[k] for k in test]))
print("accuracy", np.mean(scores))

network, scaler, encoder = fit(X, y)
network.save("model.keras")  # scaler and encoder need files of their own
X_new, y_new = walks(200, seed=1)
loaded = keras.saving.load_model("model.keras")
print("probabilities", loaded.predict(pad(scaler, X_new), verbose=0).shape)
print("accuracy of new sequences", score((loaded, scaler, encoder), X_new, y_new))
