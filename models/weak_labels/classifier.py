"""What the estimators of weak labels share: two classes, of which the second is "on"."""

from abc import ABC, abstractmethod
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data


class WeakClassifier(ClassifierMixin, BaseEstimator, ABC):
    """A classifier of scikit-learn that is trained on weak labels.

    Attributes:
        classes_: (2,) labels; the second is "on", and what is predicted where the decision is
            above 0.
    """

    classes_: NDArray[Any]

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n,) score less threshold: above 0 is predicted "on"."""
        check_is_fitted(self)
        seen = validate_data(cast(Any, self), cast(Any, X), dtype=np.float64, reset=False)
        return self._decide(cast(NDArray[np.float64], seen))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) labels."""
        is_on = self.decision_function(X) > 0
        return self.classes_[is_on.astype(np.int64)]

    @abstractmethod
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from (n, n_features) events and their (n,) weak labels."""

    @abstractmethod
    def _decide(self, X: NDArray[np.float64]) -> NDArray[np.float64]: ...

    def _checked(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Features (n, n_features), and which events (n,) are on; sets `classes_`.

        Raises:
            ValueError: as scikit-learn asks: other shapes, not finite, not two classes.
        """
        given = cast(Any, (X, y))  # typed as strings by scikit-learn
        events, labels = validate_data(
            cast(Any, self), *given, dtype=np.float64, ensure_min_samples=2
        )
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        kind = type_of_target(labels, input_name="y")
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}."
            )
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"weak labels need two classes, on and off, not one class {labels[0]!r}"
            )
        return cast(NDArray[np.float64], events), labels == self.classes_[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
