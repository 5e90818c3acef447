from .expected_calibration_error import ExpectedCalibrationError
from .negative_log_likelihood import NegativeLogLikelihood

__all__ = ['ExpectedCalibrationError', 'NegativeLogLikelihood']
