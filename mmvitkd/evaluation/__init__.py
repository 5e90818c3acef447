from .expected_calibration_error import ExpectedCalibrationError
from .negative_log_likelihood import NegativeLogLikelihood
from .predicted_labels import PredictedLabels

__all__ = ['ExpectedCalibrationError', 'NegativeLogLikelihood', 'PredictedLabels']
