"""Plots of models and sequences, in the style of scikit-learn's Display classes.

The class methods ``from_...`` compute what is shown and draw it; ``plot`` draws it again, also into
axes that it is given. The plots need matplotlib: ``pip install matplotlib``.
"""

from sklstm.plotting._curves import LossCurveDisplay, StepProbabilitiesDisplay
from sklstm.plotting._forecast import ForecastDisplay
from sklstm.plotting._heat_maps import AttributionsDisplay, StatesDisplay
from sklstm.plotting._importance import PermutationImportanceDisplay

__all__ = [
    "AttributionsDisplay",
    "ForecastDisplay",
    "LossCurveDisplay",
    "PermutationImportanceDisplay",
    "StatesDisplay",
    "StepProbabilitiesDisplay",
]

# Pickles name these objects by the public path.
for _name in __all__:
    globals()[_name].__module__ = __name__
