# What digits.py and in1k.py say alike: where a Swin has the modules that the terms name
# in a ViT, and what the teachers of ../plan3_contrastive-teachers.py are trained with.
swin_taps = {
    'backbone.layers.0': 'backbone.stages.0.blocks.0',
    'backbone.layers.1': 'backbone.stages.0.blocks.1',
    'backbone.ln1': 'backbone',
}
contrasts = {
    **{
        f'intra-class, margin {margin}': {'model.head.contrast.margin': margin}
        for margin in (0.1, 0.5, 1.0)
    },
    **{
        name: {'model.head.contrast': dict(_delete_=True, type=kind, loss_weight=0.03)}
        for name, kind in (
            ('inter-class', 'InterClassContrast'),
            ('self-supervised', 'SelfSupervisedContrast'),
        )
    },
}
