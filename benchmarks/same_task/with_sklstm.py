import joblib
from data import walks
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklstm import LSTMClassifier
from sklstm.preprocessing import SequenceScaler

X, y = walks(300, seed=0)
model = make_pipeline(SequenceScaler(), LSTMClassifier(64, max_iter=30, random_state=0))
print("accuracy", cross_val_score(model, X, y, cv=5).mean())

joblib.dump(model.fit(X, y), "model")
X_new, y_new = walks(200, seed=1)
loaded = joblib.load("model")
print("probabilities", loaded.predict_proba(X_new).shape)
print("accuracy of new sequences", loaded.score(X_new, y_new))
