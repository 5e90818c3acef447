# The student: the DeiT-Small of ta1_deit-small_deit3-base_8xb128_in1k.py, after which
# this is run, teaches DeiT-Tiny by soft labels, arXiv:1902.03393
#   bash tools/dist_train.sh \
#     configs/teacher_assistant/ta2_deit-tiny_deit-small_8xb128_in1k.py 8
# The paper has CNNs only; not yet run here.
_base_ = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

model = dict(
    teacher=dict(
        _delete_=True,
        cfg='mmpretrain::deit/deit-small_4xb256_in1k.py',
        checkpoint='work_dirs/ta1_deit-small_deit3-base_8xb128_in1k/epoch_300.pth',
        prefix='student.',
    )
)
