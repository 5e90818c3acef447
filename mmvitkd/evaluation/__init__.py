from .negative_log_likelihood import NegativeLogLikelihood

__all__ = ['NegativeLogLikelihood']
