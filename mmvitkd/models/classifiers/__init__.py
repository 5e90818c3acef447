from .cached_teacher import CachedTeacher
from .hugging_face_model import HuggingFaceModel
from .masked_teacher import MaskedTeacher
from .masked_view import MaskedView
from .stochastic_teacher import StochasticTeacher
from .teacher import Teacher
from .teacher_protocol import TeacherProtocol
from .vitkd_distiller import ViTKDDistiller

__all__ = [
    'CachedTeacher',
    'HuggingFaceModel',
    'MaskedTeacher',
    'MaskedView',
    'StochasticTeacher',
    'Teacher',
    'TeacherProtocol',
    'ViTKDDistiller',
]
