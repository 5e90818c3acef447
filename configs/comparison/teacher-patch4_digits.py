# The digits' teacher with patches of 4x4 pixels: 64 tokens, where the student has 16.
_base_ = '../digits/digits_teacher.py'

model = dict(backbone=dict(patch_size=4))
