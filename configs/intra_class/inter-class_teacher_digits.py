# The same teacher with a contrast between its classes.
#   python tools/train.py configs/intra_class/inter-class_teacher_digits.py
_base_ = './intra-class_teacher_digits.py'

model = dict(
    head=dict(contrast=dict(_delete_=True, type='InterClassContrast', loss_weight=0.03))
)
