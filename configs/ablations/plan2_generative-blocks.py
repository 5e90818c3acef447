# An ablation plan for ViTKD: other generative blocks, in the whole method.
_base_ = './_base_/terms.py'

title = 'Generative blocks beyond the paper (ablation plan)'
student = 'DeiT-T'
teacher = 'DeiT III-S'
vitkd = ['mimic0', 'mimic1', 'gen']
rows = [
    dict(row='baseline', terms=[], paper=74.42, paper_top5=92.29),
    dict(row='conv projector', terms=vitkd, paper=76.06, paper_top5=93.16),
    *(
        dict(
            row=f'{block.lower()} block',
            terms=vitkd,
            change={'gen.neck.type': f'{block}GenerativeProjector'},
        )
        for block in ('Transformer', 'Residual', 'Dense')
    ),
]
