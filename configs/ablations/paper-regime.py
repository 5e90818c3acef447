# Table 11 in the regime of the paper, where vitkd-claims.py has another: the student
# has the 50,000 labels that its teacher has seen, and the terms have their published
# weights. As many steps, images a step and steps of warm-up as with 2,000 labels.
_base_ = './_base_/terms.py'

title = "The claims in the paper's regime: the teacher's labels, published weights"
datasets = ['fashion-mnist']
student = 'DeiT-T'
teacher = 'DeiT III-S'
options = {
    'train_dataloader.dataset.num_labels': None,
    # 4 ep = 2000 iters * 100 images/iter / 50000 images/ep
    'train_cfg.max_epochs': 4,
    'train_cfg.val_interval': 2,
    'param_scheduler.0.by_epoch': False,
    'param_scheduler.0.convert_to_iter_based': False,
    'param_scheduler.0.end': 100,
}
rows = [
    dict(
        row=name,
        terms=terms,
        # without the factor that _base_/fashion-mnist.py has of a validation split
        change={
            f'{term}.loss.loss_weight': (3e-6 if 'gen' in term else 3e-5) / 64
            for term in terms
        },
        paper=paper,
    )
    for name, terms, paper in (
        ('baseline', [], 74.42),
        ('mimicking, shallow', ['mimic0', 'mimic1'], 75.31),
        ('mimicking, deep', ['mimic-last'], 73.72),
        ('generation, shallow', ['gen0', 'gen1'], 74.69),
        ('generation, deep', ['gen'], 74.79),
        ('ViTKD', ['mimic0', 'mimic1', 'gen'], 76.06),
    )
]
