# ScaleKD's terms under a Swin whose third stage is 768 wide, for a ViT of twelve blocks
# on 14x14 patches. Of either view, the path of an inner block goes through the last
# stage of the teacher, its merging and its norm; what comes out are the queries of the
# last block's. The labels and the soft labels weigh half each.
last_stage = ['backbone.stages.2.downsample', 'backbone.stages.3', 'backbone.norm3']
views = dict(
    spatial=dict(type='DualViewLoss', view='spatial', loss_weight=0.08),
    frequency=dict(type='DualViewLoss', view='no-mean', loss_weight=0.06),
)
scalekd_terms = dict(
    kd=dict(
        student='head',
        teacher='head',
        loss=dict(type='KDLoss', temperature=1.0, loss_weight=0.5),
    ),
    **{
        f'inner_{view}': dict(
            student='backbone.layers.8',
            teacher='backbone.norm3',
            neck=dict(
                type='CrossAttentionProjector', out_channels=768, queries=(14, 14)
            ),
            through=last_stage,
            loss=loss,
        )
        for view, loss in views.items()
    },
    **{
        f'last_{view}': dict(
            student='backbone.ln1',
            teacher='backbone.norm3',
            neck=dict(type='CrossAttentionProjector'),
            query=f'inner_{view}',
            loss=loss,
        )
        for view, loss in views.items()
    },
)
swin_large_teacher = dict(
    cfg='mmpretrain::swin_transformer/swin-large_16xb64_in1k.py',
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
    'swin-transformer/convert/swin_large_patch4_window7_224_22kto1k-5f0996db.pth',
)
