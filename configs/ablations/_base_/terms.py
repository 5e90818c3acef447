# The terms that the rows of the tables name, at the weights that the paper (or, in its
# comparisons, the method's own authors) give for ImageNet. A row says
#   terms=['mimic0', 'gen'], change={'gen.neck.mask_ratio': 0.7}
# and nothing else; the data set's file (digits.py, in1k.py) knows what its images and
# models change.

# FitNet's hint through a linear layer is equation 1 at another layer: the paper's rows
# "FitNet" of table 2 and "mimicking, deep" of table 11 are the same number.
named_terms = dict(
    {
        f'mimic{i}': dict(
            student=f'backbone.layers.{i}',
            teacher=f'backbone.layers.{i}',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        )
        for i in range(12)
    },
    **{
        f'gen{i}': dict(
            student=f'backbone.layers.{i}',
            teacher=f'backbone.layers.{i}',
            neck=dict(type='ConvGenerativeProjector', mask_ratio=0.5),
            loss=dict(type='ViTKDGenLoss', loss_weight=3e-6),
        )
        for i in range(12)
    },
    # the last layer is taken after the final norm, as in the released code
    **{
        'mimic-last': dict(
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        )
    },
    gen=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        neck=dict(type='ConvGenerativeProjector', mask_ratio=0.5),
        loss=dict(type='ViTKDGenLoss', loss_weight=3e-6),
    ),
    mgd=dict(
        student='backbone.ln1',
        teacher='backbone.ln1',
        neck=dict(type='MGDProjector', mask_ratio=0.15),
        loss=dict(type='ViTKDMimicLoss', loss_weight=7e-5),
    ),
    # table 9: what a block adds to the residual stream, by its attention (MHA) and by
    # its feed-forward network (FFN)
    **{
        f'{name}{i}': dict(
            student=f'backbone.layers.{i}.{path}',
            teacher=f'backbone.layers.{i}.{path}',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=3e-5),
        )
        for name, path in (('mha', 'attn'), ('ffn', 'ffn.layers'))
        for i in (0, 1)
    },
    **{
        f'correlation{i}': dict(
            student=f'backbone.layers.{i}',
            teacher=f'backbone.layers.{i}',
            loss=dict(type='CorrelationLoss', loss_weight=3e-5),
        )
        for i in (0, 1)
    },
    # as in the configs that ViTKD's authors released, with half of the task loss
    kd=dict(
        student='head',
        teacher='head',
        loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
    ),
    hard=dict(
        student='head',
        teacher='head',
        loss=dict(type='HardKDLoss', loss_weight=0.5),
    ),
    nkd=dict(
        student='head',
        teacher='head',
        loss=dict(type='NKDLoss', temperature=1.0, gamma=1.0),
    ),
    dkd=dict(student='head', teacher='head', loss=dict(type='DKDLoss')),
    dist=dict(
        student='head',
        teacher='head',
        loss=dict(type='DISTLoss', loss_weight=2.0),
    ),
    # five inner layers' class tokens, in the manner of PKD-Last
    **{
        f'pkd{i}': dict(
            student=dict(path=f'backbone.layers.{i}', tokens='cls'),
            teacher=dict(path=f'backbone.layers.{i}', tokens='cls'),
            neck=dict(type='LinearProjector'),
            loss=dict(type='NormalisedMSELoss', loss_weight=0.13),
        )
        for i in range(6, 11)
    },
    # both ends, as its authors pair DeiT-Tiny with CaiT-S24
    **{
        f'manifold{i}': dict(
            student=f'backbone.layers.{i}',
            teacher=f'backbone.layers.{i}',
            loss=dict(type='ManifoldLoss', loss_weight=1 / 8),
        )
        for i in (0, 1, 2, 3, 8, 9, 10, 11)
    },
)
