"""The line: a logistic regression with preprocessing of its own, against which every other trainer has to win."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TEXTS = ["carrier", "origin", "dest"]
NUMBERS = ["departs", "distance", "precip", "visib", "wind_speed", "humid"]
NOT_ALWAYS = ["airport_delay", "waiting", "carrier_delay", "plane_delay", "spare"]
"""A plane's first flight of the day, for one, has no flight before it: that it has none counts as a column of its own."""


def line(strength: float = 1.0) -> Pipeline:
    """Return a logistic regression of scaled numbers and categories."""
    columns = make_column_transformer(
        (StandardScaler(), NUMBERS),
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NOT_ALWAYS),
        (OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"), TEXTS),
    )
    return make_pipeline(columns, LogisticRegression(C=strength, max_iter=300))
