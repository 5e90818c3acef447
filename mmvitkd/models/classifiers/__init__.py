from .teacher import Teacher
from .vitkd_distiller import ViTKDDistiller

__all__ = ['Teacher', 'ViTKDDistiller']
