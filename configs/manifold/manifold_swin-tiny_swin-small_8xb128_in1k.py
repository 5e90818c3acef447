# Swin-Small teaches Swin-Tiny by fine-grained manifold distillation, arXiv:2107.01378
#   bash tools/dist_train.sh \
#     configs/manifold/manifold_swin-tiny_swin-small_8xb128_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = '../vitkd/vitkd_swin-tiny_swin-base_8xb128_in1k.py'

# The first four and the last four of all blocks, as between plain ViTs; the patches of
# the first two stages are merged into 14x14.
pairs = [
    ('stages.0.blocks.0', 'stages.0.blocks.0', 4),
    ('stages.0.blocks.1', 'stages.0.blocks.1', 4),
    ('stages.1.blocks.0', 'stages.1.blocks.0', 2),
    ('stages.1.blocks.1', 'stages.1.blocks.1', 2),
    ('stages.2.blocks.4', 'stages.2.blocks.16', 1),
    ('stages.2.blocks.5', 'stages.2.blocks.17', 1),
    ('stages.3.blocks.0', 'stages.3.blocks.0', 1),
    ('stages.3.blocks.1', 'stages.3.blocks.1', 1),
]

model = dict(
    teacher=dict(
        cfg='mmpretrain::swin_transformer/swin-small_16xb64_in1k.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'swin-transformer/convert/swin_small_patch4_window7_224-cc7a01c9.pth',
    ),
    task_weight=0,
    terms=dict(
        _delete_=True,
        kd=dict(
            student='head',
            teacher='head',
            loss=dict(type='KDLoss', temperature=1.0, loss_weight=1.0),
        ),
        **{
            f'manifold{i}': dict(
                student=f'backbone.{student}',
                teacher=f'backbone.{teacher}',
                loss=dict(
                    type='ManifoldLoss',
                    intra=4.0,
                    inter=0.1,
                    random=0.2,
                    num_samples=192,
                    loss_weight=1 / 8,
                    merge=merge,
                ),
            )
            for i, (student, teacher, merge) in enumerate(pairs)
        },
    ),
)
