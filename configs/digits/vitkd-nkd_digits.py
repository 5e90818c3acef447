# ViTKD and NKD on digits, after digits_teacher.py.
#   python tools/train.py configs/digits/vitkd-nkd_digits.py
_base_ = ['./vitkd_digits.py', '../_base_/terms/nkd.py']

model = dict(terms=dict(nkd=_base_.nkd_term))
