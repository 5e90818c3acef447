# DeiT-Tiny teaches itself by samples of dropout, which the student weighs, SSD,
# arXiv:2504.14307
#   bash tools/dist_train.sh configs/ssd/ssd_deit-tiny_deit-tiny_8xb128_in1k.py 8
# The paper has no figure for this pair that we know of; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit-small_8xb128_in1k.py'

model = dict(
    teacher=dict(
        type='StochasticTeacher',
        cfg='mmpretrain::deit/deit-tiny_4xb256_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit/deit-tiny_pt-4xb256_in1k_20220218-13b382a0.pth',
        samples=20,
        keep=10,
        drop_rate=0.1,
        guide='backbone.ln1',
    ),
    task_weight=0.5,
    terms=dict(
        _delete_=True,
        features=dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            loss=dict(type='ViTKDMimicLoss', loss_weight=0.5, reduction='mean'),
        ),
    ),
)
