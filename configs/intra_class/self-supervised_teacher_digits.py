# The same teacher with a contrast that reads no labels.
#   python tools/train.py configs/intra_class/self-supervised_teacher_digits.py
_base_ = './intra-class_teacher_digits.py'

model = dict(
    head=dict(
        contrast=dict(_delete_=True, type='SelfSupervisedContrast', loss_weight=0.03)
    )
)
