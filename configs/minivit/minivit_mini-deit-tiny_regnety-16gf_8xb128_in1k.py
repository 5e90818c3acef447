# RegNetY-16GF teaches Mini-DeiT-Ti, whose layers share their weights two by two, by
# soft labels, arXiv:2204.07154
#   CONFIG=configs/minivit/minivit_mini-deit-tiny_regnety-16gf_8xb128_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = [
    '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py',
    './_base_/mini_deit.py',
]

model = dict(
    student=_base_.mini_deit_student,
    teacher=_base_.regnety_teacher,
    task_weight=0,
    terms=dict(_delete_=True, kd=_base_.mini_deit_term),
)
