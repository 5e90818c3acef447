from .partly_labelled_data_preprocessor import PartlyLabelledDataPreprocessor
from .two_view_data_preprocessor import TwoViewDataPreprocessor

__all__ = ['PartlyLabelledDataPreprocessor', 'TwoViewDataPreprocessor']
