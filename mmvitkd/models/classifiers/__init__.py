from .cached_teacher import CachedTeacher
from .masked_teacher import MaskedTeacher
from .teacher import Teacher
from .teacher_protocol import TeacherProtocol
from .vitkd_distiller import ViTKDDistiller

__all__ = [
    'CachedTeacher',
    'MaskedTeacher',
    'Teacher',
    'TeacherProtocol',
    'ViTKDDistiller',
]
