from .cached_teacher import CachedTeacher
from .teacher import Teacher
from .vitkd_distiller import ViTKDDistiller

__all__ = ['CachedTeacher', 'Teacher', 'ViTKDDistiller']
